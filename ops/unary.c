/*
 * Elementwise ops of one input. Each is a lane (vector), a scalar reference in double precision,
 * and a gradient as graph: UNARY(name, doc, reference of x, gradient of x, y, dy).
 */
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

static const float two_over_root_pi = 1.12837916709551257f,
                   half_root_2_over_pi = 0.79788456080286536f;

static wf_cost unary_cost(const wf_node *y)
{
    return wf_cost_elementwise(y, 8);
}

#define TRAITS (WF_ELEMENTWISE | WF_INPLACE | WF_STRIDED)

/* d is the gradient expression, or NULL through NO_GRADIENT. */
#define UNARY(NAME, DOC, REFERENCE, GRADIENT)                                                      \
    static void NAME##_lane(const void *attr, int64_t n, float *y, const float *const x[])         \
    {                                                                                              \
        (void)attr;                                                                                \
        wf_vec_get()->NAME(n, y, x[0]);                                                            \
    }                                                                                              \
    static double NAME##_scalar(const void *attr, const double v[])                                \
    {                                                                                              \
        double x = v[0];                                                                           \
        (void)attr;                                                                                \
        return REFERENCE;                                                                          \
    }                                                                                              \
    static void NAME##_grad(wf_node *y, wf_node *dy, wf_node *dx[])                                \
    {                                                                                              \
        wf_node *x = y->in[0];                                                                     \
        (void)x, (void)dy;                                                                         \
        dx[0] = GRADIENT;                                                                          \
    }                                                                                              \
    const wf_op wf_op_##NAME = {                                                                   \
        .name = #NAME,                                                                             \
        .doc = DOC,                                                                                \
        .arity = 1,                                                                                \
        .traits = TRAITS,                                                                          \
        .infer = wf_infer_broadcast,                                                               \
        .grad = NAME##_grad,                                                                       \
        .cost = unary_cost,                                                                        \
        .lane = NAME##_lane,                                                                       \
        .scalar = NAME##_scalar,                                                                   \
    };                                                                                             \
    wf_node *wf_##NAME(wf_node *x)                                                                 \
    {                                                                                              \
        return wf_apply1(&wf_op_##NAME, NULL, x);                                                  \
    }

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* e^(-x^2) */
static wf_node *bell(wf_node *x)
{
    return wf_exp(wf_neg(wf_square(x)));
}

/* Phi(x) + x phi(x) */
static wf_node *gelu_slope(wf_node *x)
{
    wf_node *cdf = wf_scale(wf_shift(wf_erf(wf_scale(x, 0.70710678118654752f)), 1), 0.5f);
    wf_node *pdf = wf_scale(bell(wf_scale(x, 0.70710678118654752f)), 0.3989422804014327f);
    return wf_add(cdf, wf_mul(x, pdf));
}

/* With u = sqrt(2/pi)(x + .044715 x^3), t = tanh u: (1 + t)/2 + x (1 - t^2) u' / 2 */
static wf_node *gelu_tanh_slope(wf_node *x)
{
    wf_node *x2 = wf_square(x);
    wf_node *u = wf_scale(wf_mul(x, wf_shift(wf_scale(x2, 0.044715f), 1)), half_root_2_over_pi);
    wf_node *du = wf_scale(wf_shift(wf_scale(x2, 0.134145f), 1), half_root_2_over_pi);
    wf_node *t = wf_tanh(u);
    wf_node *bend = wf_mul(wf_mul(x, du), wf_shift(wf_neg(wf_square(t)), 1));
    return wf_scale(wf_add(wf_shift(t, 1), bend), 0.5f);
}

/* 1 where x > 0 */
static wf_node *is_positive(wf_node *x)
{
    return wf_less(wf_constant(wf_graph_of(x), 0), x);
}

UNARY(neg, "-x", -x, wf_neg(dy))
UNARY(abs, "|x|", fabs(x), wf_mul(dy, wf_sign(x)))
UNARY(exp, "e^x", exp(x), wf_mul(dy, y))
UNARY(expm1, "e^x - 1", expm1(x), wf_mul(dy, wf_shift(y, 1)))
UNARY(log, "ln x", log(x), wf_div(dy, x))
UNARY(log1p, "ln(1 + x)", log1p(x), wf_div(dy, wf_shift(x, 1)))
UNARY(sqrt, "sqrt(x)", sqrt(x), wf_div(wf_scale(dy, 0.5f), y))
UNARY(rsqrt, "1 / sqrt(x)", 1 / sqrt(x), wf_mul(wf_scale(dy, -0.5f), wf_mul(y, wf_square(y))))
UNARY(square, "x^2", x *x, wf_mul(wf_scale(dy, 2), x))
UNARY(reciprocal, "1 / x", 1 / x, wf_neg(wf_mul(dy, wf_square(y))))
UNARY(sin, "sin x", sin(x), wf_mul(dy, wf_cos(x)))
UNARY(cos, "cos x", cos(x), wf_neg(wf_mul(dy, wf_sin(x))))
UNARY(tanh, "tanh x", tanh(x), wf_mul(dy, wf_shift(wf_neg(wf_square(y)), 1)))
UNARY(erf, "erf x", erf(x), wf_mul(dy, wf_scale(bell(x), two_over_root_pi)))
UNARY(sigmoid, "1 / (1 + e^-x)", sigmoid(x), wf_mul(dy, wf_mul(y, wf_shift(wf_neg(y), 1))))
UNARY(softplus, "ln(1 + e^x)", x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)),
      wf_mul(dy, wf_sigmoid(x)))
