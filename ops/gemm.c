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

static bool has_libxsmm(void)
{
    return !atomic_load_explicit(&is_portable, memory_order_relaxed);
}

static void run_jit(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    unsigned long long n = (unsigned long long)count;
    ((libxsmm_smmfunction_reducebatch_strd)g->jit)(b, a, c, &n);
}

static void run_portable(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    wf_vec_get()->gemm(&g->shape, a, b, c, count);
}

/* ---- columns that fill no vector ---- */

/* libxsmm's kernels for AVX2 take single columns one by one, which is 2 to 5 times slower than
 * whole vectors: the last columns of B are copied to whole ones, and those of C come back from
 * there. */
enum { VECTOR = 8, TAIL = 4 * VECTOR, TAIL_M = 64, TAIL_K = 128 };

typedef struct tail {
    float b[TAIL_K * TAIL], c[TAIL_M * TAIL]; /* filled up with zeros: no rest may be slow */
    int64_t n, width;                         /* columns, and what they fill */
} tail;

/* As single copies of a known size, which may overlap. */
static void copy_columns(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows,
                         int64_t n)
{
    enum { ALL = VECTOR * sizeof(float), HALF = ALL / 2 };
    for (int64_t i = 0; i < rows && n >= VECTOR; i++, y += ldy, x += ldx) {
        for (int64_t j = 0; j < n - VECTOR; j += VECTOR) memcpy(y + j, x + j, ALL);
        memcpy(y + n - VECTOR, x + n - VECTOR, ALL);
    }
    for (int64_t i = 0; i < rows && n < VECTOR; i++, y += ldy, x += ldx)
        if (n >= VECTOR / 2) {
            memcpy(y, x, HALF);
            memcpy(y + n - VECTOR / 2, x + n - VECTOR / 2, HALF);
        } else {
            for (int64_t j = 0; j < n; j++) y[j] = x[j];
        }
}

/* At most TAIL_M rows into t->c. */
static void run_tail(tail *t, const wf_gemm_shape *s, const float *a, const float *b, int64_t count)
{
    wf_gemm_shape part = *s;
    part.n = part.ldb = part.ldc = t->width;
    part.step_a = part.step_b = 0;
    for (int64_t i = 0; i < count; i++, a += s->step_a, b += s->step_b)
        for (int64_t k = 0; k < s->k; k += TAIL_K) {
            part.k = s->k - k < TAIL_K ? s->k - k : TAIL_K;
            copy_columns(t->b, t->width, b + k * s->ldb, s->ldb, part.k, t->n);
            wf_gemm g = wf_gemm_get(&part);
            wf_gemm_run(&g, a + (s->trans_a ? k * s->lda : k), t->b, t->c, 1);
            part.accumulate = true;
        }
}

static void run_ragged(const wf_gemm *g, const void *a, const void *b, float *c, int64_t count)
{
    const wf_gemm_shape *s = &g->shape;
    tail t; /* large: only what is read is set */
    t.n = s->n % TAIL;
    t.width = (t.n + VECTOR - 1) / VECTOR * VECTOR;
    size_t row = (size_t)t.width * sizeof(float);
    memset(t.b, 0, (size_t)(s->k < TAIL_K ? s->k : TAIL_K) * row);
    if (s->accumulate) memset(t.c, 0, (size_t)(s->m < TAIL_M ? s->m : TAIL_M) * row);
    wf_gemm_shape part = *s;
    part.n -= t.n;
    if (part.n) {
        wf_gemm whole = wf_gemm_get(&part);
        wf_gemm_run(&whole, a, b, c, count);
    }
    const float *last = (const float *)b + part.n;
    float *to = c + part.n;
    for (int64_t i = 0; i < s->m; i += TAIL_M, to += TAIL_M * s->ldc) {
        part.m = s->m - i < TAIL_M ? s->m - i : TAIL_M;
        if (s->accumulate) copy_columns(t.c, t.width, to, s->ldc, part.m, t.n);
        run_tail(&t, &part, (const float *)a + (s->trans_a ? i : i * s->lda), last, count);
        copy_columns(to, s->ldc, t.c, t.width, part.m, t.n);
    }
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
    return has_libxsmm() && libxsmm_get_target_archid() >= LIBXSMM_X86_AVX512_CPX;
}

static bool fits(const wf_gemm_shape *s)
{
    const int64_t most = INT_MAX / (int64_t)sizeof(float);
    return s->n >= FEWEST_COLUMNS && s->m <= most && s->n <= most && s->k <= most &&
           s->lda <= most && s->ldb <= most && s->ldc <= most && s->step_a <= most &&
           s->step_b <= most;
}

/* Do the last columns want copies? Few rows do not pay for them. */
static bool is_ragged(const wf_gemm_shape *s)
{
    return s->n % VECTOR && s->m >= VECTOR && !s->bf16 && wf_vec_get()->width == VECTOR;
}

wf_gemm wf_gemm_get(const wf_gemm_shape *s)
{
    wf_gemm g = {.shape = *s, .run = s->bf16 ? run_portable_bf16 : run_portable};
    if (!fits(s) || (s->bf16 ? !wf_gemm_has_bf16() : !has_libxsmm())) return g;
    if (is_ragged(s)) {
        g.run = run_ragged;
        return g;
    }
    const int bytes = (int)sizeof(float), prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    const int flags = s->bf16      ? LIBXSMM_GEMM_FLAG_VNNI_A
                      : s->trans_a ? LIBXSMM_GEMM_FLAG_TRANS_B
                                   : LIBXSMM_GEMM_FLAG_NONE;
    const int m = (int)s->n, n = (int)s->m, k = (int)s->k;
    const float alpha = 1, beta = s->accumulate ? 1 : 0;
    libxsmm_blasint lda = (int)s->lda, ldb = (int)s->ldb, ldc = (int)s->ldc;
    if (s->bf16)
        g.jit = (void (*)(void))libxsmm_bsmmdispatch_reducebatch_strd(
            m, n, k, 0, 0, &ldb, &lda, &ldc, &alpha, &beta, &flags, &prefetch);
    else
        g.jit = (void (*)(void))libxsmm_smmdispatch_reducebatch_strd(
            m, n, k, (int)s->step_b * bytes, (int)s->step_a * bytes, &ldb, &lda, &ldc, &alpha,
            &beta, &flags, &prefetch);
    if (g.jit) g.run = s->bf16 ? run_jit_bf16 : run_jit;
    return g;
}

void wf_gemm_select(const char *isa)
{
    atomic_store(&is_portable, !strcmp(isa, "base"));
    if (!strcmp(isa, "avx2")) libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    if (!strcmp(isa, "avx512")) /* with bf16, if the processor has it */
        libxsmm_set_target_archid(libxsmm_cpuid() < LIBXSMM_X86_AVX512_CPX
                                      ? LIBXSMM_X86_AVX512_CORE
                                      : LIBXSMM_X86_AVX512_CPX);
}
