/*
 * Elementwise ops of two and three inputs, broadcast as NumPy does it. Gradients are summed back to
 * the shape of each input.
 */
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

#define TRAITS (WF_ELEMENTWISE | WF_INPLACE | WF_STRIDED)

/* Two inputs a and b: lane and reference; the gradient rule stands before it as NAME_grad; more
 * traits. */
#define BINARY(NAME, DOC, REFERENCE, GRAD, MORE)                                                   \
    static void NAME##_lane(const void *attr, int64_t n, float *y, const float *const x[])         \
    {                                                                                              \
        (void)attr;                                                                                \
        wf_vec_get()->NAME(n, y, x[0], x[1]);                                                      \
    }                                                                                              \
    static double NAME##_scalar(const void *attr, const double v[])                                \
    {                                                                                              \
        double a = v[0], b = v[1];                                                                 \
        (void)attr;                                                                                \
        return REFERENCE;                                                                          \
    }                                                                                              \
    const wf_op wf_op_##NAME = {                                                                   \
        .name = #NAME,                                                                             \
        .doc = DOC,                                                                                \
        .arity = 2,                                                                                \
        .traits = TRAITS | (MORE),                                                                 \
        .infer = wf_infer_broadcast,                                                               \
        .grad = GRAD,                                                                              \
        .lane = NAME##_lane,                                                                       \
        .scalar = NAME##_scalar,                                                                   \
    };                                                                                             \
    wf_node *wf_##NAME(wf_node *a, wf_node *b)                                                     \
    {                                                                                              \
        return wf_apply2(&wf_op_##NAME, NULL, a, b);                                               \
    }

static void to_inputs(wf_node *y, wf_node *dx[], wf_node *da, wf_node *db)
{
    dx[0] = wf_sum_to(da, y->in[0]);
    dx[1] = wf_sum_to(db, y->in[1]);
}

static void add_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    to_inputs(y, dx, dy, dy);
}

static void sub_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    to_inputs(y, dx, dy, wf_neg(dy));
}

static void mul_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    to_inputs(y, dx, wf_mul(dy, y->in[1]), wf_mul(dy, y->in[0]));
}

static void div_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_node *da = wf_div(dy, y->in[1]);
    to_inputs(y, dx, da, wf_neg(wf_mul(da, y)));
}

/* The gradient goes to a where first != 0, else to b. */
static void choose(wf_node *y, wf_node *dy, wf_node *dx[], wf_node *first)
{
    wf_node *da = wf_mul(dy, first);
    to_inputs(y, dx, da, wf_sub(dy, da));
}

static void max_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    choose(y, dy, dx, wf_less_equal(y->in[1], y->in[0]));
}

static void min_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    choose(y, dy, dx, wf_less_equal(y->in[0], y->in[1]));
}

/* d a^b = b a^(b-1) da + a^b ln a db */
static void pow_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_node *a = y->in[0], *b = y->in[1];
    wf_node *da = wf_mul(b, wf_pow(a, wf_shift(b, -1)));
    to_inputs(y, dx, wf_mul(dy, da), wf_mul(dy, wf_mul(y, wf_log(a))));
}

static double larger(double a, double b)
{
    return a > b || isnan(a) ? a : b;
}

static double smaller(double a, double b)
{
    return a < b || isnan(a) ? a : b;
}

BINARY(add, "a + b", a + b, add_grad, 0)
BINARY(sub, "a - b", a - b, sub_grad, 0)
BINARY(mul, "a b", a *b, mul_grad, 0)
BINARY(div, "a / b", a / b, div_grad, 0)
BINARY(max, "the larger of a and b", larger(a, b), max_grad, 0)
BINARY(min, "the smaller of a and b", smaller(a, b), min_grad, 0)
BINARY(pow, "a^b", pow(a, b), pow_grad, 0)
BINARY(equal, "1 where a = b, else 0", a == b, NULL, WF_FLAT)
BINARY(less, "1 where a < b, else 0", a < b, NULL, WF_FLAT)
BINARY(less_equal, "1 where a <= b, else 0", a <= b, NULL, WF_FLAT)

/* ---- where: condition, a, b ---- */

static void where_lane(const void *attr, int64_t n, float *y, const float *const x[])
{
    (void)attr;
    wf_vec_get()->where(n, y, x[0], x[1], x[2]);
}

static double where_scalar(const void *attr, const double x[])
{
    (void)attr;
    return x[0] != 0 ? x[1] : x[2];
}

static void where_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_node *zero = wf_constant(wf_graph_of(y), 0), *cond = y->in[0];
    dx[1] = wf_sum_to(wf_where(cond, dy, zero), y->in[1]);
    dx[2] = wf_sum_to(wf_where(cond, zero, dy), y->in[2]);
}

wf_node *wf_where(wf_node *cond, wf_node *a, wf_node *b)
{
    if (cond->dtype != WF_F32) cond = wf_cast(cond, WF_F32);
    return wf_apply3(&wf_op_where, NULL, cond, a, b);
}

const wf_op wf_op_where = {
    .name = "where",
    .doc = "a where the condition is not 0, else b",
    .arity = 3,
    .traits = TRAITS,
    .infer = wf_infer_broadcast,
    .grad = where_grad,
    .lane = where_lane,
    .scalar = where_scalar,
};

/* ---- axpby ---- */

static void axpby_lane(const void *attr, int64_t n, float *y, const float *const x[])
{
    const wf_scalar_attr *k = attr;
    wf_vec_get()->axpby(n, y, k->a, x[0], k->b, x[1]);
}

static double axpby_scalar(const void *attr, const double x[])
{
    const wf_scalar_attr *k = attr;
    return (double)k->a * x[0] + (double)k->b * x[1];
}

static void axpby_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_scalar_attr *k = y->attr;
    to_inputs(y, dx, wf_scale(dy, k->a), wf_scale(dy, k->b));
}

static int axpby_print(const void *attr, char *text, size_t size)
{
    const wf_scalar_attr *k = attr;
    return snprintf(text, size, "a=%.9g b=%.9g", (double)k->a, (double)k->b);
}

/* Both factors come from the exact 1 - t of a double: beta = 0.9f leaves 0.1 to all digits. */
wf_node *wf_lerp(wf_node *a, wf_node *b, float t)
{
    wf_scalar_attr k = {.a = (float)(1 - (double)t), .b = t};
    return wf_apply2(&wf_op_axpby, &k, a, b);
}

const wf_op wf_op_axpby = {
    .name = "axpby",
    .doc = "a x + b z",
    .arity = 2,
    .traits = TRAITS,
    .attr_size = sizeof(wf_scalar_attr),
    .infer = wf_infer_broadcast,
    .grad = axpby_grad,
    .lane = axpby_lane,
    .scalar = axpby_scalar,
    .print = axpby_print,
};
