/*
 * Tile products: a kernel of libxsmm (gemm_xsmm.c) where there is one, else the portable kernel of
 * the vector level in use. Rounded operands go through the float32 kernels where there is none for
 * bf16.
 */
#include "ops/gemm.h"

#include "ops/gemm_xsmm.h"
#include "ops/vec.h"

#include <string.h>

/* At level base it is not asked, though it knows AVX without FMA: a level has its own bits. */
static bool has_xsmm(void)
{
    return WF_HAS_XSMM && strcmp(wf_vec_get()->isa, "base") != 0;
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
    return has_xsmm() && wf_xsmm_has_bf16();
}

/* Do the last columns want copies? Few rows do not pay for them. */
static bool is_ragged(const wf_gemm_shape *s)
{
    return s->n % VECTOR && s->m >= VECTOR && !s->bf16 && wf_vec_get()->width == VECTOR;
}

wf_gemm wf_gemm_get(const wf_gemm_shape *s)
{
    wf_gemm g = {.shape = *s, .run = s->bf16 ? run_portable_bf16 : run_portable};
    if (!wf_xsmm_fits(s) || (s->bf16 ? !wf_gemm_has_bf16() : !has_xsmm())) return g;
    if (is_ragged(s))
        g.run = run_ragged;
    else
        wf_xsmm_get(&g);
    return g;
}

void wf_gemm_select(const char *isa)
{
    wf_xsmm_select(isa);
}
