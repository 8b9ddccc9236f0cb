/*
 * Backward pass of the gated attention unit, phase ROWS: scores, weights, their gradients and the
 * gradient of the queries for one block of 64 rows. See gau_grad.c.
 *
 * Tiles are transposed: [key][64 rows], so that softmax runs down columns, 64 at once, and dV and
 * dK are products without a transpose.
 */
#include "ops/gau_grad.h"

#include "ops/gemm.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { B = WF_GAU_BLOCK };

typedef struct row_block {
    const wf_call *c;
    const wf_gau_shape *g;
    const wf_gau_work *w;
    const wf_gau_rows *r;
    int64_t b, width; /* number of the block; visible keys, whole blocks */
    float *x, *dx;    /* its tiles: scores -> weights; dA -> dS' */
    float *top, *sum; /* [64] of the columns */
    float *temp;      /* [64] */
    float *mask;      /* dropout: two tiles of 64 x 64 */
    float *turned;    /* transposed queries or dY: [max(s, 64 panels)][64] */
} row_block;

/* Keys that a row does not see get this score (or product of dropout). */
static void cover(const row_block *k, float *x, float value)
{
    for (int64_t i = 0; i < B; i++) {
        wf_gau_row f = {0};
        if (i < k->r->n)
            f = wf_gau_row_of(k->g, k->c->attr, k->c->in[3].data,
                              k->r->item * k->g->n + k->r->first + i);
        int64_t left = k->r->lo * B, from = f.from - left, to = f.to - left;
        if (f.to == f.from) from = to = k->width;
        for (int64_t j = 0; j < from; j++) x[j * B + i] = value;
        for (int64_t j = to; j < k->width; j++) x[j * B + i] = value;
    }
}

static void scores(const row_block *k)
{
    const wf_gau_shape *g = k->g;
    wf_vec_get()->transpose(B, g->s, k->turned, B, k->w->queries + k->b * B * g->s, g->s);
    wf_gemm m = wf_gemm_get(
        &(wf_gemm_shape){.m = k->width, .n = B, .k = g->s, .lda = g->s, .ldb = B, .ldc = B});
    const float *keys = k->w->keys + (k->r->item * g->blocks + k->r->lo) * B * g->s;
    wf_gemm_run(&m, keys, k->turned, k->x, 1);
}

/* dA = V dY^T: the sum over panels is a batch. */
static void score_gradients(const row_block *k)
{
    const wf_gau_shape *g = k->g;
    int64_t height = g->blocks * B;
    const float *dy = k->w->dy + wf_gau_panel_offset(g, k->b);
    const float *v = k->w->values + wf_gau_panel_offset(g, k->r->item * g->blocks + k->r->lo);
    for (int64_t p = 0; p < g->panels; p++)
        wf_vec_get()->transpose(B, B, k->turned + p * B * B, B, dy + p * height * B, B);
    int64_t tail = g->e - (g->panels - 1) * B, whole = tail == B ? g->panels : g->panels - 1;
    wf_gemm_shape s = {.m = k->width, .n = B, .k = B, .lda = B, .ldb = B, .ldc = B};
    s.step_a = height * B;
    s.step_b = B * B;
    wf_gemm m = wf_gemm_get(&s);
    if (whole) wf_gemm_run(&m, v, k->turned, k->dx, whole);
    if (tail == B) return;
    s.k = tail;
    s.accumulate = whole > 0;
    m = wf_gemm_get(&s);
    wf_gemm_run(&m, v + whole * height * B, k->turned + whole * B * B, k->dx, 1);
}

/* Columns of x: softmax over keys. A column without keys becomes zero. */
static void softmax_columns(const row_block *k)
{
    const wf_vec *v = wf_vec_get();
    cover(k, k->x, -INFINITY);
    v->fill(B, k->top, -FLT_MAX);
    v->fill(B, k->sum, 0);
    for (int64_t j = 0; j < k->width; j++) v->max(B, k->top, k->top, k->x + j * B);
    for (int64_t j = 0; j < k->width; j++) v->sub(B, k->x + j * B, k->x + j * B, k->top);
    v->exp(k->width * B, k->x, k->x);
    for (int64_t j = 0; j < k->width; j++) v->add(B, k->sum, k->sum, k->x + j * B);
    for (int64_t i = 0; i < B; i++) k->temp[i] = k->sum[i] > 0 ? 1 / k->sum[i] : 0;
    for (int64_t j = 0; j < k->width; j++) v->mul(B, k->x + j * B, k->x + j * B, k->temp);
}

