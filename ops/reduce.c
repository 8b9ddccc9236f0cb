/*
 * Reductions over any axes: sum, mean, max_over, logsumexp, norm.
 *
 * The input is seen as [outer, middle, inner] where middle is one run of reduced axes; several runs
 * take the general path. Three forms: everything (partial results of blocks of 16,384 elements in
 * phase 0, combined in order in phase 1), rows (inner = 1: a unit is a row), columns (a unit is a
 * block of 64 columns of one outer index, rows added in order). Bits do not depend on threads.
 */
#include "ops/ops.h"

#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 16384, COLS = 64 };

/* How a kind of reduction works on contiguous elements. */
typedef enum kind { SUM, MEAN, MAX, LSE, NORM } kind;

typedef struct view3 {
    int64_t outer, middle, inner;
    bool simple; /* one run of reduced axes */
} view3;

static view3 view_of(const wf_shape *s, const wf_reduce_attr *a)
{
    view3 v = {1, 1, 1, true};
    int state = 0; /* 0 before the run, 1 in it, 2 behind */
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] == 1) continue;
        if (a->over[i]) {
            if (state == 2) v.simple = false;
            state = 1;
            v.middle *= s->dim[i];
        } else {
            if (state == 1) state = 2;
            if (state == 0)
                v.outer *= s->dim[i];
            else
                v.inner *= s->dim[i];
        }
    }
    return v;
}

/* ---- one row of n contiguous elements ---- */

static double row_value(kind k, const float *x, int64_t n)
{
    const wf_vec *v = wf_vec_get();
    if (k == MAX) return (double)v->max_of(n, x);
    if (k == NORM) return v->dot(n, x, x);
    if (k != LSE) return n == 1 ? (double)*x : v->sum(n, x);
    float top = v->max_of(n, x), room[1024];
    if (!isfinite(top)) return (double)top;
    double sum = 0;
    for (int64_t i = 0; i < n; i += 1024)
        sum += (double)v->exp_sum(wf_min_i64(1024, n - i), room, x + i, top);
    return (double)top + log(sum);
}

static double combine(kind k, double a, double b)
{
    if (k == MAX) return a > b || isnan(a) ? a : b;
    if (k != LSE) return a + b;
    double top = fmax(a, b);
    return isfinite(top) ? top + log(exp(a - top) + exp(b - top)) : a + b > top ? top : a + b;
}

static double start(kind k)
{
    return k == MAX || k == LSE ? -INFINITY : -0.0; /* -0 + x is x, -0 too */
}

static float finish(kind k, double x, int64_t n)
{
    if (k == MEAN) return (float)(x / (double)n);
    return (float)(k == NORM ? sqrt(x) : x);
}

/* ---- the general path and the reference: one output element, in double ---- */

/* Offset of output element o in x, and then of reduced element r behind it. */
static double element(const wf_call *c, kind k, int64_t o, int64_t n)
{
    const wf_reduce_attr *a = c->attr;
    const wf_tensor *t = &c->in[0];
    const float *x = t->data;
    int64_t base = 0;
    for (int i = t->shape.rank - 1; i >= 0; i--)
        if (!a->over[i]) {
            base += o % t->shape.dim[i] * t->stride[i];
            o /= t->shape.dim[i];
        }
    double y = start(k);
    for (int64_t r = 0; r < n; r++) {
        int64_t rest = r, at = base;
        for (int i = t->shape.rank - 1; i >= 0; i--)
            if (a->over[i]) {
                at += rest % t->shape.dim[i] * t->stride[i];
                rest /= t->shape.dim[i];
            }
        double v = (double)x[at];
        y = combine(k, y, k == NORM ? v * v : v);
    }
    return y;
}

/* ---- columns ---- */

static void add_rows(kind k, const float *x, int64_t rows, int64_t ld, int64_t n, double *sum)
{
    const wf_vec *v = wf_vec_get();
    float part[COLS], row[COLS];
    for (int64_t from = 0; from < rows; from += 256) { /* floats in blocks, blocks in double */
        int64_t to = wf_min_i64(from + 256, rows);
        if (k != NORM) v->sum_rows(to - from, n, part, x + from * ld, ld);
        for (int64_t r = from; k == NORM && r < to; r++) {
            v->square(n, row, x + r * ld);
            if (r == from) v->fill(n, part, 0);
            v->add(n, part, part, row);
        }
        for (int64_t i = 0; i < n; i++) sum[i] += (double)part[i];
    }
}

