/*
 * Root-mean-square norm and layer norm over the last axis, without gains; a unit is a row.
 *
 *   rms_norm    y = x / r, r = sqrt(mean(x^2) + eps)       dx = (dy - y mean(y dy)) / r
 *   layer_norm  y = (x - m) / r, r = sqrt(var(x) + eps)    dx = (dy - mean(dy) - y mean(y dy)) / r
 *
 * (Zhang, Sennrich 2019; Ba et al. 2016.) Where r = 0 the result is 0. The gradient is computed
 * from x, so that y need not be kept.
 */
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

static bool norm_infer(wf_node *y)
{
    const wf_norm_attr *a = y->attr;
    for (int i = 0; i < y->n_in; i++) {
        if (y->in[i]->dtype != WF_F32) return wf_fail(y, "the input must be float32");
        if (!wf_shape_equal(&y->in[i]->shape, &y->in[0]->shape))
            return wf_fail(y, "inputs must have one shape");
    }
    if (y->in[0]->shape.rank < 1) return wf_fail(y, "needs at least one axis");
    if (!(a->eps >= 0)) return wf_fail(y, "eps must not be negative, got %g", (double)a->eps);
    return wf_infer_same(y);
}

static wf_cost norm_cost(const wf_node *y)
{
    return wf_cost_rows(y, 6);
}

static int norm_print(const void *attr, char *text, size_t size)
{
    return snprintf(text, size, "eps=%g", (double)((const wf_norm_attr *)attr)->eps);
}

/* Mean (0 for rms) and 1 / r of a row. */
typedef struct row {
    double mean, inverse;
} row;

static row measure(int64_t n, const float *x, double eps, bool centre)
{
    const wf_vec *v = wf_vec_get();
    row k = {0};
    double square = 0;
    if (centre) { /* around the mean: no digits are lost to a large one */
        k.mean = v->sum(n, x) / (double)n;
        for (int64_t i = 0; i < n; i += 1024) {
            float room[1024];
            int64_t m = n - i < 1024 ? n - i : 1024;
            v->shift(m, room, x + i, -(float)k.mean);
            square += v->dot(m, room, room);
        }
    } else {
        square = v->dot(n, x, x);
    }
    double r = sqrt(square / (double)n + eps);
    k.inverse = r > 0 ? 1 / r : 0;
    return k;
}

static row measure_reference(int64_t n, const float *x, double eps, bool centre)
{
    row k = {0};
    double square = 0;
    for (int64_t i = 0; centre && i < n; i++) k.mean += (double)x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) square += ((double)x[i] - k.mean) * ((double)x[i] - k.mean);
    double r = sqrt(square / (double)n + eps);
    k.inverse = r > 0 ? 1 / r : 0;
    return k;
}

static void norm_rows(const wf_call *c, int64_t lo, int64_t hi, bool centre)
{
    double eps = (double)((const wf_norm_attr *)c->attr)->eps;
    const wf_vec *v = wf_vec_get();
    int64_t n = wf_last(&c->out->shape);
    for (int64_t r = lo; r < hi; r++) {
        const float *x = (const float *)c->in[0].data + r * n;
        float *y = (float *)c->out->data + r * n;
        row k = (c->reference ? measure_reference : measure)(n, x, eps, centre);
        if (c->reference) {
            for (int64_t i = 0; i < n; i++) y[i] = (float)(((double)x[i] - k.mean) * k.inverse);
            continue;
        }
        if (centre) v->shift(n, y, x, -(float)k.mean);
        v->scale(n, y, centre ? y : x, (float)k.inverse);
    }
}

