/* Order of nodes, replacement, liveness. */
#include "graph/notes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

wf_node *wf_resolve(wf_node *n)
{
    while (n->forward) n = n->forward;
    return n;
}

void wf_replace(wf_node *old, wf_node *by)
{
    by = wf_resolve(by);
    assert(old != by);
    if (!by->name && !(by->op->traits & WF_LEAF)) by->name = old->name;
    old->forward = by;
    wf_notes_fired(old, NULL, by);
}

void wf_set_input(wf_node *n, int i, wf_node *x)
{
    wf_node *was = n->in[i];
    n->in[i] = x;
    wf_notes_input(n, i, was);
}

void wf_remove_effect(wf_node *n)
{
    wf_graph *g = n->graph;
    int at = 0;
    while (at < g->n_effects && g->effects[at] != n) at++;
    if (at == g->n_effects) return;
    g->n_effects--;
    memmove(g->effects + at, g->effects + at + 1, (size_t)(g->n_effects - at) * sizeof *g->effects);
}

void wf_replace_effects(wf_node *old, wf_node *also, wf_node *by)
{
    wf_remove_effect(old);
    if (also) wf_remove_effect(also);
    wf_notes_fired(old, also, by);
}

struct walk {
    wf_node **order, **stack;
    int *next;   /* for each node on the stack: which input comes next */
    char *state; /* by id: 0 new, 1 on the stack, 2 done */
    int n;
};

/* Is x a node that n may have as its input? A pass may have left anything there. */
static bool is_known(const wf_node *n, const wf_node *x)
{
    const char *what = !x                     ? "an input is missing"
                       : wf_is_poison(x)      ? "an input is the poison node"
                       : x->graph != n->graph ? "an input belongs to another graph"
                                              : NULL;
    if (what) wf_graph_broken(n, what);
    return !what;
}

static void visit(struct walk *w, wf_node *root)
{
    if (w->state[root->id]) return;
    int depth = 0;
    w->stack[0] = root;
    w->next[0] = 0;
    w->state[root->id] = 1;
    while (depth >= 0) {
        wf_node *n = w->stack[depth];
        if (w->next[depth] == n->n_in) {
            w->state[n->id] = 2;
            w->order[w->n++] = n;
            depth--;
            continue;
        }
        int i = w->next[depth]++;
        wf_node *x = n->in[i] ? wf_resolve(n->in[i]) : NULL;
        if (!is_known(n, x)) return;
        n->in[i] = x;
        if (w->state[x->id] == 0) {
            w->state[x->id] = 1;
            w->stack[++depth] = x;
            w->next[depth] = 0;
        } else if (w->state[x->id] == 1) {
            wf_graph_broken(n, "the graph has a cycle");
        }
    }
}

static void count_users(wf_graph *g, wf_node **order, int n)
{
    for (int i = 0; i < n; i++) order[i]->n_users = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < order[i]->n_in; j++) order[i]->in[j]->n_users++;
    for (int i = 0; i < g->n_outputs; i++) g->outputs[i].node->n_users++;
}

wf_node **wf_walk(wf_graph *g, int *n)
{
    size_t all = (size_t)g->n_nodes + 1;
    struct walk w = {.order = malloc(all * sizeof(wf_node *)),
                     .stack = malloc(all * sizeof(wf_node *)),
                     .next = malloc(all * sizeof(int)),
                     .state = calloc(all, 1)};
    *n = 0;
    if (w.order && w.stack && w.next && w.state) {
        for (int i = 0; i < g->n_outputs; i++) {
            g->outputs[i].node = wf_resolve(g->outputs[i].node);
            visit(&w, g->outputs[i].node);
        }
        for (int i = 0; i < g->n_effects; i++) {
            g->effects[i] = wf_resolve(g->effects[i]);
            visit(&w, g->effects[i]);
        }
        if (g->status == WF_OK) count_users(g, w.order, w.n);
        *n = w.n;
    } else {
        wf_graph_fail(g, WF_ENOMEM, "out of memory while ordering a graph");
        free(w.order);
        w.order = NULL;
    }
    free(w.stack);
    free(w.next);
    free(w.state);
    return w.order;
}

wf_node **wf_walk_from(wf_node *root, int *n)
{
    wf_graph *g = root->graph;
    wf_named only = {"", root}, *outputs = g->outputs;
    int n_outputs = g->n_outputs, n_effects = g->n_effects;
    g->outputs = &only, g->n_outputs = 1, g->n_effects = 0;
    wf_node **order = wf_walk(g, n);
    g->outputs = outputs, g->n_outputs = n_outputs, g->n_effects = n_effects;
    return order;
}

void wf_mark_flow(int n, wf_node *const order[], const wf_node *loss, char *mark)
{
    mark[loss->id] = 1;
    for (int i = n - 1; i >= 0; i--)
        for (int j = 0; mark[order[i]->id] && wf_flows(order[i]) && j < order[i]->n_in; j++)
            mark[order[i]->in[j]->id] = 1;
}
