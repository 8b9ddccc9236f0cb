/*
 * Numbers of 16 bits: bf16, the upper half of a float32, and f16, IEEE binary16 (5 bits of
 * exponent, 10 of fraction). To float32 exactly; from it to nearest, ties to even, or by chance: up
 * with the probability that makes the mean the number itself. The latter takes 16 random bits r <
 * 2^16 a number, added behind the last place that stays. What is too large becomes infinite, so
 * that it is found; NaN stays NaN.
 */
#ifndef WF_SIMD_NARROW_H
#define WF_SIMD_NARROW_H

#include "ops/simd_bf16.h"

static inline vu v_halves_load(const void *x, int64_t lanes)
{
    vh h = {0};
    if (lanes < WF_WIDTH)
        memcpy(&h, x, (size_t)lanes * sizeof(uint16_t));
    else
        memcpy(&h, x, sizeof h);
    return __builtin_convertvector(h, vu);
}

static inline vf v_floats_load(const float *x, int64_t lanes)
{
    return lanes < WF_WIDTH ? v_load_part(x, lanes) : v_load(x);
}

static inline void v_floats_store(float *y, vf x, int64_t lanes)
{
    if (lanes < WF_WIDTH)
        v_store_part(y, x, lanes);
    else
        v_store(y, x);
}

static inline vf v_from_bf16(vu h)
{
    return (vf)(h << 16);
}

static inline vf v_from_f16(vu h)
{
    vu m = (h & 0x7fff) << 13;
    vf normal = (vf)(m + (112u << 23)), least = v_splat(0x1p-14f);
    vf tiny = (vf)(m + (113u << 23)) - least; /* exact, and no subnormal float32 on the way */
    vf y = v_pick(v_lt(normal, least), tiny, normal);
    y = v_pick(v_lt(normal, v_splat(0x1p16f)), y, (vf)(m | 0x7f800000)); /* infinity, NaN */
    return (vf)((vu)y | (h & 0x8000) << 16);
}

/* by chance */
static inline vu v_drawn_bf16(vf x, vu r)
{
    return (vu)v_pick(v_eq(x, x), (vf)((vu)x + r), (vf)((vu)x | 0x400000)) >> 16;
}

/* normal, tiny: |x| rounded as if it were one of these, as f16 */
static inline vu v_join_f16(vf x, vu normal, vu tiny)
{
    vf a = v_abs(x), least = v_splat(0x1p-14f);
    vu nan = ((vu)a >> 13 & 0x3ff) | 0x7e00, infinite = (vu){0} + 0x7c00;
    vf y = v_pick(v_lt(a, v_splat(0x1p16f)), (vf)normal, (vf)infinite);
    y = v_pick(v_lt(a, least), (vf)tiny, y);
    y = v_pick(v_eq(x, x), y, (vf)nan);
    return (vu)y | ((vu)x >> 16 & 0x8000);
}

static inline vu v_f16(vf x)
{
    vf a = v_abs(x),
       half = v_splat(0.5f); /* whose last place is 2^-24, as that of the smallest f16 */
    vu b = (vu)a, normal = ((b + 0xfff + (b >> 13 & 1)) >> 13) - (112 << 10);
    return v_join_f16(x, normal, (vu)(a + half) - (vu)half);
}

static inline vu v_drawn_f16(vf x, vu r)
{
    vf a = v_abs(x), small = v_pick(v_lt(a, v_splat(0x1p-14f)), a, (vf){0});
    vu normal = (((vu)a + (r >> 3)) >> 13) - (112 << 10);
    vi places = __builtin_convertvector(small * v_splat(0x1p40f), vi); /* of 2^-40 */
    return v_join_f16(x, normal, ((vu)places + r) >> 16);
}

static void vec_from_bf16(int64_t n, float *y, const uint16_t *x)
{
    EACH_VECTOR(n, v_floats_store(y + i, v_from_bf16(v_halves_load(x + i, lanes)), lanes));
}

static void vec_from_f16(int64_t n, float *y, const uint16_t *x)
{
    EACH_VECTOR(n, v_floats_store(y + i, v_from_f16(v_halves_load(x + i, lanes)), lanes));
}

static void vec_f16(int64_t n, uint16_t *y, const float *x)
{
    EACH_VECTOR(n, v_halves_store(y + i, v_f16(v_floats_load(x + i, lanes)), lanes));
}

/* 16 bits for each of the numbers from first on: a mix of its place with two numbers of the stream
 * (Wellons 2018, "Prospecting for hash functions": lowbias32). Rounding needs no better ones, and
 * Philox would take four times as long. */
static inline vu v_draw(uint32_t a, uint32_t b, uint64_t first)
{
    vu x;
    for (unsigned i = 0; i < WF_WIDTH; i++) x[i] = i;
    x += (uint32_t)first + a;
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) + b;
    return x * 0x846ca68bu >> 16;
}

#define DRAWN(type)                                                                                \
    static void vec_##type##_drawn(int64_t n, uint16_t *y, const float *x, uint32_t a, uint32_t b, \
                                   uint64_t first)                                                 \
    {                                                                                              \
        EACH_VECTOR(n, v_halves_store(y + i,                                                       \
                                      v_drawn_##type(v_floats_load(x + i, lanes),                  \
                                                     v_draw(a, b, first + (uint64_t)i)),           \
                                      lanes));                                                     \
    }

DRAWN(bf16)
DRAWN(f16)

#endif
