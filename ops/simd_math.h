/*
 * Elementary functions of vectors. Errors are in ulp against the exact value, measured over the
 * whole range (tests/test_vec.c holds them to their bounds).
 *
 * Polynomials are minimax fits with float coefficients, made with Sollya's fpminimax. Argument
 * reductions are Cody and Waite's (1980): the first part of a split constant has few enough bits
 * that its product with the integer is exact.
 */
#ifndef WF_SIMD_MATH_H
#define WF_SIMD_MATH_H

#include "ops/simd.h"

#define LOG2E  1.44269504f
#define LN2_HI 0.693359375f
#define LN2_LO -2.12194440e-4f
#define ROUND  12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, kept in the low bits */

/* c[0] + c[1] x + ... + c[n-1] x^(n-1) */
static inline vf v_poly(vf x, const float *c, int n)
{
    vf y = v_splat(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) y = v_fma(y, x, v_splat(c[i]));
    return y;
}

/* ---- exponentials ------------------------------------------------------------------------- */

/*
 * r and k with x = k ln 2 + r, |r| <= ln 2 / 2. The low 9 bits of *bits hold k + 254: halved, that
 * is the biased exponent of a power of two near 2^(k/2).
 */
static inline vf v_exp_reduce(vf x, vu *bits)
{
    vf t = v_fma(x, v_splat(LOG2E), v_splat(ROUND + 254));
    vf k = t - v_splat(ROUND + 254);
    *bits = (vu)t;
    return v_fma(k, v_splat(-LN2_LO), v_fma(k, v_splat(-LN2_HI), x));
}

/* p 2^k in two steps, for results beyond the range of 2^k (and, rounded once, below normal) */
static inline vf v_exp_scale(vf p, vu bits)
{
    vu half = bits >> 1;
    return p * (vf)(half << 23) * (vf)((bits - half) << 23);
}

/* 2^(k + more), a normal number; more may be -1u */
static inline vf v_exp_power(vu bits, unsigned more)
{
    return (vf)((bits + (more - 127u)) << 23);
}

/* e^r for |r| <= ln 2 / 2 */
static inline vf v_exp_tail(vf r)
{
    static const float c[] = {
        1, 1, 0.5f, 0.166665763f, 0.0416664630f, 0.00836325809f, 0.00139353273f};
    return v_poly(r, c, 7);
}

/* e^r - 1 for |r| <= ln 2 / 2 */
static inline vf v_expm1_tail(vf r)
{
    static const float c[] = {0.5f, 0.166665763f, 0.0416664630f, 0.00836325809f, 0.00139353273f};
    return v_fma(v_poly(r, c, 5) * r, r, r);
}

/* e^x for x <= 89 and x >= -250 */
static inline vf v_exp_inside(vf x)
{
    vu k;
    vf r = v_exp_reduce(x, &k);
    return v_exp_scale(v_exp_tail(r), k);
}

/* 1.1 ulp, subnormal results included */
static inline vf v_exp(vf x)
{
    return v_exp_inside(v_above(v_splat(-105), v_below(v_splat(89), x)));
}

/* e^-|x| */
static inline vf v_exp_decay(vf x)
{
    return v_exp_inside(-v_below(v_splat(105), v_abs(x)));
}

/* 2 ulp. 2^k (e^r - 1) + (2^k - 1), by halves so that 2^128 does not occur. */
static inline vf v_expm1(vf x)
{
    vu bits;
    vf r = v_exp_reduce(v_above(v_splat(-26), v_below(v_splat(89), x)), &bits);
    vf e = v_expm1_tail(r), k = (vf)bits - v_splat(ROUND + 254);
    vf s = v_exp_power(bits, -1u);
    vf y = v_fma(s, e, s - v_splat(0.5f)) * 2;
    return v_signed(v_pick(v_eq(k, (vf){0}), e, y), x);
}

