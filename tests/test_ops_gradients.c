/*
 * Gradients of ops, row by row of the table: along random directions, by every element, and the
 * gradients of gradients. ONLY_OP=name runs the rows of one op.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/program.h"
#include "tests/op_trial.h"

enum { FEW = 64 };

static bool is_asked_for(const op_case *c, unsigned flags)
{
    const char *only = getenv("ONLY_OP");
    if (only && strcmp(only, c->op->name)) return false;
    return (c->flags & flags) == flags && !(c->flags & OP_LARGE);
}

/* 1 + sum(y w): with the 1 a sum that is 0 but for rounding is judged by the size of its terms. */
static wf_node *probe(wf_node *y)
{
    return wf_shift(wf_sum(wf_mul(y, op_weights(y)), WF_ALL, false), 1);
}

/* The probes of the gradients by all arguments together. */
static wf_node *probe_gradients(const op_case *c, wf_node *loss, wf_node *const x[])
{
    wf_node *sum = wf_constant(wf_graph_of(loss), 0);
    for (int i = 0; i < op_case_args(c); i++)
        if (op_case_has_gradient(c, i)) sum = wf_add(sum, probe(wf_gradient(loss, x[i])));
    return sum;
}

static void check_directions(const op_case *c, wf_runtime *rt, bool second)
{
    void *fixed[OP_ARGS] = {0};
    wf_node *x[OP_ARGS];
    for (int i = 0; i < op_case_args(c); i++) {
        size_t bytes;
        fixed[i] = op_case_draw(c, i, 2, &bytes);
    }
    wf_graph *g = wf_graph_new();
    wf_node *loss = probe(op_case_build(c, g, fixed, x));
    wf_output(second ? probe_gradients(c, loss, x) : loss, "loss");
    wf_gradcheck_options o = {.step = 4e-3};
    cr_expect_eq(wf_gradcheck(g, "loss", rt, &o), WF_OK, "%s, %s%s: %s", c->op->name, c->name,
                 second ? ", second derivative" : "", wf_error());
    wf_graph_free(g);
    for (int i = 0; i < OP_ARGS; i++) free(fixed[i]);
}

static void check_all_directions(unsigned flags)
{
    wf_runtime *rt = op_runtime(1, "", "");
    cr_assert(rt, "%s", wf_error());
    for (const op_case *c = op_cases; c->op; c++)
        if (is_asked_for(c, flags)) check_directions(c, rt, flags == OP_SECOND);
    wf_runtime_free(rt);
}

Test(op_gradients, agree_with_differences_along_random_directions, .timeout = 100)
{
    check_all_directions(OP_GRADIENT);
}

Test(op_gradients, can_be_differentiated_again, .timeout = 100)
{
    check_all_directions(OP_SECOND);
}

/* The probe of y, in double: the program's own sum would round to float. Random numbers are those
 * of the first run. */
static double run_probe(const op_trial *t)
{
    wf_dtype type;
    int64_t n;
    t->p->runs = 0;
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
    const float *y = op_trial_value(t, 0, &type, &n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)y[i] * cos(1.3 * (double)i + 0.5);
    return sum;
}

/* The slope by element k of argument i, from both sides. */
static double slope(const op_trial *t, int i, int64_t k)
{
    float *x = (float *)t->data[i] + k, before = *x;
    *x = before + 0x1p-8f;
    double right = *x, above = run_probe(t);
    *x = before - 0x1p-8f;
    double left = *x, below = run_probe(t);
    *x = before;
    return (above - below) / (right - left);
}

static void check_elements(const op_case *c, wf_runtime *rt)
{
    op_trial t;
    bool ok = op_trial_start(&t, c, rt, OP_DIFFERENTIATE);
    cr_expect(ok, "%s, %s: %s", c->op->name, c->name, wf_error());
    for (int i = 0; ok && i < op_case_args(c); i++) {
        wf_dtype type;
        int64_t n;
        float d[FEW];
        run_probe(&t);
        const void *found = op_trial_value(&t, i + 1, &type, &n);
        if (!found || n > FEW) continue;
        memcpy(d, found, (size_t)n * sizeof *d);
        for (int64_t k = 0; k < n; k++) {
            double want = slope(&t, i, k);
            cr_expect(fabs((double)d[k] - want) <= 3e-3 * (1 + fabs(want)),
                      "%s, %s: by x%d[%lld] the gradient is %g, differences give %g", c->op->name,
                      c->name, i, (long long)k, (double)d[k], want);
        }
    }
    op_trial_end(&t);
}

Test(op_gradients, agree_with_differences_by_every_element, .timeout = 100)
{
    wf_runtime *rt = op_runtime(1, "", "");
    cr_assert(rt, "%s", wf_error());
    for (const op_case *c = op_cases; c->op; c++)
        if (is_asked_for(c, OP_GRADIENT)) check_elements(c, rt);
    wf_runtime_free(rt);
}

/* ---- ops without a gradient ---- */

/* sum(y) + sum(x): half of the gradient by x flows through the op. */
static wf_status differentiate(const op_case *c, int i, wf_runtime *rt)
{
    wf_node *x[OP_ARGS];
    wf_program *p;
    wf_store *s = wf_store_new(1);
    wf_graph *g = wf_graph_new();
    wf_node *y = op_case_build(c, g, NULL, x);
    wf_node *loss = wf_add(wf_sum(y, WF_ALL, false), wf_sum(x[i], WF_ALL, false));
    wf_output(wf_gradient(loss, x[i]), "d");
    wf_status status = wf_compile(&p, g, s, rt, NULL);
    wf_program_free(p);
    wf_store_free(s);
    wf_graph_free(g);
    return status;
}

static bool gives_floats(const op_case *c)
{
    wf_node *x[OP_ARGS];
    wf_graph *g = wf_graph_new();
    const wf_node *y = op_case_build(c, g, NULL, x);
    bool floats = y->op == c->op && y->dtype == WF_F32;
    wf_graph_free(g);
    return floats;
}

Test(op_gradients, exist_or_are_zero_or_are_a_mistake_that_names_the_op)
{
    wf_runtime *rt = op_runtime(1, "", "");
    int mistakes = 0;
    for (const op_case *c = op_cases; c->op; c++) {
        if (!is_asked_for(c, 0) || (c->op->traits & WF_LEAF) || !gives_floats(c)) continue;
        for (int i = 0; i < op_case_args(c); i++) {
            if (c->in[i].draw >= OP_IDS) continue; /* integers */
            wf_status s = differentiate(c, i, rt);
            bool has_rule = c->op->grad || (c->op->traits & WF_FLAT);
            bool is_told = c->op == &wf_op_gau && !(c->flags & OP_GRADIENT); /* by its rule */
            bool is_fine = has_rule && !(is_told && s == WF_EMODEL);
            cr_expect_eq(s, is_fine ? WF_OK : WF_EMODEL, "%s, %s, x%d: %d, %s", c->op->name,
                         c->name, i, s, wf_error());
            if (is_fine) continue;
            char text[80];
            snprintf(text, sizeof text, "%s: has no gradient", c->op->name);
            cr_expect(strstr(wf_error(), text), "%s: %s", text, wf_error());
            mistakes++;
        }
    }
    cr_expect(mistakes > 0 || getenv("ONLY_OP"));
    wf_runtime_free(rt);
}
