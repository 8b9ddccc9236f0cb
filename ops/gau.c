/*
 * Gated attention unit, forward.
 *
 *   gau_attend: Y = dropout(A) V,  A_ij = softmax_j or relu^2 of f_i Q_i K_j over the row's span,
 *               Q, K = rope(Z gamma_q), rope(Z gamma_k)
 *   gau_gate:   G = U * Y
 *
 * A unit of gau_attend is a block of 64 rows: its scores (64 x visible keys) stay in this thread's
 * scratch; n x n numbers never exist. Phase 0 prepares K in panels of 64 keys, V in panels of 64
 * columns, so that every product is a batch of 64-wide tiles. The gate is its own node because
 * the backward pass needs Y and G both; its gradient is that of the whole unit (gau_grad.c).
 */
#include "ops/gau.h"

#include "ops/gemm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = WF_GAU_BLOCK };

wf_gau_shape wf_gau_shape_of(const wf_shape *slab, const wf_gau_attr *a)
{
    wf_gau_shape g = {.e = a->e, .s = a->s, .items = 1};
    g.width = slab->dim[slab->rank - 1];
    g.n = slab->dim[slab->rank - 2];
    for (int i = 0; i < slab->rank - 2; i++) g.items *= slab->dim[i];
    g.rows = g.items * g.n;
    g.blocks = wf_ceil_div(g.n, B);
    g.panels = wf_ceil_div(g.e, B);
    return g;
}

wf_gau_row wf_gau_row_of(const wf_gau_shape *g, const wf_gau_attr *a, const int32_t *span,
                         int64_t i)
{
    wf_gau_row r = {.from = wf_max_i64(span[2 * i], 0), .to = wf_min_i64(span[2 * i + 1], g->n)};
    if (r.to < r.from) r.to = r.from;
    float length = fmaxf((float)(r.to - r.from), a->min_len);
    r.factor = a->scale;
    if (a->log_scale != 0) r.factor *= a->log_scale * logf(length);
    r.inverse = 1 / length;
    return r;
}

wf_gau_rows wf_gau_rows_of(const wf_gau_shape *g, const int32_t *span, int64_t block)
{
    wf_gau_rows r = {.item = block / g->blocks, .first = block % g->blocks * B, .lo = g->blocks};
    r.n = wf_min_i64(B, g->n - r.first);
    for (int64_t i = 0; i < r.n; i++) {
        int64_t row = r.item * g->n + r.first + i;
        int64_t from = wf_max_i64(span[2 * row], 0), to = wf_min_i64(span[2 * row + 1], g->n);
        if (to <= from) continue;
        r.lo = wf_min_i64(r.lo, from / B);
        r.hi = wf_max_i64(r.hi, wf_ceil_div(to, B));
    }
    if (r.hi == 0) r.lo = 0; /* nothing is visible */
    return r;
}

void wf_gau_turn(const wf_gau_attr *a, const float *p_row, const float *gamma, const float *angle,
                 float factor, float *y, float *temp)
{
    const wf_vec *v = wf_vec_get();
    v->silu_mul(a->s, temp, p_row + a->z, gamma);
    v->rotate(a->s / 2, y, temp, angle, angle + a->s / 2);
    if (factor != 1) v->scale(a->s, y, y, factor);
}

void wf_gau_panels(const wf_gau_shape *g, const float *p, int64_t n, int64_t from, float *y)
{
    const wf_vec *v = wf_vec_get();
    int64_t height = g->blocks * B; /* rows of a panel */
    for (int64_t c = 0; c < g->panels; c++) {
        int64_t cols = wf_min_i64(B, g->e - c * B);
        float *panel = y + c * height * B;
        for (int64_t r = 0; r < n; r++)
            v->silu(cols, panel + r * B, p + r * g->width + from + c * B);
        for (int64_t r = n; r < B; r++) memset(panel + r * B, 0, B * sizeof *y);
    }
}

/* Work of gau_attend, per item: values [panels][blocks B][B], keys [blocks][s][B]; then queries
 * [rows][s]. */
struct attend_work {
    float *values, *keys, *queries;
};

static struct attend_work attend_work(const wf_gau_shape *g, float *work)
{
    struct attend_work w = {.values = work};
    w.keys = w.values + g->items * g->panels * g->blocks * B * B;
    w.queries = w.keys + g->items * g->blocks * g->s * B;
    return w;
}

static size_t attend_work_bytes(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    int64_t n = g.items * g.blocks * B * (g.panels * B + g.s) + g.rows * g.s;
    return (size_t)n * sizeof(float);
}