UNARY(gelu, "x Phi(x)", x * 0.5 * erfc(-x * 0.70710678118654752440), wf_mul(dy, gelu_slope(x)))
UNARY(gelu_tanh, "x (1 + tanh(sqrt(2/pi) (x + .044715 x^3))) / 2",
      0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))),
      wf_mul(dy, gelu_tanh_slope(x)))
UNARY(relu, "max(x, 0)", x > 0 ? x : x * 0, wf_mul(dy, is_positive(y)))
UNARY(relu2, "max(x, 0)^2", x > 0 ? x * x : x * 0, wf_mul(dy, wf_scale(wf_relu(x), 2)))
UNARY(sign, "-1, 0 or 1", x > 0 ? 1 : x < 0 ? -1 : x, NULL)

/* With s = sigmoid(x): s + y (1 - s) */
static wf_node *silu_slope(wf_node *x, wf_node *y)
{
    wf_node *s = wf_sigmoid(x);
    return wf_add(s, wf_mul(y, wf_shift(wf_neg(s), 1)));
}

UNARY(silu, "x / (1 + e^-x)", x *sigmoid(x), wf_mul(dy, silu_slope(x, y)))

/* ---- with numbers in the attributes ---- */

static int print_a(const void *attr, char *text, size_t size)
{
    return snprintf(text, size, "a=%.9g", (double)((const wf_scalar_attr *)attr)->a);
}

static int print_ab(const void *attr, char *text, size_t size)
{
    const wf_scalar_attr *k = attr;
    return snprintf(text, size, "a=%.9g b=%.9g", (double)k->a, (double)k->b);
}

#define IMMEDIATE(NAME, DOC, LANE, REFERENCE, GRADIENT, PRINT)                                     \
    static void NAME##_lane(const void *attr, int64_t n, float *y, const float *const x[])         \
    {                                                                                              \
        const wf_scalar_attr *k = attr;                                                            \
        LANE;                                                                                      \
    }                                                                                              \
    static double NAME##_scalar(const void *attr, const double v[])                                \
    {                                                                                              \
        const wf_scalar_attr *k = attr;                                                            \
        double x = v[0], a = (double)k->a, b = (double)k->b;                                       \
        (void)b;                                                                                   \
        return REFERENCE;                                                                          \
    }                                                                                              \
    static void NAME##_grad(wf_node *y, wf_node *dy, wf_node *dx[])                                \
    {                                                                                              \
        const wf_scalar_attr *k = y->attr;                                                         \
        (void)k;                                                                                   \
        dx[0] = GRADIENT;                                                                          \
    }                                                                                              \
    const wf_op wf_op_##NAME = {                                                                   \
        .name = #NAME,                                                                             \
        .doc = DOC,                                                                                \
        .arity = 1,                                                                                \
        .traits = TRAITS,                                                                          \
        .attr_size = sizeof(wf_scalar_attr),                                                       \
        .infer = wf_infer_broadcast,                                                               \
        .grad = NAME##_grad,                                                                       \
        .lane = NAME##_lane,                                                                       \
        .scalar = NAME##_scalar,                                                                   \
        .print = PRINT,                                                                            \
    };

/* 1 inside the bounds, where the clamp lets the gradient through */
static wf_node *is_inside(wf_node *x, const wf_scalar_attr *k)
{
    wf_graph *g = wf_graph_of(x);
    wf_node *above = wf_less_equal(wf_constant(g, k->a), x);
    return wf_mul(above, wf_less_equal(x, wf_constant(g, k->b)));
}

IMMEDIATE(scale, "a x", wf_vec_get()->scale(n, y, x[0], k->a), a *x, wf_scale(dy, k->a), print_a)
IMMEDIATE(shift, "x + a", wf_vec_get()->shift(n, y, x[0], k->a), x + a, dy, print_a)
IMMEDIATE(clamp, "min(max(x, a), b)", wf_vec_get()->clamp(n, y, x[0], k->a, k->b),
          x<a ? a : x> b ? b : x, wf_mul(dy, is_inside(y->in[0], k)), print_ab)

wf_node *wf_scale(wf_node *x, float factor)
{
    return wf_apply1(&wf_op_scale, &(wf_scalar_attr){.a = factor}, x);
}

wf_node *wf_shift(wf_node *x, float summand)
{
    return wf_apply1(&wf_op_shift, &(wf_scalar_attr){.a = summand}, x);
}

wf_node *wf_clamp(wf_node *x, float lo, float hi)
{
    wf_node *y = wf_apply1(&wf_op_clamp, &(wf_scalar_attr){lo, hi}, x);
    if (!(lo <= hi))
        wf_fail(y, "bounds are the wrong way round, %g and %g", (double)lo, (double)hi);
    return y;
}
