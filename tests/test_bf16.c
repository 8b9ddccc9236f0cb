/*
 * Products in bf16: how numbers are rounded, the kernels, the ops that multiply, and a model that
 * trains in it. That a processor has no such products changes the speed alone.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/gemm.h"
#include "ops/matmul.h"
#include "ops/operand.h"
#include "tests/gau_trial.h"
#include "tests/op_trial.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const levels[] = {"base", "avx2", "avx512"};

static bool choose_level(const char *isa)
{
    if (!wf_vec_select(isa)) return false; /* not on this processor */
    wf_gemm_select(isa);
    return true;
}

static float from_bits(uint32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* ---- rounding ---- */

static const struct {
    uint32_t from;
    uint16_t to;
    const char *what;
} roundings[] = {
    {0x3f800000, 0x3f80, "1"},
    {0x3f807fff, 0x3f80, "below the middle"},
    {0x3f808000, 0x3f80, "the middle, even below"},
    {0x3f808001, 0x3f81, "above the middle"},
    {0x3f818000, 0x3f82, "the middle, even above"},
    {0xbf818000, 0xbf82, "the same, negative"},
    {0x3fffffff, 0x4000, "up to the next power of two"},
    {0x00000000, 0x0000, "0"},
    {0x80000000, 0x8000, "-0"},
    {0x00008001, 0x0001, "a denormal number"},
    {0x7f7f7fff, 0x7f7f, "the largest that stays finite"},
    {0x7f7f8000, 0x7f80, "the least that does not"},
    {0x7f800000, 0x7f80, "infinity"},
    {0xff800000, 0xff80, "-infinity"},
    {0x7f800001, 0x7fc0, "a NaN with low bits alone"},
    {0x7fffffff, 0x7fff, "a NaN with all bits"},
};

Test(bf16, numbers_are_rounded_to_nearest_ties_to_even)
{
    enum { N = COUNT(roundings) };
    float x[N];
    uint16_t y[N];
    for (int i = 0; i < N; i++) {
        x[i] = from_bits(roundings[i].from);
        cr_expect_eq(wf_to_bf16(x[i]), roundings[i].to, "%s: %#x", roundings[i].what,
                     (unsigned)wf_to_bf16(x[i]));
    }
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (!choose_level(levels[l])) continue;
        wf_vec_get()->bf16(N, y, x);
        for (int i = 0; i < N; i++)
            cr_expect_eq(y[i], roundings[i].to, "%s, %s: %#x", levels[l], roundings[i].what,
                         (unsigned)y[i]);
    }
}

/* In exactly allocated memory, so that a sanitizer sees what is read or written beside it. */
static bool rows_are_paired(int64_t rows, int64_t cols, int64_t ld)
{
    int64_t n = rows ? (rows - 1) * ld + cols : 0, pairs = (rows + 1) / 2 * cols;
    float *x = random_x(n);
    uint16_t *y = malloc((size_t)pairs * 2 * sizeof *y);
    wf_vec_get()->bf16_pairs(rows, cols, y, x, ld);
    bool ok = true;
    for (int64_t r = 0; r < 2 * ((rows + 1) / 2); r++)
        for (int64_t c = 0; c < cols; c++) {
            uint16_t want = r < rows ? wf_to_bf16(x[r * ld + c]) : 0;
            ok = ok && y[(r / 2 * cols + c) * 2 + r % 2] == want;
        }
    free(x);
    free(y);
    return ok;
}

static bool row_is_rounded(int64_t n)
{
    float *x = random_x(n);
    uint16_t *y = malloc((size_t)n * sizeof *y);
    wf_vec_get()->bf16(n, y, x);
    bool ok = true;
    for (int64_t i = 0; i < n; i++) ok = ok && y[i] == wf_to_bf16(x[i]);
    free(x);
    free(y);
    return ok;
}

