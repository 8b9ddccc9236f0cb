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
 * Phases: queries and keys of a block are made again; then for every wave (gau.h)
 *
 *   tiles    A of a block, transposed
 *   panels   64 columns of a segment after the other: U, V, dG, Y are read, dU and dV written once,
 *            dA grows in a tile. Cut into groups of panels, each with a sum of its own, where there
 *            are few segments; into ranges of keys where a segment is long, and then dY is made
 *            beforehand.
 *   rows     dA summed, dS' and dq of a block
 *   keys     dk of a block, summed over the blocks of the wave in order
 *
 * and at last dk goes back to Z. Nothing depends on the number of threads, and no n x n tensor
 * exists beyond the tiles of one wave.
 */
#include "ops/gau_grad.h"

#include "ops/gemm.h"

#include <string.h>

enum {
    B = WF_GAU_BLOCK,
    RANGE = 256,           /* keys that are taken together: V and dV of a panel stay in the cache */
    UNITS = 16,            /* wanted, so that threads have enough to share */
    GROUPS = 4,            /* of panels at most, ... */
    PART_FLOATS = 1 << 21, /* ... and so many floats of sums */
};

enum phase { PREPARE, TILES, PANELS, ROWS, KEYS, FINISH };

static bool has_ranges(const wf_gau_shape *g)
{
    return g->padded > RANGE;
}

static int64_t place(wf_gau_work *w, const wf_gau_shape *g, const wf_gau_attr *a, void *memory)
{
    int64_t at = 0, f = (int64_t)sizeof(float), tiles = wf_gau_tile_floats(g);
    bool two = a->rate > 0 || a->kind == WF_GAU_KIND_RELU2;
    wf_gau_plan_place(&w->plan, g, memory, &at);
    w->turned.queries = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->turned.keys = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->dk = wf_gau_take(memory, &at, g->all_padded * g->s * f);
    w->dy = has_ranges(g) ? wf_gau_take(memory, &at, g->rows * g->e * f) : NULL;
    w->kept = wf_gau_take(memory, &at, tiles * f);
    w->seen = two ? wf_gau_take(memory, &at, tiles * f) : w->kept;
    w->part_floats = tiles * wf_max_i64(1, wf_min_i64(GROUPS, PART_FLOATS / tiles));
    w->parts = wf_gau_take(memory, &at, w->part_floats * f);
    return at;
}