/* 3 ulp. With e = e^2|x| - 1: e / (e + 2); from 10 on it rounds to 1. */
static inline vf v_tanh(vf x)
{
    vu bits;
    vf a = v_below(v_splat(10), v_abs(x));
    vf r = v_exp_reduce(a + a, &bits);
    vf s = v_exp_power(bits, 0);
    vf e = v_fma(s, v_expm1_tail(r), s - 1);
    return v_signed(e / (e + 2), x);
}

/* ---- logarithms --------------------------------------------------------------------------- */

/* m in [sqrt(1/2), sqrt(2)) and k with x = m 2^k, for normal x > 0 */
static inline vf v_log_reduce(vf x, vi *k)
{
    vu t = (vu)x - 0x3f3504f3; /* the bits of sqrt(1/2) */
    *k = (vi)t >> 23;
    return (vf)((vu)x - (t & 0xff800000));
}

/* log(1 + f) + k ln 2 */
static inline vf v_log_tail(vf f, vf k)
{
    static const float c[] = {0.333333313f,  -0.249999806f, 0.200006798f,
                              -0.166691840f, 0.142513707f,  -0.123961575f,
                              0.116324134f,  -0.116626434f, 0.0734122396f};
    vf h = f * f;
    vf y = v_fma(k, v_splat(LN2_LO), v_poly(f, c, 9) * f * h);
    y = f + v_fma(h, v_splat(-0.5f), y);
    return v_fma(k, v_splat(LN2_HI), y);
}

/* y, but x for x = infinity or NaN, -infinity for u = 0 and NaN for u < 0 */
static inline vf v_log_ends(vf y, vf x, vf u)
{
    y = v_pick(v_le(x, v_splat(FLT_MAX)), y, x);
    vf low = v_pick(v_lt(u, (vf){0}), v_splat(NAN), v_splat(-INFINITY));
    return v_pick(v_le(u, (vf){0}), low, y);
}

/* 1 ulp */
static inline vf v_log(vf x)
{
    vm small = v_lt(x, v_splat(FLT_MIN));
    vi k;
    vf m = v_log_reduce(v_pick(small, x * 0x1p23f, x), &k);
    vf e = v_float(k) - v_pick(small, v_splat(23), (vf){0});
    return v_log_ends(v_log_tail(m - 1, e), x, x);
}

/* 2 ulp. log of u = 1 + x, and what rounding took from u is given back to the mantissa. */
static inline vf v_log1p(vf x)
{
    vf u = x + 1;
    vf lost = v_pick(v_lt(v_splat(1), x), 1 - (u - x), x - (u - 1));
    vi k;
    vf m = v_log_reduce(u, &k);
    vf s = v_pick(v_lt(x, v_splat(0x1p25f)), v_power2(-k), (vf){0});
    vf y = v_log_tail(v_fma(lost, s, m - 1), v_float(k));
    return v_signed(v_log_ends(y, x, u), x);
}

/* log(1 + z) for 0 <= z <= 1: the same without the ends */
static inline vf v_log1p_unit(vf z)
{
    vf u = z + 1, lost = z - (u - 1);
    vi k;
    vf m = v_log_reduce(u, &k);
    return v_log_tail(v_fma(lost, v_power2(-k), m - 1), v_float(k));
}

/* 2 ulp */
static inline vf v_softplus(vf x)
{
    return v_above((vf){0}, x) + v_log1p_unit(v_exp_decay(x));
}

/* ---- logistic family: z = e^-|x| never overflows --------------------------------------------- */

/* sigmoid(x) of which z = e^-|x| */
static inline vf v_logistic(vf x, vf z)
{
    return v_pick(v_lt(x, (vf){0}), z, v_splat(1)) / (z + 1);
}

/* 3 ulp */
static inline vf v_sigmoid(vf x)
{
    return v_logistic(x, v_exp_decay(x));
}

/* x z / (1 + z) */
static inline vf v_gate(vf x, vf z)
{
    return v_pick(v_lt(x, (vf){0}), x * z, x) / (z + 1);
}