/* The same dropout mask as the forward pass, transposed into a tile of factors, is applied. */
static void drop(const row_block *k, float *x)
{
    const wf_gau_attr *a = k->c->attr;
    const wf_vec *v = wf_vec_get();
    uint64_t stream = wf_random_stream(a->salt, k->c->step);
    for (int64_t j = 0; j < k->width; j += B) {
        float *rows = k->mask, *tile = k->mask + B * B;
        v->fill(B * B, rows, 1);
        for (int64_t i = 0; i < B; i++) {
            int64_t row = k->r->item * k->g->n + k->r->first + i, key = k->r->lo * B + j;
            v->dropout(B, rows + i * B, rows + i * B, a->rate, k->c->seed, stream,
                       (uint64_t)(row * k->g->n + key));
        }
        v->transpose(B, B, tile, B, rows, B);
        v->mul(B * B, x + j * B, x + j * B, tile);
    }
}

static void softmax_block(const row_block *k)
{
    const wf_vec *v = wf_vec_get();
    const wf_gau_attr *a = k->c->attr;
    softmax_columns(k);
    if (a->rate > 0) drop(k, k->dx);
    v->fill(B, k->sum, 0);
    for (int64_t j = 0; j < k->width; j++) v->muladd(B, k->sum, k->dx + j * B, k->x + j * B);
    for (int64_t j = 0; j < k->width; j++) v->sub(B, k->dx + j * B, k->dx + j * B, k->sum);
    v->mul(k->width * B, k->dx, k->dx, k->x);
    if (a->rate > 0) drop(k, k->x);
}

static void relu2_block(const row_block *k)
{
    const wf_vec *v = wf_vec_get();
    const wf_gau_attr *a = k->c->attr;
    cover(k, k->x, 0);
    for (int64_t i = 0; i < B; i++) {
        int64_t row = k->r->item * k->g->n + k->r->first + wf_min_i64(i, k->r->n - 1);
        k->temp[i] = wf_gau_row_of(k->g, a, k->c->in[3].data, row).inverse;
    }
    if (a->rate > 0) drop(k, k->dx);
    v->relu(k->width * B, k->x, k->x);
    v->mul(k->width * B, k->dx, k->dx, k->x);
    v->square(k->width * B, k->x, k->x);
    for (int64_t j = 0; j < k->width; j++) {
        v->mul(B, k->x + j * B, k->x + j * B, k->temp);
        v->mul(B, k->dx + j * B, k->dx + j * B, k->temp);
        v->add(B, k->dx + j * B, k->dx + j * B, k->dx + j * B);
    }
    if (a->rate > 0) drop(k, k->x);
}

static void query_gradients(const row_block *k)
{
    const wf_gau_shape *g = k->g;
    const wf_gau_attr *a = k->c->attr;
    float *dq = k->turned;
    wf_gemm m = wf_gemm_get(&(wf_gemm_shape){.m = B,
                                             .n = g->s,
                                             .k = B,
                                             .lda = B,
                                             .ldb = g->s,
                                             .ldc = g->s,
                                             .step_a = B * B,
                                             .step_b = B * g->s,
                                             .trans_a = true});
    if (k->width)
        wf_gemm_run(&m, k->dx, k->w->keys + (k->r->item * g->blocks + k->r->lo) * B * g->s, dq,
                    k->width / B);
    else
        memset(dq, 0, (size_t)(B * g->s) * sizeof *dq);
    for (int64_t i = 0; i < k->r->n; i++) {
        int64_t row = k->r->item * g->n + k->r->first + i;
        float *d = (float *)k->c->out->data + row * wf_gau_d_width(g);
        float f = wf_gau_row_of(g, a, k->c->in[3].data, row).factor;
        wf_vec_get()->scale(g->s, dq + i * g->s, dq + i * g->s, f);
        memset(d + a->z, 0, (size_t)g->s * sizeof *d);
        wf_gau_turn_back(k->c, g, row, k->c->in[1].data, dq + i * g->s, d + a->z, d + g->width);
    }
}

void wf_gau_rows_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b)
{
    const wf_gau_attr *a = c->attr;
    float *s = c->scratch;
    row_block k = {.c = c, .g = g, .w = w, .r = &w->blocks[b], .b = b};
    k.width = (k.r->hi - k.r->lo) * B;
    k.x = w->weights + w->tile[b];
    k.dx = w->ds + w->tile[b];
    k.top = s, k.sum = s + B, k.temp = s + 2 * B, k.mask = s + 3 * B;
    k.turned = k.mask + 2 * B * B;
    if (k.width) {
        scores(&k);
        score_gradients(&k);
        (a->kind == WF_GAU_KIND_SOFTMAX ? softmax_block : relu2_block)(&k);
    }
    query_gradients(&k);
}

int64_t wf_gau_rows_scratch(const wf_gau_shape *g)
{
    return 3 * B + 2 * B * B + B * wf_max_i64(g->s, g->panels * B);
}