static void prepare_block(const wf_call *c, const wf_gau_shape *g, int64_t block)
{
    const wf_gau_attr *a = c->attr;
    const float *p = c->in[0].data;
    const int32_t *span = c->in[3].data;
    struct attend_work w = attend_work(g, c->work);
    int64_t item = block / g->blocks, first = block % g->blocks * B;
    int64_t n = wf_min_i64(B, g->n - first), row = item * g->n + first;
    float *temp = c->scratch, *turned = temp + g->s;
    float *values = w.values + item * g->panels * g->blocks * B * B + first * B;
    wf_gau_panels(g, p + row * g->width, n, a->v, values);
    memset(turned, 0, (size_t)(B * g->s) * sizeof *turned);
    for (int64_t i = 0; i < n; i++) {
        const float *p_row = p + (row + i) * g->width;
        wf_gau_row r = wf_gau_row_of(g, a, span, row + i);
        const float *angle = (const float *)c->in[4].data + (first + i) * g->s;
        wf_gau_turn(a, p_row, c->in[1].data, angle, r.factor, w.queries + (row + i) * g->s, temp);
        wf_gau_turn(a, p_row, c->in[2].data, angle, 1, turned + i * g->s, temp);
    }
    wf_vec_get()->transpose(B, g->s, w.keys + block * g->s * B, B, turned, g->s);
}

/* Scores of one row to weights over keys lo*B..hi*B-1; zero outside its span. */
static void weights(const wf_call *c, const wf_gau_shape *g, const wf_gau_rows *r, int64_t i,
                    float *x)
{
    const wf_gau_attr *a = c->attr;
    const wf_vec *v = wf_vec_get();
    int64_t row = r->item * g->n + r->first + i, left = r->lo * B, width = (r->hi - r->lo) * B;
    wf_gau_row k = wf_gau_row_of(g, a, c->in[3].data, row);
    int64_t from = k.from - left, n = k.to - k.from;
    if (n == 0) from = 0;
    float *y = x + from;
    memset(x, 0, (size_t)from * sizeof *x);
    memset(y + n, 0, (size_t)(width - from - n) * sizeof *x);
    if (n == 0) return;
    if (a->kind == WF_GAU_KIND_SOFTMAX) {
        float sum = v->exp_sum(n, y, y, v->max_of(n, y));
        v->scale(n, y, y, 1 / sum);
    } else {
        v->relu2(n, y, y);
        v->scale(n, y, y, k.inverse);
    }
    if (a->rate > 0)
        v->dropout(n, y, y, a->rate, c->seed, wf_random_stream(a->salt, c->step),
                   (uint64_t)(row * g->n + k.from));
}

static void attend_block(const wf_call *c, const wf_gau_shape *g, int64_t block)
{
    struct attend_work w = attend_work(g, c->work);
    wf_gau_rows r = wf_gau_rows_of(g, c->in[3].data, block);
    int64_t width = (r.hi - r.lo) * B, row = r.item * g->n + r.first;
    float *tile = c->scratch, *y = (float *)c->out->data + row * g->e;
    if (width == 0) {
        memset(y, 0, (size_t)(r.n * g->e) * sizeof *y);
        return;
    }
    wf_gemm score = wf_gemm_get(
        &(wf_gemm_shape){.m = r.n, .n = B, .k = g->s, .lda = g->s, .ldb = B, .ldc = width});
    for (int64_t k = r.lo; k < r.hi; k++)
        wf_gemm_run(&score, w.queries + row * g->s, w.keys + (r.item * g->blocks + k) * g->s * B,
                    tile + (k - r.lo) * B, 1);
    for (int64_t i = 0; i < r.n; i++) weights(c, g, &r, i, tile + i * width);
    int64_t height = g->blocks * B;
    const float *values = w.values + r.item * g->panels * height * B + r.lo * B * B;
    for (int64_t p = 0; p < g->panels; p++) {
        int64_t cols = wf_min_i64(B, g->e - p * B);
        wf_gemm read = wf_gemm_get(&(wf_gemm_shape){.m = r.n,
                                                    .n = cols,
                                                    .k = B,
                                                    .lda = width,
                                                    .ldb = B,
                                                    .ldc = g->e,
                                                    .step_a = B,
                                                    .step_b = B * B});
        wf_gemm_run(&read, tile, values + p * height * B, y + p * B, r.hi - r.lo);
    }
}

static int64_t attend_units(const wf_call *c, int phase)
{
    wf_gau_shape g = wf_gau_shape_of(&c->in[0].shape, c->attr);
    if (c->reference) return phase == 0 ? g.rows : -1;
    return phase < 2 ? g.items * g.blocks : -1;
}

