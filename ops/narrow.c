/* Conversion of 16-bit numbers: the naive reference of simd_narrow.h, and which of both runs. */
#include "ops/narrow.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 1024 };

/* The two formats: bits of the fraction, exponent of the smallest normal number. */
static int fraction_bits(wf_dtype t)
{
    return t == WF_F16 ? 10 : 7;
}

static int least_exponent(wf_dtype t)
{
    return t == WF_F16 ? -14 : -126;
}

static float widen(wf_dtype t, uint16_t h)
{
    int bits = fraction_bits(t), most = (1 << (15 - bits)) - 1;
    int exponent = (h & 0x7fff) >> bits, fraction = h & ((1 << bits) - 1);
    double y = ldexp(exponent ? fraction + (1 << bits) : fraction,
                     least_exponent(t) + (exponent ? exponent - 1 : 0) - bits);
    if (exponent == most) y = fraction ? (double)NAN : (double)INFINITY;
    return (float)copysign(y, h >> 15 ? -1 : 1);
}

/* r: 16 random bits; negative: to nearest. */
static uint16_t narrow(wf_dtype t, float x, int32_t r)
{
    int bits = fraction_bits(t), infinite = ((1 << (15 - bits)) - 1) << bits, e;
    int sign = signbit(x) ? 0x8000 : 0;
    if (isnan(x)) return (uint16_t)(sign | infinite | 1 << (bits - 1));
    if (isinf(x)) return (uint16_t)(sign | infinite);
    double a = fabs((double)x);
    frexp(a, &e);
    e = a > 0 && e - 1 > least_exponent(t) ? e - 1 : least_exponent(t);
    double places = ldexp(a, bits - e), whole = floor(places), rest = places - whole;
    bool is_odd = fmod(whole, 2) == 1;
    bool up = r < 0 ? rest > 0.5 || (rest == 0.5 && is_odd) : floor(rest * 65536) + r >= 65536;
    int64_t pattern = ((int64_t)(e - least_exponent(t)) << bits) + (int64_t)whole + up;
    return (uint16_t)(sign | (int)wf_min_i64(pattern, infinite));
}

void wf_widen(wf_dtype from, int64_t n, float *y, const uint16_t *x, bool reference)
{
    const wf_vec *v = wf_vec_get();
    for (int64_t i = 0; reference && i < n; i++) y[i] = widen(from, x[i]);
    if (!reference) (from == WF_F16 ? v->from_f16 : v->from_bf16)(n, y, x);
}

wf_draws wf_draws_of(uint64_t seed, uint32_t salt, int64_t step)
{
    uint64_t h = seed ^ wf_random_stream(salt, step);
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (wf_draws){(uint32_t)h, (uint32_t)(h >> 32)};
}

/* Draw i: see simd_narrow.h */
static int32_t draw(const wf_draws *d, int64_t i)
{
    uint32_t x = (uint32_t)i + d->a;
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) + d->b;
    return (int32_t)(x * 0x846ca68bu >> 16);
}

void wf_narrow(wf_dtype to, int64_t n, uint16_t *y, const float *x, const wf_draws *d,
               int64_t first, bool reference)
{
    const wf_vec *v = wf_vec_get();
    for (int64_t i = 0; reference && i < n; i++)
        y[i] = narrow(to, x[i], d ? draw(d, first + i) : -1);
    if (reference) return;
    if (d)
        (to == WF_F16 ? v->f16_drawn : v->bf16_drawn)(n, y, x, d->a, d->b, (uint64_t)first);
    else
        (to == WF_F16 ? v->f16 : v->bf16)(n, y, x);
}

void wf_convert(wf_dtype to, void *y, wf_dtype from, const void *x, int64_t n)
{
    float wide[BLOCK];
    if (to == from) memmove(y, x, (size_t)n * wf_dtype_bytes(to));
    for (int64_t i = 0; to != from && i < n; i += BLOCK) {
        int64_t k = wf_min_i64(BLOCK, n - i);
        float *z = to == WF_F32 ? (float *)y + i : wide;
        if (from == WF_F32)
            memcpy(z, (const float *)x + i, (size_t)k * sizeof *z);
        else
            wf_widen(from, k, z, (const uint16_t *)x + i, false);
        if (to != WF_F32) wf_narrow(to, k, (uint16_t *)y + i, z, NULL, 0, false);
    }
}

float wf_read_number(wf_dtype type, const void *data, int64_t i)
{
    if (wf_is_narrow(type)) return widen(type, ((const uint16_t *)data)[i]);
    if (type == WF_I32) return (float)((const int32_t *)data)[i];
    if (type == WF_U8) return (float)((const uint8_t *)data)[i];
    return ((const float *)data)[i];
}
