/*
 * Gated attention unit, backward: from P, Y and dG to one slab with the columns
 *
 *   dP = dU|dV|dZ times SiLU'(P)   (2e + s)
 *   dq * z   and   dk * z          (s each; their column sums are d gamma_q and d gamma_k)
 *
 *   dY = dG U        dU = dG Y        dV = A^T dY        dA = dY V^T
 *   softmax: dS' = A (dA - rowsum(dA A)), S' = (f q) k;   relu^2: dS' = 2 relu(S') dA / len
 *   d(f q) = dS' K   dK = dS'^T (f q)
 *
 * For picked queries it is made from P, dY and ids, and has no dU: v | z is all of P.
 *
 * Phases: queries and keys are made again; then for every wave (gau_plan.h)
 *
 *   tiles    A of a block, transposed
 *   panels   64 columns of a segment after the other: U, V, dG, Y are read, dU and dV written once,
 *            dA grows in a tile. Cut into groups of panels, each with a sum of its own, where there
 *            are few segments; into ranges of keys where a segment is long, and then dY is made
 *            beforehand.
 *   rows     dA summed, dS' and dq of a block
 *   keys     dk of 64 keys, summed over the blocks of the wave in order
 *
 * and at last dq, summed over the queries of a row, and dk go back to Z. Beside the first phase
 * brief segments are taken at once, all phases of one in one unit. Nothing depends on the number of
 * threads, and no n x n tensor exists beyond the tiles of one wave.
 */
#include "ops/gau_grad.h"

#include "ops/gemm.h"

#include <string.h>

enum {
    B = WF_GAU_BLOCK,
    UNITS = 16,            /* wanted, so that threads have enough to share */
    GROUPS = 4,            /* of panels at most, ... */
    PART_FLOATS = 1 << 21, /* ... and so many floats of sums */
};

enum phase { PREPARE, TILES, PANELS, ROWS, KEYS, FINISH };

static bool has_ranges(const wf_gau_shape *g)
{
    return g->padded > WF_GAU_RANGE;
}

static int64_t place(wf_gau_work *w, const wf_gau_shape *g, const wf_gau_attr *a, void *memory)
{
    int64_t at = 0, f = (int64_t)sizeof(float), tiles = wf_gau_tile_floats(g);
    int64_t dy = has_ranges(g) ? g->queries_padded * g->e * f : 0;
    bool two = a->rate > 0 || a->kind == WF_GAU_KIND_RELU2;
    wf_gau_plan_place(&w->plan, g, memory, &at);
    w->turned.queries = wf_gau_take(memory, &at, g->queries_padded * g->s * f);
    w->turned.keys = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->dq = wf_gau_take(memory, &at, g->queries_padded * g->s * f);
    w->dk = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->dy = wf_gau_take(memory, &at, dy);
    w->turned_dy = wf_gau_take(memory, &at, dy);
    w->v = wf_gau_take(memory, &at, wf_gau_v_floats(g) * f);
    w->kept = wf_gau_take(memory, &at, tiles * f);
    w->seen = two ? wf_gau_take(memory, &at, tiles * f) : w->kept;
    w->part_floats = tiles * wf_max_i64(1, wf_min_i64(GROUPS, PART_FLOATS / tiles));
    w->parts = wf_gau_take(memory, &at, w->part_floats * f);
    return at;
}

/* What follows from shapes and, once a wave is chosen, from it. */
static wf_gau_work work_of(const wf_call *c, const wf_gau_shape *g)
{
    wf_gau_work w = {0};
    place(&w, g, c->attr, c->work);
    const wf_gau_wave *now = w.plan.now;
    if (c->reference || now->phase == PREPARE || now->phase == FINISH) return w;
    int64_t segments = wf_gau_wave_segments(&w.plan);
    for (int64_t i = 0; i < segments; i++)
        w.ranges = wf_max_i64(w.ranges, wf_gau_ranges_of(wf_gau_wave_segment(&w.plan, i)));
    int64_t most = wf_min_i64(GROUPS, w.part_floats / wf_max_i64(1, now->used));
    w.groups = wf_min_i64(wf_ceil_div(UNITS, segments * w.ranges), wf_min_i64(most, g->panels));
    return w;
}

