/* float32 to bf16: rounded to nearest, ties to even. */
#ifndef WF_SIMD_BF16_H
#define WF_SIMD_BF16_H

#include "ops/simd.h"

typedef uint16_t vh __attribute__((vector_size(WF_BYTES / 2)));

/* body for i = 0, WF_WIDTH, ... below n, apart for whole vectors, where lanes is a constant. */
#define EACH_VECTOR(n, body)                                                                       \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (const int64_t lanes = WF_WIDTH; i + lanes <= (n); i += lanes) body;                   \
        const int64_t lanes = (n)-i;                                                               \
        if (lanes > 0) body;                                                                       \
    } while (0)

static inline void v_halves_store(uint16_t *y, vu x, int64_t lanes)
{
    vh h = __builtin_convertvector(x, vh);
    if (lanes < WF_WIDTH)
        memcpy(y, &h, (size_t)lanes * sizeof *y);
    else
        memcpy(y, &h, sizeof h);
}

static inline vu v_bf16(const float *x, int64_t lanes)
{
    vf v = lanes < WF_WIDTH ? v_load_part(x, lanes) : v_load(x);
    vu b = (vu)v, rounded = b + 0x7fff + ((b >> 16) & 1);
    /* rounding a NaN could make it infinite */
    return (vu)v_pick(v_eq(v, v), (vf)rounded, (vf)(b | 0x400000)) >> 16;
}

static void vec_bf16(int64_t n, uint16_t *y, const float *x)
{
    EACH_VECTOR(n, v_halves_store(y + i, v_bf16(x + i, lanes), lanes));
}

static void vec_bf16_pairs(int64_t rows, int64_t cols, uint16_t *y, const float *x, int64_t ld)
{
    for (int64_t r = 0; r < rows; r += 2, x += 2 * ld, y += 2 * cols)
        for (int64_t c = 0; c < cols; c += WF_WIDTH) {
            vu pair = v_bf16(x + c, cols - c);
            if (r + 1 < rows) pair |= v_bf16(x + ld + c, cols - c) << 16;
            memcpy(y + 2 * c, &pair, (size_t)v_least(cols - c) * sizeof(uint32_t));
        }
}

#endif
