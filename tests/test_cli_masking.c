/* What --masking and --words make of a run: runs that mask alike learn the same bits. */
#define _GNU_SOURCE
#include "tests/cli.h"

static void setup_texts(void)
{
    setup();
    put("zh.vocab", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n中\n国\n人\n民\n大\n学\na\n##b\n##c\n");
    put("words.txt", "中国\n人民\n大学\n");
    const char *word[] = {"中国", "人民", "大学"};
    FILE *plain = fopen(path_of("zh.txt"), "wb"), *parted = fopen(path_of("parted.txt"), "wb");
    FILE *latin = fopen(path_of("latin.txt"), "wb");
    cr_assert(plain && parted && latin);
    for (int i = 0; i < 120; i++) {
        for (int j = 0; j < 6; j++) {
            const char *w = word[(i * 7 + j * (1 + i % 5)) % 3];
            fputs(w, plain);
            fprintf(parted, j ? " %s" : "%s", w);
            fputs(j % 2 ? "abc " : "a ", latin);
        }
        fputs("\n", plain);
        fputs("\n", parted);
        fputs("\n", latin);
    }
    fclose(plain);
    fclose(parted);
    fclose(latin);
}

TestSuite(cli_masking, .init = setup_texts, .fini = teardown, .timeout = 60);

#define RUN TRAIN "--vocab zh.vocab --steps 8 --dropout 0 --out "

/* The word table after 8 steps. */
static void train(const char *line, float table[14 * 16])
{
    outcome o = weft(line);
    cr_assert_eq(o.code, 0, "%s: code %d, %s", line, o.code, o.err);
    char file[64];
    snprintf(file, sizeof file, "%.1s/model.safetensors", strstr(line, RUN) + strlen(RUN));
    wf_store *s = wf_store_new(0);
    cr_assert_eq(wf_store_load(s, path_of(file)), WF_OK, "%s", wf_error());
    memcpy(table, wf_store_data(s, "embeddings/word_embeddings", NULL, NULL),
           14 * 16 * sizeof(float));
    wf_store_free(s);
}

Test(cli_masking, words_of_a_list_are_those_of_a_segmented_text)
{
    float listed[14 * 16], parted[14 * 16], chars[14 * 16], lines[14 * 16];
    train(RUN "a --text zh.txt --masking word --words words.txt", listed);
    train(RUN "b --text parted.txt --masking segmented", parted);
    train(RUN "c --text zh.txt --masking word", chars);
    train(RUN "d --text zh.txt --masking segmented", lines);
    cr_expect(!memcmp(listed, parted, sizeof listed));
    cr_expect(memcmp(listed, chars, sizeof listed) != 0, "the list does nothing");
    cr_expect(memcmp(parted, lines, sizeof listed) != 0, "blanks do nothing");
    cr_expect(memcmp(chars, lines, sizeof listed) != 0, "a text without blanks has no long words");
}

Test(cli_masking, pieces_of_a_word_are_masked_together_with_word_only)
{
    float words[14 * 16], chars[14 * 16];
    train(RUN "a --text latin.txt --masking word", words);
    train(RUN "b --text latin.txt --masking char", chars);
    cr_expect(memcmp(words, chars, sizeof words) != 0);
}

Test(cli_masking, words_belong_to_the_run)
{
    cr_expect_eq(weft(RUN "a --text zh.txt --masking word --words words.txt").code, 0);
    put("less.txt", "中国\n");
    const wrong cases[] = {
        {RUN "a --text zh.txt --masking word --resume", 1, "--words has other content"},
        {RUN "a --text zh.txt --masking word --words less.txt --resume", 1, "--words has other"},
        {RUN "a --text zh.txt --masking char --resume", 1, "--masking was word, is char"},
        {RUN "out --text zh.txt --words words.txt", 2, "--words: needs --masking word"},
        {RUN "out --text zh.txt --masking word --words missing.txt", 1, "missing.txt"},
        {RUN "out --text zh.txt --masking word --words empty.txt", 1, "empty.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_wrong(&cases[i]);
    outcome o = weft(RUN "a --text zh.txt --masking word --words words.txt --resume --steps 9");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}
