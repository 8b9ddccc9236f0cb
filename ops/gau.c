/*
 * Gated attention unit, forward.
 *
 *   gau:        Y = dropout(A) V,  A_ij = softmax_j or relu^2 of f_i Q_i K_j over the row's span,
 *               Q, K = rope(Z gamma_q), rope(Z gamma_k)
 *   gau_gated:  G = U * Y; its gradient is that of the whole unit (gau_grad.c), which needs Y. G is
 *               so cheap that it need not be kept until then.
 *
 * Phases: queries and keys of 64 rows, and V where a segment is long; then for every wave the tile
 * of a block, turned to [queries][keys], 64 visible keys behind the other, and 64 columns of a
 * segment: V is made of P once for all that see it.
 * Beside the first phase brief segments are taken at once, with wider panels.
 */
#include "ops/gau_tile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = WF_GAU_BLOCK, WIDE = WF_GAU_WIDE };

enum phase { PREPARE, TILES, PANELS };

typedef struct work {
    wf_gau_plan plan;
    wf_gau_turned turned;
    float *tiles;
    float *v; /* of long segments */
} work;

static int64_t place(work *w, const wf_gau_shape *g, void *memory)
{
    int64_t at = 0, f = (int64_t)sizeof(float);
    wf_gau_plan_place(&w->plan, g, memory, &at);
    w->turned.queries = wf_gau_take(memory, &at, g->queries_padded * g->s * f);
    w->turned.keys = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->tiles = wf_gau_take(memory, &at, wf_gau_tile_floats(g) * f);
    w->v = wf_gau_take(memory, &at, wf_gau_v_floats(g) * f);
    return at;
}

/* ---- phases ---- */

/* Y of the rows that have blocks in this wave; p: columns of a segment. */
static void run_panel(const wf_call *c, const wf_gau_shape *g, const work *w, wf_gau_values p)
{
    wf_gau_keys k = wf_gau_keys_of(&w->plan, p.segment);
    float *y = c->scratch, *values = y + B * p.cols;
    p.from = k.from;
    p.to = k.to;
    if (wf_gau_is_long(p.segment))
        values = wf_gau_kept_v(g, &p, w->v);
    else
        wf_gau_make_v(c, g, &p, values, NULL);
    for (int64_t n = k.first; n < k.last; n++) {
        const wf_gau_block *b = &w->plan.blocks[n];
        wf_gau_sum_keys(b, w->tiles + b->tile, false, values + (b->from - k.from) * p.cols, p.cols,
                        y);
        for (int64_t i = 0; i < b->n; i++) {
            float *out = (float *)c->out->data + b->place[i] * g->e + p.at;
            memcpy(out, y + i * p.cols, (size_t)p.cols * sizeof *y);
        }
    }
}

static void run_panels(const wf_call *c, const wf_gau_shape *g, const work *w, int64_t unit)
{
    wf_gau_values p = {.segment = wf_gau_wave_segment(&w->plan, unit / g->panels)};
    p.at = unit % g->panels * B;
    p.cols = wf_min_i64(B, g->e - p.at);
    run_panel(c, g, w, p);
}

static void tile(const wf_call *c, const wf_gau_shape *g, const work *w, int64_t n)
{
    const wf_gau_block *b = &w->plan.blocks[n];
    int64_t keys = b->to - b->from;
    float *x = (float *)c->scratch + wf_gau_tile_scratch(g);
    wf_gau_weigh(c, g, b, &w->turned, x, x);
    for (int64_t k = 0; k < keys; k += WF_GAU_DEEP) {
        int64_t deep = wf_min_i64(WF_GAU_DEEP, keys - k), at = k * b->height;
        wf_vec_get()->transpose(deep, b->height, w->tiles + b->tile + at, deep, x + at, b->height);
    }
}

static void prepare(const wf_call *c, const wf_gau_shape *g, const work *w, int64_t n)
{
    const wf_gau_part *k = &w->plan.parts[n];
    wf_gau_turn(c, g, &w->plan, k, &w->turned);
    wf_gau_keep_v(c, g, k, w->v);
}

/* Floats of scratch that phases use; behind them a brief segment has its work. */
static int64_t phase_floats(const wf_gau_shape *g)
{
    int64_t panels = wf_max_i64(B * (B + g->padded), 2 * B * WIDE);
    return wf_max_i64(panels, B * g->padded + wf_gau_tile_scratch(g));
}

static void take_at_once(const wf_call *c, const wf_gau_shape *g, const work *all,
                         const wf_gau_segment *s)
{
    wf_gau_shape brief = wf_gau_brief_shape(g);
    work w;
    place(&w, &brief, (float *)c->scratch + phase_floats(g));
    wf_gau_plan_brief(&w.plan, &all->plan, g, c, s);
    prepare(c, g, &w, 0);
    tile(c, g, &w, 0);
    for (int64_t at = 0; at < g->e; at += WIDE)
        run_panel(c, g, &w,
                  (wf_gau_values){
                      .segment = w.plan.segments, .at = at, .cols = wf_min_i64(WIDE, g->e - at)});
}

