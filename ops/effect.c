/* Assignments to stored tensors, and the requests that compiling replaces by graph. */
#include "ops/ops.h"

#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- assign: leaf, value ---- */

static bool assign_infer(wf_node *y)
{
    const wf_node *leaf = y->in[0], *value = y->in[1];
    char a[80], b[80];
    if (leaf->op != &wf_op_param && leaf->op != &wf_op_state)
        return wf_fail(y, "only parameters and states can be assigned, not %s", leaf->op->name);
    if (leaf->dtype != value->dtype)
        return wf_fail(y, "%s is %s, its new value %s", leaf->name, wf_dtype_name(leaf->dtype),
                       wf_dtype_name(value->dtype));
    if (!wf_shape_equal(&leaf->shape, &value->shape))
        return wf_fail(y, "%s is %s, its new value %s", leaf->name,
                       wf_shape_text(&leaf->shape, a, sizeof a),
                       wf_shape_text(&value->shape, b, sizeof b));
    return wf_infer_same(y);
}

enum { CHUNK = 16384 };

static wf_cost assign_cost(const wf_node *y)
{
    double bytes = (double)wf_elements(&y->shape) * (double)wf_dtype_bytes(y->dtype);
    return (wf_cost){.bytes = 2 * bytes, .units = wf_ceil_div(wf_elements(&y->shape), CHUNK)};
}

static void assign_run(const wf_call *c, int64_t lo, int64_t hi)
{
    size_t n = (size_t)wf_elements(&c->in[0].shape), first = (size_t)lo * CHUNK;
    size_t end = (size_t)hi * CHUNK < n ? (size_t)hi * CHUNK : n;
    size_t bytes = wf_dtype_bytes(c->in[0].dtype);
    memmove((char *)c->in[0].data + first * bytes, (const char *)c->in[1].data + first * bytes,
            (end - first) * bytes);
}

void wf_assign(wf_node *leaf, wf_node *value)
{
    wf_graph *g = wf_graph_of(leaf);
    wf_shape is = wf_shape_of(value), was = wf_shape_of(leaf);
    if (g->due && wf_shape_equal(&is, &was)) value = wf_where(g->due, value, leaf);
    wf_node *y = wf_apply2(&wf_op_assign, NULL, leaf, value);
    if (wf_is_poison(y)) return;
    if (leaf->is_assigned) wf_fail(y, "%s is assigned twice in one run", leaf->name);
    leaf->is_assigned = true;
}

const wf_op wf_op_assign = {
    .name = "assign",
    .doc = "leaf <- value, after all reads of the run",
    .arity = 2,
    .traits = WF_EFFECT | WF_NARROW,
    .infer = assign_infer,
    .cost = assign_cost,
    .run = assign_run,
};

/* ---- gradient: loss, x ---- */

static bool gradient_infer(wf_node *y)
{
    if (wf_elements(&y->in[0]->shape) != 1)
        return wf_fail(y, "the loss must be one value, its shape has %d axes",
                       y->in[0]->shape.rank);
    if (y->in[1]->dtype != WF_F32) return wf_fail(y, "only float32 values have gradients");
    y->dtype = WF_F32;
    y->shape = y->in[1]->shape;
    return true;
}

/* The op in the way of a gradient by x: the one nearest to loss. NULL: there is none. */
static const wf_node *find_block(int n, wf_node *const order[], const wf_node *x, char *flow)
{
    const wf_node *block = NULL;
    char *depends = calloc((size_t)x->graph->n_nodes, 1); /* on x, by id */
    for (int i = 0; depends && i < n; i++) {
        const wf_node *y = order[i];
        depends[y->id] = y == x;
        for (int j = 0; j < y->n_in; j++) depends[y->id] |= depends[y->in[j]->id];
        if (depends[y->id] && flow[y->id] && !wf_flows(y)) block = y;
    }
    free(depends);
    return block;
}

static bool is_possible(wf_node *loss, const wf_node *x, wf_node *y)
{
    int n;
    wf_node **order = wf_walk_from(loss, &n);
    char *flow = calloc((size_t)y->graph->n_nodes, 1);
    bool ok = !flow || !order;
    if (!ok) {
        wf_mark_flow(n, order, loss, flow);
        const wf_node *block = find_block(n, order, x, flow);
        ok = flow[x->id];
        if (!ok && block)
            wf_fail(y, "%s%s%s has no gradient", block->op->name, block->name ? " " : "",
                    block->name ? block->name : "");
        else if (!ok)
            wf_fail(y, "the loss does not depend on %s", x->name ? x->name : x->op->name);
    }
    free(order);
    free(flow);
    return ok;
}

