/* Words of Chinese: where the tokenizer sees them, and how a list or blanks join characters. */
#define _GNU_SOURCE
#include "io/vocab.h"
#include "tests/scratch.h"

static wf_vocab *vocab;

static void setup(void)
{
    make_folder();
    bytes b = BYTES(
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n中\n国\n人\n民\n大\n学\n生\n活\n,\n。\na\n##b\n");
    cr_assert_eq(wf_vocab_load(&vocab, put("vocab", b)), WF_OK, "%s", wf_error());
}

static void teardown(void)
{
    wf_vocab_free(vocab);
    remove_folder();
}

TestSuite(words, .init = setup, .fini = teardown, .timeout = 10);

/* Tokens with ' ' in front of what begins a word, '+' where two ideographs adjoin, '~' inside. */
static void expect_words(const wf_tokens *t, int64_t lo, const char *want)
{
    char got[500] = "";
    for (int64_t i = lo; i < t->n; i++) {
        strcat(got, t->starts[i] == WF_INNER ? "~" : t->starts[i] == WF_BEGINS ? " " : "+");
        strcat(got, wf_vocab_token(vocab, t->id[i]));
    }
    cr_expect_str_eq(got, want);
}

static wf_tokens tokens_of(const char *text)
{
    wf_tokens t = {0};
    cr_assert_eq(wf_tokenize(vocab, text, strlen(text), &t), WF_OK, "%s", wf_error());
    return t;
}

static void drop(wf_tokens *t)
{
    free(t->id);
    free(t->starts);
}

Test(words, ideographs_adjoin_unless_a_blank_or_a_sign_is_between)
{
    const char *cases[][2] = {
        {"中国人", " 中+国+人"},
        {"中国 人民", " 中+国 人+民"},
        {"中,国。人", " 中 , 国 。 人"},
        {"中ab国人", " 中 a~##b 国+人"},
        {"中[MASK]国人", " 中 [MASK] 国+人"},
        {"中\xe2\x80\x8b国", " 中+国"}, /* a character of no width is dropped */
        {"中囧人", " 中+[UNK]+人"},
        {"中\xe3\x80\x80国", " 中 国"},
        {"中カ国", " 中 [UNK] 国"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wf_tokens t = tokens_of(cases[i][0]);
        expect_words(&t, 0, cases[i][1]);
        drop(&t);
    }
}

Test(words, the_longest_word_of_the_list_wins_from_left_to_right)
{
    wf_vocab *list;
    bytes b = BYTES("中国\n中国人\n人民\n大学\n大学生\n生活\nab\n");
    cr_assert_eq(wf_words_load(&list, put("list", b)), WF_OK, "%s", wf_error());
    const char *cases[][2] = {
        {"中国人民大学", " 中~国~人+民+大~学"}, /* greedy: 民 is left alone */
        {"大学生活", " 大~学~生+活"},           /* a word that only a look ahead would find */
        {"中国 人民", " 中~国 人~民"},          /* no word goes over a blank */
        {"中囧国人民", " 中+[UNK]+国+人~民"},   {"ab中国,ab", " a~##b 中~国 , a~##b"},
        {"中中国国", " 中+中~国+国"},           {"", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wf_tokens t = tokens_of(cases[i][0]);
        wf_words_join(list, vocab, &t, 0);
        expect_words(&t, 0, cases[i][1]);
        drop(&t);
    }
    wf_vocab_free(list);
}

Test(words, a_segmented_text_has_the_words_that_it_shows)
{
    wf_tokens t = tokens_of("中国 人民大学,生活ab 中");
    wf_words_join(NULL, vocab, &t, 0);
    expect_words(&t, 0, " 中~国 人~民~大~学 , 生~活 a~##b 中");
    drop(&t);
}

Test(words, only_tokens_from_the_given_one_on_are_joined)
{
    wf_tokens t = tokens_of("中国人民");
    wf_words_join(NULL, vocab, &t, 2);
    expect_words(&t, 0, " 中+国+人~民");
    drop(&t);
}

Test(words, bad_lists_are_errors_with_their_line)
{
    wf_vocab *v;
    expect_error(wf_words_load(&v, put("w", BYTES("中国\n人民 3 n\n"))), WF_EFORMAT,
                 "w:2: expected");
    expect_error(wf_words_load(&v, put("w", BYTES("中国\n中国\n"))), WF_EFORMAT, "w:2: expected");
    expect_error(wf_words_load(&v, put("w", BYTES(""))), WF_EFORMAT, "there are none");
    expect_error(wf_words_load(&v, in_folder("none")), WF_EIO, "No such");
}
