/*
 * Reverse-mode differentiation, graph to graph (Speelpenning 1980; Griewank, Walther 2008, ch. 3).
 *
 * Visit the nodes between x and loss backwards. When a node is visited, all its users have already
 * added their part to its gradient; its op's grad rule then says, as graph, what flows on to its
 * inputs. The gradient is ordinary graph: it is optimized, fused and differentiated again.
 */
#include "autograd/autograd.h"

#include "ops/ops.h"

#include <stdlib.h>

struct sweep {
    wf_graph *g;
    wf_node **order; /* inputs before users */
    int n;
    wf_node **grad; /* by id, for ids that existed when the sweep began */
    char *wanted;   /* by id: gradients flow from this node to some x */
    int ids;
};

static void add_to(struct sweep *s, wf_node *x, wf_node *dx)
{
    wf_node *sum = s->grad[x->id];
    s->grad[x->id] = sum ? wf_add(sum, dx) : dx;
}

/* Does a gradient at y flow on to some x? */
static bool leads_on(const struct sweep *s, const wf_node *y)
{
    for (int j = 0; wf_flows(y) && j < y->n_in; j++)
        if (s->wanted[y->in[j]->id]) return true;
    return false;
}

static void mark_wanted(struct sweep *s, int n, wf_node *const x[])
{
    for (int i = 0; i < n; i++)
        if (x[i]->id < s->ids) s->wanted[x[i]->id] = 1;
    for (int i = 0; i < s->n; i++)
        if (leads_on(s, s->order[i])) s->wanted[s->order[i]->id] = 1;
}

static bool flow(struct sweep *s, wf_node *y)
{
    wf_node *dx[64] = {0}, *dy = s->grad[y->id];
    if (!y->op->grad) /* what arrives here would be lost: better no gradient than a part of it */
        return wf_fail(y, "has no gradient, and one that was asked for leads through it");
    if (y->n_in > 64) return wf_fail(y, "more than 64 inputs cannot be differentiated");
    s->g->scope = y->scope;
    y->op->grad(y, dy, dx);
    for (int j = 0; j < y->n_in; j++) {
        if (!dx[j] || !s->wanted[y->in[j]->id]) continue;
        if (wf_is_poison(dx[j])) return false;
        if (!wf_shape_equal(&dx[j]->shape, &y->in[j]->shape))
            return wf_fail(y, "its gradient rule gives input %d another shape", j);
        add_to(s, y->in[j], dx[j]);
    }
    return s->g->status == WF_OK;
}

static bool run_sweep(struct sweep *s, wf_node *loss)
{
    s->grad[loss->id] = wf_full(s->g, loss->shape, 1.0f);
    for (int i = s->n - 1; i >= 0; i--) {
        wf_node *y = s->order[i];
        if (s->grad[y->id] && leads_on(s, y) && !flow(s, y)) return false;
    }
    return true;
}

bool wf_backward(wf_node *loss, int n, wf_node *const x[], wf_node *dx[])
{
    wf_graph *g = loss->graph;
    const char *scope = g->scope;
    loss = wf_resolve(loss);
    struct sweep s = {.g = g, .ids = g->n_nodes};
    s.order = wf_walk_from(loss, &s.n);
    s.grad = calloc((size_t)s.ids + 1, sizeof *s.grad);
    s.wanted = calloc((size_t)s.ids + 1, 1);
    bool ok = s.order && s.grad && s.wanted;
    if (ok) {
        mark_wanted(&s, n, x);
        ok = run_sweep(&s, loss);
        for (int i = 0; ok && i < n; i++)
            dx[i] = s.grad[x[i]->id] ? s.grad[x[i]->id] : wf_full(g, x[i]->shape, 0.0f);
    } else {
        wf_graph_fail(g, WF_ENOMEM, "out of memory while differentiating");
    }
    g->scope = scope;
    free(s.order);
    free(s.grad);
    free(s.wanted);
    return ok && g->status == WF_OK;
}

/* Requests are met inner ones first, so that a gradient of a gradient sees graph. All requests for
 * one loss are met by one sweep. */
static bool run_backward(wf_graph *g)
{
    int n;
    wf_node **order = wf_walk(g, &n);
    wf_node **x = order ? malloc(2 * (size_t)n * sizeof *x + 1) : NULL;
    if (!x) wf_graph_fail(g, WF_ENOMEM, "out of memory while differentiating");
    int first = 0, wanted = 0;
    while (x && first < n && order[first]->op != &wf_op_gradient) first++;
    wf_node *loss = x && first < n ? order[first]->in[0] : NULL;
    for (int i = first; loss && i < n; i++)
        if (order[i]->op == &wf_op_gradient && order[i]->in[0] == loss)
            x[wanted++] = order[i]->in[1];
    bool ok = loss && wf_backward(loss, wanted, x, x + wanted);
    for (int i = first, k = 0; ok && i < n; i++)
        if (order[i]->op == &wf_op_gradient && order[i]->in[0] == loss)
            wf_replace(order[i], x[wanted + k++]);
    free(order);
    free(x);
    return ok; /* changed: look again, until no request is left */
}

const wf_pass wf_pass_backward = {
    .name = "backward",
    .doc = "gradient(loss, x) -> the graph of d loss / d x",
    .run = run_backward,
};
