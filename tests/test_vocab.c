/* Vocabularies and their files; tokens, against golden ones. */
#define _GNU_SOURCE
#include "io/vocab.h"
#include "tests/scratch.h"

TestSuite(vocab, .init = make_folder, .fini = remove_folder, .timeout = 60);

#define SPECIAL "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

Test(vocab, a_vocabulary_is_the_same_after_save_and_load)
{
    wf_vocab *v, *w;
    cr_assert_eq(wf_vocab_load(&v, WF_SOURCE_DIR "/samples/vocab.txt"), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_vocab_save(v, in_folder("v")), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_vocab_load(&w, in_folder("v")), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_vocab_size(v), 4500);
    cr_assert_eq(wf_vocab_size(w), 4500);
    for (int32_t i = 0; i < 4500; i++) {
        cr_assert_str_eq(wf_vocab_token(v, i), wf_vocab_token(w, i));
        cr_assert_eq(wf_vocab_find(w, wf_vocab_token(v, i)), i);
    }
    wf_special s = wf_vocab_special(w);
    cr_expect(s.pad == 0 && s.unk == 1 && s.cls == 2 && s.sep == 3 && s.mask == 4);
    cr_expect_null(wf_vocab_token(w, -1));
    cr_expect_null(wf_vocab_token(w, 4500));
    cr_expect_eq(wf_vocab_find(w, "[mask]"), -1);
    cr_expect_eq(wf_vocab_find(w, ""), -1);
    expect_error(wf_vocab_save(v, in_folder("none/v")), WF_EIO, "none/v: cannot be written");
    expect_error(wf_vocab_save(v, "/dev/full"), WF_EIO, "/dev/full: cannot be written: No space");
    wf_vocab_free(v);
    wf_vocab_free(w);
    wf_vocab_free(NULL);
}

Test(vocab, a_vocabulary_may_have_crlf_a_mark_and_no_last_line_end)
{
    wf_vocab *v;
    bytes b = BYTES("\xef\xbb\xbf[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\n##a\r\nb");
    cr_assert_eq(wf_vocab_load(&v, put("v", b)), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_vocab_size(v), 7);
    cr_assert_eq(wf_vocab_save(v, in_folder("v")), WF_OK);
    expect_content(in_folder("v"), SPECIAL "##a\nb\n");
    wf_vocab_free(v);
}

