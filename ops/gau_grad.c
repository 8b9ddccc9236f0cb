/*
 * Gated attention unit, backward: from P, Y = A V and dG to one slab with the columns
 *
 *   dP = dU|dV|dZ times SiLU'(P)   (2e + s)
 *   dq * z   and   dk * z          (s each; their column sums are d gamma_q and d gamma_k)
 *
 *   dY = dG U        dU = dG Y        dV = A^T dY        dA = dY V^T
 *   softmax: dS' = A (dA - rowsum(dA A)), S' = (f q) k;   relu^2: dS' = 2 relu(S') dA / len
 *   d(f q) = dS' K   dK = dS'^T (f q)
 *
 * The scores are recomputed by blocks of 64 rows, transposed (keys x 64), so that dV and dK are
 * products without a transpose. Blocks of rows are taken in waves: as many as fit into the tile
 * memory. A wave has two phases: (rows) scores, A, dS and dq of each block of rows; (keys) dV and
 * dK of each block of keys, summed over the wave's blocks in order. Nothing depends on the number
 * of threads, and no n x n tensor exists beyond the tiles of one wave.
 */
#include "ops/gau_grad.h"

#include "ops/gemm.h"

#include <string.h>

enum { B = WF_GAU_BLOCK, TILE_FLOATS = 1 << 20 };

static int64_t tile_floats(const wf_gau_shape *g)
{
    return wf_max_i64(TILE_FLOATS, g->blocks * B * B); /* one block of rows must fit */
}

static void *take(char *work, int64_t *at, int64_t bytes)
{
    void *p = work ? work + *at : NULL;
    *at += wf_ceil_div(bytes, WF_ALIGN) * WF_ALIGN;
    return p;
}

static int64_t lay_out(wf_gau_work *w, const wf_gau_shape *g, void *work)
{
    int64_t at = 0, blocks = g->items * g->blocks, f = (int64_t)sizeof(float);
    w->wave = take(work, &at, (int64_t)sizeof(wf_gau_wave));
    w->blocks = take(work, &at, blocks * (int64_t)sizeof(wf_gau_rows));
    w->tile = take(work, &at, blocks * (int64_t)sizeof(int64_t));
    w->first = take(work, &at, blocks * (int64_t)sizeof(int64_t));
    w->last = take(work, &at, blocks * (int64_t)sizeof(int64_t));
    w->values = take(work, &at, blocks * g->panels * B * B * f);
    w->dy = take(work, &at, blocks * g->panels * B * B * f);
    w->queries = take(work, &at, blocks * B * g->s * f);
    w->keys = take(work, &at, blocks * B * g->s * f);
    w->dk = take(work, &at, blocks * B * g->s * f);
    w->weights = take(work, &at, tile_floats(g) * f);
    w->ds = take(work, &at, tile_floats(g) * f);
    return at;
}

static wf_gau_shape shape_of(const wf_call *c)
{
    return wf_gau_shape_of(&c->in[0].shape, c->attr);
}

void wf_gau_turn_back(const wf_call *c, const wf_gau_shape *g, int64_t row, const float *gamma,
                      float *dq, float *dz, float *product)
{
    const wf_gau_attr *a = c->attr;
    const wf_vec *v = wf_vec_get();
    const float *angle = (const float *)c->in[4].data + row % g->n * g->s;
    float sine[1024]; /* s <= 2048 is checked where the pattern is found */
    v->neg(g->s / 2, sine, angle + g->s / 2);
    v->rotate(g->s / 2, dq, dq, angle, sine);
    v->silu_mul(g->s, product, (const float *)c->in[0].data + row * g->width + a->z, dq);
    v->muladd(g->s, dz, dq, gamma);
}

/* ---- phase PREPARE: a block of rows ---- */

/* dU (as dP) and dY of one row. */
static void prepare_gate(const wf_call *c, const wf_gau_shape *g, int64_t row, float *dy)
{
    const wf_gau_attr *a = c->attr;
    const float *p = (const float *)c->in[0].data + row * g->width + a->u;
    const float *y = (const float *)c->in[5].data + row * g->e;
    const float *dg = (const float *)c->in[6].data + row * g->e;
    float *d = (float *)c->out->data + row * wf_gau_d_width(g) + a->u;
    int64_t height = g->blocks * B;
    for (int64_t k = 0; k < g->panels; k++) {
        int64_t at = k * B, n = wf_min_i64(B, g->e - at);
        wf_vec_get()->gate_grad(n, dy + k * height * B, d + at, p + at, dg + at, y + at);
    }
}

