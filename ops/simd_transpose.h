/* Rearranging matrices: transposition in registers, WF_WIDTH x WF_WIDTH floats a block; columns
 * packed into strips. */
#ifndef WF_SIMD_TRANSPOSE_H
#define WF_SIMD_TRANSPOSE_H

#include "ops/simd.h"
#include "ops/vec.h"

#define STRIP 16  /* rows taken together, so that lines of dst are written whole */
#define PANEL 128 /* columns taken together, so that few pages of dst are written by turns */

/* Four columns of src: quads of four rows are transposed in each lane group, and the groups lie as
 * they must in dst. */
static inline void v_transpose_quads(vf y[4], const float *src, int64_t lds)
{
    vf a = v_load_quads(src, lds), b = v_load_quads(src + lds, lds);
    vf c = v_load_quads(src + 2 * lds, lds), d = v_load_quads(src + 3 * lds, lds);
    vf ab = v_zip_low(a, b), cd = v_zip_low(c, d);
    y[0] = v_pair_low(ab, cd);
    y[1] = v_pair_high(ab, cd);
    ab = v_zip_high(a, b);
    cd = v_zip_high(c, d);
    y[2] = v_pair_low(ab, cd);
    y[3] = v_pair_high(ab, cd);
}

static inline void v_transpose_block(float *dst, int64_t ldd, const float *src, int64_t lds)
{
    for (int64_t c = 0; c < WF_WIDTH; c += 4) {
        vf y[4];
        v_transpose_quads(y, src + c, lds);
        for (int64_t i = 0; i < 4; i++) v_store(dst + (c + i) * ldd, y[i]);
    }
}

/* A block of which only rows x cols exist. */
static void transpose_edge(int64_t rows, int64_t cols, float *dst, int64_t ldd, const float *src,
                           int64_t lds)
{
    float s[WF_WIDTH * WF_WIDTH] = {0}, d[WF_WIDTH * WF_WIDTH];
    for (int64_t r = 0; r < rows; r++) {
        const float *x = src + r * lds;
        v_store(s + r * WF_WIDTH, cols < WF_WIDTH ? v_load_part(x, cols) : v_load(x));
    }
    v_transpose_block(d, WF_WIDTH, s, WF_WIDTH);
    for (int64_t c = 0; c < cols; c++) {
        vf x = v_load(d + c * WF_WIDTH);
        if (rows < WF_WIDTH)
            v_store_part(dst + c * ldd, x, rows);
        else
            v_store(dst + c * ldd, x);
    }
}

/* Up to STRIP rows. */
static void transpose_strip(int64_t rows, int64_t cols, float *dst, int64_t ldd, const float *src,
                            int64_t lds)
{
    for (int64_t c = 0; c < cols; c += WF_WIDTH)
        for (int64_t r = 0; r < rows; r += WF_WIDTH) {
            float *d = dst + c * ldd + r;
            const float *s = src + r * lds + c;
            if (rows - r >= WF_WIDTH && cols - c >= WF_WIDTH)
                v_transpose_block(d, ldd, s, lds);
            else
                transpose_edge(v_least(rows - r), v_least(cols - c), d, ldd, s, lds);
        }
}

static void vec_transpose(int64_t rows, int64_t cols, float *dst, int64_t ldd, const float *src,
                          int64_t lds)
{
    for (int64_t c = 0; c < cols; c += PANEL)
        for (int64_t r = 0; r < rows; r += STRIP)
            transpose_strip(rows - r < STRIP ? rows - r : STRIP,
                            cols - c < PANEL ? cols - c : PANEL, dst + c * ldd + r, ldd,
                            src + r * lds + c, lds);
}

/* Rows lie far apart, where no hardware prefetches: AHEAD of them are asked for. */
static void vec_pack(int64_t rows, int64_t cols, float *y, int64_t step, const float *x, int64_t ld)
{
    enum { AHEAD = 12, LINE = 16 };
    int64_t whole = cols / WF_STRIP, rest = cols - whole * WF_STRIP;
    for (int64_t r = 0; r < rows; r++, x += ld) {
        const float *next = x + (r + AHEAD < rows ? AHEAD * ld : 0);
        for (int64_t c = 0; c < cols; c += LINE) __builtin_prefetch(next + c);
        for (int64_t s = 0; s < whole; s++)
            for (int64_t c = 0; c < WF_STRIP; c += WF_WIDTH)
                v_store(y + s * step + r * WF_STRIP + c, v_load(x + s * WF_STRIP + c));
        if (rest) memcpy(y + whole * step + r * rest, x + whole * WF_STRIP, (size_t)rest * 4);
    }
}

#endif
