/* Tiles of the gated attention unit, for both passes: rotated queries and keys, scores, weights. */
#include "ops/gau_tile.h"

#include "ops/gemm.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { B = WF_GAU_BLOCK, DEEP = WF_GAU_DEEP };

/* ---- what rows have ---- */

static wf_gau_row row_of(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b, int64_t i)
{
    return wf_gau_row_of(g, c->attr, c->in[3].data, b->row[wf_min_i64(i, b->n - 1)]);
}

/* Rows are mostly as long as the one before: few logarithms. */
void wf_gau_factors(const wf_call *c, const wf_gau_shape *g, const wf_gau_part *k, float *y)
{
    float length = 0, factor = 0;
    for (int64_t i = 0; i < k->n; i++) {
        wf_gau_row r = wf_gau_row_of(g, c->attr, c->in[3].data, k->row + i);
        if (i == 0 || r.length != length) factor = wf_gau_factor(c->attr, r.length);
        length = r.length;
        y[i] = factor;
    }
}

void wf_gau_inverses(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b, float *y)
{
    for (int64_t i = 0; i < b->height; i++) y[i] = 1 / row_of(c, g, b, i).length;
}

/* ---- queries and keys ---- */

/* rope(z gamma) * factor of one row. */
static void turn(const wf_gau_attr *a, const float *z, const float *gamma, const float *angle,
                 float factor, float *y, float *temp)
{
    const wf_vec *v = wf_vec_get();
    v->mul(a->s, temp, z, gamma);
    v->rotate(a->s / 2, y, temp, angle, angle + a->s / 2);
    if (factor != 1) v->scale(a->s, y, y, factor);
}

/* s floats of each of the padded rows from..to-1 */
static void clear(const wf_gau_shape *g, float *x, int64_t from, int64_t to)
{
    memset(x + from * g->s, 0, (size_t)((to - from) * g->s) * sizeof *x);
}

void wf_gau_turn(const wf_call *c, const wf_gau_shape *g, const wf_gau_plan *p,
                 const wf_gau_part *k, const wf_gau_turned *t)
{
    const wf_gau_attr *a = c->attr;
    const wf_gau_segment *s = k->segment;
    float *z = c->scratch, *temp = z + g->s, factor[B];
    wf_gau_factors(c, g, k, factor);
    for (int64_t i = 0; i < k->n; i++) {
        int64_t row = k->row + i;
        const float *x = (const float *)c->in[0].data + row * g->width + a->z;
        const float *angle = (const float *)c->in[4].data + row % g->n * g->s;
        wf_gau_ask(x, g->width, g->s);
        wf_vec_get()->silu(g->s, z, x);
        for (int64_t q = p->begin[row]; q < p->begin[row + 1]; q++)
            turn(a, z, c->in[1].data, angle, factor[i], t->queries + wf_gau_query_at(s, q) * g->s,
                 temp);
        turn(a, z, c->in[2].data, angle, 1, t->keys + (k->at + i) * g->s, temp);
    }
    clear(g, t->keys, k->at + k->n, k->at + k->height);
    const wf_gau_block *last = &p->blocks[s->block + s->blocks - 1];
    if (k->at + k->height == s->at + s->height)
        clear(g, t->queries, last->at + last->n, last->at + last->height);
}

/* ---- weights ---- */

typedef struct tile {
    const wf_call *c;
    const wf_gau_shape *g;
    const wf_gau_block *b;
    int64_t keys, rows;
} tile;

int64_t wf_gau_tile_scratch(const wf_gau_shape *g)
{
    return B * wf_max_i64(g->s, 2 * DEEP) + 2 * B;
}

/* The key of the item that padded row 0 of the tile is. */
static int64_t first_key(const tile *t)
{
    const wf_gau_segment *s = t->b->segment;
    return s->row % t->g->n + t->b->from - s->at;
}

/* Keys that a query does not see get this score; so do all keys of those that are padding. */
static void cover(const tile *t, float *x, float value)
{
    int64_t first = first_key(t), rows = t->rows;
    for (int64_t i = 0; i < rows; i++) {
        wf_gau_row r = row_of(t->c, t->g, t->b, i);
        int64_t from = r.from - first, to = r.to - first;
        if (from == to || i >= t->b->n) from = to = t->keys;
        for (int64_t j = 0; j < from; j++) x[j * rows + i] = value;
        for (int64_t j = to; j < t->keys; j++) x[j * rows + i] = value;
    }
}

/* Softmax down the columns. A column without keys becomes zero. */
static void softmax(const tile *t, float *x, float *scratch)
{
    const wf_vec *v = wf_vec_get();
    float *top = scratch, *sum = scratch + B;
    int64_t n = t->rows;
    cover(t, x, -INFINITY);
    v->fill(n, top, -FLT_MAX);
    v->fill(n, sum, 0);
    for (int64_t j = 0; j < t->keys; j++) v->max(n, top, top, x + j * n);
    for (int64_t from = 0; from < t->keys; from += DEEP) {
        int64_t to = wf_min_i64(from + DEEP, t->keys);
        for (int64_t j = from; j < to; j++) v->sub(n, x + j * n, x + j * n, top);
        v->exp((to - from) * n, x + from * n, x + from * n);
        for (int64_t j = from; j < to; j++) v->add(n, sum, sum, x + j * n);
    }
    for (int64_t i = 0; i < n; i++) sum[i] = sum[i] > 0 ? 1 / sum[i] : 0;
    for (int64_t j = 0; j < t->keys; j++) v->mul(n, x + j * n, x + j * n, sum);
}