Test(bf16, rows_and_pairs_of_rows_of_any_size)
{
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (!choose_level(levels[l])) continue;
        for (int64_t n = 0; n < 70; n++) {
            if (!row_is_rounded(n)) cr_expect(false, "%s: a row of %d", levels[l], (int)n);
            for (int64_t rows = 0; rows < 6; rows++)
                if (!rows_are_paired(rows, n, n + rows % 3))
                    cr_expect(false, "%s: %d rows of %d", levels[l], (int)rows, (int)n);
        }
    }
}

/* Element (r, c) of the operand, or the zero behind it. */
static uint16_t operand(const wf_matrix *x, int64_t rows, int64_t cols, int64_t r, int64_t c)
{
    return r < rows && c < cols
               ? wf_to_bf16(wf_read_number(x->type, x->data, r * x->row + c * x->col))
               : 0;
}

static bool is_rounded(const wf_matrix *x, int64_t rows, int64_t cols, float *room)
{
    int64_t ld = cols + cols % 2 + 4, wrong = 0;
    uint16_t *y = malloc((size_t)(rows * ld) * sizeof *y);
    memset(y, 0xff, (size_t)(rows * ld) * sizeof *y);
    wf_matrix_round(y, ld, x, rows, cols, room);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < ld; c++)
            wrong += y[r * ld + c] != (c < cols + cols % 2 ? operand(x, rows, cols, r, c) : 0xffff);
    free(y);
    return wrong == 0;
}

static bool is_packed(const wf_matrix *x, int64_t rows, int64_t cols, float *room)
{
    int64_t depth = rows + rows % 2, step = WF_STRIP * depth, wrong = 0;
    uint16_t *y = malloc((size_t)(depth * cols) * sizeof *y);
    wf_matrix_pack_rounded(y, step, x, rows, cols, room);
    for (int64_t r = 0; r < depth; r++)
        for (int64_t c = 0; c < cols; c++) {
            int64_t first = c / WF_STRIP * WF_STRIP;
            int64_t width = cols - first < WF_STRIP ? cols - first : WF_STRIP;
            int64_t at = c / WF_STRIP * step + (r / 2 * width + c - first) * 2 + r % 2;
            wrong += y[at] != operand(x, rows, cols, r, c);
        }
    free(y);
    return wrong == 0;
}

/* Side by side, turned, and in neither order; deeper than what is rounded at once. */
Test(bf16, operands_of_any_layout)
{
    enum { SIDE = WF_ROUND_SIDE, DEEP = 601 };
    static const int64_t sides[] = {1, 32, 37, SIDE}, depths[] = {1, 2, 255, 600, DEEP};
    float *data = random_x(3 * SIDE * DEEP), *room = malloc(WF_ROUND_ROOM * sizeof *room);
    uint16_t *narrow = malloc(3 * SIDE * DEEP * sizeof *narrow);
    wf_narrow(WF_F16, (int64_t)3 * SIDE * DEEP, narrow, data, NULL, 0, false);
    for (size_t i = 0; i < COUNT(sides) * COUNT(depths) * 6; i++) {
        int64_t side = sides[i / 6 % COUNT(sides)], depth = depths[i / 6 / COUNT(sides)];
        wf_dtype t = i / 3 % 2 ? WF_F16 : WF_F32;
        const void *x = t == WF_F16 ? (const void *)narrow : data;
        wf_matrix a[] = {{x, DEEP, 1, t}, {x, 1, SIDE, t}, {x, 3 * DEEP, 3, t}};
        wf_matrix b = {x, a[i % 3].col, a[i % 3].row, t};
        cr_expect(is_rounded(&a[i % 3], side, depth, room), "%s, layout %d: %d rows of %d",
                  wf_dtype_name(t), (int)i % 3, (int)side, (int)depth);
        cr_expect(is_packed(&b, depth, side, room), "%s, layout %d: %d columns of %d",
                  wf_dtype_name(t), (int)i % 3, (int)side, (int)depth);
    }
    free(data);
    free(narrow);
    free(room);
}

/* ---- kernels ---- */

static uint16_t *random_bf16(int64_t n)
{
    float *x = random_x(n);
    uint16_t *y = malloc((size_t)n * sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i] = wf_to_bf16(x[i]);
    free(x);
    return y;
}

