/* A graph as text (one line a node, numbered in order, stable) and as Graphviz. */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>

static void add_shape(wf_text *t, const wf_node *n)
{
    char size[64];
    wf_text_add(t, "%s[", wf_dtype_name(n->dtype));
    for (int i = 0; i < n->shape.rank; i++) {
        wf_size_text(n->graph, n->shape.dim[i], size, sizeof size);
        wf_text_add(t, "%s%s", i ? "," : "", size);
    }
    wf_text_add(t, "]");
}

static void add_attr(wf_text *t, const wf_node *n)
{
    char text[512] = "";
    if (n->op->print && n->op->print(n->attr, text, sizeof text) > 0) wf_text_add(t, " {%s}", text);
}

static void add_line(wf_text *t, const wf_node *n, const int *number)
{
    wf_text_add(t, "%%%d = %s", number[n->id], n->op->name);
    for (int i = 0; i < n->n_in; i++) wf_text_add(t, " %%%d", number[n->in[i]->id]);
    add_attr(t, n);
    wf_text_add(t, " : ");
    add_shape(t, n);
    if (n->name)
        wf_text_add(t, "  # %s", n->name);
    else if (*n->scope)
        wf_text_add(t, "  # %s/", n->scope);
    if (n->repeats) wf_text_add(t, "  # again");
    wf_text_add(t, "\n");
}

static void add_dot(wf_text *t, const wf_node *n, const int *number)
{
    bool leaf = n->op->traits & WF_LEAF;
    wf_text_add(t, "  n%d [label=\"%s%s%s\\n", number[n->id], n->op->name, n->name ? "\\n" : "",
                n->name ? n->name : "");
    add_shape(t, n);
    wf_text_add(t, "\", shape=%s];\n", leaf ? "ellipse" : "box");
    for (int i = 0; i < n->n_in; i++)
        wf_text_add(t, "  n%d -> n%d;\n", number[n->in[i]->id], number[n->id]);
}

/* Both forms: numbers for all live nodes in order, then one call a node. */
static char *draw(const wf_graph *cg, bool dot)
{
    wf_graph *g = (wf_graph *)cg; /* the walk only tidies what was already replaced */
    int n;
    wf_text t = {0};
    wf_node **order = wf_walk(g, &n);
    int *number = calloc((size_t)g->n_nodes + 1, sizeof *number);
    if (order && number) {
        for (int i = 0; i < n; i++) number[order[i]->id] = i;
        if (dot) wf_text_add(&t, "digraph weft {\n");
        for (int i = 0; i < n; i++) (dot ? add_dot : add_line)(&t, order[i], number);
        for (int i = 0; i < g->n_outputs; i++) {
            const char *name = g->outputs[i].name;
            int from = number[g->outputs[i].node->id];
            if (dot)
                wf_text_add(&t, "  o%d [label=\"%s\", shape=note]; n%d -> o%d;\n", i, name, from,
                            i);
            else
                wf_text_add(&t, "output %s = %%%d\n", name, from);
        }
        if (dot) wf_text_add(&t, "}\n");
    }
    free(order);
    free(number);
    return t.text;
}

char *wf_graph_text(const wf_graph *g)
{
    return draw(g, false);
}

char *wf_graph_dot(const wf_graph *g)
{
    return draw(g, true);
}

int wf_graph_size(const wf_graph *g)
{
    int n;
    free(wf_walk((wf_graph *)g, &n));
    return n;
}
