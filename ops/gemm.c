/*
 * Tile products: libxsmm's just-in-time kernels where it has one, else the portable kernel of the
 * vector level in use.
 *
 * libxsmm is column-major, so the roles change: its first operand is our B, its second our A; its m
 * is our n. It takes alpha = 1 and beta = 0 or 1 only, and a transposed second operand.
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

static void run_jit(const wf_gemm *g, const float *a, const float *b, float *c, int64_t count)
{
    unsigned long long n = (unsigned long long)count;
    ((libxsmm_smmfunction_reducebatch_strd)g->jit)(b, a, c, &n);
}

static void run_portable(const wf_gemm *g, const float *a, const float *b, float *c, int64_t count)
{
    wf_vec_get()->gemm(&g->shape, a, b, c, count);
}

static bool fits(const wf_gemm_shape *s)
{
    const int64_t most = INT_MAX / (int64_t)sizeof(float);
    return s->n >= FEWEST_COLUMNS && s->m <= most && s->n <= most && s->k <= most &&
           s->lda <= most && s->ldb <= most && s->ldc <= most && s->step_a <= most &&
           s->step_b <= most;
}

wf_gemm wf_gemm_get(const wf_gemm_shape *s)
{
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

void wf_gemm_reference(const wf_gemm_shape *s, const float *a, const float *b, float *c,
                       int64_t count)
{
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) {
            double y = s->accumulate ? (double)c[i * s->ldc + j] : 0;
            for (int64_t t = 0; t < count * s->k; t++) {
                int64_t q = t / s->k, k = t % s->k;
                const float *x = a + q * s->step_a;
                y += (double)(s->trans_a ? x[k * s->lda + i] : x[i * s->lda + k]) *
                     (double)b[q * s->step_b + k * s->ldb + j];
            }
            c[i * s->ldc + j] = (float)y;
        }
}

void wf_gemm_select(const char *isa)
{
    atomic_store(&is_portable, !strcmp(isa, "base"));
    if (!strcmp(isa, "avx2")) libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    if (!strcmp(isa, "avx512")) libxsmm_set_target_archid(LIBXSMM_X86_AVX512_CORE);
}
