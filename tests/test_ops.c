/*
 * Ops, row by row of the table: against the naive reference, on any number of threads, with the
 * passes left out. WF_OP=name runs the rows of one op.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op_trial.h"

static bool is_asked_for(const op_case *c)
{
    const char *only = getenv("WF_OP");
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
        cr_expect((i == 0 || !y) ? (!x == !y) && n == m : x && n == m,
                  "%s, %s, %s: value %d has %lld elements, not %lld", a->c->op->name, a->c->name,
                  what, i, (long long)n, (long long)m);
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

/* Every row with runtime a, then with runtime b. */
static void each_row(wf_runtime *a, wf_runtime *b, unsigned how_b, bool bits, const char *what)
{
    cr_assert(a && b, "%s", wf_error());
    for (const op_case *c = op_cases; c->op; c++) {
        op_trial x, y;
        if (!is_asked_for(c)) continue;
        bool ok = start(&x, c, a, 0);
        if (start(&y, c, b, how_b) && ok) compare(&x, &y, bits, what);
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
    each_row(op_runtime(2, "", ""), op_runtime(1, "ref", OP_NO_PASSES), OP_BY_PLAIN, false,
             "reference");
}

Test(ops, passes_change_no_value, .timeout = 150)
{
    each_row(op_runtime(1, "", ""), op_runtime(1, "", OP_NO_PASSES), 0, false, "without passes");
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