static void columns(const wf_call *c, kind k, const view3 *s, int64_t unit)
{
    const wf_vec *v = wf_vec_get();
    int64_t blocks = wf_ceil_div(s->inner, COLS), outer = unit / blocks, at = unit % blocks * COLS;
    int64_t n = wf_min_i64(COLS, s->inner - at);
    const float *x = (const float *)c->in[0].data + outer * s->middle * s->inner + at;
    float *y = (float *)c->out->data + outer * s->inner + at, top[COLS], e[COLS];
    double sum[COLS] = {0};
    if (k == MAX || k == LSE) {
        v->fill(n, top, -INFINITY);
        for (int64_t r = 0; r < s->middle; r++) v->max(n, top, top, x + r * s->inner);
        for (int64_t r = 0; k == LSE && r < s->middle; r++) {
            v->sub(n, e, x + r * s->inner, top);
            v->exp(n, e, e);
            for (int64_t i = 0; i < n; i++) sum[i] += (double)e[i];
        }
        for (int64_t i = 0; i < n; i++)
            y[i] = k == MAX || !isfinite(top[i]) ? top[i] : top[i] + (float)log(sum[i]);
        return;
    }
    add_rows(k, x, s->middle, s->inner, n, sum);
    bool is_one = s->middle == 1 && k != NORM; /* and may be -0 */
    for (int64_t i = 0; i < n; i++) y[i] = is_one ? x[i] : finish(k, sum[i], s->middle);
}

/* ---- everything ---- */

static void all_units(const wf_call *c, kind k, int64_t n, int64_t lo, int64_t hi)
{
    double *part = c->work;
    if (c->phase == 1) {
        double y = start(k);
        for (int64_t b = 0; b < wf_ceil_div(n, BLOCK); b++) y = combine(k, y, part[b]);
        *(float *)c->out->data = finish(k, y, n);
        return;
    }
    for (int64_t b = lo; b < hi; b++)
        part[b] = row_value(k, (const float *)c->in[0].data + b * BLOCK,
                            wf_min_i64(BLOCK, n - b * BLOCK));
}

static int64_t reduce_units(const wf_call *c, int phase)
{
    view3 s = view_of(&c->in[0].shape, c->attr);
    int64_t outputs = wf_elements(&c->out->shape);
    if (c->reference || !s.simple) return phase == 0 ? outputs : -1;
    if (outputs == 1) return phase == 0 ? wf_ceil_div(s.middle, BLOCK) : phase == 1 ? 1 : -1;
    if (phase > 0) return -1;
    return s.inner == 1 ? s.outer : s.outer * wf_ceil_div(s.inner, COLS);
}

static void reduce_run(const wf_call *c, kind k, int64_t lo, int64_t hi)
{
    view3 s = view_of(&c->in[0].shape, c->attr);
    float *y = c->out->data;
    if (c->reference || !s.simple) {
        for (int64_t i = lo; i < hi; i++) y[i] = finish(k, element(c, k, i, s.middle), s.middle);
        return;
    }
    if (wf_elements(&c->out->shape) == 1) {
        all_units(c, k, s.middle, lo, hi);
        return;
    }
    for (int64_t u = lo; u < hi; u++) {
        if (s.inner == 1)
            y[u] = finish(k, row_value(k, (const float *)c->in[0].data + u * s.middle, s.middle),
                          s.middle);
        else
            columns(c, k, &s, u);
    }
}

/* ---- shapes, gradients, descriptors ---- */

static bool reduce_infer(wf_node *y)
{
    const wf_reduce_attr *a = y->attr;
    const wf_shape *s = &y->in[0]->shape;
    if (y->in[0]->dtype != WF_F32) return wf_fail(y, "the input must be float32");
    y->dtype = WF_F32;
    y->shape = (wf_shape){0};
    for (int i = 0; i < s->rank; i++)
        if (!a->over[i])
            y->shape.dim[y->shape.rank++] = s->dim[i];
        else if (a->keep)
            y->shape.dim[y->shape.rank++] = 1;
    return true;
}

static wf_cost reduce_cost(const wf_node *y)
{
    double n = (double)wf_elements(&y->in[0]->shape);
    return (wf_cost){.flops = n, .bytes = 4 * n, .units = wf_elements(&y->shape)};
}

static size_t reduce_work(const wf_node *y)
{
    if (wf_elements(&y->shape) != 1) return 0;
    return (size_t)wf_ceil_div(wf_elements(&y->in[0]->shape), BLOCK) * sizeof(double);
}

