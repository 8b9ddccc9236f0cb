/*
 * Gradient check: the derivative of loss along random directions, from wf_gradient and from central
 * differences, (loss(x + h d) - loss(x - h d)) / 2h, for every float32 parameter and input.
 */
#include "graph/graph.h"
#include "ops/ops.h"
#include "runtime/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 3 };

struct check {
    wf_graph *g;
    wf_store *store;
    wf_program *p;
    wf_node **leaf; /* what loss can be differentiated by */
    float **data;   /* their values */
    float **own;    /* arrays for inputs, to be freed */
    int n, n_own;
    uint64_t random;
    double step, tolerance;
    const char *loss;
};

static double uniform(struct check *c) /* splitmix64 (Steele et al. 2014) */
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

static float normal(struct check *c)
{
    double r = sqrt(-2 * log(uniform(c)));
    return (float)(r * cos(6.283185307179586 * uniform(c)));
}

static wf_node *find_loss(const wf_graph *g, const char *name)
{
    for (int i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) return g->outputs[i].node;
    return NULL;
}

static bool find_leaves(struct check *c, wf_node *loss)
{
    int n;
    wf_node **order = wf_walk(c->g, &n);
    char *reach = calloc((size_t)c->g->n_nodes + 1, 1);
    c->leaf = calloc((size_t)n + 1, sizeof *c->leaf);
    c->data = calloc((size_t)n + 1, sizeof *c->data);
    c->own = calloc((size_t)c->g->n_nodes + 1, sizeof *c->own);
    bool ok = order && reach && c->leaf && c->data && c->own;
    if (ok) reach[loss->id] = 1;
    for (int i = n - 1; ok && i >= 0; i--) {
        wf_node *y = order[i];
        bool stored = y->op == &wf_op_param || y->op == &wf_op_input;
        if (!reach[y->id]) continue;
        if (stored && y->dtype == WF_F32) c->leaf[c->n++] = y;
        for (int j = 0; y->op->grad && j < y->n_in; j++) reach[y->in[j]->id] = 1;
    }
    free(order);
    free(reach);
    return ok;
}

/* Inputs get arrays of ours: normal numbers in floats, zeros in integers. */
static bool bind_inputs(struct check *c)
{
    for (int i = 0; i < c->g->n_nodes; i++) {
        const wf_node *x = c->g->nodes[i];
        if (x->op != &wf_op_input) continue;
        int at = 0;
        while (at < c->n && c->leaf[at] != x) at++;
        int64_t n = wf_elements(&x->shape);
        float *data = wf_aligned_alloc((size_t)n * sizeof *data);
        if (!data) return false;
        for (int64_t k = 0; k < n && x->dtype == WF_F32; k++) data[k] = normal(c);
        c->own[c->n_own++] = data;
        if (at < c->n) c->data[at] = data;
        size_t bytes = (size_t)n * wf_dtype_bytes(x->dtype);
        if (wf_bind(c->p, x->name, data, bytes) != WF_OK && at < c->n) return false;
    }
    for (int i = 0; i < c->n; i++)
        if (!c->data[i]) c->data[i] = wf_store_data(c->store, c->leaf[i]->name, NULL, NULL);
    return true;
}

/* loss(x + h d) */
static double loss_at(struct check *c, int i, const float *x, const float *d, double h, int64_t n)
{
    for (int64_t k = 0; k < n; k++) c->data[i][k] = (float)((double)x[k] + h * (double)d[k]);
    return wf_run(c->p) == WF_OK ? (double)wf_scalar(c->p, c->loss) : NAN;
}

static wf_status compare(struct check *c, int i, float *x, float *d, int64_t n)
{
    char name[32];
    snprintf(name, sizeof name, "gradcheck%d", i);
    memcpy(x, c->data[i], (size_t)n * sizeof *x);
    if (wf_run(c->p) != WF_OK) return WF_EUNBOUND;
    const float *g = wf_read(c->p, name, NULL);
    double along = 0, size = 0;
    for (int64_t k = 0; k < n; k++) {
        d[k] = normal(c);
        along += (double)g[k] * (double)d[k];
        size += (double)g[k] * (double)g[k];
    }
    double l1 = loss_at(c, i, x, d, c->step, n), l0 = loss_at(c, i, x, d, -c->step, n);
    memcpy(c->data[i], x, (size_t)n * sizeof *x);
    double slope = (l1 - l0) / (2 * c->step), scale = fmax(fabs(slope), sqrt(size));
    double noise = 4e-7 * (fabs(l0) + fabs(l1)) / (2 * c->step); /* rounding of the two losses */
    if (fabs(slope - along) <= c->tolerance * scale + noise) return WF_OK;
    return wf_error_set(WF_EMODEL, "%s: gradient gives %g along a direction, differences give %g",
                        c->leaf[i]->name, along, slope);
}

static wf_status check_all(struct check *c)
{
    wf_status s = bind_inputs(c) ? WF_OK : WF_ENOMEM;
    for (int i = 0; i < c->n && s == WF_OK; i++) {
        int64_t n = wf_elements(&c->leaf[i]->shape);
        float *x = wf_aligned_alloc((size_t)n * 4), *d = wf_aligned_alloc((size_t)n * 4);
        for (int k = 0; k < DIRECTIONS && s == WF_OK; k++)
            s = x && d ? compare(c, i, x, d, n) : WF_ENOMEM;
        free(x);
        free(d);
    }
    return s;
}

static wf_status prepare(struct check *c, const wf_graph *g, wf_runtime *rt,
                         const wf_gradcheck_options *o)
{
    c->g = wf_graph_copy(g, o->sizes);
    if (!c->g) return WF_EMODEL;
    wf_node *loss = find_loss(c->g, c->loss);
    if (!loss) return wf_error_set(WF_EMODEL, "there is no output \"%s\"", c->loss);
    while (c->g->n_effects > 0) wf_remove_effect(c->g->effects[0]);
    if (!find_leaves(c, loss)) return wf_error_set(WF_ENOMEM, "out of memory in a gradient check");
    for (int i = 0; i < c->n; i++) {
        char name[32];
        snprintf(name, sizeof name, "gradcheck%d", i);
        wf_output(wf_gradient(loss, c->leaf[i]), name);
    }
    c->store = wf_store_new(o->seed);
    if (!c->store) return WF_ENOMEM;
    return wf_compile(&c->p, c->g, c->store, rt, NULL);
}

wf_status wf_gradcheck(const wf_graph *g, const char *loss, wf_runtime *rt,
                       const wf_gradcheck_options *options)
{
    wf_gradcheck_options o = options ? *options : (wf_gradcheck_options){0};
    struct check c = {.loss = loss,
                      .random = o.seed,
                      .step = o.step > 0 ? o.step : 1e-2,
                      .tolerance = o.tolerance > 0 ? o.tolerance : 1e-2};
    wf_status s = prepare(&c, g, rt, &o);
    if (s == WF_OK) s = check_all(&c);
    wf_program_free(c.p);
    wf_store_free(c.store);
    for (int i = 0; i < c.n_own; i++) free(c.own[i]);
    free(c.own);
    free(c.data);
    free(c.leaf);
    wf_graph_free(c.g);
    return s;
}
