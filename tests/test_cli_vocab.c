/* weft vocab: what is counted, in which order it stands, and what is refused. */
#define _GNU_SOURCE
#include "tests/cli.h"

TestSuite(cli_vocab, .init = setup, .fini = teardown, .timeout = 60);

#define SPECIAL "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static void expect_vocab(const char *line, const char *want)
{
    char got[500] = "";
    outcome o = weft(line);
    cr_expect_eq(o.code, 0, "%s: code %d, %s", line, o.code, o.err);
    load("v.txt", got, sizeof got - 1);
    cr_expect_str_eq(got, want, "%s: got: %s", line, got);
    remove(path_of("v.txt"));
}

Test(cli_vocab, characters_come_first_then_words_each_by_their_count)
{
    put("t.txt", "Ab ab, \xc3\xa1"
                 "c\n月[MASK]月 ab\n");
    put("j.json", "{\"content\": \"月光\"}\n");
    /* a 4, b inside 3, 月 2 or 3, then by bytes */
    expect_vocab("vocab --text t.txt --out v.txt", SPECIAL "a\n##b\n月\n##c\n,\nab\nac\n");
    expect_vocab("vocab --text t.txt j.json --out v.txt --size 8", SPECIAL "a\n##b\n月\n");
    expect_vocab("vocab --text t.txt --text j.json --out v.txt --size 12",
                 SPECIAL "a\n##b\n月\n##c\n,\n光\nab\n");
}

Test(cli_vocab, the_summary_tells_how_much_is_known)
{
    put("t.txt", "aa ab\n"); /* a, a inside, a, b inside */
    outcome o = weft("vocab --text t.txt --out v.txt --size 7");
    cr_expect_str_eq(o.out, "v.txt: 7 tokens, which know 75.00 % of 4 characters\n");
}

/* A model over it knows every word of the text. */
Test(cli_vocab, a_made_vocabulary_can_be_trained_with)
{
    cr_expect_eq(weft("vocab --text text.txt --out mine.txt").code, 0);
    outcome o = weft(TRAIN "--text text.txt --vocab mine.txt --steps 1");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}

Test(cli_vocab, the_sample_vocabulary_is_that_of_the_sample_poems)
{
    static char want[1 << 16], got[1 << 16];
    outcome o = weft("vocab --text " WF_SOURCE_DIR "/samples/poems.jsonl --size 4500 --out v.txt");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    size_t n = load("v.txt", got, sizeof got);
    FILE *f = fopen(WF_SOURCE_DIR "/samples/vocab.txt", "rb");
    cr_assert(f);
    size_t m = fread(want, 1, sizeof want, f);
    fclose(f);
    cr_expect(n > 10000 && n == m && !memcmp(got, want, n), "%zu and %zu bytes", n, m);
}

Test(cli_vocab, what_cannot_be_made_is_one_line)
{
    put("blank.txt", "\xe2\x80\x8b\n"); /* a character of no width */
    put("kept.txt", "mine");
    const wrong cases[] = {
        {"vocab", 2, "--text is missing"},
        {"vocab --text text.txt", 2, "--out is missing"},
        {"vocab --text text.txt --out out --size 5", 2, "--size: expected a whole number >= 6"},
        {"vocab --text missing.txt --out out", 1, "missing.txt"},
        {"vocab --text empty.txt --out out", 1, "empty.txt"},
        {"vocab --text latin1.txt --out out", 1, "latin1.txt"},
        {"vocab --text blank.txt --out out", 1, "blank.txt: no words"},
        {"vocab --text text.txt --out kept.txt", 1, "kept.txt exists; replace it with --overwrite"},
        {"vocab --text text.txt --out none/v.txt", 1, "none/v.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
    cr_expect_eq(weft("vocab --text text.txt --out kept.txt --overwrite").code, 0);
}
