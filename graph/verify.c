/* What must hold after every pass. A failure is a bug in that pass, told by its name. */
#include "graph/graph.h"

#include <stdlib.h>

static bool same_type(wf_node *n)
{
    wf_node again = *n; /* infer on a copy must find what the node says */
    return n->op->infer(&again) && again.dtype == n->dtype &&
           wf_shape_equal(&again.shape, &n->shape);
}

static const char *complaint(wf_node *n)
{
    if (n->forward) return "a replaced node is still in use";
    if (n->op->arity >= 0 && n->op->arity != n->n_in) return "wrong number of inputs";
    for (int i = 0; i < n->n_in; i++) {
        if (wf_is_poison(n->in[i])) return "an input is the poison node";
        if (n->in[i]->graph != n->graph) return "an input belongs to another graph";
    }
    return same_type(n) ? NULL : "its type is not what its inputs give";
}

bool wf_verify(wf_graph *g, const char *after)
{
    int n;
    wf_node **order = wf_walk(g, &n);
    for (int i = 0; order && i < n && g->status == WF_OK; i++) {
        const char *what = complaint(order[i]);
        if (what)
            wf_graph_fail(g, WF_EMODEL, "after %s: %s: %s: %s", after, order[i]->scope,
                          order[i]->op->name, what);
    }
    free(order);
    return g->status == WF_OK;
}