static void relu2(const tile *t, float *x, float *y, float *scratch)
{
    const wf_vec *v = wf_vec_get();
    int64_t n = t->rows;
    cover(t, x, 0);
    wf_gau_inverses(t->c, t->g, t->b, scratch);
    for (int64_t from = 0; from < t->keys; from += DEEP) {
        int64_t to = wf_min_i64(from + DEEP, t->keys), size = (to - from) * n;
        v->relu(size, x + from * n, x + from * n);
        v->square(size, y + from * n, x + from * n);
        for (int64_t j = from; j < to; j++) v->mul(n, y + j * n, y + j * n, scratch);
    }
}

void wf_gau_drop(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b, int64_t from,
                 float *x)
{
    const wf_gau_attr *a = c->attr;
    const wf_vec *v = wf_vec_get();
    const tile t = {c, g, b, b->to - b->from, b->height};
    uint64_t stream = wf_random_stream(a->salt, c->step);
    float *rows = c->scratch, *mask = rows + B * DEEP;
    int64_t n = wf_min_i64(DEEP, t.keys - from);
    v->fill(t.rows * DEEP, rows, 1);
    for (int64_t i = 0; i < b->n; i++)
        v->dropout(n, rows + i * DEEP, rows + i * DEEP, a->rate, c->seed, stream,
                   (uint64_t)(b->row[i] * g->n + first_key(&t) + from));
    v->transpose(t.rows, n, mask, t.rows, rows, DEEP);
    v->mul(n * t.rows, x + from * t.rows, x + from * t.rows, mask);
}

void wf_gau_weigh(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b,
                  const wf_gau_turned *turned, float *x, float *y)
{
    const wf_gau_attr *a = c->attr;
    const tile t = {c, g, b, b->to - b->from, b->height};
    float *scratch = c->scratch;
    if (t.keys == 0) return;
    wf_vec_get()->transpose(t.rows, g->s, scratch, t.rows, turned->queries + b->at * g->s, g->s);
    wf_gemm m = wf_gemm_get(&(wf_gemm_shape){
        .m = t.keys, .n = t.rows, .k = g->s, .lda = g->s, .ldb = t.rows, .ldc = t.rows});
    wf_gemm_run(&m, turned->keys + b->from * g->s, scratch, x, 1);
    if (a->kind == WF_GAU_KIND_RELU2) {
        relu2(&t, x, y, scratch);
    } else {
        softmax(&t, x, scratch);
        if (y != x) memcpy(y, x, (size_t)(t.keys * t.rows) * sizeof *y);
    }
    for (int64_t from = 0; a->rate > 0 && from < t.keys; from += DEEP)
        wf_gau_drop(c, g, b, from, y);
}

/* ---- values ---- */

void wf_gau_make_v(const wf_call *c, const wf_gau_shape *g, const wf_gau_values *v, float *y,
                   float *slope)
{
    const wf_gau_segment *s = v->segment;
    int64_t n = v->cols, end = wf_min_i64(v->to, s->at + s->n), rows = end - v->from;
    int64_t column = ((const wf_gau_attr *)c->attr)->v + v->at;
    const float *x = (const float *)c->in[0].data + (s->row + v->from - s->at) * g->width + column;
    for (int64_t i = 0; i < rows; i++, x += g->width) {
        wf_gau_ask(x, g->width, n);
        if (slope)
            wf_vec_get()->silu_both(n, y + i * n, slope + i * n, x);
        else
            wf_vec_get()->silu(n, y + i * n, x);
    }
    if (v->to > end) memset(y + rows * n, 0, (size_t)((v->to - end) * n) * sizeof *y);
}

/* A segment has panel after panel, [padded rows][columns]. */
float *wf_gau_kept_v(const wf_gau_shape *g, const wf_gau_values *v, float *kept)
{
    const wf_gau_segment *s = v->segment;
    return kept + s->at * g->e + v->at * s->height + (v->from - s->at) * v->cols;
}

void wf_gau_keep_v(const wf_call *c, const wf_gau_shape *g, const wf_gau_part *k, float *kept)
{
    if (!wf_gau_is_long(k->segment)) return;
    for (int64_t at = 0; at < g->e; at += B) {
        wf_gau_values v = {k->segment, k->at, k->at + k->height, at, wf_min_i64(B, g->e - at)};
        wf_gau_make_v(c, g, &v, wf_gau_kept_v(g, &v, kept), NULL);
    }
}

/* ---- products ---- */

void wf_gau_sum_keys(const wf_gau_block *b, const float *a, bool is_turned, const float *x,
                     int64_t n, float *y)
{
    int64_t m = b->height, keys = b->to - b->from;
    if (!keys) memset(y, 0, (size_t)(m * n) * sizeof *y);
    for (int64_t k = 0; k < keys; k += DEEP) {
        wf_gemm_shape s = {.m = m, .n = n, .ldb = n, .ldc = n, .trans_a = is_turned};
        s.k = wf_min_i64(DEEP, keys - k);
        s.lda = is_turned ? m : s.k;
        s.accumulate = k > 0;
        wf_gemm piece = wf_gemm_get(&s);
        wf_gemm_run(&piece, a + k * m, x + k * n, y, 1);
    }
}
