/*
 * Gradient check: the derivative of loss along random directions, from wf_gradient and from central
 * differences, (loss(x + h d) - loss(x - h d)) / 2h, for every float32 parameter and input.
 */
#include "ops/ops.h"
#include "runtime/program.h"
#include "runtime/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 3, FEW = 64 }; /* random ones; elements that are also checked one by one */

struct check {
    wf_graph *g;
    wf_store *store;
    wf_program *p;
    wf_node **leaf; /* what loss can be differentiated by */
    float **data;   /* their values */
    float **own;    /* arrays for inputs, to be freed */
    int n, n_own;
    uint64_t seed;
    int64_t drawn; /* random numbers so far */
    double step, tolerance;
    const char *loss;
    const wf_input_data *inputs; /* given by the caller; or NULL */
};

static float normal(struct check *c)
{
    return wf_random_normal(c->seed, 0, c->drawn++);
}

static wf_status no_memory(void)
{
    return wf_error_set(WF_ENOMEM, "out of memory in a gradient check");
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
    if (ok) wf_mark_flow(n, order, loss, reach);
    for (int i = n - 1; ok && i >= 0; i--) {
        wf_node *y = order[i];
        bool stored = y->op == &wf_op_param || y->op == &wf_op_input;
        if (reach[y->id] && stored && y->dtype == WF_F32) c->leaf[c->n++] = y;
    }
    free(order);
    free(reach);
    return ok;
}

static const wf_input_data *find_given(const struct check *c, const char *name)
{
    for (const wf_input_data *d = c->inputs; d && d->name; d++)
        if (!strcmp(d->name, name)) return d;
    return NULL;
}

/* An array of ours for an input of the program: what the caller gives, or normal numbers. */
static wf_status bind_input(struct check *c, const wf_bound *b)
{
    const wf_node *x = wf_graph_find(c->g, b->name);
    const wf_input_data *given = find_given(c, b->name);
    size_t bytes = given ? given->bytes : b->bytes;
    if (!given && x->dtype != WF_F32)
        return wf_error_set(WF_EMODEL, "input \"%s\" is not float32: give its data", b->name);
    float *data = wf_aligned_alloc(bytes);
    if (!data) return no_memory();
    c->own[c->n_own++] = data;
    if (given) memcpy(data, given->data, bytes);
    for (size_t k = 0; k < bytes / sizeof *data && !given; k++) data[k] = normal(c);
    for (int i = 0; i < c->n; i++)
        if (c->leaf[i] == x) c->data[i] = data;
    return wf_bind(c->p, b->name, data, bytes);
}

static wf_status bind_all(struct check *c)
{
    wf_status s = WF_OK;
    for (int i = 0; i < c->p->n_inputs && s == WF_OK; i++) s = bind_input(c, &c->p->inputs[i]);
    for (int i = 0; i < c->n; i++)
        if (!c->data[i]) c->data[i] = wf_store_data(c->store, c->leaf[i]->name, NULL, NULL);
    return s;
}

/* Always the first run: random numbers stay the same. */
static wf_status run(struct check *c)
{
    c->p->runs = 0;
    return wf_run(c->p);
}

/* loss(x + h d) */
static double loss_at(struct check *c, int i, const float *x, const float *d, double h, int64_t n)
{
    for (int64_t k = 0; k < n; k++) c->data[i][k] = (float)((double)x[k] + h * (double)d[k]);
    return run(c) == WF_OK ? (double)wf_scalar(c->p, c->loss) : NAN;
}

/* By leaf i along direction number k: a random one, or by one element. */
static wf_status compare(struct check *c, int i, int64_t k, float *x, float *d, int64_t n)
{
    char name[32];
    snprintf(name, sizeof name, "gradcheck%d", i);
    memcpy(x, c->data[i], (size_t)n * sizeof *x);
    if (run(c) != WF_OK) return WF_EUNBOUND;
    const float *g = wf_read(c->p, name, NULL);
    double along = 0, size = 0, length = 0;
    for (int64_t j = 0; j < n; j++) {
        d[j] = k < DIRECTIONS ? normal(c) : j == k - DIRECTIONS;
        along += (double)g[j] * (double)d[j];
        size += (double)g[j] * (double)g[j];
        length += (double)d[j] * (double)d[j];
    }
    double l1 = loss_at(c, i, x, d, c->step, n), l0 = loss_at(c, i, x, d, -c->step, n);
    memcpy(c->data[i], x, (size_t)n * sizeof *x);
    double slope = (l1 - l0) / (2 * c->step);
    double scale = fmax(fabs(slope), sqrt(size * length / (double)n)); /* what is to be expected */
    double noise = 4e-7 * (fabs(l0) + fabs(l1)) / (2 * c->step); /* rounding of the two losses */
    if (fabs(slope - along) <= c->tolerance * scale + noise) return WF_OK;
    return wf_error_set(WF_EMODEL, "%s: gradient gives %g along a direction, differences give %g",
                        c->leaf[i]->name, along, slope);
}

static wf_status check_all(struct check *c)
{
    wf_status s = bind_all(c);
    for (int i = 0; i < c->n && s == WF_OK; i++) {
        if (!c->data[i]) continue; /* the passes found that the loss does not need it */
        int64_t n = wf_elements(&c->leaf[i]->shape);
        float *x = wf_aligned_alloc((size_t)n * 4), *d = wf_aligned_alloc((size_t)n * 4);
        int64_t directions = DIRECTIONS + (n <= FEW ? n : 0);
        for (int64_t k = 0; k < directions && s == WF_OK; k++)
            s = x && d ? compare(c, i, k, x, d, n) : no_memory();
        free(x);
        free(d);
    }
    return s;
}

static wf_status prepare(struct check *c, const wf_graph *g, wf_runtime *rt,
                         const wf_gradcheck_options *o)
{
    c->g = wf_graph_copy(g, o->sizes);
    if (!c->g) return wf_error_status();
    for (const wf_input_data *d = o->inputs; d && d->name; d++) {
        const wf_node *x = wf_graph_find(c->g, d->name);
        if (!x || x->op != &wf_op_input)
            return wf_error_set(WF_EMODEL, "there is no input \"%s\"", d->name);
    }
    wf_node *loss = find_loss(c->g, c->loss);
    if (!loss) return wf_error_set(WF_EMODEL, "there is no output \"%s\"", c->loss);
    while (c->g->n_effects > 0) wf_remove_effect(c->g->effects[0]);
    if (!find_leaves(c, loss)) return no_memory();
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
                      .seed = o.seed,
                      .inputs = o.inputs,
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
