/*
 * Kernels of libxsmm, the only file that knows it.
 *
 * libxsmm is column-major, so the roles change: its first operand is our B, its second our A; its m
 * is our n. It takes alpha = 1 and beta = 0 or 1 only, and a transposed second operand. It has bf16
 * for AVX-512, slowly imitated where the processor has no such products.
 */
#include "ops/gemm_xsmm.h"

#include "ops/vec.h"

#include <libxsmm.h>
#include <limits.h>
#include <string.h>

/* Below this many columns a kernel of libxsmm works on a part of one vector. */
enum { FEWEST_COLUMNS = 4 };

static void run_jit(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    unsigned long long n = (unsigned long long)count;
    ((libxsmm_smmfunction_reducebatch_strd)g->jit)(b, a, c, &n);
}

static void run_jit_bf16(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    unsigned long long n = (unsigned long long)count;
    ((libxsmm_bsmmfunction_reducebatch_strd)g->jit)(b, a, c, &n);
}

bool wf_xsmm_fits(const wf_gemm_shape *s)
{
    const int64_t most = INT_MAX / (int64_t)sizeof(float);
    if (s->bf16 && s->lda % 2) return false; /* it counts lda in pairs and drops what is over */
    return s->n >= FEWEST_COLUMNS && s->m <= most && s->n <= most && s->k <= most &&
           s->lda <= most && s->ldb <= most && s->ldc <= most && s->step_a <= most &&
           s->step_b <= most;
}

void wf_xsmm_get(wf_gemm *g)
{
    const wf_gemm_shape *s = &g->shape;
    const int bytes = (int)sizeof(float), prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    /* libxsmm finds a kernel by its shape and flags, whatever the target was when it was made: a
     * flag that means nothing for float32 keeps those of the levels apart. */
    const int level = wf_vec_get()->width == 16 ? LIBXSMM_GEMM_FLAG_VNNI_A : LIBXSMM_GEMM_FLAG_NONE;
    const int flags = s->bf16      ? LIBXSMM_GEMM_FLAG_VNNI_A
                      : s->trans_a ? level | LIBXSMM_GEMM_FLAG_TRANS_B
                                   : level;
    const int m = (int)s->n, n = (int)s->m, k = (int)s->k;
    const float alpha = 1, beta = s->accumulate ? 1 : 0;
    libxsmm_blasint lda = (int)s->lda, ldb = (int)s->ldb, ldc = (int)s->ldc;
    if (s->bf16)
        g->jit = (void (*)(void))libxsmm_bsmmdispatch_reducebatch_strd(
            m, n, k, 0, 0, &ldb, &lda, &ldc, &alpha, &beta, &flags, &prefetch);
    else
        g->jit = (void (*)(void))libxsmm_smmdispatch_reducebatch_strd(
            m, n, k, (int)s->step_b * bytes, (int)s->step_a * bytes, &ldb, &lda, &ldc, &alpha,
            &beta, &flags, &prefetch);
    if (g->jit) g->run = s->bf16 ? run_jit_bf16 : run_jit;
}

bool wf_xsmm_has_bf16(void)
{
    return libxsmm_get_target_archid() >= LIBXSMM_X86_AVX512_CPX;
}

void wf_xsmm_select(const char *isa)
{
    if (!strcmp(isa, "avx2")) libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    if (!strcmp(isa, "avx512")) /* with bf16, if the processor has it */
        libxsmm_set_target_archid(libxsmm_cpuid() < LIBXSMM_X86_AVX512_CPX
                                      ? LIBXSMM_X86_AVX512_CORE
                                      : LIBXSMM_X86_AVX512_CPX);
}