static void grad_row_reference(int64_t n, float *dx, const float *x, const float *dy, row k,
                               bool centre)
{
    double mean = 0, along = 0;
    for (int64_t i = 0; i < n; i++) {
        mean += centre ? (double)dy[i] / (double)n : 0;
        along += ((double)x[i] - k.mean) * k.inverse * (double)dy[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        double y = ((double)x[i] - k.mean) * k.inverse;
        dx[i] = (float)(((double)dy[i] - mean - y * along) * k.inverse);
    }
}

/* dx = inverse dy - (inverse^2 along) (x - m) - inverse mean(dy), along = mean(y dy) */
static void grad_rows(const wf_call *c, int64_t lo, int64_t hi, bool centre)
{
    double eps = (double)((const wf_norm_attr *)c->attr)->eps;
    const wf_vec *v = wf_vec_get();
    int64_t n = wf_last(&c->out->shape);
    for (int64_t r = lo; r < hi; r++) {
        const float *x = (const float *)c->in[0].data + r * n;
        const float *dy = (const float *)c->in[1].data + r * n;
        float *dx = (float *)c->out->data + r * n;
        if (c->reference) {
            grad_row_reference(n, dx, x, dy, measure_reference(n, x, eps, centre), centre);
            continue;
        }
        row k = measure(n, x, eps, centre);
        double sum = centre ? v->sum(n, dy) : 0;
        double along = (v->dot(n, x, dy) - k.mean * sum) * k.inverse / (double)n;
        double slope = -along * k.inverse * k.inverse;
        v->axpby(n, dx, (float)k.inverse, dy, (float)slope, x);
        if (centre) v->shift(n, dx, dx, (float)(-slope * k.mean - k.inverse * sum / (double)n));
    }
}

#define NORM(NAME, CENTRE, DOC, GRAD_DOC)                                                          \
    static void NAME##_run(const wf_call *c, int64_t lo, int64_t hi)                               \
    {                                                                                              \
        norm_rows(c, lo, hi, CENTRE);                                                              \
    }                                                                                              \
    static void NAME##_grad_run(const wf_call *c, int64_t lo, int64_t hi)                          \
    {                                                                                              \
        grad_rows(c, lo, hi, CENTRE);                                                              \
    }                                                                                              \
    static void NAME##_grad(wf_node *y, wf_node *dy, wf_node *dx[])                                \
    {                                                                                              \
        dx[0] = wf_apply2(&wf_op_##NAME##_grad, y->attr, y->in[0], dy);                            \
    }                                                                                              \
    static void NAME##_grad_grad(wf_node *y, wf_node *dy, wf_node *dx[])                           \
    {                                                                                              \
        second(y, dy, dx, CENTRE);                                                                 \
    }                                                                                              \
    const wf_op wf_op_##NAME = {                                                                   \
        .name = #NAME,                                                                             \
        .doc = DOC,                                                                                \
        .arity = 1,                                                                                \
        .traits = WF_INPLACE | WF_ROWWISE,                                                         \
        .attr_size = sizeof(wf_norm_attr),                                                         \
        .infer = norm_infer,                                                                       \
        .grad = NAME##_grad,                                                                       \
        .cost = norm_cost,                                                                         \
        .run = NAME##_run,                                                                         \
        .print = norm_print,                                                                       \
    };                                                                                             \
    const wf_op wf_op_##NAME##_grad = {                                                            \
        .name = #NAME "_grad",                                                                     \
        .doc = GRAD_DOC,                                                                           \
        .arity = 2,                                                                                \
        .attr_size = sizeof(wf_norm_attr),                                                         \
        .infer = norm_infer,                                                                       \
        .grad = NAME##_grad_grad,                                                                  \
        .cost = norm_cost,                                                                         \
        .run = NAME##_grad_run,                                                                    \
        .print = norm_print,                                                                       \
    };                                                                                             \
    wf_node *wf_##NAME(wf_node *x, float eps)                                                      \
    {                                                                                              \
        return wf_apply1(&wf_op_##NAME, &(wf_norm_attr){eps}, x);                                  \
    }

static wf_node *mean(wf_node *x)
{
    return wf_mean(x, WF_AXES(-1), true);
}

/* The gradient of dx(x, dy), for a gradient g of dx, in plain ops. With y the normed x, q = 1/r,
 * c = centring (identity for rms), p = mean(y dy), s = mean(y g):
 *   by dy: q (c g - y s)
 *   by x:  -q^2 c(p g + s dy) + q^2 y (3 p s - mean(c dy g)) */
static void second(wf_node *node, wf_node *g, wf_node *dx[], bool centre)
{
    wf_node *x = node->in[0], *dy = node->in[1];
    float eps = ((const wf_norm_attr *)node->attr)->eps;
    if (centre) {
        x = wf_sub(x, mean(x));
        dy = wf_sub(dy, mean(dy));
        g = wf_sub(g, mean(g));
    }
    wf_node *q = wf_rsqrt(wf_shift(mean(wf_square(x)), eps));
    wf_node *y = wf_mul(x, q), *p = mean(wf_mul(y, dy)), *s = mean(wf_mul(y, g));
    dx[1] = wf_mul(q, wf_sub(g, wf_mul(y, s)));
    wf_node *straight = wf_add(wf_mul(p, g), wf_mul(s, dy));
    wf_node *bend = wf_sub(wf_scale(wf_mul(p, s), 3), mean(wf_mul(dy, g)));
    dx[0] = wf_mul(wf_square(q), wf_sub(wf_mul(y, bend), straight));
}

NORM(rms_norm, false, "y = x / sqrt(mean(x^2) + eps), over the last axis",
     "dx = (dy - y mean(y dy)) / r")
NORM(layer_norm, true, "y = (x - mean) / sqrt(var + eps), over the last axis",
     "dx = (dy - mean(dy) - y mean(y dy)) / r")
