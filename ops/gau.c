/*
 * Gated attention unit, forward.
 *
 *   gau:        Y = dropout(A) V,  A_ij = softmax_j or relu^2 of f_i Q_i K_j over the row's span,
 *               Q, K = rope(Z gamma_q), rope(Z gamma_k)
 *   gau_gated:  G = U * Y; its gradient is that of the whole unit (gau_grad.c), which needs Y. G is
 *               so cheap that it need not be kept until then.
 *
 * Phases: queries and keys of a block; then for every wave the tile of a block, turned to
 * [rows][visible keys], and 64 columns of a segment: V is made of P once for all rows that see it.
 */
#include "ops/gau_plan.h"

#include "ops/gemm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = WF_GAU_BLOCK, STRIP = WF_STRIP };

enum phase { PREPARE, TILES, PANELS };

typedef struct work {
    wf_gau_plan plan;
    wf_gau_turned turned;
    float *tiles;
} work;

static int64_t place(work *w, const wf_gau_shape *g, void *memory)
{
    int64_t at = 0, f = (int64_t)sizeof(float);
    wf_gau_plan_place(&w->plan, g, memory, &at);
    w->turned.queries = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->turned.keys = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->tiles = wf_gau_take(memory, &at, wf_gau_tile_floats(g) * f);
    return at;
}

static wf_gau_shape shape_of(const wf_call *c)
{
    return wf_gau_shape_of(&c->in[0].shape, c->attr);
}

/* ---- phases ---- */

/* Y = A V of one block and panel, [height][64]; V comes in strips of columns, [keys][32] each. */
static void read_values(const wf_gau_block *b, const float *tile, const float *values, int64_t step,
                        int64_t cols, float *y)
{
    int64_t keys = b->to - b->from;
    if (keys == 0) memset(y, 0, (size_t)(b->height * B) * sizeof *y);
    for (int64_t at = 0; at < cols && keys; at += STRIP) {
        wf_gemm m = wf_gemm_get(&(wf_gemm_shape){.m = b->height,
                                                 .n = wf_min_i64(STRIP, cols - at),
                                                 .k = keys,
                                                 .lda = keys,
                                                 .ldb = STRIP,
                                                 .ldc = B});
        wf_gemm_run(&m, tile, values + at / STRIP * step, y + at, 1);
    }
}

static void panel(const wf_call *c, const wf_gau_shape *g, const work *w, int64_t unit)
{
    const wf_gau_attr *a = c->attr;
    const wf_gau_segment *s = wf_gau_wave_segment(&w->plan, unit / g->panels);
    wf_gau_keys k = wf_gau_keys_of(&w->plan, s);
    int64_t at = unit % g->panels * B, cols = wf_min_i64(B, g->e - at);
    float *y = c->scratch, *values = y + B * B;
    int64_t step = (k.to - k.from) * STRIP;
    for (int64_t i = 0; i < cols; i += STRIP) {
        wf_gau_part part = {s, k.from, k.to, a->v + at + i, wf_min_i64(STRIP, cols - i)};
        wf_gau_part_silu(c, g, &part, values + i / STRIP * step, STRIP);
    }
    for (int64_t n = k.first; n < k.last; n++) {
        const wf_gau_block *b = &w->plan.blocks[n];
        read_values(b, w->tiles + b->tile, values + (b->from - k.from) * STRIP, step, cols, y);
        for (int64_t i = 0; i < b->n; i++) {
            float *out = (float *)c->out->data + (b->row + i) * g->e + at;
            memcpy(out, y + i * B, (size_t)cols * sizeof *y);
        }
    }
}

static void tile(const wf_call *c, const wf_gau_shape *g, const work *w, int64_t n)
{
    const wf_gau_block *b = &w->plan.blocks[n];
    int64_t keys = b->to - b->from;
    float *x = (float *)c->scratch + wf_gau_tile_scratch(g);
    wf_gau_weigh(c, g, b, &w->turned, x, x);
    wf_vec_get()->transpose(keys, b->height, w->tiles + b->tile, keys, x, b->height);
}

static void prepare(const wf_call *c, const wf_gau_shape *g, const work *w, int64_t n)
{
    const wf_gau_block *b = &w->plan.blocks[n];
    wf_gau_turn_block(c, g, b, &w->turned);
}

static int64_t gau_units(const wf_call *c, int number)
{
    wf_gau_shape g = shape_of(c);
    work w;
    place(&w, &g, c->work);
    wf_gau_wave *now = w.plan.now;
    if (c->reference) return number == 0 ? g.rows : -1;
    if (number == 0) {
        wf_gau_plan_make(&w.plan, &g, c->in[3].data);
        return now->blocks;
    }
    if (now->phase == TILES) {
        now->phase = PANELS;
        return wf_gau_wave_segments(&w.plan) * g.panels;
    }
    now->phase = TILES;
    return wf_gau_next_wave(&w.plan, &g) ? now->last - now->first : -1;
}

