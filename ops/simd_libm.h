/*
 * sin, cos and pow of vectors. Lanes outside the range of the fast path are done by the C library,
 * each on its own, so that a value does not depend on its neighbours.
 */
#ifndef WF_SIMD_LIBM_H
#define WF_SIMD_LIBM_H

#include "ops/simd_math.h"

#define TRIG_MAX 1e5f

/* ---- sine and cosine ------------------------------------------------------------------------ */

/* x - k pi/2 with k = round(x 2/pi), |x| <= 1e5; *bits holds k in its low 22 bits */
static inline vf v_trig_reduce(vf x, vu *bits)
{
    vf t = v_fma(x, v_splat(0.636619772f), v_splat(ROUND));
    vf k = t - v_splat(ROUND);
    *bits = (vu)t;
#if WF_HAS_FMA
    vf r = v_fma(k, v_splat(-0x1.921fb6p+0f), x); /* exact */
    r = v_fma(k, v_splat(0x1.777a5cp-25f), r);
    return v_fma(k, v_splat(0x1.ee59dap-50f), r);
#else
    const double hi = 0x1.921fb544p+0, lo = 0x1.0b4611a626331p-34; /* k hi is exact */
    vd low = (v_low(x) - v_low(k) * hi) - v_low(k) * lo;
    vd high = (v_high(x) - v_high(k) * hi) - v_high(k) * lo;
    return v_join(low, high);
#endif
}

/* sin(x + turn pi/2), 2 ulp */
static inline vf v_trig_inside(vf x, unsigned turn)
{
    static const float sine[] = {-0.166666672f, 0.00833339617f, -0.000198608381f, 2.91663946e-6f};
    static const float cosine[] = {0.0416666642f, -0.00138882711f, 2.45437132e-5f};
    vu k;
    vf r = v_trig_reduce(x, &k), h = r * r;
    vf s = v_fma(v_poly(h, sine, 4) * h, r, r);
    vf c = v_fma(v_poly(h, cosine, 3) * h, h, v_fma(h, v_splat(-0.5f), v_splat(1)));
    k += turn;
    vf y = v_pick(v_is_odd((vi)k), c, s);
    return (vf)((vu)y ^ ((k & 2) << 30));
}

/* y, with the lanes of x that are not within the range done by f */
static inline vf v_trig_outside(vf y, vf x, float (*f)(float))
{
    unsigned good = v_bits(v_le(v_abs(x), v_splat(TRIG_MAX)));
    if (good == (1u << WF_WIDTH) - 1) return y;
    for (int i = 0; i < WF_WIDTH; i++)
        if (!(good >> i & 1)) y[i] = f(x[i]);
    return y;
}

static inline vf v_sin(vf x)
{
    vf y = v_trig_inside(x, 0);
    y = v_pick(v_eq(x, (vf){0}), x, y); /* -0 */
    return v_trig_outside(y, x, sinf);
}

static inline vf v_cos(vf x)
{
    return v_trig_outside(v_trig_inside(x, 1), x, cosf);
}

/* ---- power ---------------------------------------------------------------------------------- */

/* log2(m) for m in [sqrt(1/2), sqrt(2)), in double precision: 2^-37 */
static inline vd v_log2_mantissa(vd m)
{
    vd s = (m - 1) / (m + 1), h = s * s;
    vd y = h * 0.340730447253613066 + 0.411672690969187737;
    y = y * h + 0.577083585704703457;
    y = y * h + 0.961796673354774033;
    return (y * h + 2.88539008179010370) * s;
}

/* t rounded; *rest is what remains */
static inline vd v_pow_split(vd t, vd *rest)
{
    const double magic = 0x1.8p52;
    vd whole = (t + magic) - magic;
    *rest = t - whole;
    return whole;
}

static inline vf v_within(vf x, float limit)
{
    return v_above(v_splat(-limit), v_below(v_splat(limit), x));
}

/* a^b = 2^(b log2 a) for normal a > 0 and finite b, 2 ulp. Beyond 160 the result is 0 or infinite
 * and the rest is noise, held small. */
static inline vf v_pow_inside(vf a, vf b)
{
    vi e;
    vf m = v_log_reduce(a, &e), k = v_float(e);
    vd rest_low, rest_high;
    vd low = (v_log2_mantissa(v_low(m)) + v_low(k)) * v_low(b);
    vd high = (v_log2_mantissa(v_high(m)) + v_high(k)) * v_high(b);
    low = v_pow_split(low, &rest_low);
    high = v_pow_split(high, &rest_high);
    vf n = v_within(v_join(low, high), 160);
    vf r = v_within(v_join(rest_low, rest_high), 1) * v_splat(0.693147181f);
    return v_exp_scale(v_exp_tail(r), (vu)(n + v_splat(ROUND + 254)));
}

static inline vf v_pow(vf a, vf b)
{
    vf y = v_pow_inside(a, b);
    vm normal = v_and(v_le(v_splat(FLT_MIN), a), v_le(a, v_splat(FLT_MAX)));
    unsigned good = v_bits(v_and(normal, v_le(v_abs(b), v_splat(FLT_MAX))));
    if (good == (1u << WF_WIDTH) - 1) return y;
    for (int i = 0; i < WF_WIDTH; i++)
        if (!(good >> i & 1)) y[i] = powf(a[i], b[i]);
    return y;
}

#endif