static void attend_run(const wf_call *c, int64_t lo, int64_t hi)
{
    wf_gau_shape g = wf_gau_shape_of(&c->in[0].shape, c->attr);
    for (int64_t b = lo; b < hi; b++)
        if (c->reference)
            wf_gau_reference_attend(c, &g, b, c->scratch);
        else
            (c->phase == 0 ? prepare_block : attend_block)(c, &g, b);
}

static size_t attend_scratch(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    int64_t tile = B * g.blocks * B, turn = (1 + B) * g.s;
    return (size_t)wf_max_i64(tile, turn) * sizeof(float);
}

static bool attend_infer(wf_node *y)
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
    int64_t pairs = 0;
    for (int64_t i = 0; i < g.rows; i++) {
        wf_gau_row r = wf_gau_row_of(&g, c->attr, c->in[3].data, i);
        pairs += r.to - r.from;
    }
    return (double)pairs / ((double)g.rows * (double)g.n);
}

static wf_cost attend_cost(const wf_node *y)
{
    wf_gau_shape g = wf_gau_shape_of(&y->in[0]->shape, y->attr);
    double rows = (double)g.rows;
    return (wf_cost){.flops = 2 * rows * (double)(g.n * (g.s + g.e)),
                     .bytes = 4 * rows * (double)(g.e + g.s + g.e),
                     .units = g.items * g.blocks};
}

static int gau_print(const void *attr, char *text, size_t size)
{
    const wf_gau_attr *a = attr;
    return snprintf(text, size, "e=%lld s=%lld %s scale=%g log=%g min=%g rate=%g", (long long)a->e,
                    (long long)a->s, a->kind == WF_GAU_KIND_RELU2 ? "relu2" : "softmax",
                    (double)a->scale, (double)a->log_scale, (double)a->min_len, (double)a->rate);
}

const wf_op wf_op_gau_attend = {
    .name = "gau_attend",
    .doc = "softmax or relu^2 of rope(Z gq) rope(Z gk)^T over spans, times V; V, Z = silu(columns)",
    .arity = 5,
    .traits = WF_RANDOM,
    .attr_size = sizeof(wf_gau_attr),
    .infer = attend_infer,
    .cost = attend_cost,
    .share = wf_gau_share,
    .scratch = attend_scratch,
    .work = attend_work_bytes,
    .units = attend_units,
    .run = attend_run,
    .print = gau_print,
};

/* ---- gate: P, gamma_q, gamma_k, span, angles, Y -> silu(P_u) * Y ---- */

static void gate_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_gau_attr *a = c->attr;
    const wf_vec *v = wf_vec_get();
    int64_t width = wf_last(&c->in[0].shape);
    for (int64_t r = lo; r < hi; r++) {
        float *g = (float *)c->out->data + r * a->e;
        const float *y = (const float *)c->in[5].data + r * a->e;
        const float *p = (const float *)c->in[0].data + r * width + a->u;
        for (int64_t i = 0; c->reference && i < a->e; i++)
            g[i] = (float)((double)p[i] / (1 + exp(-(double)p[i])) * (double)y[i]);
        if (!c->reference) v->silu_mul(a->e, g, p, y);
    }
}

static wf_cost gate_cost(const wf_node *y)
{
    double n = (double)wf_elements(&y->shape);
    return (wf_cost){.flops = 16 * n, .bytes = 12 * n, .units = wf_rows(&y->shape)};
}

/* The gradient of the whole unit: one slab with the columns dP | dq z | dk z. Nothing flows into Y:
 * its part is in dP already. */
static void gate_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_gau_attr *a = y->attr;
    wf_node *in[7] = {y->in[0], y->in[1], y->in[2], y->in[3], y->in[4], y->in[5], dy};
    wf_node *d = wf_apply(&wf_op_gau_grad, a, 7, in);
    int64_t width = wf_dim(y->in[0], -1);
    wf_axes rows = {.n = d->shape.rank - 1};
    for (int i = 0; i < rows.n; i++) rows.axis[i] = i;
    dx[0] = wf_slice(d, -1, 0, width);
    dx[1] = wf_sum(wf_slice(d, -1, width, a->s), rows, false);
    dx[2] = wf_sum(wf_slice(d, -1, width + a->s, a->s), rows, false);
}

const wf_op wf_op_gau_gate = {
    .name = "gau_gate",
    .doc = "silu(columns u of P) * Y; carries the gradient of the whole unit",
    .arity = 6,
    .attr_size = sizeof(wf_gau_attr),
    .infer = attend_infer,
    .grad = gate_grad,
    .cost = gate_cost,
    .run = gate_run,
    .print = gau_print,
};
