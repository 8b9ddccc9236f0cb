/* A row of the table of op cases, compiled, bound and run once. */
#define _GNU_SOURCE
#include "tests/op_trial.h"

#include "ops/gemm.h"
#include "runtime/program.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wf_runtime *op_runtime(int threads, const char *kernels, const char *passes)
{
    setenv("WF_KERNELS", kernels, 1);
    setenv("WF_PASSES", passes, 1);
    return wf_runtime_new(&(wf_runtime_options){.threads = threads, .no_pinning = true});
}

wf_node *op_weights(wf_node *y)
{
    wf_shape s = wf_shape_of(y);
    int64_t n = wf_elements(&s);
    float *w = malloc((size_t)n * sizeof *w);
    if (!w) return y;
    for (int64_t i = 0; i < n; i++) w[i] = (float)cos(1.3 * (double)i + 0.5);
    wf_node *x = wf_constants(wf_graph_of(y), s, w);
    free(w);
    return x;
}

static void add_gradients(const op_case *c, wf_node *y, wf_node *const x[])
{
    wf_node *loss = wf_sum(wf_mul(y, op_weights(y)), WF_ALL, false);
    for (int i = 0; i < op_case_args(c); i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        if (op_case_has_gradient(c, i)) wf_output(wf_gradient(loss, x[i]), name);
    }
}

static void round_all(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = wf_from_bf16(wf_to_bf16(x[i]));
}

/* An input may have been optimized away; one that is missing is found by wf_run. */
static void bind(op_trial *t, unsigned how)
{
    for (int i = 0; i < op_case_args(t->c); i++) {
        char name[16];
        size_t bytes;
        snprintf(name, sizeof name, "x%d", i);
        t->data[i] = op_case_draw(t->c, i, 1, &bytes);
        if ((how & OP_ROUNDED) && i < 2) round_all(t->data[i], bytes / sizeof(float));
        wf_bind(t->p, name, t->data[i], bytes);
    }
}

/* Memory that holds NaN, as what another kernel left may: who reads what it did not write, shows
 * it. */
static void poison(wf_program *p)
{
    size_t threads = (size_t)wf_runtime_threads(p->rt);
    memset(p->slab, 0xff, p->stats.plan_bytes);
    memset(p->scratch, 0xff, threads * p->scratch_bytes);
}

bool op_trial_start(op_trial *t, const op_case *c, wf_runtime *rt, unsigned how)
{
    op_case row = *c;
    wf_node *x[OP_ARGS];
    if (row.plain && (how & OP_BY_PLAIN)) row.build = row.plain;
    *t = (op_trial){.c = c, .g = wf_graph_new(), .store = wf_store_new(5)};
    wf_node *y = op_case_build(&row, t->g, NULL, x);
    if (how & OP_DIFFERENTIATE) add_gradients(c, y, x);
    wf_compile_options o = {.products = how & OP_BF16 ? WF_PRODUCTS_BF16 : WF_PRODUCTS_F32};
    if (wf_compile(&t->p, t->g, t->store, rt, &o) != WF_OK) return false;
    poison(t->p);
    bind(t, how);
    return wf_run(t->p) == WF_OK;
}

void op_trial_end(op_trial *t)
{
    wf_program_free(t->p);
    wf_store_free(t->store);
    wf_graph_free(t->g);
    for (int i = 0; i < OP_ARGS; i++) free(t->data[i]);
}

const void *op_trial_value(const op_trial *t, int i, wf_dtype *dtype, int64_t *n)
{
    wf_shape s = {0};
    char name[16] = "y";
    if (i > 0) snprintf(name, sizeof name, "d%d", i - 1);
    *dtype = WF_F32;
    if (i == 0 && (t->c->op->traits & WF_EFFECT)) {
        const void *p = wf_store_data(t->store, "p", dtype, &s);
        *n = wf_elements(&s);
        return p;
    }
    const void *y = wf_read(t->p, name, &s);
    for (int k = 0; i == 0 && k < t->g->n_outputs; k++)
        if (!strcmp(t->g->outputs[k].name, "y")) *dtype = t->g->outputs[k].node->dtype;
    *n = wf_elements(&s);
    return y;
}

static bool is_near(float a, float b, double tolerance)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs((double)a - (double)b) <= tolerance * (1 + fabs((double)b));
}

int64_t op_differs(wf_dtype dtype, int64_t n, const void *a, const void *b, double tolerance)
{
    size_t bytes = wf_dtype_bytes(dtype);
    for (int64_t i = 0; i < n; i++) {
        const char *x = (const char *)a + (size_t)i * bytes,
                   *y = (const char *)b + (size_t)i * bytes;
        if (!memcmp(x, y, bytes)) continue;
        if (dtype != WF_F32 || tolerance == 0) return i;
        float u, v;
        memcpy(&u, x, sizeof u);
        memcpy(&v, y, sizeof v);
        if (!is_near(u, v, tolerance)) return i;
    }
    return -1;
}