static void naive_kernel(const wf_gemm_shape *s, const uint16_t *a, const uint16_t *b, float *c)
{
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) {
            double y = s->accumulate ? (double)c[i * s->ldc + j] : 0;
            for (int64_t k = 0; k < s->k; k++)
                y += (double)wf_from_bf16(a[i * s->lda + k]) *
                     (double)wf_from_bf16(b[(k / 2 * s->ldb + j) * 2 + k % 2]);
            c[i * s->ldc + j] = (float)y;
        }
}

/* The largest difference from the naive kernel; infinite if something else was written. */
static double kernel_error(const wf_gemm_shape *s)
{
    int64_t n = s->m * s->ldc;
    uint16_t *a = random_bf16(s->m * s->lda), *b = random_bf16(s->k * s->ldb);
    float *x = random_x(n), *y = random_x(n);
    wf_gemm g = wf_gemm_get(s);
    wf_gemm_run(&g, a, b, x, 1);
    naive_kernel(s, a, b, y);
    double d = distance(x, y, n);
    for (int64_t i = 0; i < n; i++)
        if (i % s->ldc >= s->n && x[i] != y[i]) d = INFINITY;
    free(a);
    free(b);
    free(x);
    free(y);
    return d;
}

Test(bf16, kernels_of_any_shape_give_what_a_naive_one_gives)
{
    static const int64_t m[] = {1, 5, 48, 50}, n[] = {1, 3, 7, 32, 45}, k[] = {2, 16, 64, 130};
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (!choose_level(levels[l])) continue;
        for (size_t i = 0; i < COUNT(m) * COUNT(n) * COUNT(k) * 2; i++) {
            wf_gemm_shape s = {.m = m[i / 2 % COUNT(m)],
                               .n = n[i / 2 / COUNT(m) % COUNT(n)],
                               .k = k[i / 2 / COUNT(m) / COUNT(n)],
                               .accumulate = i % 2,
                               .bf16 = true};
            s.lda = s.k + 6 + (int64_t)i / 2 % 2;
            s.ldb = s.n + 3;
            s.ldc = s.n + 2;
            double d = kernel_error(&s);
            if (!(d < 2e-6))
                cr_expect(false, "%s, %dx%dx%d: %g", levels[l], (int)s.m, (int)s.n, (int)s.k, d);
        }
    }
}

/* ---- ops ---- */

/* Rows that multiply. The pass finds matmul only: linear is what later passes make of it, so its
 * rows get the attribute here. attr is what the copy points to. */
static bool in_bf16(op_case *c, wf_linear_attr *attr)
{
    bool is_linear = c->op == &wf_op_linear || c->op == &wf_op_linear_store;
    if (!is_linear) return c->op == &wf_op_matmul;
    *attr = *(const wf_linear_attr *)c->attr;
    attr->product.bf16 = true;
    c->attr = attr;
    return true;
}

static bool start(op_trial *t, const op_case *c, wf_runtime *rt, unsigned how)
{
    bool ok = op_trial_start(t, c, rt, how);
    cr_expect(ok, "%s, %s: %s", c->op->name, c->name, wf_error());
    return ok;
}

static unsigned gradients(const op_case *c)
{
    return (c->flags & OP_GRADIENT) ? OP_DIFFERENTIATE : 0;
}

/* Where some value of a differs from that of b; -1: nowhere. */
static int64_t differs(const op_trial *a, const op_trial *b, double tolerance)
{
    for (int i = 0; i <= OP_ARGS; i++) {
        wf_dtype type;
        int64_t n, m;
        const void *x = op_trial_value(a, i, &type, &n), *y = op_trial_value(b, i, &type, &m);
        if (!x != !y || n != m) return 0;
        int64_t at = x ? op_differs(type, n, x, y, i > 0 ? 10 * tolerance : tolerance) : -1;
        if (at >= 0) return at;
    }
    return -1;
}

static double tolerance(const op_case *c)
{
    return c->tolerance > 0 ? c->tolerance : 4e-6;
}