wf_node *wf_gradient(wf_node *loss, wf_node *x)
{
    wf_node *y = wf_apply2(&wf_op_gradient, NULL, loss, x);
    return wf_is_poison(y) || is_possible(loss, wf_resolve(x), y) ? y
                                                                  : wf_poison(wf_graph_of(loss));
}

/* Its own gradient never runs: inner requests become graph before outer ones are met. The rule only
 * says that a gradient can be differentiated by what its loss and x can. */
static void gradient_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    (void)y, (void)dy, (void)dx;
}

const wf_op wf_op_gradient = {
    .name = "gradient",
    .doc = "d loss / d x",
    .arity = 2,
    .traits = WF_REQUEST,
    .infer = gradient_infer,
    .grad = gradient_grad,
};

/* ---- minimize: loss, lr, and if they are given items ---- */

int wf_own_window(const wf_minimize_attr *a)
{
    int runs = 1;
    const wf_hyper *h = wf_hyper_find(a->optimizer, "accumulate");
    if (h) memcpy(&runs, (const char *)a->hyper + h->offset, sizeof runs);
    return runs > 1 ? runs : 1;
}

static bool check_groups(wf_node *y, const wf_minimize_options *o, bool *clips)
{
    for (int k = 0; k < o->n_groups; k++) {
        const wf_param_group *m = &o->groups[k];
        if (isinf(m->rate) || isinf(m->decay))
            return wf_fail(y, "group %d: rate and decay must be finite, got %g and %g", k,
                           (double)m->rate, (double)m->decay);
        if (!(m->rate >= 0 && m->decay >= 0 && m->clip_norm >= 0 && m->clip_value >= 0 &&
              m->clip_tensor >= 0 && m->clip_adaptive >= 0))
            return wf_fail(y, "group %d: rate, decay and clipping must not be negative", k);
        if (m->clip_norm + m->clip_value + m->clip_tensor + m->clip_adaptive > 0) {
            if (m->no_clip) return wf_fail(y, "group %d: clipping contradicts no_clip", k);
            *clips = true;
        }
    }
    return true;
}

static bool check_options(wf_node *y, const wf_minimize_attr *a)
{
    const wf_minimize_options *o = &a->options;
    if (!(o->clip_norm >= 0 && o->clip_value >= 0 && o->clip_tensor >= 0 && o->clip_adaptive >= 0))
        return wf_fail(y, "clip_norm, _value, _tensor and _adaptive must not be negative");
    bool clips = o->clip_norm + o->clip_value + o->clip_tensor + o->clip_adaptive > 0;
    if (!check_groups(y, o, &clips)) return false;
    const int most = 1 << 24; /* counts are floats */
    if (o->accumulate < 0 || o->accumulate > most || o->lookahead < 0 || o->lookahead > most)
        return wf_fail(y, "accumulate and lookahead must lie in 0..%d", most);
    if (!(o->lookahead_alpha >= 0 && o->lookahead_alpha <= 1))
        return wf_fail(y, "lookahead_alpha must lie in [0, 1]");
    if (!(o->ema >= 0 && o->ema < 1)) return wf_fail(y, "ema must lie in [0, 1)");
    if (wf_own_window(a) > 1 && (clips || o->accumulate > 1 || y->n_in > 2))
        return wf_fail(y, "%s accumulates by itself, where no mean gradient is that could be %s",
                       a->optimizer->name, clips ? "clipped" : "accumulated or weighted");
    return true;
}

/* bad is about the number that is its first word. */
static bool refuse_hyper(wf_node *y, const wf_minimize_attr *a, const char *bad)
{
    char name[32], value[32] = "";
    snprintf(name, sizeof name, "%.*s", (int)strcspn(bad, " "), bad);
    const wf_hyper *h = wf_hyper_find(a->optimizer, name);
    const void *at = h ? (const char *)a->hyper + h->offset : NULL;
    float x;
    int i;
    if (h && h->kind == WF_HYPER_REAL)
        snprintf(value, sizeof value, ", got %g", (double)*(float *)memcpy(&x, at, sizeof x));
    if (h && h->kind == WF_HYPER_COUNT)
        snprintf(value, sizeof value, ", got %d", *(int *)memcpy(&i, at, sizeof i));
    return wf_fail(y, "%s: %s%s", a->optimizer->name, bad, value);
}