/* e^-x for x >= -87, where it and its inverse are normal; e^-87 beyond 87 */
static inline vf v_exp_minus(vf x)
{
    vu bits;
    vf r = v_exp_reduce(-v_below(v_splat(87), x), &bits);
    return v_exp_tail(r) * v_exp_power(bits, 0);
}

/* 3 ulp down to -87; below, absolute error 2e-36 */
static inline vf v_silu(vf x)
{
    x = v_above(v_splat(-87), x); /* -infinity times 0 would be NaN */
    return x / (v_exp_minus(x) + 1);
}

/* silu(x), and its derivative s (1 + x (1 - s)) with s = sigmoid(x) in *slope; absolute error of
 * that 2e-7 (it has a zero near -1.278) */
static inline vf v_silu_both(vf x, vf *slope)
{
    x = v_above(v_splat(-87), x);
    vf e = v_exp_minus(x), s = 1 / (e + 1), y = x * s;
    x = v_below(v_splat(87), x);              /* infinity times 0 would be NaN */
    *slope = s * v_fma(x, e * s, v_splat(1)); /* e s = 1 - s without cancellation */
    return y;
}

static inline vf v_silu_grad(vf x)
{
    vf slope;
    v_silu_both(x, &slope);
    return slope;
}

/* x sigmoid(2 sqrt(2/pi) (x + .044715 x^3)); relative error grows as the argument, x^3, to 1e-5 at
 * x = -10; absolute error 1e-7 max(1, x) */
static inline vf v_gelu_tanh(vf x)
{
    x = v_above(v_splat(-16), x);
    vf v = x * v_fma(x * x, v_splat(0.0713548128f), v_splat(1.59576912f));
    return v_gate(x, v_exp_decay(v));
}

/* ---- normal distribution -------------------------------------------------------------------- */

/*
 * *density = e^(-a^2/2) and the result 1 - Phi(a), for 0 <= a <= 16, both with a small relative
 * error: what rounding takes from a^2/2 enters the reduced argument. The quotient of the two is
 * p(u) / (a + 3), u = a / (a + 3).
 */
static inline vf v_normal_tail(vf a, vf *density)
{
    static const float c[] = {1.5f,          -2.09047556f,   1.06883276f,   0.210116237f,
                              -0.281669647f, -0.0315802805f, -0.163738444f, 0.338701576f,
                              -0.180348650f, 0.0290745124f};
    vf q = 1 / (a + 3), m = a * v_splat(-0.5f), p = a * m;
    vu k;
    vf r = v_exp_reduce(p, &k) + v_residue(a, m, p);
    *density = v_exp_scale(v_exp_tail(r), k);
    return v_poly(a * q, c, 10) * q * *density;
}

/* x Phi(x) = max(x, 0) - |x| (1 - Phi(|x|)); 4 ulp for x > -1, 8 down to -13, below absolute error
 * 1e-43 */
static inline vf v_gelu(vf x)
{
    vf density, a = v_below(v_splat(16), v_abs(x));
    return v_fma(-a, v_normal_tail(a, &density), v_above((vf){0}, x));
}

/* 2 ulp: a polynomial to 1, from there 1 - 2 (1 - Phi(sqrt(2) |x|)) */
static inline vf v_erf(vf x)
{
    static const float c[] = {0.128379166f,   -0.376126289f,    0.112836190f,    -0.0268551744f,
                              0.00519084465f, -0.000803183590f, 0.0000792413045f};
    vf a = v_abs(x), density;
    vf inner = v_fma(v_poly(a * a, c, 7), a, a);
    vf tail = v_normal_tail(v_below(v_splat(16), a * v_splat(1.41421356f)), &density);
    vf outer = v_fma(v_splat(-2), tail, v_splat(1));
    return v_signed(v_pick(v_le(v_splat(1), a), outer, inner), x);
}

#endif