static int64_t gau_units(const wf_call *c, int number)
{
    wf_gau_shape g = wf_gau_call_shape(c);
    work w;
    place(&w, &g, c->work);
    wf_gau_wave *now = w.plan.now;
    if (c->reference) return number == 0 ? g.queries : -1;
    if (number == 0) {
        wf_gau_plan_make(&w.plan, &g, c);
        return now->parts + now->brief;
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
    wf_gau_shape g = wf_gau_call_shape(c);
    work w;
    place(&w, &g, c->work);
    for (int64_t i = lo; i < hi; i++)
        if (c->reference)
            wf_gau_reference_attend(c, &g, i, c->scratch);
        else if (w.plan.now->phase == TILES)
            tile(c, &g, &w, w.plan.now->first + i);
        else if (w.plan.now->phase == PANELS)
            run_panels(c, &g, &w, i);
        else if (i < w.plan.now->parts)
            prepare(c, &g, &w, i);
        else
            take_at_once(c, &g, &w, &w.plan.brief[i - w.plan.now->parts]);
}

/* ---- descriptors ---- */

static size_t gau_work(const wf_node *y)
{
    wf_gau_shape g = wf_gau_node_shape(y);
    work w;
    return (size_t)place(&w, &g, NULL);
}

static size_t gau_scratch(const wf_node *y)
{
    wf_gau_shape g = wf_gau_node_shape(y);
    wf_gau_shape brief = wf_gau_brief_shape(&g);
    work w;
    return (size_t)phase_floats(&g) * sizeof(float) + (size_t)place(&w, &brief, NULL);
}

/* Of P, gamma_q and gamma_k, from the slab that gau_grad makes. */
static void slab_gradients(wf_node *d, const wf_node *p, const wf_gau_attr *a, wf_node *dx[])
{
    int64_t width = wf_dim(p, -1);
    wf_axes rows = {.n = d->shape.rank - 1};
    for (int i = 0; i < rows.n; i++) rows.axis[i] = i;
    dx[0] = wf_slice(d, -1, 0, width);
    dx[1] = wf_sum(wf_slice(d, -1, width, a->s), rows, false);
    dx[2] = wf_sum(wf_slice(d, -1, width + a->s, a->s), rows, false);
}

static bool gau_infer(wf_node *y)
{
    const wf_gau_attr *a = y->attr;
    bool is_picked = wf_gau_is_picked(a);
    y->dtype = WF_F32;
    y->shape = y->in[0]->shape;
    if (is_picked)
        y->shape = (wf_shape){.rank = 2, .dim = {wf_elements(&y->in[y->n_in - 1]->shape)}};
    y->shape.dim[y->shape.rank - 1] = a->e;
    return y->n_in == (is_picked ? 6 : 5) ||
           wf_fail(y, "takes ids if and only if queries are picked");
}

/* The gradient of picked queries; where there is a gate, that has the gradient of the whole. */
static void gau_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_gau_attr *a = y->attr;
    wf_node *in[7] = {y->in[0], y->in[1], y->in[2], y->in[3], y->in[4], dy, y->in[5]};
    if (wf_gau_is_picked(a))
        slab_gradients(wf_apply(&wf_op_gau_grad, a, 7, in), y->in[0], a, dx);
    else
        wf_fail(y,
                "has no gradient of its own unless queries are picked: the gate's is that of both");
}

double wf_gau_share(const wf_call *c)
{
    wf_gau_shape g = wf_gau_call_shape(c);
    const int32_t *span = c->in[3].data;
    int64_t pairs = 0;
    for (int64_t i = 0; i < g.queries; i++) {
        int64_t row = wf_gau_query_row(c, i);
        pairs += wf_max_i64(0, wf_min_i64(span[2 * row + 1], g.n) - wf_max_i64(span[2 * row], 0));
    }
    return (double)pairs / ((double)g.queries * (double)g.n);
}

static wf_cost gau_cost(const wf_node *y)
{
    wf_gau_shape g = wf_gau_node_shape(y);
    return (wf_cost){.flops = 2 * (double)g.queries * (double)(g.n * (g.s + g.e)),
                     .bytes = 4 * (double)g.rows * (double)g.width,
                     .units = g.queries};
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
           "of P); the rows at ids, if there is input 5",
    .arity = -1,
    .traits = WF_RANDOM,
    .attr_size = sizeof(wf_gau_attr),
    .infer = gau_infer,
    .grad = gau_grad,
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

/* The gradient of the whole unit. Nothing flows into Y: its part is in dP already. */
static void gated_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_gau_attr *a = y->attr;
    wf_node *in[7] = {y->in[1], y->in[2], y->in[3], y->in[4], y->in[5], y->in[0], dy};
    slab_gradients(wf_apply(&wf_op_gau_grad, a, 7, in), y->in[1], a, dx + 1);
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
