/* What must hold after every pass. A failure is a bug in that pass, told by its name. */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wf_graph_broken(const wf_node *n, const char *what)
{
    const char *path = n->name ? n->name : n->scope;
    wf_graph_fail(n->graph, WF_EMODEL, "after %s: %s%s%s: %s",
                  n->graph->pass ? n->graph->pass : "declaring", path, *path ? ": " : "",
                  n->op->name, what);
}

/* infer on a copy must find what the node says; what it complains about is the pass's doing. */
static void check_type(wf_node *n)
{
    wf_graph *g = n->graph;
    wf_node again = *n;
    bool ok = n->op->infer(&again);
    if (g->status != WF_OK) {
        char text[sizeof g->message];
        memcpy(text, g->message, sizeof text);
        snprintf(g->message, sizeof g->message, "after %s: %.200s", g->pass, text);
    } else if (!ok || again.dtype != n->dtype || !wf_shape_equal(&again.shape, &n->shape)) {
        wf_graph_broken(n, "its type is not what its inputs give");
    }
}

static void check_node(wf_node *n)
{
    if (n->forward)
        wf_graph_broken(n, "a replaced node is still in use");
    else if (n->op->arity >= 0 && n->op->arity != n->n_in)
        wf_graph_broken(n, "wrong number of inputs");
    else
        check_type(n);
}

bool wf_verify(wf_graph *g)
{
    int n;
    wf_node **order = wf_walk(g, &n);
    for (int i = 0; order && i < n && g->status == WF_OK; i++) check_node(order[i]);
    free(order);
    return g->status == WF_OK;
}