static bool minimize_infer(wf_node *y)
{
    static const char *const what[] = {"loss", "learning rate", "number of items"};
    const wf_minimize_attr *a = y->attr;
    const char *bad = a->optimizer->check ? a->optimizer->check(a->hyper) : NULL;
    if (bad) return refuse_hyper(y, a, bad);
    if (!check_options(y, a)) return false;
    for (int i = 0; i < y->n_in; i++)
        if (y->in[i]->dtype != WF_F32 || wf_elements(&y->in[i]->shape) != 1)
            return wf_fail(y, "the %s must be one float32 value", what[i]);
    y->dtype = WF_F32;
    y->shape = WF_SCALAR;
    return true;
}

/* A parameter that two requests train would have two new values. */
static void train_once(wf_node *y)
{
    int n;
    const wf_graph *g = y->graph;
    wf_node **order = wf_walk(y->graph, &n);
    char *mine = calloc(2 * (size_t)g->n_nodes, 1), *before = mine ? mine + g->n_nodes : NULL;
    for (int i = 0; mine && i < g->n_effects; i++) {
        const wf_node *e = g->effects[i];
        if (e->op == &wf_op_minimize) wf_mark_flow(n, order, e->in[0], e == y ? mine : before);
    }
    for (int i = 0; mine && i < n; i++)
        if (order[i]->op == &wf_op_param && mine[order[i]->id] && before[order[i]->id])
            wf_fail(y, "%s is trained by another wf_minimize already", order[i]->name);
    free(order);
    free(mine);
}

/* Into the graph, patterns too. False: out of memory. */
static bool copy_groups(wf_graph *g, wf_minimize_options *o)
{
    if (o->n_groups <= 0) return true;
    wf_param_group *copy = wf_graph_alloc(g, (size_t)o->n_groups * sizeof *copy);
    if (!copy) return false;
    memcpy(copy, o->groups, (size_t)o->n_groups * sizeof *copy);
    for (int k = 0; k < o->n_groups; k++) {
        if (!copy[k].pattern) continue;
        size_t bytes = strlen(copy[k].pattern) + 1;
        char *pattern = wf_graph_alloc(g, bytes);
        if (!pattern) return false;
        copy[k].pattern = memcpy(pattern, copy[k].pattern, bytes);
    }
    o->groups = copy;
    return true;
}

void wf_minimize(wf_node *loss, const wf_optimizer *optimizer, const void *hyper,
                 const wf_minimize_options *options)
{
    wf_graph *g = wf_graph_of(loss);
    wf_minimize_attr a = {.optimizer = optimizer};
    if (options) a.options = *options;
    void *copy = wf_graph_alloc(g, optimizer->hyper_size ? optimizer->hyper_size : 1);
    if (!copy || !copy_groups(g, &a.options)) return;
    if (optimizer->hyper_size)
        memcpy(copy, hyper ? hyper : optimizer->defaults, optimizer->hyper_size);
    a.hyper = copy;
    const char *name = a.options.lr_name ? a.options.lr_name : "lr";
    wf_node *lr = wf_graph_find(g, name);
    if (!lr) lr = wf_input(g, name, WF_F32, WF_SCALAR);
    wf_node *in[] = {loss, lr, a.options.items};
    a.options.lr_name = NULL;
    a.options.items = NULL; /* a node: inputs are what copies of the graph follow */
    wf_node *y = wf_apply(&wf_op_minimize, &a, in[2] ? 3 : 2, in);
    if (wf_is_poison(y)) return;
    if (lr->op == &wf_op_input) ((wf_leaf_attr *)lr->attr)->is_rate = true;
    train_once(y);
}

const wf_op wf_op_minimize = {
    .name = "minimize",
    .doc = "train all parameters that loss depends on",
    .arity = -1,
    .traits = WF_REQUEST | WF_EFFECT,
    .attr_size = sizeof(wf_minimize_attr),
    .infer = minimize_infer,
};