static int64_t ranges_of(const wf_gau_segment *s)
{
    return wf_ceil_div(s->height, RANGE);
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
        w.ranges = wf_max_i64(w.ranges, ranges_of(wf_gau_wave_segment(&w.plan, i)));
    int64_t most = wf_min_i64(GROUPS, w.part_floats / wf_max_i64(1, now->used));
    w.groups = wf_min_i64(wf_ceil_div(UNITS, segments * w.ranges), wf_min_i64(most, g->panels));
    return w;
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

/* ---- the gate ---- */

/* dU (as dP) and dY of columns at..at+cols-1 of one row. */
static void gate(const wf_call *c, const wf_gau_shape *g, int64_t row, int64_t at, int64_t cols,
                 float *dy)
{
    int64_t u = ((const wf_gau_attr *)c->attr)->u + at;
    const float *p = (const float *)c->in[0].data + row * g->width + u;
    const float *y = (const float *)c->in[5].data + row * g->e + at;
    const float *dg = (const float *)c->in[6].data + row * g->e + at;
    float *du = (float *)c->out->data + row * wf_gau_d_width(g) + u;
    wf_gau_ask(p, g->width, cols);
    wf_gau_ask(y, g->e, cols);
    wf_gau_ask(dg, g->e, cols);
    wf_vec_get()->gate_grad(cols, dy, du, p, dg, y);
}

static void prepare(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t n)
{
    const wf_gau_block *b = &w->plan.blocks[n];
    int64_t at = b->at * g->s;
    wf_gau_turn_block(c, g, b, &w->turned);
    memset(w->dk + at, 0, (size_t)(b->height * g->s) * sizeof *w->dk);
    for (int64_t i = 0; i < b->n && ranges_of(b->segment) > 1; i++)
        gate(c, g, b->row + i, 0, g->e, w->dy + (b->row + i) * g->e);
}

/* ---- phase PANELS: a group of panels, a range of keys, of one segment ---- */

typedef struct panel {
    const wf_call *c;
    const wf_gau_shape *g;
    const wf_gau_work *w;
    const wf_gau_segment *s;
    wf_gau_keys k;      /* of the range */
    int64_t at, cols;   /* columns of e */
    float *part;        /* the sum of dA of this group: tiles */
    bool is_first;      /* panel of the group */
    float *v, *dv;      /* [keys of the range][64] */
    float *dy, *turned; /* [64][64] each: rows of dY, and its transpose */
} panel;

/* dY of a block, and of the gate if that was not done beforehand: [height][64]. */
static void make_dy(const panel *p, const wf_gau_block *b)
{
    for (int64_t i = 0; i < b->n; i++) {
        const float *dy = p->w->dy + (b->row + i) * p->g->e + p->at;
        if (ranges_of(p->s) > 1)
            memcpy(p->dy + i * B, dy, (size_t)p->cols * sizeof *dy);
        else
            gate(p->c, p->g, b->row + i, p->at, p->cols, p->dy + i * B);
    }
    memset(p->dy + b->n * B, 0, (size_t)((b->height - b->n) * B) * sizeof *p->dy);
}

/* dA (+)= V dY^T and dV += A^T dY for the keys of the range that the block sees. */
static void add_block(const panel *p, const wf_gau_block *b)
{
    int64_t from = wf_max_i64(b->from, p->k.from), keys = wf_min_i64(b->to, p->k.to) - from;
    int64_t n = b->height, at = b->tile + (from - b->from) * n, key = (from - p->k.from) * B;
    make_dy(p, b);
    if (keys <= 0) return;
    wf_vec_get()->transpose(n, p->cols, p->turned, n, p->dy, B);
    wf_gemm da = wf_gemm_get(&(wf_gemm_shape){
        .m = keys, .n = n, .k = p->cols, .lda = B, .ldb = n, .ldc = n, .accumulate = !p->is_first});
    wf_gemm_run(&da, p->v + key, p->turned, p->part + at, 1);
    wf_gemm dv = wf_gemm_get(&(wf_gemm_shape){
        .m = keys, .n = p->cols, .k = n, .lda = n, .ldb = B, .ldc = B, .accumulate = true});
    wf_gemm_run(&dv, p->w->seen + at, p->dy, p->dv + key, 1);
}

/* The rows of dV in the result: raw sums from wave to wave, times SiLU' after the last. */
static void move_dv(const panel *p, bool is_load, bool is_last)
{
    int64_t v = ((const wf_gau_attr *)p->c->attr)->v + p->at;
    int64_t end = wf_min_i64(p->k.to, p->s->at + p->s->n);
    size_t bytes = (size_t)p->cols * sizeof(float);
    for (int64_t k = p->k.from; k < end; k++) {
        int64_t row = p->s->row + k - p->s->at;
        float *x = p->dv + (k - p->k.from) * B;
        float *d = (float *)p->c->out->data + row * wf_gau_d_width(p->g) + v;
        const float *slab = (const float *)p->c->in[0].data + row * p->g->width + v;
        wf_gau_ask(slab, p->g->width, p->cols);
        if (is_load)
            memcpy(x, d, bytes);
        else if (is_last)
            wf_vec_get()->silu_grad_mul(p->cols, d, slab, x);
        else
            memcpy(d, x, bytes);
    }
}

static void run_panel(panel *p, int64_t number)
{
    const wf_gau_attr *a = p->c->attr;
    const wf_gau_segment *s = p->s;
    p->at = number * B;
    p->cols = wf_min_i64(B, p->g->e - p->at);
    wf_gau_part part = {s, p->k.from, p->k.to, a->v + p->at, p->cols};
    wf_gau_part_silu(p->c, p->g, &part, p->v, B);
    if (p->k.first == s->block)
        memset(p->dv, 0, (size_t)((p->k.to - p->k.from) * B) * sizeof *p->dv);
    else
        move_dv(p, true, false);
    for (int64_t b = p->k.first; b < p->k.last; b++) add_block(p, &p->w->plan.blocks[b]);
    move_dv(p, false, p->k.last == s->block + s->blocks);
    p->is_first = false;
}

static void panels(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t unit)
{
    int64_t group = unit % w->groups, range = unit / w->groups % w->ranges;
    const wf_gau_segment *s = wf_gau_wave_segment(&w->plan, unit / w->groups / w->ranges);
    float *scratch = c->scratch;
    panel p = {.c = c, .g = g, .w = w, .s = s, .k = wf_gau_keys_of(&w->plan, s), .is_first = true};
    p.k.from = s->at + range * RANGE; /* all keys: those that nobody sees get zeros */
    p.k.to = wf_min_i64(p.k.from + RANGE, s->at + s->height);
    if (p.k.from >= p.k.to) return;
    p.part = w->parts + group * w->plan.now->used;
    p.dy = scratch;
    p.turned = scratch + B * B;
    p.v = p.turned + B * B;
    p.dv = p.v + RANGE * B;
    int64_t last = (group + 1) * g->panels / w->groups;
    for (int64_t i = group * g->panels / w->groups; i < last; i++) run_panel(&p, i);
}

/* ---- phase FINISH: keys back to Z, SiLU' of Z ---- */

static void finish(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t n)
{
    const wf_gau_block *b = &w->plan.blocks[n];
    int64_t z = ((const wf_gau_attr *)c->attr)->z;
    for (int64_t i = 0; i < b->n; i++) {
        const float *p = (const float *)c->in[0].data + (b->row + i) * g->width + z;
        float *d = (float *)c->out->data + (b->row + i) * wf_gau_d_width(g);
        float *product = d + g->width + g->s;
        wf_gau_turn_back(c, g, b->row + i, c->in[2].data, w->dk + (b->at + i) * g->s, d + z,
                         product);
        wf_vec_get()->silu_grad_mul(g->s, d + z, p, d + z);
    }
}

/* ---- the order of phases ---- */

static int64_t grad_units(const wf_call *c, int number)
{
    wf_gau_shape g = wf_gau_shape_of(&c->in[0].shape, c->attr);
    if (c->reference) return number == 0 ? 1 : -1; /* items share the room */
    wf_gau_work w = {0};
    place(&w, &g, c->attr, c->work);
    wf_gau_wave *now = w.plan.now;
    if (number == 0) {
        wf_gau_plan_make(&w.plan, &g, c->in[3].data);
        return now->blocks;
    }
    if (now->phase == FINISH) return -1;
    bool is_next = now->phase == PREPARE || now->phase == KEYS;
    if (is_next && !wf_gau_next_wave(&w.plan, &g)) {
        now->phase = FINISH;
        return now->blocks;
    }
    now->phase = is_next ? TILES : now->phase + 1;
    w = work_of(c, &g);
    const wf_gau_segment *s = wf_gau_wave_segment(&w.plan, 0);
    const wf_gau_segment *t = wf_gau_wave_segment(&w.plan, wf_gau_wave_segments(&w.plan) - 1);
    if (now->phase == PANELS) return (t - s + 1) * w.ranges * w.groups;
    return now->phase == KEYS ? t->block + t->blocks - s->block : now->last - now->first;
}

static void run_unit(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t i)
{
    const wf_gau_plan *p = &w->plan;
    const wf_gau_block *b = &p->blocks[p->now->first + i];
    switch (p->now->phase) {
    case PREPARE:
        prepare(c, g, w, i);
        break;
    case TILES:
        wf_gau_weigh(c, g, b, &w->turned, w->kept + b->tile, w->seen + b->tile);
        break;
    case PANELS:
        panels(c, g, w, i);
        break;
    case ROWS:
        wf_gau_rows_run(c, g, w, p->now->first + i);
        break;
    case KEYS:
        wf_gau_keys_run(g, w, &p->blocks[wf_gau_wave_segment(p, 0)->block + i]);
        break;
    default:
        finish(c, g, w, i);
        break;
    }
}

static void grad_run(const wf_call *c, int64_t lo, int64_t hi)
{
    wf_gau_shape g = wf_gau_shape_of(&c->in[0].shape, c->attr);
    wf_gau_work w = work_of(c, &g);
    for (int64_t i = 0; c->reference && lo < hi && i < g.items; i++)
        wf_gau_reference_grad(c, &g, i, (double *)(void *)w.kept, w.dk);
    for (int64_t i = lo; !c->reference && i < hi; i++) run_unit(c, &g, &w, i);
}

/* ---- descriptor ---- */

static size_t grad_work(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    wf_gau_work w;
    int64_t reference = (3 * g.n + g.e) * (int64_t)sizeof(double); /* from kept on */
    return (size_t)(place(&w, &g, y->attr, NULL) + reference);
}

static size_t grad_scratch(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    int64_t n = wf_max_i64(2 * B * B + 2 * RANGE * B, B * g.s); /* panels, dq */
    return (size_t)wf_max_i64(n, wf_gau_tile_scratch(&g)) * sizeof(float);
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
                     .units = g.rows};
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