typedef struct pair {
    op_case in_bf16, in_f32;
    wf_linear_attr attr;
} pair;

/* The next row that multiplies, from *c on. */
static bool next_row(const op_case **c, pair *p)
{
    for (; (*c)->op; ++*c) {
        p->in_bf16 = p->in_f32 = **c;
        if (!in_bf16(&p->in_bf16, &p->attr)) continue;
        ++*c;
        return true;
    }
    return false;
}

/* The naive product in float32, its operands rounded before, is what the kernels must give; and
 * without that rounding it must be something else. */
Test(bf16, products_are_those_of_rounded_operands, .timeout = 100)
{
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (!choose_level(levels[l])) continue;
        setenv("WF_ISA", levels[l], 1);
        wf_runtime *rt = op_runtime(2, "", ""), *naive = op_runtime(1, "ref", OP_NO_PASSES);
        cr_assert(rt && naive, "%s", wf_error());
        const op_case *c = op_cases;
        int rows = 0;
        for (pair p; next_row(&c, &p); rows++) {
            op_trial x, rounded, exact;
            const char *op = p.in_f32.op->name, *name = p.in_f32.name;
            bool ok = start(&x, &p.in_bf16, rt, OP_BF16);
            ok = start(&rounded, &p.in_f32, naive, OP_ROUNDED) && ok;
            ok = start(&exact, &p.in_f32, naive, 0) && ok;
            int64_t at = ok ? differs(&x, &rounded, tolerance(&p.in_f32)) : -1;
            cr_expect(at < 0, "%s, %s, %s: differs at %lld", levels[l], op, name, (long long)at);
            cr_expect(!ok || differs(&x, &exact, tolerance(&p.in_f32)) >= 0,
                      "%s, %s, %s: operands were not rounded", levels[l], op, name);
            op_trial_end(&x);
            op_trial_end(&rounded);
            op_trial_end(&exact);
        }
        cr_expect(rows > 30, "%d rows", rows);
        wf_runtime_free(rt);
        wf_runtime_free(naive);
    }
}

/* Gradients are products of rounded operands too: against the reference, which rounds by itself. */
Test(bf16, kernels_and_reference_round_the_same_and_so_do_gradients, .timeout = 100)
{
    wf_runtime *rt = op_runtime(2, "", ""), *naive = op_runtime(1, "ref", OP_NO_PASSES);
    const op_case *c = op_cases;
    for (pair p; next_row(&c, &p);) {
        op_trial x, y;
        bool ok = start(&x, &p.in_bf16, rt, OP_BF16 | gradients(&p.in_bf16));
        ok = start(&y, &p.in_bf16, naive, OP_BF16 | gradients(&p.in_bf16)) && ok;
        int64_t at = ok ? differs(&x, &y, tolerance(&p.in_f32)) : -1;
        cr_expect(at < 0, "%s, %s: differs at %lld", p.in_f32.op->name, p.in_f32.name,
                  (long long)at);
        op_trial_end(&x);
        op_trial_end(&y);
    }
    wf_runtime_free(rt);
    wf_runtime_free(naive);
}

Test(bf16, the_same_bits_with_1_2_3_and_7_threads, .timeout = 100)
{
    static const int threads[] = {2, 3, 7};
    wf_runtime *one = op_runtime(1, "", "");
    for (size_t i = 0; i < COUNT(threads); i++) {
        wf_runtime *many = op_runtime(threads[i], "", "");
        const op_case *c = op_cases;
        for (pair p; next_row(&c, &p);) {
            op_trial x, y;
            bool ok = start(&x, &p.in_bf16, one, OP_BF16 | gradients(&p.in_bf16));
            ok = start(&y, &p.in_bf16, many, OP_BF16 | gradients(&p.in_bf16)) && ok;
            cr_expect(!ok || differs(&x, &y, 0) < 0, "%s, %s: %d threads", p.in_f32.op->name,
                      p.in_f32.name, threads[i]);
            op_trial_end(&x);
            op_trial_end(&y);
        }
        wf_runtime_free(many);
    }
    wf_runtime_free(one);
}
