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
#include "ops/simd_random.h"

enum { HALVES = 1024 }; /* that are converted or drawn at once */

static inline vu v_halves_load(const void *x, int64_t lanes)
{
    vh h = {0};
    if (lanes < WF_WIDTH)
        memcpy(&h, x, (size_t)lanes * sizeof(uint16_t));
    else
        memcpy(&h, x, sizeof h);
    return __builtin_convertvector(h, vu);
}

static inline void v_halves_store(uint16_t *y, vu x, int64_t lanes)
{
    vh h = __builtin_convertvector(x, vh);
    memcpy(y, &h, (size_t)v_least(lanes) * sizeof *y);
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
    for (int64_t i = 0; i < n; i += WF_WIDTH)
        v_floats_store(y + i, v_from_bf16(v_halves_load(x + i, n - i)), n - i);
}

static void vec_from_f16(int64_t n, float *y, const uint16_t *x)
{
    for (int64_t i = 0; i < n; i += WF_WIDTH)
        v_floats_store(y + i, v_from_f16(v_halves_load(x + i, n - i)), n - i);
}

static void vec_f16(int64_t n, uint16_t *y, const float *x)
{
    for (int64_t i = 0; i < n; i += WF_WIDTH)
        v_halves_store(y + i, v_f16(v_floats_load(x + i, n - i)), n - i);
}

static void vec_random_bits(int64_t n, uint32_t *y, uint64_t key, uint64_t stream, uint64_t first);

/* Half-words first..first+n-1 of the stream: lower halves come first. The first is r[0], or r[1].
 */
static const uint16_t *draw_halves(int64_t n, uint16_t *r, uint64_t key, uint64_t stream,
                                   uint64_t first)
{
    uint32_t words[HALVES / 2 + 1];
    int64_t skip = (int64_t)(first % 2), count = (skip + n + 1) / 2;
    vec_random_bits(count, words, key, stream, first / 2);
    memcpy(r, words, (size_t)count * sizeof *words);
    return r + skip;
}

#define DRAWN(type)                                                                                \
    static void vec_##type##_drawn(int64_t n, uint16_t *y, const float *x, uint64_t key,           \
                                   uint64_t stream, uint64_t first)                                \
    {                                                                                              \
        uint16_t room[HALVES + 2];                                                                 \
        for (int64_t at = 0; at < n; at += HALVES) {                                               \
            int64_t k = n - at < HALVES ? n - at : HALVES;                                         \
            const uint16_t *r = draw_halves(k, room, key, stream, first + (uint64_t)at);           \
            for (int64_t i = 0; i < k; i += WF_WIDTH) {                                            \
                vf v = v_floats_load(x + at + i, k - i);                                           \
                vu bits = v_halves_load(r + i, k - i);                                             \
                v_halves_store(y + at + i, v_drawn_##type(v, bits), k - i);                        \
            }                                                                                      \
        }                                                                                          \
    }

DRAWN(bf16)
DRAWN(f16)

#endif
