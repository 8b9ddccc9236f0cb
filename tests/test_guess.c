/* Guesses: the best ones in order, and tokens as text again. */
#define _GNU_SOURCE
#include "models/guess.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ids: 0 to 4 special, then words */
static const char words[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nan\n##ts\neat\n3\n\xe6\x9c\x88\n"
                            "\xe5\x85\x89\n,\nмир\n'\n";
enum { AN = 5, TS, EAT, THREE, MOON, LIGHT, COMMA, WORLD, QUOTE, VOCAB };

static wf_vocab *vocab;

static void setup(void)
{
    char path[] = "/tmp/weft-guess-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, words, sizeof words - 1) == sizeof words - 1);
    close(fd);
    cr_assert_eq(wf_vocab_load(&vocab, path), WF_OK, "%s", wf_error());
    unlink(path);
    cr_assert_eq(wf_vocab_size(vocab), VOCAB);
}

static void teardown(void)
{
    wf_vocab_free(vocab);
}

TestSuite(guess, .init = setup, .fini = teardown, .timeout = 10);

Test(guess, the_best_come_first_and_special_tokens_never)
{
    float p[VOCAB] = {9, 9, 9, 9, 9, .1f, .3f, .2f, .3f, 0, .05f, .4f, -1, -1};
    const int32_t expected[] = {COMMA, TS, THREE, EAT, AN, LIGHT, MOON, WORLD, QUOTE};
    for (int64_t n = 1; n <= 9; n++) {
        int32_t best[9];
        wf_guess_best(p, vocab, n, best);
        for (int64_t i = 0; i < n; i++)
            cr_expect_eq(best[i], expected[i], "%lld of %lld: %d", (long long)i, (long long)n,
                         best[i]);
    }
}

Test(guess, tokens_are_joined_as_they_were_apart)
{
    const struct {
        int32_t ids[4];
        bool is_marked[4];
        const char *text;
    } cases[] = {
        {{AN, TS, EAT, THREE}, {0}, "ants eat 3"},
        {{MOON, LIGHT, AN, COMMA},
         {0},
         "\xe6\x9c\x88\xe5\x85\x89"
         "an,"},
        {{AN, TS, MOON, EAT}, {false, true, true}, "an<ts><\xe6\x9c\x88>eat"},
        {{EAT, AN, 4, EAT}, {true, true}, "<eat> <an>[MASK]eat"},
        {{AN, COMMA, EAT, COMMA}, {false, false, true}, "an, <eat>,"},
        {{THREE, COMMA, THREE, EAT}, {0}, "3,3 eat"},
        {{WORLD, WORLD, COMMA, WORLD}, {0}, "мир мир, мир"},
        {{AN, QUOTE, TS, MOON}, {0}, "an'ts\xe6\x9c\x88"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        wf_tokens_print(f, vocab, cases[i].ids, 4, cases[i].is_marked,
                        (const char *const[]){"<", ">"});
        fclose(f);
        cr_expect_str_eq(text, cases[i].text, "case %zu: %s", i, text);
        free(text);
    }
}
