/* Batches of the masked language model: what is in them, what is masked, where a run stands. */
#define _GNU_SOURCE
#include "models/mlm.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DOCUMENTS = 400, HELD_OUT = 20, MAX_LEN = 40, BATCH = 300, DIGITS = 4, FILLERS = 1000 };

static char folder[] = "/tmp/weft-mlm-XXXXXX";
static wf_vocab *vocab;
static wf_special special;
static wf_corpus corpus;
static uint32_t random_state = 7;

static int next(int below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (int)((random_state >> 8) % (uint32_t)below);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static FILE *create(const char *name)
{
    FILE *f = fopen(path_of(name), "w");
    cr_assert(f, "%s", name);
    return f;
}

/* Letters make words of several pieces; the fillers make a random replacement hardly ever right. */
static void write_vocab(void)
{
    FILE *f = create("vocab.txt");
    fputs("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", f);
    for (int c = 'a'; c <= 'j'; c++) fprintf(f, "%c\n##%c\n", c, c);
    for (int i = 0; i < FILLERS; i++) fprintf(f, "filler%d\n", i);
    fclose(f);
}

/* Document i begins with its number, in letters for digits; then words of one to four letters. */
static void write_text(void)
{
    FILE *f = create("text.txt");
    for (int i = 0; i < DOCUMENTS; i++) {
        for (int d = 1000; d > 0; d /= 10) fputc('a' + i / d % 10, f);
        for (int w = next(9); w >= 0; w--) {
            fputc(' ', f);
            for (int k = next(4); k >= 0; k--) fputc('a' + next(10), f);
        }
        fputc('\n', f);
    }
    fclose(f);
}

static void read_corpus(wf_corpus *c, const char *name, int64_t max_len, int64_t held_out)
{
    const char *path = path_of(name);
    wf_corpus_options how = {.max_len = max_len, .held_out = held_out};
    cr_assert_eq(wf_corpus_read(c, vocab, 1, &path, &how), WF_OK, "%s", wf_error());
}

static void setup(void)
{
    cr_assert(mkdtemp(folder));
    write_vocab();
    write_text();
    cr_assert_eq(wf_vocab_load(&vocab, path_of("vocab.txt")), WF_OK, "%s", wf_error());
    special = wf_vocab_special(vocab);
    read_corpus(&corpus, "text.txt", MAX_LEN, HELD_OUT);
}

static void teardown(void)
{
    wf_corpus_free(&corpus);
    wf_vocab_free(vocab);
    unlink(path_of("vocab.txt"));
    unlink(path_of("text.txt"));
    rmdir(folder);
}

TestSuite(mlm, .init = setup, .fini = teardown, .timeout = 60);

static wf_mlm open_batches(const wf_sequences *s, bool words, bool fixed)
{
    wf_mlm m;
    wf_mlm_options o = {.batch = BATCH, .words = words, .fixed = fixed, .seed = 3};
    cr_assert_eq(wf_mlm_open(&m, &corpus, s, vocab, &o), WF_OK, "%s", wf_error());
    return m;
}

/* The batch as it was before masking. */
static void unmask(const wf_mlm *m, int32_t *ids)
{
    memcpy(ids, m->ids, BATCH * sizeof *ids);
    for (int64_t i = 0; i < m->n_labels; i++) ids[m->picks_at[i]] = m->labels[i];
}

/* The number that a document without masks begins with. */
static int number_of(const int32_t *id)
{
    int number = 0;
    for (int d = 0; d < DIGITS; d++) {
        const char *t = wf_vocab_token(vocab, id[d]);
        number = 10 * number + t[strlen(t) - 1] - 'a';
    }
    return number;
}

/* The sequence of s that is document "number". */
static const wf_sequence *find_document(const wf_sequences *s, int number)
{
    for (int64_t i = 0; i < s->n; i++)
        if (number_of(corpus.tokens.id + s->item[i].first) == number) return &s->item[i];
    return NULL;
}

Test(mlm, documents_are_kept_apart_and_cut_in_front_of_words)
{
    cr_expect_eq(corpus.held_out.documents, DOCUMENTS / HELD_OUT);
    cr_expect_eq(corpus.train.documents, DOCUMENTS - DOCUMENTS / HELD_OUT);
    for (int i = 0; i < DOCUMENTS; i++)
        cr_expect(find_document(i % HELD_OUT == HELD_OUT - 1 ? &corpus.held_out : &corpus.train, i),
                  "document %d", i);

    FILE *f = create("long.txt");
    fputs("ab cde fgh abcdefghij\nab\n", f);
    fclose(f);
    wf_corpus c;
    read_corpus(&c, "long.txt", 6, 2);
    const int64_t sizes[] = {2, 3, 3, 4, 4, 2}; /* at most 4; the last word must be cut */
    cr_expect_eq(c.train.n, 6, "%lld sequences", (long long)c.train.n);
    for (int64_t i = 0, at = 0; i < c.train.n && i < 6; at += sizes[i++]) {
        cr_expect_eq(c.train.item[i].first, at, "sequence %lld", (long long)i);
        cr_expect_eq(c.train.item[i].size, sizes[i], "sequence %lld", (long long)i);
    }
    cr_expect_eq(c.held_out.n, 1);
    uint64_t digest = c.digest;
    wf_corpus_free(&c);

    const char *path = path_of("long.txt");
    wf_corpus_options how = {.max_len = 6, .held_out = 3};
    cr_expect_eq(wf_corpus_read(&c, vocab, 1, &path, &how), WF_EFORMAT);
    cr_expect(strstr(wf_error(), "--held-out"), "%s", wf_error());
    cr_expect_eq(c.digest, digest);
    wf_corpus_free(&c);
    unlink(path);
}

static void check_packing(const wf_mlm *m)
{
    int32_t ids[BATCH];
    unmask(m, ids);
    cr_expect_eq(m->offsets[0], 0);
    cr_expect_leq(m->n_rows, m->rows);
    for (int64_t r = 0; r < m->n_rows; r++) {
        int32_t lo = m->offsets[r], hi = m->offsets[r + 1];
        cr_expect(hi - lo >= 3 && hi - lo <= MAX_LEN, "%d tokens", hi - lo);
        cr_expect_eq(m->ids[lo], special.cls);
        cr_expect_eq(m->ids[hi - 1], special.sep);
        const wf_sequence *q = find_document(m->sequences, number_of(ids + lo + 1));
        cr_assert(q && q->size == hi - lo - 2);
        cr_expect(!memcmp(ids + lo + 1, corpus.tokens.id + q->first, (size_t)q->size * 4));
    }
    for (int64_t r = m->n_rows; r <= m->rows; r++) cr_expect_eq(m->offsets[r], m->n_tokens);
    for (int64_t i = m->n_tokens; i < BATCH; i++) cr_expect_eq(m->ids[i], special.pad);
    for (int64_t i = 0; i < m->picks; i++) {
        bool used = i < m->n_labels;
        cr_expect(used ? m->labels[i] >= 0 && m->picks_at[i] < m->n_tokens
                       : m->labels[i] == -1 && m->picks_at[i] == 0);
        cr_expect(!used || i == 0 || m->picks_at[i] > m->picks_at[i - 1], "a token twice");
    }
}

Test(mlm, batches_are_packed_and_only_picks_differ_from_the_text)
{
    for (int words = 0; words < 2; words++) {
        wf_mlm m = open_batches(&corpus.train, words, false);
        for (int i = 0; i < 60; i++) {
            wf_mlm_next(&m);
            check_packing(&m);
        }
        cr_expect_eq(m.dropped, 0);
        wf_mlm_close(&m);
    }
}

static void count(const wf_mlm *m, int *seen)
{
    int32_t ids[BATCH];
    unmask(m, ids);
    for (int64_t r = 0; r < m->n_rows; r++) seen[number_of(ids + m->offsets[r] + 1)]++;
}

Test(mlm, an_epoch_has_every_sequence_once_in_an_order_of_its_own)
{
    wf_mlm m = open_batches(&corpus.train, false, false);
    int seen[DOCUMENTS] = {0};
    int64_t first[2][10];
    while (m.epoch < 3) { /* the batch that ends an epoch goes on with the next one */
        int64_t epoch = m.epoch;
        wf_mlm_next(&m);
        count(&m, seen);
        if (m.ordered < 2) memcpy(first[m.ordered], m.order, sizeof first[0]);
        if (m.epoch == epoch) continue;
        int64_t ahead = 0;
        for (int i = 0; i < DOCUMENTS; i++) {
            int64_t over = seen[i] - m.epoch * (i % HELD_OUT != HELD_OUT - 1);
            cr_expect(over == 0 || over == 1, "document %d, %d times", i, seen[i]);
            ahead += over;
        }
        cr_expect_eq(ahead, m.position, "epoch %lld", (long long)epoch);
    }
    cr_expect(memcmp(first[0], first[1], sizeof first[0]), "the same order again");
    wf_mlm_close(&m);
}

static void expect_same_batch(const wf_mlm *a, const wf_mlm *b)
{
    cr_expect(!memcmp(a->ids, b->ids, BATCH * 4));
    cr_expect(!memcmp(a->offsets, b->offsets, ((size_t)a->rows + 1) * 4));
    cr_expect(!memcmp(a->picks_at, b->picks_at, (size_t)a->picks * 4));
    cr_expect(!memcmp(a->labels, b->labels, (size_t)a->picks * 4));
}

Test(mlm, seeking_gives_the_same_batches_again)
{
    wf_mlm m = open_batches(&corpus.train, true, false);
    for (int i = 0; i < 50; i++) {
        wf_mlm other = open_batches(&corpus.train, true, false);
        wf_mlm_seek(&other, m.epoch, m.position);
        wf_mlm_next(&m);
        wf_mlm_next(&other);
        expect_same_batch(&m, &other);
        cr_expect(m.epoch == other.epoch && m.position == other.position);
        wf_mlm_close(&other);
    }
    wf_mlm_close(&m);
}

Test(mlm, what_is_measured_is_the_same_every_time)
{
    wf_mlm m = open_batches(&corpus.held_out, false, true);
    int seen[DOCUMENTS] = {0};
    int32_t before[BATCH];
    for (int round = 0; round < 2; round++) {
        wf_mlm_seek(&m, 0, 0);
        for (int i = 0; m.epoch == 0; i++) {
            wf_mlm_next(&m);
            check_packing(&m);
            count(&m, seen);
            if (i == 0 && round == 1) cr_expect(!memcmp(before, m.ids, sizeof before));
            if (i == 0) memcpy(before, m.ids, sizeof before);
        }
    }
    for (int i = 0; i < DOCUMENTS; i++)
        cr_expect_eq(seen[i], i % HELD_OUT == HELD_OUT - 1 ? 2 : 0, "document %d", i);
    wf_mlm_close(&m);
}

typedef struct tally {
    double words, masked, kept, replaced;
} tally;

/* The fate of the word that stands at lo..hi-1. */
static void tally_word(tally *t, const wf_mlm *m, const int32_t *truth, const bool *is_picked,
                       int64_t lo, int64_t hi)
{
    int picked = 0, masks = 0, same = 0, n = (int)(hi - lo);
    for (int64_t i = lo; i < hi; i++) {
        picked += is_picked[i];
        masks += m->ids[i] == special.mask;
        same += m->ids[i] == truth[i];
        cr_expect(m->ids[i] >= 1 && m->ids[i] < wf_vocab_size(vocab), "id %d", m->ids[i]);
    }
    t->words++;
    cr_expect(picked == 0 || picked == n, "%d of %d pieces are picked", picked, n);
    if (picked == 0)
        cr_expect_eq(same, n);
    else if (masks == n)
        t->masked++;
    else if (same == n)
        t->kept++;
    else
        t->replaced++;
}

static void tally_batch(tally *t, const wf_mlm *m, bool words)
{
    int32_t truth[BATCH];
    bool is_picked[BATCH] = {false};
    unmask(m, truth);
    for (int64_t i = 0; i < m->n_labels; i++) is_picked[m->picks_at[i]] = true;
    for (int64_t r = 0; r < m->n_rows; r++) {
        int64_t begin = m->offsets[r] + 1, end = m->offsets[r + 1] - 1;
        cr_expect(!is_picked[begin - 1] && !is_picked[end], "[CLS] or [SEP] is to be predicted");
        const wf_sequence *q = find_document(m->sequences, number_of(truth + begin));
        for (int64_t lo = begin, hi; lo < end; lo = hi) {
            hi = lo + 1;
            while (words && hi < end && !corpus.tokens.starts[q->first + hi - begin]) hi++;
            tally_word(t, m, truth, is_picked, lo, hi);
        }
    }
}

static void expect_share(double part, double whole, double share, const char *what)
{
    double sigma = sqrt(whole * share * (1 - share));
    cr_expect(fabs(part - whole * share) <= 3 * sigma, "%s: %.0f of %.0f, expected %.0f +- %.0f",
              what, part, whole, whole * share, sigma);
}

Test(mlm, words_are_masked_in_the_right_shares)
{
    for (int words = 0; words < 2; words++) {
        tally t = {0};
        wf_mlm m = open_batches(&corpus.train, words, false);
        for (int i = 0; i < 400; i++) {
            wf_mlm_next(&m);
            tally_batch(&t, &m, words);
        }
        double chosen = t.masked + t.kept + t.replaced;
        expect_share(chosen, t.words, .15, "chosen");
        expect_share(t.masked, chosen, .8, "masked");
        expect_share(t.kept, chosen, .1, "kept");
        expect_share(t.replaced, chosen, .1, "replaced");
        wf_mlm_close(&m);
    }
}