static void prepare(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b)
{
    const wf_gau_attr *a = c->attr;
    const float *p = c->in[0].data;
    const wf_gau_rows *r = &w->blocks[b];
    int64_t row = r->item * g->n + r->first, s = g->s;
    float *q = w->queries + b * B * s, *k = w->keys + b * B * s;
    wf_gau_panels(g, p + row * g->width, r->n, a->v, w->values + wf_gau_panel_offset(g, b));
    for (int64_t i = 0; i < r->n; i++) {
        const float *p_row = p + (row + i) * g->width;
        const float *angle = (const float *)c->in[4].data + (r->first + i) * s;
        wf_gau_row f = wf_gau_row_of(g, a, c->in[3].data, row + i);
        prepare_gate(c, g, row + i, w->dy + wf_gau_panel_offset(g, b) + i * B);
        wf_gau_turn(a, p_row, c->in[1].data, angle, f.factor, q + i * s, c->scratch);
        wf_gau_turn(a, p_row, c->in[2].data, angle, 1, k + i * s, c->scratch);
    }
    memset(q + r->n * s, 0, (size_t)((B - r->n) * s) * sizeof *q);
    memset(k + r->n * s, 0, (size_t)((B - r->n) * s) * sizeof *k);
    memset(w->dk + b * B * s, 0, (size_t)(B * s) * sizeof *k);
    for (int64_t t = 0; t < g->panels && r->n < B; t++)
        memset(w->dy + wf_gau_panel_offset(g, b) + (t * g->blocks * B + r->n) * B, 0,
               (size_t)((B - r->n) * B) * sizeof *k);
}

/* ---- phase KEYS: a block of keys, summed over the wave's rows in order ---- */

typedef struct key_block {
    int64_t item, j, n, row; /* number in the item, rows, the first of all rows */
} key_block;

static key_block key_block_of(const wf_gau_shape *g, int64_t key)
{
    key_block k = {.item = key / g->blocks, .j = key % g->blocks};
    k.n = wf_min_i64(B, g->n - k.j * B);
    k.row = k.item * g->n + k.j * B;
    return k;
}

/* dV += A^T dY and dK += dS'^T Q over count blocks of rows that see the same keys, one batch each.
 * The first of all begins the sum of dV. */
static void add_rows(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b,
                     int64_t count, int64_t key)
{
    key_block k = key_block_of(g, key);
    const wf_gau_rows *r = &w->blocks[b];
    const float *dy = w->dy + wf_gau_panel_offset(g, b);
    float *d =
        (float *)c->out->data + k.row * wf_gau_d_width(g) + ((const wf_gau_attr *)c->attr)->v;
    int64_t height = g->blocks * B, at = w->tile[b] + (k.j - r->lo) * B * B;
    wf_gemm_shape s = {.m = k.n, .n = B, .k = B, .lda = B, .ldb = B, .ldc = wf_gau_d_width(g)};
    s.step_a = (r->hi - r->lo) * B * B;
    s.step_b = B * B;
    s.accumulate = b != w->first[key];
    wf_gemm dv = wf_gemm_get(&s);
    s.n = g->e - (g->panels - 1) * B;
    wf_gemm dv_last = wf_gemm_get(&s);
    for (int64_t p = 0; p < g->panels; p++)
        wf_gemm_run(p + 1 < g->panels ? &dv : &dv_last, w->weights + at, dy + p * height * B,
                    d + p * B, count);
    s.m = B;
    s.n = s.ldb = s.ldc = g->s;
    s.step_b = B * g->s;
    s.accumulate = true;
    wf_gemm dk = wf_gemm_get(&s);
    wf_gemm_run(&dk, w->ds + at, w->queries + b * B * g->s, w->dk + key * B * g->s, count);
}

/* Blocks of rows from b on, before the end of the wave, that see the same keys. */
static int64_t alike(const wf_gau_work *w, int64_t b)
{
    const wf_gau_rows *r = &w->blocks[b];
    int64_t n = 1;
    while (b + n < w->wave->last && r[n].item == r->item && r[n].lo == r->lo && r[n].hi == r->hi)
        n++;
    return n;
}

/* SiLU' of V, where a sum of dV is complete. */
static void finish_values(const wf_call *c, const wf_gau_shape *g, const key_block *k)
{
    int64_t v = ((const wf_gau_attr *)c->attr)->v;
    for (int64_t row = k->row; row < k->row + k->n; row++) {
        float *d = (float *)c->out->data + row * wf_gau_d_width(g) + v;
        wf_vec_get()->silu_grad_mul(g->e, d, (const float *)c->in[0].data + row * g->width + v, d);
    }
}

static void keys_block(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t key)
{
    key_block k = key_block_of(g, key);
    for (int64_t b = w->wave->first, n; b < w->wave->last; b += n) {
        const wf_gau_rows *r = &w->blocks[b];
        n = alike(w, b);
        if (r->item == k.item && k.j >= r->lo && k.j < r->hi) add_rows(c, g, w, b, n, key);
    }
    int64_t last = w->last[key];
    if (last >= w->wave->first && last < w->wave->last) finish_values(c, g, &k);
}

/* ---- phase FINISH: keys back to Z, SiLU' of Z; zeros for values that nobody sees ---- */

static void finish(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b)
{
    const wf_gau_attr *a = c->attr;
    key_block k = key_block_of(g, b);
    for (int64_t i = 0; i < k.n; i++) {
        const float *p = (const float *)c->in[0].data + (k.row + i) * g->width;
        float *d = (float *)c->out->data + (k.row + i) * wf_gau_d_width(g);
        wf_gau_turn_back(c, g, k.row + i, c->in[2].data, w->dk + (b * B + i) * g->s, d + a->z,
                         d + g->width + g->s);
        wf_vec_get()->silu_grad_mul(g->s, d + a->z, p + a->z, d + a->z);
        if (w->last[b] < 0) memset(d + a->v, 0, (size_t)g->e * sizeof *d);
    }
}

