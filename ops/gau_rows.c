/*
 * Backward pass of the gated attention unit, phases ROWS and KEYS: from dA to the gradients of the
 * scores, of queries and of keys. See gau_grad.c. Tiles are transposed: [key][queries of the
 * block].
 */
#include "ops/gau_grad.h"

#include "ops/gemm.h"

#include <string.h>

enum { B = WF_GAU_BLOCK, DEEP = WF_GAU_DEEP };

/* dA, in place of the first of its parts, of some keys. */
static void sum_parts(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w,
                      const wf_gau_block *b, int64_t from, int64_t size)
{
    const wf_gau_attr *a = c->attr;
    float *tile = w->parts + b->tile, *dx = tile + from * b->height;
    for (int64_t i = 1; i < w->groups; i++)
        wf_vec_get()->add(size, dx, dx, dx + i * w->plan.now->used);
    if (a->rate > 0) wf_gau_drop(c, g, b, from, tile);
}

/* x = max(S', 0), dx = dA -> dS', of some keys; inverse: 1 / len of n queries */
static void relu2_grad(int64_t keys, int64_t n, const float *x, float *dx, const float *inverse)
{
    const wf_vec *v = wf_vec_get();
    v->mul(keys * n, dx, dx, x);
    for (int64_t j = 0; j < keys; j++) {
        v->mul(n, dx + j * n, dx + j * n, inverse);
        v->add(n, dx + j * n, dx + j * n, dx + j * n);
    }
}

/* The parts of dA become dS', where the first part is. Softmax: x = A. */
static void score_gradients(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w,
                            const wf_gau_block *b)
{
    const wf_vec *v = wf_vec_get();
    const bool is_softmax = ((const wf_gau_attr *)c->attr)->kind == WF_GAU_KIND_SOFTMAX;
    int64_t n = b->height, end = b->to - b->from;
    const float *x = w->kept + b->tile;
    float *dx = w->parts + b->tile;
    float *column = (float *)c->scratch + 2 * B * DEEP; /* behind what dropout uses */
    if (is_softmax)
        v->fill(n, column, 0);
    else
        wf_gau_inverses(c, g, b, column);
    for (int64_t from = 0; from < end; from += DEEP) {
        int64_t to = wf_min_i64(from + DEEP, end);
        sum_parts(c, g, w, b, from, (to - from) * n);
        for (int64_t j = from; j < to && is_softmax; j++)
            v->muladd(n, column, dx + j * n, x + j * n);
        if (!is_softmax) relu2_grad(to - from, n, x + from * n, dx + from * n, column);
    }
    for (int64_t from = 0; from < end && is_softmax; from += DEEP) {
        int64_t to = wf_min_i64(from + DEEP, end);
        for (int64_t j = from; j < to; j++) v->sub(n, dx + j * n, dx + j * n, column);
        v->mul((to - from) * n, dx + from * n, dx + from * n, x + from * n);
    }
}

/* dq = dS'^T K, over f */
static void query_gradients(const wf_gau_shape *g, const wf_gau_work *w, const wf_gau_block *b)
{
    wf_gau_sum_keys(b, w->parts + b->tile, true, w->turned.keys + b->from * g->s, g->s,
                    w->dq + b->at * g->s);
}

void wf_gau_rows_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b)
{
    const wf_gau_block *queries = &w->plan.blocks[b];
    if (queries->to > queries->from) score_gradients(c, g, w, queries);
    query_gradients(g, w, queries);
}

/* dk += dS' (f q) over the wave's blocks of the segment, in order. */
void wf_gau_keys_run(const wf_gau_shape *g, const wf_gau_work *w, const wf_gau_part *keys)
{
    wf_gau_keys k = wf_gau_keys_of(&w->plan, keys->segment);
    for (int64_t i = k.first; i < k.last; i++) {
        const wf_gau_block *b = &w->plan.blocks[i];
        int64_t from = wf_max_i64(b->from, keys->at);
        int64_t to = wf_min_i64(b->to, keys->at + keys->height);
        if (to <= from) continue;
        wf_gemm m = wf_gemm_get(&(wf_gemm_shape){.m = to - from,
                                                 .n = g->s,
                                                 .k = b->height,
                                                 .lda = b->height,
                                                 .ldb = g->s,
                                                 .ldc = g->s,
                                                 .accumulate = true});
        const float *ds = w->parts + b->tile + (from - b->from) * b->height;
        wf_gemm_run(&m, ds, w->turned.queries + b->at * g->s, w->dk + from * g->s, 1);
    }
}