static void gau_run(const wf_call *c, int64_t lo, int64_t hi)
{
    wf_gau_shape g = shape_of(c);
    work w;
    place(&w, &g, c->work);
    for (int64_t i = lo; i < hi; i++)
        if (c->reference)
            wf_gau_reference_attend(c, &g, i, c->scratch);
        else if (w.plan.now->phase == PREPARE)
            prepare(c, &g, &w, i);
        else if (w.plan.now->phase == TILES)
            tile(c, &g, &w, w.plan.now->first + i);
        else
            panel(c, &g, &w, i);
}

/* ---- descriptors ---- */

static size_t gau_work(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    work w;
    return (size_t)place(&w, &g, NULL);
}

static size_t gau_scratch(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    int64_t panels = B * (B + g.padded), tile = B * g.padded + wf_gau_tile_scratch(&g);
    return (size_t)wf_max_i64(panels, tile) * sizeof(float); /* the reference needs 2 n */
}

static bool gau_infer(wf_node *y)
{
    const wf_gau_attr *a = y->attr;
    y->dtype = WF_F32;
    y->shape = y->in[0]->shape;
    y->shape.dim[y->shape.rank - 1] = a->e;
    return true;
}

double wf_gau_share(const wf_call *c)
{
    wf_gau_shape g = wf_gau_shape_of(&c->in[0].shape, c->attr);
    const int32_t *span = c->in[3].data;
    int64_t pairs = 0;
    for (int64_t i = 0; i < g.rows; i++)
        pairs += wf_max_i64(0, wf_min_i64(span[2 * i + 1], g.n) - wf_max_i64(span[2 * i], 0));
    return (double)pairs / ((double)g.rows * (double)g.n);
}

static wf_cost gau_cost(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    double rows = (double)g.rows;
    return (wf_cost){.flops = 2 * rows * (double)(g.n * (g.s + g.e)),
                     .bytes = 4 * rows * (double)g.width,
                     .units = g.rows};
}

static int gau_print(const void *attr, char *text, size_t size)
{
    const wf_gau_attr *a = attr;
    return snprintf(text, size, "e=%lld s=%lld %s scale=%g log=%g min=%g rate=%g", (long long)a->e,
                    (long long)a->s, a->kind == WF_GAU_KIND_RELU2 ? "relu2" : "softmax",
                    (double)a->scale, (double)a->log_scale, (double)a->min_len, (double)a->rate);
}

const wf_op wf_op_gau = {
    .name = "gau",
    .doc = "softmax or relu^2 of rope(Z gq) rope(Z gk)^T over spans, times V; V, Z = silu(columns "
           "of P)",
    .arity = 5,
    .traits = WF_RANDOM,
    .attr_size = sizeof(wf_gau_attr),
    .infer = gau_infer,
    .cost = gau_cost,
    .share = wf_gau_share,
    .scratch = gau_scratch,
    .work = gau_work,
    .units = gau_units,
    .run = gau_run,
    .print = gau_print,
};

/* ---- gau_gated: Y, P, gamma_q, gamma_k, span, angles -> G ---- */

static bool gated_infer(wf_node *y)
{
    y->dtype = WF_F32;
    y->shape = y->in[0]->shape;
    return true;
}

static void gated_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_gau_attr *a = c->attr;
    for (int64_t i = lo; i < hi; i++) {
        const float *u = (const float *)c->in[1].data + i * wf_last(&c->in[1].shape) + a->u;
        const float *y = (const float *)c->in[0].data + i * a->e;
        float *g = (float *)c->out->data + i * a->e;
        if (!c->reference) wf_vec_get()->silu_mul(a->e, g, u, y);
        for (int64_t j = 0; c->reference && j < a->e; j++)
            g[j] = (float)((double)u[j] / (1 + exp(-(double)u[j])) * (double)y[j]);
    }
}

/* Of P it reads u alone. */
static wf_cost gated_cost(const wf_node *y)
{
    double n = (double)wf_elements(&y->shape);
    return (wf_cost){.flops = 2 * n, .bytes = 12 * n, .units = wf_rows(&y->shape)};
}

/* The gradient of the whole unit: one slab with the columns dP | dq z | dk z. Nothing flows into
 * Y: its part is in dP already. */
static void gated_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_gau_attr *a = y->attr;
    wf_node *in[7] = {y->in[1], y->in[2], y->in[3], y->in[4], y->in[5], y->in[0], dy};
    wf_node *d = wf_apply(&wf_op_gau_grad, a, 7, in);
    int64_t width = wf_dim(y->in[1], -1);
    wf_axes rows = {.n = d->shape.rank - 1};
    for (int i = 0; i < rows.n; i++) rows.axis[i] = i;
    dx[1] = wf_slice(d, -1, 0, width);
    dx[2] = wf_sum(wf_slice(d, -1, width, a->s), rows, false);
    dx[3] = wf_sum(wf_slice(d, -1, width + a->s, a->s), rows, false);
}

const wf_op wf_op_gau_gated = {
    .name = "gau_gated",
    .doc = "U Y, U = silu(columns of P), Y of gau; carries the gradient of the whole unit",
    .arity = 6,
    .traits = WF_INPLACE,
    .attr_size = sizeof(wf_gau_attr),
    .infer = gated_infer,
    .grad = gated_grad,
    .cost = gated_cost,
    .run = gated_run,
    .print = gau_print,
};
