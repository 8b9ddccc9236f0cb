/*
 * Tile products: libxsmm's just-in-time kernels where it has one, else the portable kernel of the
 * vector level in use.
 *
 * libxsmm is column-major, so the roles change: its first operand is our B, its second our A; its m
 * is our n. It takes alpha = 1 and beta = 0 or 1 only, and a transposed second operand. It has bf16
 * for AVX-512, slowly imitated where the processor has no such products: there, and elsewhere,
 * rounded operands go through the float32 kernels.
 */
#include "ops/gemm.h"

#include "ops/vec.h"

#include <libxsmm.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

/* Below this many columns a kernel of libxsmm works on a part of one vector. */
enum { FEWEST_COLUMNS = 4 };

static atomic_bool is_portable; /* libxsmm is not asked */

static void run_jit(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    unsigned long long n = (unsigned long long)count;
    ((libxsmm_smmfunction_reducebatch_strd)g->jit)(b, a, c, &n);
}

static void run_portable(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    wf_vec_get()->gemm(&g->shape, a, b, c, count);
}

/* ---- bf16 ---- */

static void run_jit_bf16(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    unsigned long long n = (unsigned long long)count;
    ((libxsmm_bsmmfunction_reducebatch_strd)g->jit)(b, a, c, &n);
}

enum { M_PIECE = 48, N_PIECE = 32, K_PIECE = 64 };

/* k rows of B, which lie by twos, to y[k][n]. */
static void widen_pairs(float *y, const uint16_t *b, int64_t ldb, int64_t k, int64_t n)
{
    for (int64_t t = 0; t < k; t += 2, b += 2 * ldb, y += 2 * n)
        for (int64_t j = 0; j < n; j++) {
            y[j] = wf_from_bf16(b[2 * j]);
            y[n + j] = wf_from_bf16(b[2 * j + 1]);
        }
}

static void widen_rows(float *y, const uint16_t *a, int64_t lda, int64_t m, int64_t k)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t t = 0; t < k; t++) y[i * k + t] = wf_from_bf16(a[i * lda + t]);
}

/* A piece at a time as float32 again, through the float32 kernel. */
static void run_portable_bf16(const wf_gemm *g, const void *a, const void *b, float *c,
                              int64_t count)
{
    const wf_gemm_shape *s = &g->shape;
    float x[M_PIECE * K_PIECE], y[K_PIECE * N_PIECE];
    (void)count;
    for (int64_t j = 0; j < s->n; j += N_PIECE)
        for (int64_t t = 0; t < s->k; t += K_PIECE) {
            wf_gemm_shape piece = {.ldc = s->ldc, .accumulate = s->accumulate || t > 0};
            piece.k = piece.lda = s->k - t < K_PIECE ? s->k - t : K_PIECE;
            piece.n = piece.ldb = s->n - j < N_PIECE ? s->n - j : N_PIECE;
            widen_pairs(y, (const uint16_t *)b + t * s->ldb + 2 * j, s->ldb, piece.k, piece.n);
            for (int64_t i = 0; i < s->m; i += M_PIECE) {
                piece.m = s->m - i < M_PIECE ? s->m - i : M_PIECE;
                widen_rows(x, (const uint16_t *)a + i * s->lda + t, s->lda, piece.m, piece.k);
                wf_gemm f = wf_gemm_get(&piece);
                wf_gemm_run(&f, x, y, c + i * s->ldc + j, 1);
            }
        }
}

bool wf_gemm_has_bf16(void)
{
    return !atomic_load_explicit(&is_portable, memory_order_relaxed) &&
           libxsmm_get_target_archid() >= LIBXSMM_X86_AVX512_CPX;
}

/* ---- the choice ---- */

static bool fits(const wf_gemm_shape *s)
{
    const int64_t most = INT_MAX / (int64_t)sizeof(float);
    return s->n >= FEWEST_COLUMNS && s->m <= most && s->n <= most && s->k <= most &&
           s->lda <= most && s->ldb <= most && s->ldc <= most && s->step_a <= most &&
           s->step_b <= most;
}

static wf_gemm get_bf16(const wf_gemm_shape *s)
{
    wf_gemm g = {.shape = *s, .run = run_portable_bf16};
    if (!fits(s) || !wf_gemm_has_bf16()) return g;
    const int flags = LIBXSMM_GEMM_FLAG_VNNI_A, prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    const float alpha = 1, beta = s->accumulate ? 1 : 0;
    libxsmm_blasint lda = (int)s->lda, ldb = (int)s->ldb, ldc = (int)s->ldc;
    g.jit = (void (*)(void))libxsmm_bsmmdispatch_reducebatch_strd(
        (int)s->n, (int)s->m, (int)s->k, 0, 0, &ldb, &lda, &ldc, &alpha, &beta, &flags, &prefetch);
    if (g.jit) g.run = run_jit_bf16;
    return g;
}

wf_gemm wf_gemm_get(const wf_gemm_shape *s)
{
    if (s->bf16) return get_bf16(s);
    wf_gemm g = {.shape = *s, .run = run_portable};
    if (!fits(s) || atomic_load_explicit(&is_portable, memory_order_relaxed)) return g;
    const int bytes = (int)sizeof(float), prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    const int flags = s->trans_a ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
    const float alpha = 1, beta = s->accumulate ? 1 : 0;
    libxsmm_blasint lda = (int)s->lda, ldb = (int)s->ldb, ldc = (int)s->ldc;
    g.jit = (void (*)(void))libxsmm_smmdispatch_reducebatch_strd(
        (int)s->n, (int)s->m, (int)s->k, (int)s->step_b * bytes, (int)s->step_a * bytes, &ldb, &lda,
        &ldc, &alpha, &beta, &flags, &prefetch);
    if (g.jit) g.run = run_jit;
    return g;
}

static double element(const wf_gemm_shape *s, const void *x, int64_t at)
{
    return (double)(s->bf16 ? wf_from_bf16(((const uint16_t *)x)[at]) : ((const float *)x)[at]);
}

void wf_gemm_reference(const wf_gemm_shape *s, const void *a, const void *b, float *c,
                       int64_t count)
{
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) {
            double y = s->accumulate ? (double)c[i * s->ldc + j] : 0;
            for (int64_t t = 0; t < count * s->k; t++) {
                int64_t q = t / s->k, k = t % s->k;
                int64_t at_a = q * s->step_a + (s->trans_a ? k * s->lda + i : i * s->lda + k);
                int64_t at_b =
                    q * s->step_b + (s->bf16 ? (k / 2 * s->ldb + j) * 2 + k % 2 : k * s->ldb + j);
                y += element(s, a, at_a) * element(s, b, at_b);
            }
            c[i * s->ldc + j] = (float)y;
        }
}

void wf_gemm_select(const char *isa)
{
    atomic_store(&is_portable, !strcmp(isa, "base"));
    if (!strcmp(isa, "avx2")) libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    if (!strcmp(isa, "avx512")) { /* with bf16, if the processor has it */
        int most = libxsmm_cpuid();
        bool has_bf16 = most >= LIBXSMM_X86_AVX512_CPX;
        libxsmm_set_target_archid(has_bf16 ? most : LIBXSMM_X86_AVX512_CORE);
    }
}