static int reduce_print(const void *attr, char *text, size_t size)
{
    const wf_reduce_attr *a = attr;
    size_t n = (size_t)snprintf(text, size, "axes=");
    for (int i = 0; i < WF_MAX_RANK && n < size; i++)
        if (a->over[i]) n += (size_t)snprintf(text + n, size - n, "%d", i);
    if (n < size && a->keep) n += (size_t)snprintf(text + n, size - n, " keep");
    return (int)n;
}

/* A tensor of y's shape with the reduced axes put back as 1: it broadcasts against the input. */
static wf_node *expand(const wf_node *y, wf_node *x)
{
    const wf_reduce_attr *a = y->attr;
    wf_shape s = y->in[0]->shape;
    for (int i = 0; i < s.rank; i++)
        if (a->over[i]) s.dim[i] = 1;
    return wf_reshape(x, s);
}

static wf_node *spread(const wf_node *y, wf_node *dy)
{
    return wf_broadcast(expand(y, dy), y->in[0]->shape);
}

static void sum_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = spread(y, dy);
}

static void mean_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_reduce_attr *a = y->attr;
    wf_node *count = wf_constant(wf_graph_of(y), 1);
    for (int i = 0; i < y->in[0]->shape.rank; i++)
        if (a->over[i]) count = wf_mul(count, wf_extent(y->in[0], i));
    dx[0] = spread(y, wf_div(dy, count));
}

/* Equal maxima share the gradient. */
static void max_over_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_reduce_attr a = *(const wf_reduce_attr *)y->attr;
    wf_node *is_top = wf_equal(y->in[0], expand(y, y));
    a.keep = true;
    wf_node *ties = wf_apply1(&wf_op_sum, &a, is_top);
    dx[0] = wf_mul(is_top, wf_div(expand(y, dy), ties));
}

static void logsumexp_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_mul(expand(y, dy), wf_exp(wf_sub(y->in[0], expand(y, y))));
}

/* x / |x|, and 0 at 0 */
static void norm_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_graph *g = wf_graph_of(y);
    wf_node *zero = wf_constant(g, 0), *is_zero = wf_equal(y, zero);
    wf_node *safe = wf_where(is_zero, wf_constant(g, 1), y);
    dx[0] = wf_mul(y->in[0], expand(y, wf_where(is_zero, zero, wf_div(dy, safe))));
}

static wf_node *reduce(const wf_op *op, wf_node *x, wf_axes axes, bool keep)
{
    wf_reduce_attr a = {.keep = keep};
    char text[80];
    wf_shape_text(&x->shape, text, sizeof text);
    if (axes.n < 0 || axes.n > x->shape.rank)
        return wf_refuse(x->graph, op, "%d axes are named of %s", axes.n, text);
    for (int i = 0; axes.n == 0 && i < x->shape.rank; i++) a.over[i] = true;
    for (int i = 0; i < axes.n; i++) {
        int axis = wf_find_axis(op, x, axes.axis[i]);
        if (axis < 0) return wf_poison(x->graph);
        if (a.over[axis]) return wf_refuse(x->graph, op, "axis %d of %s comes twice", axis, text);
        a.over[axis] = true;
    }
    return wf_apply1(op, &a, x);
}

#define REDUCE(NAME, KIND, DOC)                                                                    \
    static void NAME##_run(const wf_call *c, int64_t lo, int64_t hi)                               \
    {                                                                                              \
        reduce_run(c, KIND, lo, hi);                                                               \
    }                                                                                              \
    const wf_op wf_op_##NAME = {                                                                   \
        .name = #NAME,                                                                             \
        .doc = DOC,                                                                                \
        .arity = 1,                                                                                \
        .attr_size = sizeof(wf_reduce_attr),                                                       \
        .infer = reduce_infer,                                                                     \
        .grad = NAME##_grad,                                                                       \
        .cost = reduce_cost,                                                                       \
        .work = reduce_work,                                                                       \
        .units = reduce_units,                                                                     \
        .run = NAME##_run,                                                                         \
        .print = reduce_print,                                                                     \
    };                                                                                             \
    wf_node *wf_##NAME(wf_node *x, wf_axes axes, bool keep)                                        \
    {                                                                                              \
        return reduce(&wf_op_##NAME, x, axes, keep);                                               \
    }

REDUCE(sum, SUM, "sum over axes")
REDUCE(mean, MEAN, "mean over axes")
REDUCE(max_over, MAX, "maximum over axes")
REDUCE(logsumexp, LSE, "ln sum e^x over axes")
REDUCE(norm, NORM, "sqrt of the sum of squares over axes")