Test(vocab, bad_vocabularies_are_errors_with_their_line)
{
    const struct {
        bytes content;
        const char *says;
    } bad[] = {
        {BYTES(""), "v: expected tokens, there are none"},
        {BYTES(SPECIAL "a\n\nb\n"), "v:7: expected a token, the line is blank"},
        {BYTES(SPECIAL "a\r\n\r\n"), "v:7: expected a token, the line is blank"},
        {BYTES(SPECIAL " \t\n"), "v:6: expected a token, the line is blank"},
        {BYTES(SPECIAL "a 12\n"), "v:6: expected a token alone in its line, 'a 12' has a blank"},
        {BYTES(SPECIAL "a\nb\na\n"), "v:8: expected a new token, 'a' stands in line 6 already"},
        {BYTES(SPECIAL "a\n\xe9\n"), "v:7: expected UTF-8"},
        {BYTES(SPECIAL "a\0\n"), "v:6: expected text, byte 2 is NUL"},
        {BYTES("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n"), "v: expected the token [MASK], it is missing"},
        {BYTES("[UNK]\n[CLS]\n[SEP]\n[MASK]\n"), "v: expected the token [PAD], it is missing"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        wf_vocab *v;
        expect_error(wf_vocab_load(&v, put("v", bad[i].content)), WF_EFORMAT, bad[i].says);
        cr_expect_null(v);
    }
    wf_vocab *v;
    expect_error(wf_vocab_load(&v, in_folder("none")), WF_EIO, "none: cannot be read: No such");
}

/* The tokens of a text, with a blank before each that begins a word and '~' before the others. */
static void expect_tokens(const wf_vocab *v, const char *text, const char *want)
{
    char got[2048] = "";
    wf_tokens t = {0};
    cr_expect_eq(wf_tokenize(v, text, strlen(text), &t), WF_OK, "%s: %s", text, wf_error());
    for (int64_t i = 0; i < t.n; i++) {
        strcat(got, t.starts[i] ? " " : "~");
        strcat(got, wf_vocab_token(v, t.id[i]));
    }
    cr_expect_str_eq(got, want, "'%s': expected '%s', got '%s'", text, want, got);
    free(t.id);
    free(t.starts);
}

/* Of a vocabulary of 12,000 tokens, those that the cases below come to. */
static wf_vocab *small_vocab(void)
{
    const char *path = WF_SOURCE_DIR "/tests/golden/wordpiece_vocab.txt";
    wf_vocab *v;
    cr_assert_eq(wf_vocab_load(&v, path), WF_OK, "%s", wf_error());
    return v;
}

/* Golden: made with the tokenizer of BERT that the package "tokenizers" has, over all 12,000. */
Test(vocab, tokens_are_those_of_bert)
{
    const char *cases[][2] = {
        {"", ""},
        {" \t\xe3\x80\x80\n", ""},
        {"床前[MASK]月光", " 床 前 [MASK] 月 光"},
        {"[[MASK]][CLS]x[SEP]", " [ [MASK] ] [CLS] x [SEP]"},
        {"[mask] [MASKED]", " [ ma~##sk ] [ ma~##sk~##ed ]"},
        {"Facebook iPhone 7", " facebook iphone 7"},
        {"facebookification", " facebook~##ification"},
        {"ÉCOLE café naïve Ångström", " eco~##le cafe na~##ive an~##gs~##tro~##m"},
        {"İstanbul ẞ", " is~##tan~##bu~##l [UNK]"},
        {"e\xcc\x81", " e"},
        {"Hello, world!", " hello , world !"},
        {"don't $5+3=8", " don ' t $ 5 + 3 = 8"},
        {"2023年12月", " 202~##3 年 12 月"},
        {"##ing", " # # ing"},
        {"３６５ Ｔ恤", " [UNK] [UNK] 恤"},
        {"㈠①", " [UNK]"},
        {"😀月😀", " [UNK] 月 [UNK]"},
        {"カタカナ 한국", " [UNK] [UNK]"},
        {"\xef\xa9\x90 𠀀月", " 祖 [UNK] 月"},
        {"tab\there\xe3\x80\x80wide\xe2\x80\xa8line", " tab here wi~##de line"},
        {"a\xe2\x80\x8b"
         "b\x07\xef\xbf\xbd"
         "c",
         " abc"},
        {"xqzxqz", " x~##q~##z~##x~##q~##z"},
        {"playж play", " [UNK] play"},
    };
    wf_vocab *v = small_vocab();
    for (size_t i = 0; i < COUNT(cases); i++) expect_tokens(v, cases[i][0], cases[i][1]);
    wf_vocab_free(v);
}

Test(vocab, tokens_are_appended)
{
    const char *text = "床前[MASK]月光, abc";
    const char *want[] = {"床", "前", "[MASK]", "月", "光", ",", "abc"};
    wf_vocab *v = small_vocab();
    wf_tokens t = {0};
    for (int turn = 1; turn <= 60; turn++) {
        cr_assert_eq(wf_tokenize(v, text, strlen(text), &t), WF_OK);
        cr_assert_eq(t.n, turn * (int64_t)COUNT(want));
        for (size_t i = 0; i < COUNT(want); i++)
            cr_assert_eq(t.id[t.n - (int64_t)(COUNT(want) - i)], wf_vocab_find(v, want[i]));
    }
    free(t.id);
    free(t.starts);
    wf_vocab_free(v);
}

Test(vocab, a_word_of_more_than_200_characters_is_unknown)
{
    wf_vocab *v = small_vocab();
    for (int chars = 199; chars <= 202; chars++) {
        char text[1024] = "";
        wf_tokens t = {0};
        for (int i = 0; i < chars; i++) strcat(text, "\xc3\xa9");
        strcat(text, " a");
        cr_assert_eq(wf_tokenize(v, text, strlen(text), &t), WF_OK);
        cr_expect_eq(t.id[0] == wf_vocab_special(v).unk, chars > 200, "%d characters", chars);
        cr_expect_eq(t.id[t.n - 1], wf_vocab_find(v, "a"));
        free(t.id);
        free(t.starts);
    }
    wf_vocab_free(v);
}

Test(vocab, a_text_that_is_not_utf8_gives_no_tokens)
{
    wf_vocab *v = small_vocab();
    wf_tokens t = {0};
    cr_assert_eq(wf_tokenize(v, "ab c", 4, &t), WF_OK);
    int64_t n = t.n;
    expect_error(wf_tokenize(v, "abc \xe6\x9c", 6, &t), WF_EFORMAT, "byte 5 of the text (0xe6)");
    cr_expect_eq(t.n, n);
    cr_expect_eq(wf_tokenize(v, "a\0b", 3, &t), WF_OK);
    cr_expect_str_eq(wf_vocab_token(v, t.id[n]), "ab", "a NUL is a control character: dropped");
    free(t.id);
    free(t.starts);
    wf_vocab_free(v);
}
