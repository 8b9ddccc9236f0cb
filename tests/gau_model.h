/* A GAU language model over the same ragged sequences as a packed or a padded batch, whose
 * gradients end in the store: shared by tests of the model. */
#ifndef GAU_MODEL_H
#define GAU_MODEL_H

#include "gau_trial.h"
#include "models/gau.h"
#include <weft/op.h>

#include <stdio.h>

enum { MODEL_TOKENS = 400, MODEL_ROWS = 8 };

typedef struct model_batch {
    bool padded;
    int64_t rows, time, tokens, picked; /* time: of the longest; tokens: with the padding */
    int32_t ends[MODEL_ROWS + 1];       /* offsets or lengths */
    int32_t ids[MODEL_TOKENS], picks[MODEL_TOKENS], labels[MODEL_TOKENS];
} model_batch;

/* Picks all tokens of all sequences in order. Ids and labels are drawn, some labels do not count;
 * padding is "pad", and a packed batch has spare tokens of it at its end. */
static inline model_batch batch_of(int64_t rows, const int32_t lengths[], bool padded,
                                   int64_t spare, int32_t vocab, int32_t pad)
{
    model_batch b = {.padded = padded, .rows = rows};
    uint32_t r = 99;
    for (int64_t i = 0; i < rows; i++) b.time = lengths[i] > b.time ? lengths[i] : b.time;
    for (int64_t i = 0; i < MODEL_TOKENS; i++) b.ids[i] = pad;
    for (int64_t i = 0; i < rows; i++) {
        int64_t first = padded ? i * b.time : b.picked;
        for (int64_t j = 0; j < lengths[i]; j++) {
            r = r * 1664525u + 1013904223u;
            b.ids[first + j] = (int32_t)((r >> 8) % (uint32_t)vocab);
            b.picks[b.picked] = (int32_t)(first + j);
            b.labels[b.picked++] = r >> 29 ? (int32_t)((r >> 18) % (uint32_t)vocab) : -1;
        }
        b.ends[padded ? i : i + 1] = (int32_t)(padded ? lengths[i] : b.picked);
    }
    b.tokens = padded ? rows * b.time : b.picked + spare;
    return b;
}

static inline wf_node *keep_gradient(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    (void)lr, (void)hyper;
    wf_assign(wf_state(p, "gradient"), dp);
    return p;
}

static const wf_optimizer keep = {.name = "keep", .doc = "keeps gradients", .step = keep_gradient};

/* Outputs "x" (hidden states), "rows" (a loss a pick) and "loss". */
static inline trial model_start(const wf_gau_config *c, const model_batch *b, bool forward_only,
                                uint64_t seed)
{
    wf_size_value sizes[] = {{b->padded ? "batch" : "rows", b->rows},
                             {b->padded ? "time" : "tokens", b->padded ? b->time : b->tokens},
                             {"picks", b->picked},
                             {NULL, 0}};
    trial t = {.g = wf_graph_new(), .store = wf_store_new(seed)};
    wf_gau_batch batch = b->padded ? wf_gau_padded(t.g, c->causal) : wf_gau_packed(t.g, c->causal);
    wf_node *x = wf_output(wf_gau(t.g, c, &batch), "x");
    wf_node *picks = wf_input(t.g, "picks", WF_I32, WF_SHAPE(wf_size(t.g, "picks")));
    wf_node *labels = wf_input(t.g, "labels", WF_I32, WF_SHAPE(wf_size(t.g, "picks")));
    wf_node *logits = wf_gau_logits(x, picks, c);
    wf_output(wf_cross_entropy_rows(logits, labels, -1), "rows");
    wf_minimize(wf_output(wf_cross_entropy(logits, labels, -1), "loss"), &keep, NULL, NULL);
    t.rt = wf_runtime_new(&(wf_runtime_options){.threads = 2, .no_pinning = true});
    cr_assert(t.rt, "%s", wf_error());
    wf_compile_options how = {.forward_only = forward_only, .sizes = sizes};
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, &how), WF_OK, "%s", wf_error());
    return t;
}

static inline void model_run(trial *t, const model_batch *b)
{
    const char *ends = b->padded ? "lengths" : "offsets";
    size_t picked = (size_t)b->picked * 4, rows = (size_t)(b->padded ? b->rows : b->rows + 1);
    cr_assert_eq(wf_bind(t->p, "ids", b->ids, (size_t)b->tokens * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t->p, ends, b->ends, rows * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t->p, "picks", b->picks, picked), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t->p, "labels", b->labels, picked), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
}

static inline const float *model_gradient(const trial *t, const char *parameter)
{
    char name[200];
    snprintf(name, sizeof name, "opt/keep/%s/gradient", parameter);
    const float *d = wf_store_data(t->store, name, NULL, NULL);
    cr_assert(d, "no %s", name);
    return d;
}

/* Parameter i of the store, in the order of their names; NULL after the last one. */
static inline const char *model_parameter(const trial *t, int i, int64_t *size)
{
    for (int k = 0; k < wf_store_count(t->store); k++) {
        const char *name = wf_store_name(t->store, k);
        wf_shape s;
        wf_store_data(t->store, name, NULL, &s);
        if (!strncmp(name, "opt/", 4) || i-- > 0) continue;
        *size = wf_elements(&s);
        return name;
    }
    return NULL;
}

#endif
