/*
 * Elementwise primitives of the vector layer, at every level this processor has: against double
 * precision, over all sizes of tails, in place, cut anywhere. The others are in test_vec_rows.c.
 */
#include "ops/vec.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MAX_N 4097
#define GUARD 20 /* floats behind a row that must stay as they are */

static const char *const levels[] = {"base", "avx2", "avx512"};
static const int64_t sizes[] = {0, 1, 7, 8, 9, 63, 1000, MAX_N};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* for each level: v is its table */
#define EACH_LEVEL(v)                                                                              \
    for (size_t level = 0; level < COUNT(levels); level++)                                         \
        for (const wf_vec *v = wf_vec_select(levels[level]) ? wf_vec_get() : NULL; v; v = NULL)

/* ---- references ------------------------------------------------------------------------------ */

static double neg(double x)
{
    return -x;
}

static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x;
}

static double rsqrt(double x)
{
    return 1 / sqrt(x);
}

static double square(double x)
{
    return x * x;
}

static double reciprocal(double x)
{
    return 1 / x;
}

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x))) + (x - x == 0 || x > 0 || x < 0 ? 0 : x);
}

/* x f, but 0 for x = -infinity and f = 0 */
static double times(double x, double f)
{
    return f == 0 ? copysign(0, x) : x * f;
}

static double silu(double x)
{
    return times(x, sigmoid(x));
}

static double silu_grad(double x)
{
    return sigmoid(x) + times(x, sigmoid(x) * sigmoid(-x));
}

static double gelu(double x)
{
    return times(x, erfc(-x * sqrt(0.5)) / 2);
}

static double gelu_tanh(double x)
{
    return times(x, sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x)));
}

static double relu(double x)
{
    return x < 0 ? 0 : x;
}

static double relu2(double x)
{
    return relu(x) * relu(x);
}

static double add(double a, double b)
{
    return a + b;
}

static double sub(double a, double b)
{
    return a - b;
}

static double mul(double a, double b)
{
    return a * b;
}

static double quotient(double a, double b)
{
    return a / b;
}

static double larger(double a, double b)
{
    return a != a || a > b ? a : b;
}

static double smaller(double a, double b)
{
    return a != a || a < b ? a : b;
}

static double equal(double a, double b)
{
    return a == b;
}

static double less(double a, double b)
{
    return a < b;
}

static double less_equal(double a, double b)
{
    return a <= b;
}

/* Criterion reports every check, passed or not, to its parent: so one check a row. */
#define EXPECT_ALL(i, n, condition)                                                                \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        while (i < (n) && (condition)) i++;                                                        \
        cr_expect(i >= (n), "%s: " #condition " at %ld", v->isa, (long)i);                         \
    } while (0)

/* The bound of an error is ulp units in the last place + absolute * max(1, |exact|). */
typedef struct primitive {
    const char *name;
    size_t member;
    double (*unary)(double), (*binary)(double, double);
    double ulp, absolute;
} primitive;

#define U(name, f, ...)                                                                            \
    {                                                                                              \
#name, offsetof(wf_vec, name), f, NULL, __VA_ARGS__                                        \
    }
#define B(name, f, ...)                                                                            \
    {                                                                                              \
#name, offsetof(wf_vec, name), NULL, f, __VA_ARGS__                                        \
    }

static const primitive primitives[] = {
    U(neg, neg, 0, 0),
    U(abs, fabs, 0, 0),
    U(sign, sign, 0, 0),
    U(exp, exp, 1.2, 0),
    U(expm1, expm1, 2, 0),
    U(log, log, 1, 0),
    U(log1p, log1p, 2, 0),
    U(sqrt, sqrt, .5, 0),
    U(rsqrt, rsqrt, 1.5, 0),
    U(square, square, .5, 0),
    U(reciprocal, reciprocal, .5, 0),
    U(sin, sin, 2, 0),
    U(cos, cos, 2, 0),
    U(tanh, tanh, 3, 0),
    U(erf, erf, 2, 0),
    U(sigmoid, sigmoid, 3, 0),
    U(softplus, softplus, 2, 0),
    U(silu, silu, 3, 2e-36),
    U(silu_grad, silu_grad, 0, 2e-7),
    U(gelu, gelu, 9, 1e-43),
    U(gelu_tanh, gelu_tanh, 0, 1.5e-7),
    U(relu, relu, 0, 0),
    U(relu2, relu2, .5, 0),
    B(add, add, .5, 0),
    B(sub, sub, .5, 0),
    B(mul, mul, .5, 0),
    B(div, quotient, .5, 0),
    B(max, larger, 0, 0),
    B(min, smaller, 0, 0),
    B(pow, pow, 2, 0),
    B(equal, equal, 0, 0),
    B(less, less, 0, 0),
    B(less_equal, less_equal, 0, 0),
};

