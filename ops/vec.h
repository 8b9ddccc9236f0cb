/*
 * The vector layer: row primitives that kernels are made of. vec.c is compiled once for each level
 * (AVX-512, AVX2+FMA, plain) and one table is picked at start. Op files stay plain C.
 *
 * Two rules hold for every elementwise primitive. y may be the same memory as any x (not shifted
 * against it). The bits of y[i] depend on the elements at i alone, never on n or on where a tail
 * begins, so that work may be cut anywhere.
 *
 * Reductions combine in an order that n alone fixes.
 */
#ifndef WF_VEC_H
#define WF_VEC_H

#include <stdbool.h>
#include <stdint.h>

enum { WF_STRIP = 32 }; /* columns of a strip: see pack */

struct wf_gemm_shape;

typedef void wf_unary_fn(int64_t n, float *y, const float *x);
typedef void wf_binary_fn(int64_t n, float *y, const float *a, const float *b);

typedef struct wf_vec {
    const char *isa; /* "avx512", "avx2", "base" */
    int width;       /* floats in a vector */

    wf_unary_fn *neg, *abs, *sign, *exp, *expm1, *log, *log1p, *sqrt, *rsqrt, *square, *reciprocal,
        *sin, *cos, *tanh, *erf, *sigmoid, *softplus, *silu, *silu_grad /* d silu(x) / dx */, *gelu,
        *gelu_tanh, *relu, *relu2;
    wf_binary_fn *add, *sub, *mul, *div, *max, *min, *pow, *equal, *less, *less_equal;

    wf_binary_fn *silu_mul; /* silu(a) b */
    /* y = silu(x), slope = silu'(x) */
    void (*silu_both)(int64_t n, float *y, float *slope, const float *x);
    /* of g = silu(u) y: dy = dg silu(u), du = dg y silu'(u) */
    void (*gate_grad)(int64_t n, float *dy, float *du, const float *u, const float *dg,
                      const float *y);

    void (*where)(int64_t n, float *y, const float *c, const float *a, const float *b);
    void (*fill)(int64_t n, float *y, float value);
    void (*scale)(int64_t n, float *y, const float *x, float a);
    void (*shift)(int64_t n, float *y, const float *x, float a);
    void (*clamp)(int64_t n, float *y, const float *x, float lo, float hi);
    void (*axpby)(int64_t n, float *y, float a, const float *x, float b, const float *z);
    void (*muladd)(int64_t n, float *y, const float *a, const float *b); /* y += a b */

    double (*sum)(int64_t n, const float *x); /* float lanes in blocks, blocks added in double */
    double (*dot)(int64_t n, const float *a, const float *b);
    /* y[c] = x[c] + x[ld + c] + x[2 ld + c] + ..., in this order */
    void (*sum_rows)(int64_t rows, int64_t cols, float *y, const float *x, int64_t ld);
    float (*max_of)(int64_t n, const float *x); /* -INFINITY for n = 0; NaN if any is NaN */
    float (*exp_sum)(int64_t n, float *y, const float *x, float m); /* y = e^(x-m); their sum */

    /* y[2i] = x[2i] cos[i] - x[2i+1] sin[i]; y[2i+1] = x[2i+1] cos[i] + x[2i] sin[i] */
    void (*rotate)(int64_t pairs, float *y, const float *x, const float *cos, const float *sin);
    /* dst[c * ldd + r] = src[r * lds + c] for r < rows, c < cols */
    void (*transpose)(int64_t rows, int64_t cols, float *dst, int64_t ldd, const float *src,
                      int64_t lds);
    /* Strips of WF_STRIP columns, each with its rows side by side (the last one may be narrower):
     * y[s * step + r * width + c] = x[r * ld + WF_STRIP s + c] */
    void (*pack)(int64_t rows, int64_t cols, float *y, int64_t step, const float *x, int64_t ld);
    /* x rounded to bf16; and rows of it by twos, the last one beside zeros if they are odd:
     * y[(r / 2 * cols + c) * 2 + r % 2] = x[r * ld + c] */
    void (*bf16)(int64_t n, uint16_t *y, const float *x);
    void (*bf16_pairs)(int64_t rows, int64_t cols, uint16_t *y, const float *x, int64_t ld);
    /* x rounded to f16; or to one of the two neighbours by chance, element i with draw first + i
     * of the stream of a, b; and back: see simd_narrow.h */
    void (*f16)(int64_t n, uint16_t *y, const float *x);
    void (*bf16_drawn)(int64_t n, uint16_t *y, const float *x, uint32_t a, uint32_t b,
                       uint64_t first);
    void (*f16_drawn)(int64_t n, uint16_t *y, const float *x, uint32_t a, uint32_t b,
                      uint64_t first);
    void (*from_bf16)(int64_t n, float *y, const uint16_t *x);
    void (*from_f16)(int64_t n, float *y, const uint16_t *x);
    /* bits i of the stream (key, stream): see random.c; i counts from first */
    void (*random_bits)(int64_t n, uint32_t *y, uint64_t key, uint64_t stream, uint64_t first);
    void (*uniform)(int64_t n, float *y, uint64_t key, uint64_t stream, uint64_t first);
    /* y = x / (1 - rate) where the stream's uniform number is >= rate, else 0 */
    void (*dropout)(int64_t n, float *y, const float *x, float rate, uint64_t key, uint64_t stream,
                    uint64_t first);

    /* the portable tile product: see gemm.h */
    void (*gemm)(const struct wf_gemm_shape *s, const float *a, const float *b, float *c,
                 int64_t count);
} wf_vec;

/* Those that the build has: see vec_select.c. */
extern const wf_vec wf_vec_avx512, wf_vec_avx2, wf_vec_base;

/* The table in use: the best level of this processor, unless wf_vec_select chose another. */
const wf_vec *wf_vec_get(void);
/* "avx512", "avx2", "base": false and wf_error() if unknown here or the processor lacks it. */
bool wf_vec_select(const char *isa);

#endif