/* ---- phase PREPARE ---- */

static void prepare(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t n)
{
    const wf_gau_part *k = &w->plan.parts[n];
    wf_gau_turn(c, g, &w->plan, k, &w->turned);
    memset(w->dk + k->at * g->s, 0, (size_t)(k->height * g->s) * sizeof *w->dk);
    wf_gau_keep_v(c, g, k, w->v);
}

/* ---- phases TILES and PANELS ---- */

static void weigh(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t n)
{
    const wf_gau_block *b = &w->plan.blocks[n];
    wf_gau_weigh(c, g, b, &w->turned, w->kept + b->tile, w->seen + b->tile);
    if (wf_gau_ranges_of(b->segment) > 1) wf_gau_make_dy(c, g, w, b);
}

/* A group of panels, a range of keys, of one segment. */
static void panels(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t unit)
{
    wf_gau_panels p = {.group = unit % w->groups, .wide = B};
    p.range = unit / w->groups % w->ranges;
    p.segment = wf_gau_wave_segment(&w->plan, unit / w->groups / w->ranges);
    p.from = p.group * g->panels / w->groups * B;
    p.to = wf_min_i64((p.group + 1) * g->panels / w->groups * B, g->e);
    wf_gau_panels_run(c, g, w, &p);
}

/* ---- phase FINISH: back to Z, gamma_q and gamma_k; SiLU' of Z ---- */

/* f dq of a row, over its queries. */
static void sum_queries(const wf_gau_shape *g, const wf_gau_work *w, const wf_gau_segment *s,
                        int64_t row, float factor, float *y)
{
    int64_t first = w->plan.begin[row], n = w->plan.begin[row + 1] - first;
    const float *dq = w->dq + wf_gau_query_at(s, first) * g->s;
    if (n > 0)
        memcpy(y, dq, (size_t)g->s * sizeof *y);
    else
        memset(y, 0, (size_t)g->s * sizeof *y);
    for (int64_t i = 1; i < n; i++) wf_vec_get()->add(g->s, y, y, dq + i * g->s);
    wf_vec_get()->scale(g->s, y, y, factor);
}

static void finish(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t n)
{
    const wf_gau_attr *a = c->attr;
    const wf_gau_part *k = &w->plan.parts[n];
    const wf_vec *v = wf_vec_get();
    float z[2048], slope[2048], sine[1024]; /* s <= 2048 is checked where the pattern is found */
    float factor[B];
    wf_gau_factors(c, g, k, factor);
    for (int64_t i = 0; i < k->n; i++) {
        int64_t row = k->row + i, s = g->s;
        const float *angle = (const float *)c->in[4].data + row % g->n * s;
        float *d = (float *)c->out->data + row * wf_gau_d_width(g), *dz = d + a->z;
        float *dq = d + g->width, *dk = dq + s;
        v->neg(s / 2, sine, angle + s / 2);
        sum_queries(g, w, k->segment, row, factor[i], dq);
        v->rotate(s / 2, dq, dq, angle, sine);
        v->rotate(s / 2, dk, w->dk + (k->at + i) * s, angle, sine);
        v->silu_both(s, z, slope, (const float *)c->in[0].data + row * g->width + a->z);
        v->mul(s, dz, dq, c->in[1].data);
        v->muladd(s, dz, dk, c->in[2].data);
        v->mul(s, dz, dz, slope);
        v->mul(s, dq, dq, z);
        v->mul(s, dk, dk, z);
    }
}

/* ---- brief segments ---- */

static int64_t phase_floats(const wf_gau_shape *g)
{
    return wf_max_i64(wf_gau_panels_floats(), wf_gau_tile_scratch(g));
}

/* All phases of one, its work behind the scratch that they use. */
static void take_at_once(const wf_call *c, const wf_gau_shape *g, const wf_gau_plan *all,
                         const wf_gau_segment *s)
{
    wf_gau_shape brief = wf_gau_brief_shape(g);
    wf_gau_work w = {0};
    place(&w, &brief, c->attr, (float *)c->scratch + phase_floats(g));
    wf_gau_plan_brief(&w.plan, all, g, c, s);
    w.groups = w.ranges = 1;
    prepare(c, g, &w, 0);
    weigh(c, g, &w, 0);
    wf_gau_panels_run(
        c, g, &w, &(wf_gau_panels){.segment = w.plan.segments, .to = g->e, .wide = WF_GAU_WIDE});
    wf_gau_rows_run(c, g, &w, 0);
    wf_gau_keys_run(g, &w, &w.plan.parts[0]);
    finish(c, g, &w, 0);
}

