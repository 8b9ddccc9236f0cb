/*
 * Ops, row by row of the table: against the naive reference, on any number of threads, with the
 * passes left out. ONLY_OP=name runs the rows of one op.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"
#include "tests/op_trial.h"

static bool is_asked_for(const op_case *c)
{
    const char *only = getenv("ONLY_OP");
    if ((c->flags & OP_LARGE) && getenv("WF_EMULATOR")) return false; /* for minutes */
    return !only || !strcmp(only, c->op->name);
}

static double tolerance(const op_case *c, int value)
{
    if (c->flags & OP_DATA) return 0;
    return (c->tolerance > 0 ? c->tolerance : 4e-6) * (value > 0 ? 10 : 1);
}

static float number(wf_dtype dtype, const void *data, int64_t i)
{
    if (dtype == WF_F32) return ((const float *)data)[i];
    return dtype == WF_I32 ? (float)((const int32_t *)data)[i] : ((const uint8_t *)data)[i];
}

/* All values of a against those of b: by bits, or within the row's tolerance. */
static void compare(const op_trial *a, const op_trial *b, bool bits, const char *what)
{
    for (int i = 0; i <= OP_ARGS; i++) {
        wf_dtype type;
        int64_t n, m;
        const void *x = op_trial_value(a, i, &type, &n), *y = op_trial_value(b, i, &type, &m);
        cr_expect(!x == !y && n == m, "%s, %s, %s: value %d has %lld elements, not %lld",
                  a->c->op->name, a->c->name, what, i, (long long)n, (long long)m);
        if (!x || !y || n != m) continue;
        int64_t at = op_differs(type, n, x, y, bits ? 0 : tolerance(a->c, i));
        if (at >= 0)
            cr_expect(false, "%s, %s, %s: value %d differs at %lld of %lld: %.9g, %.9g",
                      a->c->op->name, a->c->name, what, i, (long long)at, (long long)n,
                      (double)number(type, x, at), (double)number(type, y, at));
    }
}

static unsigned gradients(const op_case *c)
{
    return (c->flags & OP_GRADIENT) && !(c->flags & OP_LARGE) ? OP_DIFFERENTIATE : 0;
}

static bool start(op_trial *t, const op_case *c, wf_runtime *rt, unsigned how)
{
    bool ok = op_trial_start(t, c, rt, how | gradients(c));
    cr_expect(ok, "%s, %s: %s", c->op->name, c->name, wf_error());
    return ok;
}

/* Naive attention of a large size takes seconds; plain ops say the same. */
static bool is_slow(const op_case *c)
{
    return (c->flags & OP_LARGE) && c->plain;
}

/* Every row without the flags with runtime a, then with runtime b. */
static void each_row(wf_runtime *a, wf_runtime *b, unsigned how_b, unsigned without,
                     const char *what)
{
    cr_assert(a && b, "%s", wf_error());
    for (const op_case *c = op_cases; c->op; c++) {
        op_trial x, y;
        if (!is_asked_for(c) || (c->flags & without)) continue;
        if (how_b == OP_BY_PLAIN ? !c->plain : b->reference && is_slow(c)) continue;
        bool ok = start(&x, c, a, 0);
        if (start(&y, c, b, how_b) && ok) compare(&x, &y, false, what);
        op_trial_end(&x);
        op_trial_end(&y);
    }
    wf_runtime_free(a);
    wf_runtime_free(b);
}

Test(ops, every_op_has_a_row)
{
    for (int i = 0; wf_ops[i]; i++) {
        const op_case *c = op_cases;
        while (c->op && c->op != wf_ops[i]) c++;
        cr_expect(c->op || (wf_ops[i]->traits & WF_REQUEST), "%s has no row", wf_ops[i]->name);
    }
}

Test(ops, kernels_give_what_their_naive_reference_gives, .timeout = 150)
{
    each_row(op_runtime(2, "", ""), op_runtime(1, "ref", OP_NO_PASSES), 0, 0, "reference");
}

Test(ops, kernels_give_what_plain_ops_give, .timeout = 150)
{
    each_row(op_runtime(2, "", ""), op_runtime(1, "ref", OP_NO_PASSES), OP_BY_PLAIN, 0, "plain");
}

/* The level of a process is that of its last runtime. */
Test(ops, every_vector_level_gives_what_the_naive_reference_gives, .timeout = 150)
{
    static const char *const levels[] = {"avx2", "base"};
    for (int i = 0; i < 2; i++) {
        setenv("WF_ISA", levels[i], 1);
        wf_runtime *rt = op_runtime(1, "", "");
        if (!rt) continue; /* not on this processor */
        each_row(rt, op_runtime(1, "ref", OP_NO_PASSES), 0, OP_LARGE, levels[i]);
    }
}

Test(ops, passes_change_no_value, .timeout = 150)
{
    each_row(op_runtime(1, "", ""), op_runtime(1, "", OP_NO_PASSES), 0, 0, "without passes");
}

Test(ops, the_same_bits_with_1_2_3_and_7_threads, .timeout = 150)
{
    enum { MOST = 3 };
    static const int threads[MOST] = {2, 3, 7};
    wf_runtime *one = op_runtime(1, "", ""), *many[MOST];
    for (int i = 0; i < MOST; i++) cr_assert(many[i] = op_runtime(threads[i], "", ""));
    for (const op_case *c = op_cases; c->op; c++) {
        op_trial x, y;
        if (!is_asked_for(c) || !start(&x, c, one, 0)) continue;
        for (int i = 0; i < MOST; i++) {
            char what[32];
            snprintf(what, sizeof what, "%d threads", threads[i]);
            if (start(&y, c, many[i], 0)) compare(&y, &x, true, what);
            op_trial_end(&y);
        }
        op_trial_end(&x);
    }
    wf_runtime_free(one);
    for (int i = 0; i < MOST; i++) wf_runtime_free(many[i]);
}

