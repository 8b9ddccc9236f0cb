/* Held-out lines to show. */
#include "models/samples.h"

#include "models/guess.h"
#include <stdlib.h>
#include <string.h>

enum { PERIOD = 7 }; /* one token in so many is masked, near the rate of training */

/* What a person would like to guess: not what is special, and not an unknown character. */
static bool is_guessable(wf_special s, int32_t id)
{
    return id != s.pad && id != s.unk && id != s.cls && id != s.sep && id != s.mask;
}

static void add_pick(wf_samples *s, int64_t at, int32_t mask)
{
    s->picks[s->n_picks] = (int32_t)at;
    s->truth[s->n_picks++] = s->ids[at];
    s->ids[at] = mask;
}

static void add_line(wf_samples *s, const int32_t *id, int64_t n, wf_special special)
{
    int64_t lo = s->n_tokens + 1, before = s->n_picks, first = PERIOD / 2 - s->n_rows % 2;
    s->ids[lo - 1] = special.cls;
    memcpy(s->ids + lo, id, (size_t)n * sizeof *id);
    s->ids[lo + n] = special.sep;
    for (int64_t i = first; i < n; i += PERIOD)
        if (is_guessable(special, id[i])) add_pick(s, lo + i, special.mask);
    for (int64_t i = 0; i < n && s->n_picks == before; i++)
        if (is_guessable(special, id[i])) add_pick(s, lo + i, special.mask);
    if (s->n_picks == before) return; /* nothing to guess in it: the next line takes its place */
    s->n_tokens = lo + n + 1;
    s->offsets[++s->n_rows] = (int32_t)s->n_tokens;
}

/* Tokens that can be shown: up to the first unknown one. */
static int64_t clear_size(const wf_tokens *t, const wf_sequence *q, int32_t unknown)
{
    int64_t n = 0, most = WF_SAMPLE_LEN - 2;
    while (n < q->size && n < most && t->id[q->first + n] != unknown) n++;
    return n;
}

/* The one with most to show, of a share of the sequences: the rest of a document may be a word. */
static void add_best(wf_samples *s, const wf_corpus *c, int64_t lo, int64_t hi, wf_special special)
{
    const wf_sequence *best = NULL;
    int64_t size = 0;
    for (int64_t i = lo; i < hi && size < WF_SAMPLE_LEN - 2; i++) {
        const wf_sequence *q = &c->held_out.item[i];
        int64_t n = clear_size(&c->tokens, q, special.unk);
        if (n <= size) continue;
        best = q;
        size = n;
    }
    if (best) add_line(s, c->tokens.id + best->first, size, special);
}

void wf_samples_choose(wf_samples *s, const wf_corpus *c, const wf_vocab *v)
{
    *s = (wf_samples){0};
    int64_t n = c->held_out.n, most = n < WF_SAMPLES ? n : WF_SAMPLES;
    for (int64_t i = 0; i < most; i++)
        add_best(s, c, i * n / most, (i + 1) * n / most, wf_vocab_special(v));
}

wf_status wf_samples_guess(const wf_samples *s, int32_t *guess, const wf_gau_config *c,
                           const wf_vocab *v, wf_store *store, wf_runtime *rt)
{
    if (s->n_picks == 0) return WF_OK;
    wf_question q = {s->ids, s->offsets, s->picks, s->n_tokens, s->n_rows, s->n_picks};
    float *probability;
    wf_status status = wf_guess(&probability, &q, c, store, rt);
    if (status != WF_OK) return status;
    for (int64_t i = 0; i < s->n_picks; i++)
        wf_guess_best(probability + i * c->vocab, v, 1, &guess[i]);
    free(probability);
    return WF_OK;
}

/* Row r with these tokens at its picks. */
static void print_row(const wf_samples *s, FILE *to, const wf_vocab *v, int64_t r,
                      const int32_t *filling)
{
    static const char *const marks[2] = {"[", "]"};
    int64_t lo = s->offsets[r], n = s->offsets[r + 1] - lo;
    int32_t ids[WF_SAMPLE_LEN];
    bool is_marked[WF_SAMPLE_LEN] = {false};
    memcpy(ids, s->ids + lo, (size_t)n * sizeof *ids);
    for (int64_t i = 0; i < s->n_picks; i++) {
        int64_t at = s->picks[i] - lo;
        if (at < 0 || at >= n || filling[i] < 0) continue;
        ids[at] = filling[i];
        is_marked[at] = true;
    }
    wf_tokens_print(to, v, ids + 1, n - 2, is_marked + 1, marks);
    fputc('\n', to);
}

void wf_samples_print(const wf_samples *s, FILE *to, const wf_vocab *v)
{
    for (int64_t r = 0; r < s->n_rows; r++) {
        fputs("  text    ", to);
        print_row(s, to, v, r, s->truth);
        fputs("  before  ", to);
        print_row(s, to, v, r, s->before);
        fputs("  after   ", to);
        print_row(s, to, v, r, s->after);
        if (r + 1 < s->n_rows) fputc('\n', to);
    }
}
