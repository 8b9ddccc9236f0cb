/*
 * Tile products against sums in double precision: every level, sizes around those that kernels are
 * made for, operands inside larger matrices. Nothing beside the operands counts, and nothing beside
 * C is written.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>

#include "ops/gemm.h"
#include "ops/vec.h"

enum { GAP = 3, GUARD = 7 };

typedef struct operand {
    float *x;
    int64_t ld, step; /* of rows, of terms */
} operand;

static float next(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) * 0x1p-23f - 1;
}

/* count matrices [rows, cols], NaN around them. */
static operand operand_new(int64_t rows, int64_t cols, int64_t count)
{
    operand o = {.ld = cols + GAP, .step = rows * (cols + GAP) + 1};
    int64_t all = o.step * count;
    o.x = malloc((size_t)all * sizeof(float));
    for (int64_t i = 0; i < all; i++) o.x[i] = NAN;
    for (int64_t t = 0; t < count; t++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < cols; c++) o.x[t * o.step + r * o.ld + c] = next();
    return o;
}

static double expected(const wf_gemm_shape *s, const operand *a, const operand *b, int64_t i,
                       int64_t j, int64_t count, double *size)
{
    double y = 0;
    for (int64_t t = 0; t < count; t++)
        for (int64_t k = 0; k < s->k; k++) {
            int64_t at = s->trans_a ? k * a->ld + i : i * a->ld + k;
            double term =
                (double)a->x[t * a->step + at] * (double)b->x[t * b->step + k * b->ld + j];
            y += term;
            *size += fabs(term);
        }
    return y;
}

static void check(const char *isa, wf_gemm_shape s, int64_t count)
{
    operand a = operand_new(s.trans_a ? s.k : s.m, s.trans_a ? s.m : s.k, count);
    operand b = operand_new(s.k, s.n, count), c = operand_new(s.m, s.n, 1);
    s.lda = a.ld, s.ldb = b.ld, s.ldc = c.ld;
    if (count > 1) s.step_a = a.step, s.step_b = b.step;
    float *before = malloc((size_t)c.step * sizeof(float));
    for (int64_t i = 0; i < c.step; i++) {
        if (isnan(c.x[i])) c.x[i] = GUARD;
        before[i] = c.x[i];
    }
    wf_gemm g = wf_gemm_get(&s);
    wf_gemm_run(&g, a.x, b.x, c.x, count);
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < c.ld; j++) {
            double was = (double)before[i * c.ld + j], y = (double)c.x[i * c.ld + j];
            double size = 1, want = was;
            if (j < s.n) want = (s.accumulate ? was : 0) + expected(&s, &a, &b, i, j, count, &size);
            cr_assert(fabs(y - want) <= (j < s.n ? 1e-6 * size : 0),
                      "%s %dx%dx%d%s%s, %d terms, at (%d, %d): %g, expected %g", isa, (int)s.m,
                      (int)s.n, (int)s.k, s.trans_a ? " transposed" : "",
                      s.accumulate ? " accumulated" : "", (int)count, (int)i, (int)j, y, want);
        }
    free(a.x), free(b.x), free(c.x), free(before);
}

static void check_level(const char *isa)
{
    static const int64_t m[] = {1, 7, 8, 33, 64, 65, 130}, k[] = {1, 5, 128, 129, 300};
    if (!wf_vec_select(isa)) return; /* not on this processor */
    wf_gemm_select(isa);
    for (size_t i = 0; i < sizeof m / sizeof *m; i++)
        for (int64_t n = 1; n <= 40; n++) {
            const wf_gemm_shape s = {.m = m[i], .n = n, .k = k[(i + (size_t)n) % 5]};
            for (int way = 0; way < 4; way++) {
                wf_gemm_shape t = s;
                t.trans_a = way % 2, t.accumulate = way / 2;
                check(isa, t, way == 3 ? 3 : 1);
            }
        }
    check(isa, (wf_gemm_shape){.m = 48, .n = 331, .k = 40}, 1);
}

Test(gemm, base)
{
    check_level("base");
}

Test(gemm, avx2)
{
    check_level("avx2");
}

Test(gemm, avx512)
{
    check_level("avx512");
}

static wf_gemm kernel_of_level(const char *isa)
{
    const wf_gemm_shape s = {.m = 48, .n = 32, .k = 64, .lda = 64, .ldb = 32, .ldc = 32};
    wf_gemm none = {.jit = NULL};
    if (!wf_vec_select(isa)) return none; /* not on this processor */
    wf_gemm_select(isa);
    return wf_gemm_get(&s);
}

Test(gemm, levels_have_kernels_of_their_own_even_in_one_process)
{
    wf_gemm narrow = kernel_of_level("avx2"), wide = kernel_of_level("avx512");
    cr_expect(!narrow.jit || narrow.jit != wide.jit);
    cr_expect(narrow.jit == kernel_of_level("avx2").jit);
}