/* ---- the order of phases ---- */

static int64_t grad_units(const wf_call *c, int number)
{
    wf_gau_shape g = wf_gau_call_shape(c);
    if (c->reference) return number == 0 ? 1 : -1; /* items share the room */
    wf_gau_work w = {0};
    place(&w, &g, c->attr, c->work);
    wf_gau_wave *now = w.plan.now;
    if (number == 0) {
        wf_gau_plan_make(&w.plan, &g, c);
        return now->parts + now->brief;
    }
    if (now->phase == FINISH) return -1;
    bool is_next = now->phase == PREPARE || now->phase == KEYS;
    if (is_next && !wf_gau_next_wave(&w.plan, &g)) {
        now->phase = FINISH;
        return now->parts;
    }
    now->phase = is_next ? TILES : now->phase + 1;
    w = work_of(c, &g);
    const wf_gau_segment *s = wf_gau_wave_segment(&w.plan, 0);
    const wf_gau_segment *t = wf_gau_wave_segment(&w.plan, wf_gau_wave_segments(&w.plan) - 1);
    if (now->phase == PANELS) return (t - s + 1) * w.ranges * w.groups;
    return now->phase == KEYS ? t->part + t->parts - s->part : now->last - now->first;
}

static void run_unit(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t i)
{
    const wf_gau_plan *p = &w->plan;
    switch (p->now->phase) {
    case PREPARE:
        if (i < p->now->parts)
            prepare(c, g, w, i);
        else
            take_at_once(c, g, p, &p->brief[i - p->now->parts]);
        break;
    case TILES:
        weigh(c, g, w, p->now->first + i);
        break;
    case PANELS:
        panels(c, g, w, i);
        break;
    case ROWS:
        wf_gau_rows_run(c, g, w, p->now->first + i);
        break;
    case KEYS:
        wf_gau_keys_run(g, w, &p->parts[wf_gau_wave_segment(p, 0)->part + i]);
        break;
    default:
        finish(c, g, w, i);
        break;
    }
}

static void grad_run(const wf_call *c, int64_t lo, int64_t hi)
{
    wf_gau_shape g = wf_gau_call_shape(c);
    wf_gau_work w = work_of(c, &g);
    for (int64_t i = 0; c->reference && lo < hi && i < g.items; i++)
        wf_gau_reference_grad(c, &g, i, (double *)(void *)w.kept, w.dk);
    for (int64_t i = lo; !c->reference && i < hi; i++) run_unit(c, &g, &w, i);
}

/* ---- descriptor ---- */

static size_t grad_work(const wf_node *y)
{
    wf_gau_shape g = wf_gau_node_shape(y);
    wf_gau_work w;
    int64_t reference = (3 * g.n + g.e) * (int64_t)sizeof(double); /* from kept on */
    return (size_t)(place(&w, &g, y->attr, NULL) + reference);
}

static size_t grad_scratch(const wf_node *y)
{
    wf_gau_shape g = wf_gau_node_shape(y);
    wf_gau_shape brief = wf_gau_brief_shape(&g);
    wf_gau_work w;
    return (size_t)phase_floats(&g) * sizeof(float) + (size_t)place(&w, &brief, y->attr, NULL);
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
    wf_gau_shape g = wf_gau_node_shape(y);
    double rows = (double)g.rows, queries = (double)g.queries;
    double wide = wf_gau_is_picked(y->attr) ? 1 : 2; /* dY; Y and dG */
    return (wf_cost){
        .flops = queries * (double)(g.n * (4 * g.e + 6 * g.s)),
        .bytes = 4 * (rows * (double)(2 * g.width + 2 * g.s) + wide * queries * (double)g.e),
        .units = g.rows};
}

const wf_op wf_op_gau_grad = {
    .name = "gau_grad",
    .doc = "gradient of silu(u) * attention, or of rows of attention: columns dP | dq z | dk z",
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