/* Mean, variance and fourth moment of n numbers around centre. */
static void moments(const float *x, int64_t n, double centre, double m[3])
{
    m[0] = m[1] = m[2] = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)x[i] - centre;
        m[0] += d / (double)n;
        m[1] += d * d / (double)n;
        m[2] += d * d * d * d / (double)n;
    }
}

static const op_case *large_row(const wf_op *op)
{
    const op_case *c = op_cases;
    while (c->op != op || !(c->flags & OP_LARGE)) c++;
    return c;
}

Test(ops, random_numbers_have_the_moments_of_their_distribution)
{
    static const struct {
        const wf_op *op;
        double centre, variance, fourth;
    } all[] = {{&wf_op_uniform, 0.5, 1.0 / 12, 1.0 / 80}, {&wf_op_normal, 0, 1, 3}};
    wf_runtime *rt = op_runtime(1, "", "");
    for (int i = 0; i < 2; i++) {
        op_trial t;
        wf_dtype type;
        int64_t n;
        double m[3];
        cr_assert(start(&t, large_row(all[i].op), rt, 0));
        const float *x = op_trial_value(&t, 0, &type, &n);
        moments(x, n, all[i].centre, m);
        const char *name = all[i].op->name;
        double deviation = sqrt(all[i].variance / (double)n); /* of the mean */
        cr_expect_lt(fabs(m[0]), 5 * deviation, "%s: mean is off by %g", name, m[0]);
        cr_expect_float_eq(m[1] / all[i].variance, 1, 0.01, "%s: variance %g", name, m[1]);
        cr_expect_float_eq(m[2] / all[i].fourth, 1, 0.03, "%s: fourth moment %g", name, m[2]);
        op_trial_end(&t);
    }
    wf_runtime_free(rt);
}

Test(ops, dropout_zeroes_its_share_and_scales_the_rest)
{
    wf_runtime *rt = op_runtime(1, "", "");
    op_trial t;
    wf_dtype type;
    int64_t n, zeros = 0;
    cr_assert(start(&t, large_row(&wf_op_dropout), rt, 0));
    const float *y = op_trial_value(&t, 0, &type, &n), *x = t.data[0];
    for (int64_t i = 0; i < n; i++) {
        zeros += y[i] == 0;
        cr_assert(y[i] == 0 || fabsf(y[i] - x[i] / 0.9f) <= 1e-6f * fabsf(y[i]), "%lld: %g of %g",
                  (long long)i, (double)y[i], (double)x[i]);
    }
    cr_expect_float_eq((double)zeros / (double)n, 0.1, 5 * sqrt(0.09 / (double)n));
    op_trial_end(&t);
    wf_runtime_free(rt);
}

/* ---- runs ---- */

/* Without effects a program's own runs are counted, beside those that the store has seen. */
Test(ops, random_numbers_are_new_in_every_run)
{
    enum { RUNS = 4 };
    static float seen[2][RUNS][3];
    wf_runtime *rt = op_runtime(1, "", "");
    for (int again = 0; again < 2; again++) {
        wf_graph *g = wf_graph_new();
        wf_store *s = wf_store_new(9);
        wf_program *p;
        wf_output(wf_uniform(g, WF_SCALAR), "uniform");
        wf_output(wf_normal(g, WF_SCALAR), "normal");
        wf_output(wf_sum(wf_dropout(wf_full(g, WF_SHAPE(4000), 1), 0.5f), WF_ALL, false), "mask");
        cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
        for (int r = 0; r < RUNS; r++) {
            static const char *const names[] = {"uniform", "normal", "mask"};
            cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
            for (int i = 0; i < 3; i++) seen[again][r][i] = wf_scalar(p, names[i]);
        }
        wf_program_free(p);
        wf_store_free(s);
        wf_graph_free(g);
    }
    cr_expect_arr_eq(seen[0], seen[1], sizeof seen[0], "a new program repeats the numbers");
    for (int i = 0; i < 3; i++)
        for (int r = 0; r < RUNS; r++)
            for (int q = 0; q < r; q++)
                cr_expect_neq(seen[0][r][i], seen[0][q][i], "value %d, runs %d and %d", i, q, r);
    wf_runtime_free(rt);
}

Test(ops, where_takes_conditions_of_any_dtype)
{
    static const float f[] = {0, 0.5f, -2, 0}, want[] = {20, 1, 1, 20};
    static const int32_t i32[] = {0, 1, -7, 0};
    static const uint8_t u8[] = {0, 1, 255, 0};
    static const struct {
        wf_dtype dtype;
        const void *data;
        size_t bytes;
    } all[] = {{WF_F32, f, sizeof f}, {WF_I32, i32, sizeof i32}, {WF_U8, u8, sizeof u8}};
    wf_runtime *rt = op_runtime(1, "", "");
    for (int k = 0; k < 3; k++) {
        wf_graph *g = wf_graph_new();
        wf_store *s = wf_store_new(0);
        wf_program *p;
        wf_node *cond = wf_input(g, "cond", all[k].dtype, WF_SHAPE(4));
        wf_output(wf_where(cond, wf_constant(g, 1), wf_constant(g, 20)), "y");
        cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_bind(p, "cond", all[k].data, all[k].bytes), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        cr_expect_arr_eq((const float *)wf_read(p, "y", NULL), want, sizeof want, "dtype %d", k);
        wf_program_free(p);
        wf_store_free(s);
        wf_graph_free(g);
    }
    wf_runtime_free(rt);
}
