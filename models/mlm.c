/* The batches of a masked language model. */
#include "models/mlm.h"

#include "io/file.h"
#include <math.h>
#include <stdlib.h>

enum { SHORTEST = 3 }; /* [CLS], a token, [SEP] */

/* What a random number is for; the last part of its counter. */
enum { ORDER, FATE, REPLACEMENT };

static const double rate = 0.15, kept = 0.135, masked = 0.12;

/* ---- random numbers: SplitMix64 (Steele, Lea, Flood 2014), its counter hashed by parts ---- */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Of an epoch; sequences and places are added to it. */
static uint64_t key_of(const wf_mlm *m, int purpose)
{
    uint64_t epoch = m->options.fixed ? UINT64_MAX : (uint64_t)m->epoch;
    return mix(mix(mix(m->options.seed) + epoch) + (uint64_t)purpose);
}

static uint64_t draw(uint64_t key, int64_t sequence, int64_t place)
{
    return mix(mix(key + (uint64_t)sequence) + (uint64_t)place);
}

static double uniform(uint64_t x)
{
    return (double)(x >> 11) * 0x1p-53;
}

/* 0 .. n - 1; the bias is below n / 2^64. */
static int64_t below(uint64_t x, int64_t n)
{
    return (int64_t)(x % (uint64_t)n);
}

static void shuffle(wf_mlm *m)
{
    uint64_t key = key_of(m, ORDER);
    int64_t n = m->sequences->n;
    for (int64_t i = 0; i < n; i++) m->order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = below(draw(key, 0, i), i + 1), kept_one = m->order[i];
        m->order[i] = m->order[j];
        m->order[j] = kept_one;
    }
    m->ordered = m->epoch;
}

/* ---- masking ---- */

static bool is_choosable(const wf_mlm *m, int32_t id)
{
    const wf_special *s = &m->special;
    return id != s->cls && id != s->sep && id != s->pad && id != s->mask;
}

/* Predict the tokens lo..hi-1 of sequence q, which stand at id. r < rate is their draw. */
static void choose(wf_mlm *m, int64_t q, int64_t lo, int64_t hi, int32_t *id, double r)
{
    if (m->n_labels + hi - lo > m->picks) {
        m->dropped += hi - lo;
        return;
    }
    uint64_t key = key_of(m, REPLACEMENT);
    for (int64_t i = lo; i < hi; i++) {
        m->picks_at[m->n_labels] = (int32_t)(id + i - m->ids);
        m->labels[m->n_labels++] = id[i];
        if (r < masked)
            id[i] = m->special.mask;
        else if (r >= kept)
            id[i] = (int32_t)(1 + below(draw(key, q, i), m->vocab - 1));
    }
}

static void mask(wf_mlm *m, int64_t q, int32_t *id)
{
    uint64_t key = key_of(m, FATE);
    const wf_sequence *s = &m->sequences->item[q];
    const uint8_t *starts = m->tokens->starts + s->first;
    for (int64_t lo = 0, hi; lo < s->size; lo = hi) {
        hi = lo + 1;
        while (m->options.words && hi < s->size && !starts[hi]) hi++;
        double r = uniform(draw(key, q, lo));
        if (r < rate && is_choosable(m, id[lo])) choose(m, q, lo, hi, id, r);
    }
}

/* ---- packing ---- */

/* Sequence q behind those that are there. */
static void append(wf_mlm *m, int64_t q)
{
    const wf_sequence *s = &m->sequences->item[q];
    int32_t *id = m->ids + m->n_tokens;
    id[0] = m->special.cls;
    for (int64_t i = 0; i < s->size; i++) id[1 + i] = m->tokens->id[s->first + i];
    id[1 + s->size] = m->special.sep;
    mask(m, q, id + 1);
    m->n_tokens += s->size + 2;
    m->offsets[++m->n_rows] = (int32_t)m->n_tokens;
}

static void fill_up(wf_mlm *m)
{
    for (int64_t i = m->n_tokens; i < m->options.batch; i++) m->ids[i] = m->special.pad;
    for (int64_t i = m->n_rows; i < m->rows; i++) m->offsets[i + 1] = (int32_t)m->n_tokens;
    for (int64_t i = m->n_labels; i < m->picks; i++) {
        m->picks_at[i] = 0;
        m->labels[i] = -1;
    }
}

void wf_mlm_next(wf_mlm *m)
{
    m->n_rows = m->n_tokens = m->n_labels = 0;
    m->offsets[0] = 0;
    for (;;) {
        if (m->position == m->sequences->n) {
            m->epoch++;
            m->position = 0;
            if (m->options.fixed) break;
        }
        if (m->ordered != m->epoch && !(m->options.fixed && m->ordered >= 0)) shuffle(m);
        int64_t q = m->order[m->position];
        if (m->n_tokens + m->sequences->item[q].size + 2 > m->options.batch) break;
        append(m, q);
        m->position++;
    }
    fill_up(m);
}

void wf_mlm_seek(wf_mlm *m, int64_t epoch, int64_t position)
{
    m->epoch = epoch;
    m->position = position;
}

/* ---- life ---- */

/* Six standard deviations above the mean: one batch in a thousand million is too small. The tokens
 * of a word stand and fall together; we count with four a word. */
static int64_t picks_of(const wf_mlm_options *o)
{
    double n = (double)o->batch, together = o->words ? 4 : 1;
    double most = ceil(rate * n + 6 * sqrt(rate * (1 - rate) * together * n));
    return most < n ? (int64_t)most : o->batch;
}

wf_status wf_mlm_open(wf_mlm *m, const wf_corpus *c, const wf_sequences *sequences,
                      const wf_vocab *v, const wf_mlm_options *options)
{
    *m = (wf_mlm){.tokens = &c->tokens,
                  .sequences = sequences,
                  .special = wf_vocab_special(v),
                  .vocab = wf_vocab_size(v),
                  .options = *options,
                  .rows = options->batch / SHORTEST,
                  .picks = picks_of(options),
                  .ordered = -1};
    m->order = calloc((size_t)sequences->n, sizeof *m->order);
    m->ids = calloc((size_t)options->batch, sizeof *m->ids);
    m->offsets = calloc((size_t)m->rows + 1, sizeof *m->offsets);
    m->picks_at = calloc((size_t)m->picks, sizeof *m->picks_at);
    m->labels = calloc((size_t)m->picks, sizeof *m->labels);
    if (m->order && m->ids && m->offsets && m->picks_at && m->labels) return WF_OK;
    wf_mlm_close(m);
    return wf_file_error(WF_ENOMEM, NULL, 0, "out of memory for a batch of %lld tokens",
                         (long long)options->batch);
}

void wf_mlm_close(wf_mlm *m)
{
    free(m->order);
    free(m->ids);
    free(m->offsets);
    free(m->picks_at);
    free(m->labels);
    *m = (wf_mlm){0};
}
