/*
 * Tile products: the only door to libxsmm, with a portable kernel behind it.
 *
 * C[m,n] = (accumulate ? C : 0) + sum over i < count of A_i[m,k] B_i[k,n], all row-major, where
 * A_i = a + i * step_a and B_i = b + i * step_b (steps in elements). With trans_a, A_i is stored
 * as [k,m] with leading dimension lda.
 *
 * In bf16, operands are the upper halves of float32 (uint16_t); products, sums and C are float32. A
 * is row-major [m,k], B has its rows by twos, [k/2][n][2]: element (k, j) at (k/2 ldb + j) 2 + k%2.
 * k is even, count is 1, and there is no trans_a.
 *
 * A kernel is chosen once for a shape (wf_gemm_get: tens of nanoseconds when known) and then
 * called; its bits depend on the shape and the data alone.
 */
#ifndef WF_GEMM_H
#define WF_GEMM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct wf_gemm_shape {
    int64_t m, n, k;
    int64_t lda, ldb, ldc;
    int64_t step_a, step_b; /* 0 if count is always 1 */
    bool trans_a, accumulate, bf16;
} wf_gemm_shape;

typedef struct wf_gemm {
    wf_gemm_shape shape;
    void (*run)(const struct wf_gemm *g, const void *a, const void *b, float *c, int64_t count);
    void (*jit)(void); /* libxsmm's kernel, or NULL for the portable one */
} wf_gemm;

wf_gemm wf_gemm_get(const wf_gemm_shape *s);

/* a, b: float, or uint16_t in bf16 */
static inline void wf_gemm_run(const wf_gemm *g, const void *a, const void *b, float *c,
                               int64_t count)
{
    g->run(g, a, b, c, count);
}

/* Has the processor products in bf16, and libxsmm kernels for them? */
bool wf_gemm_has_bf16(void);

/* One number to bf16, to nearest, ties to even, and back: what rows (vec.h) are tested against. */
static inline uint16_t wf_to_bf16(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    if (x != x) return (uint16_t)(b >> 16 | 0x40); /* rounding could make it infinite */
    return (uint16_t)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

static inline float wf_from_bf16(uint16_t h)
{
    uint32_t b = (uint32_t)h << 16;
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* The portable kernels, one a level: level_gemm.c. */
typedef void wf_gemm_fn(const wf_gemm_shape *s, const float *a, const float *b, float *c,
                        int64_t count);
extern wf_gemm_fn wf_gemm_avx512, wf_gemm_avx2, wf_gemm_base;

/* Tell libxsmm and the portable kernel which level to use; called with wf_vec_select. */
void wf_gemm_select(const char *isa);

#endif