/* ---- the order of phases ---- */

/* The next wave: as many blocks of rows as fit into the tiles. */
static bool next_wave(const wf_gau_shape *g, const wf_gau_work *w)
{
    wf_gau_wave *now = w->wave;
    int64_t blocks = g->items * g->blocks, used = 0;
    if (now->last == blocks) return false;
    *now = (wf_gau_wave){.kind = WF_GAU_ROWS, .first = now->last, .last = now->last, .lo = blocks};
    for (int64_t b = now->first; b < blocks; b++) {
        const wf_gau_rows *r = &w->blocks[b];
        int64_t need = (r->hi - r->lo) * B * B;
        if (used + need > tile_floats(g)) break;
        w->tile[b] = used;
        used += need;
        now->last = b + 1;
        if (need == 0) continue;
        now->lo = wf_min_i64(now->lo, r->item * g->blocks + r->lo);
        now->hi = wf_max_i64(now->hi, r->item * g->blocks + r->hi);
    }
    return true;
}

/* What a block of rows sees, and who sees whom first and last. */
static void find_rows(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b)
{
    wf_gau_rows r = w->blocks[b] = wf_gau_rows_of(g, c->in[3].data, b);
    for (int64_t j = r.lo; j < r.hi; j++) {
        int64_t key = r.item * g->blocks + j;
        if (w->first[key] < 0) w->first[key] = b;
        w->last[key] = b;
    }
}

static int64_t grad_units(const wf_call *c, int phase)
{
    wf_gau_shape g = shape_of(c);
    wf_gau_work w;
    lay_out(&w, &g, c->work);
    int64_t blocks = g.items * g.blocks;
    if (c->reference) return phase == 0 ? 1 : -1; /* items share the room */
    if (phase == 0) {
        *w.wave = (wf_gau_wave){.kind = WF_GAU_PREPARE};
        for (int64_t b = 0; b < blocks; b++) w.first[b] = w.last[b] = -1;
        for (int64_t b = 0; b < blocks; b++) find_rows(c, &g, &w, b);
        return blocks;
    }
    if (w.wave->kind == WF_GAU_FINISH) return -1;
    if (w.wave->kind == WF_GAU_ROWS) {
        w.wave->kind = WF_GAU_KEYS;
        return wf_max_i64(0, w.wave->hi - w.wave->lo);
    }
    if (next_wave(&g, &w)) return w.wave->last - w.wave->first;
    w.wave->kind = WF_GAU_FINISH;
    return blocks;
}

static void grad_run(const wf_call *c, int64_t lo, int64_t hi)
{
    wf_gau_shape g = shape_of(c);
    wf_gau_work w;
    lay_out(&w, &g, c->work);
    for (int64_t i = 0; c->reference && lo < hi && i < g.items; i++)
        wf_gau_reference_grad(c, &g, i, (double *)(void *)w.weights, w.dk);
    for (int64_t i = lo; !c->reference && i < hi; i++) switch (w.wave->kind) {
        case WF_GAU_PREPARE:
            prepare(c, &g, &w, i);
            break;
        case WF_GAU_ROWS:
            wf_gau_rows_run(c, &g, &w, w.wave->first + i);
            break;
        case WF_GAU_KEYS:
            keys_block(c, &g, &w, w.wave->lo + i);
            break;
        case WF_GAU_FINISH:
            finish(c, &g, &w, i);
            break;
        }
}

static size_t grad_work(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    wf_gau_work w;
    return (size_t)lay_out(&w, &g, NULL);
}

static size_t grad_scratch(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    return (size_t)wf_max_i64(wf_gau_rows_scratch(&g), g.e) * sizeof(float);
}

static bool grad_infer(wf_node *y)
{
    const wf_gau_attr *a = y->attr;
    y->dtype = WF_F32;
    y->shape = y->in[0]->shape;
    y->shape.dim[y->shape.rank - 1] += 2 * a->s;
    return true;
}

static wf_cost grad_cost(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    double rows = (double)g.rows;
    return (wf_cost){.flops = rows * (double)(g.n * (4 * g.e + 6 * g.s)),
                     .bytes = 4 * rows * (double)(2 * g.width + 2 * g.s + 2 * g.e),
                     .units = g.items * g.blocks};
}

const wf_op wf_op_gau_grad = {
    .name = "gau_grad",
    .doc = "gradient of silu(u) * attention: columns dP | dq z | dk z",
    .arity = 7,
    .traits = WF_RANDOM,
    .attr_size = sizeof(wf_gau_attr),
    .infer = grad_infer,
    .cost = grad_cost,
    .share = wf_gau_share,
    .scratch = grad_scratch,
    .work = grad_work,
    .units = grad_units,
    .run = grad_run,
};