static void apply(const wf_vec *v, const primitive *p, int64_t n, float *y, const float *a,
                  const float *b)
{
    const char *member = (const char *)v + p->member;
    if (p->unary)
        (*(wf_unary_fn *const *)(const void *)member)(n, y, a);
    else
        (*(wf_binary_fn *const *)(const void *)member)(n, y, a, b);
}

static bool near(float y, double exact, double ulp, double absolute)
{
    float rounded = (float)exact;
    if (exact != exact || y != y) return exact != exact && y != y;
    if (fabsf(rounded) > FLT_MAX || fabsf(y) > FLT_MAX)
        return y == rounded || (ulp > .5 && fabsf(y) >= FLT_MAX && fabsf(rounded) >= FLT_MAX);
    int e;
    frexp(fabs(exact) < FLT_MIN ? FLT_MIN : exact, &e);
    double bound = ulp * ldexp(1, e - FLT_MANT_DIG) + absolute * fmax(1, fabs(exact));
    return fabs(y - exact) <= bound * (1 + 1e-6) &&
           (y != 0 || absolute > 0 || !signbit(y) == !signbit(exact));
}

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static const float special[] = {
    0,        -0.f,      1,     -1,      .5f,      -.5f,      2,          -2,        3,
    INFINITY, -INFINITY, NAN,   FLT_MAX, -FLT_MAX, FLT_MIN,   -FLT_MIN,   1e-45f,    -1e-45f,
    1e-40f,   88.7f,     88.8f, 89,      -87.3f,   -87.4f,    -103.9f,    -104,      -104.1f,
    1e5f,     -1.1e5f,   1e30f, 8388608, 16777216, .9999999f, 1.0000001f, -.9999999f};

/* Ordinary numbers of both signs, reproducible. */
static void fill_row(int64_t n, float *x, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 0x1p-29f;
    }
}

static void expect_near(const wf_vec *v, const primitive *p, int64_t n, const float *a,
                        const float *b)
{
    static float y[MAX_N];
    apply(v, p, n, y, a, b);
    for (int64_t i = 0; i < n; i++) {
        double exact = p->unary ? p->unary(a[i]) : p->binary(a[i], b[i]);
        if (near(y[i], exact, p->ulp, p->absolute)) continue;
        cr_expect(false, "%s %s(%.9g, %.9g) = %.9g, not %.9g", v->isa, p->name, a[i],
                  p->unary ? 0 : b[i], y[i], exact);
    }
}

Test(vec, primitives_are_near_the_exact_value)
{
    static float a[MAX_N], b[MAX_N];
    const int64_t m = COUNT(special);
    EACH_LEVEL(v) for (const primitive *p = primitives; p < primitives + COUNT(primitives); p++)
    {
        for (int64_t i = 0; i < m * m; i++) a[i] = special[i / m], b[i] = special[i % m];
        expect_near(v, p, p->unary ? m : m * m, p->unary ? b : a, b);
        for (uint32_t bits = 1; bits < 0xffff0000u - 50021u * 1000;) { /* all magnitudes */
            for (int i = 0; i < 1000; i++) a[i] = of_bits(bits += 50021u);
            fill_row(1000, b, bits);
            expect_near(v, p, 1000, a, b);
        }
        fill_row(MAX_N, a, 1);
        fill_row(MAX_N, b, 2);
        expect_near(v, p, MAX_N, a, b);
        for (int i = 0; i < 1000; i++) a[i] *= 30, b[i] = fabsf(b[i]);
        expect_near(v, p, 1000, p->unary ? a : b, a);
    }
}

Test(vec, primitives_with_parameters)
{
    enum { N = 1001 };
    static float a[N], b[N], c[N], y[N], z[N];
    EACH_LEVEL(v)
    {
        fill_row(N, a, 1), fill_row(N, b, 2), fill_row(N, c, 3);
        a[5] = 0, a[N - 1] = NAN;
        v->where(N, y, a, b, c);
        EXPECT_ALL(i, N, y[i] == (a[i] != 0 ? b[i] : c[i]));
        v->clamp(N, y, a, -1, 2);
        EXPECT_ALL(i, N - 1, y[i] == fminf(fmaxf(a[i], -1), 2));
        cr_expect(isnan(y[N - 1]), "clamp keeps NaN");
        a[N - 1] = 1;
        v->scale(N, y, a, 3);
        EXPECT_ALL(i, N, y[i] == a[i] * 3);
        v->shift(N, y, a, 3);
        EXPECT_ALL(i, N, y[i] == a[i] + 3);
        memcpy(y, c, N * sizeof *y);
        v->muladd(N, y, a, b);
        EXPECT_ALL(i, N, near(y[i], (double)a[i] * b[i] + c[i], 1, 2e-6));
        v->axpby(N, y, 2.5f, a, -3.1f, b);
        EXPECT_ALL(i, N, near(y[i], 2.5 * a[i] - 3.1f * (double)b[i], 1, 2e-6));
        v->silu_both(N, y, z, a);
        EXPECT_ALL(i, N, near(y[i], silu(a[i]), 3, 2e-36) && near(z[i], silu_grad(a[i]), 0, 2e-7));
        v->gate_grad(N, y, z, a, b, c);
        EXPECT_ALL(i, N,
                   near(y[i], b[i] * silu(a[i]), 4, 2e-36) &&
                       near(z[i], (double)b[i] * c[i] * silu_grad(a[i]), 1, 1e-5));
        v->fill(N, y, -0.f);
        cr_expect(signbit(y[0]) && signbit(y[N - 1]), "fill keeps the sign of zero");
        v->muladd(N, y, a, b);
        EXPECT_ALL(i, N, y[i] == a[i] * b[i]);
    }
}

/* The calls whose bits must not depend on where a row is cut; b and c are rows as long as a. */
static void call(const wf_vec *v, size_t which, int64_t from, int64_t n, float *y, const float *x)
{
    const float *a = x + from, *b = a + MAX_N + GUARD, *c = b + MAX_N + GUARD;
    y += from;
    switch (which) {
    case 0:
        v->where(n, y, a, b, c);
        break;
    case 1:
        memmove(y, a, (size_t)n * sizeof *y);
        v->muladd(n, y, b, c);
        break;
    case 2:
        v->axpby(n, y, 1.7f, a, -.3f, b);
        break;
    case 3:
        v->clamp(n, y, a, -.5f, .25f);
        break;
    case 4:
        v->exp_sum(n, y, a, .7f);
        break;
    case 5:
        v->dropout(n, y, a, .3f, 11, 12, 5 + (uint64_t)from);
        break;
    case 6:
        v->uniform(n, y, 11, 12, 7 + (uint64_t)from);
        break;
    case 7:
        v->rotate(n / 2, y, a, b, c);
        break;
    default:
        apply(v, &primitives[which - 8], n, y, a, b);
    }
}

Test(vec, bits_depend_on_the_elements_alone)
{
    enum { ROW = MAX_N + GUARD };
    static float x[4 * ROW], whole[ROW], y[ROW];
    fill_row(3 * ROW, x, 5);
    for (int i = 0; i < 60; i += 6) x[i * 50] = special[i % (int)COUNT(special)] * 1.1e5f;
    EACH_LEVEL(v) for (size_t k = 0; k < 8 + COUNT(primitives); k++)
    {
        call(v, k, 0, MAX_N, whole, x);
        for (size_t s = 0; s < COUNT(sizes); s++) {
            int64_t n = k == 7 ? sizes[s] & ~1 : sizes[s];
            memset(y, 0x55, sizeof y);
            call(v, k, 0, n, y, x);
            cr_expect_arr_eq(y, whole, (size_t)n * sizeof(float), "%s call %zu n %ld", v->isa, k,
                             (long)n);
            EXPECT_ALL(i, GUARD, y[n + i] == of_bits(0x55555555));
        }
        for (int64_t i = 0, n = 0; k != 7 && i < MAX_N; i += n) {
            n = i % 41 + 1 < MAX_N - i ? i % 41 + 1 : MAX_N - i;
            call(v, k, i, n, y, x);
        }
        if (k != 7) cr_expect_arr_eq(y, whole, MAX_N * sizeof(float), "%s cut %zu", v->isa, k);
        memcpy(y, x, sizeof y);
        memcpy(x + 3 * ROW, x, sizeof y);
        call(v, k, 0, MAX_N, x, x); /* in place */
        cr_expect_arr_eq(x, whole, (MAX_N - 1) * sizeof(float), "%s in place %zu", v->isa, k);
        memcpy(x, x + 3 * ROW, sizeof y);
    }
}
