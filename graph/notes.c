/* Notes of passes. What a pattern saves is the cost of the whole graph before less that after. */
#include "graph/notes.h"

#include <stdlib.h>
#include <string.h>

wf_cost wf_node_cost(const wf_node *n)
{
    if (n->op->traits & (WF_LEAF | WF_VIEW | WF_REQUEST)) return (wf_cost){0};
    return n->op->cost ? n->op->cost(n) : wf_cost_elementwise(n, 1);
}

static wf_noted *add(const wf_node *n, const char *text)
{
    wf_notes *notes = n->graph->notes;
    wf_noted *line = text ? wf_graph_alloc(n->graph, sizeof *line) : NULL;
    if (!line) return NULL;
    *line = (wf_noted){
        .pass = n->graph->pass ? n->graph->pass : "", .path = wf_path_of(n), .text = text};
    wf_noted **end = &notes->noted;
    while (*end) end = &(*end)->next;
    return *end = line;
}

void wf_note(const wf_node *n, const char *format, ...)
{
    if (!n->graph->notes) return;
    va_list ap;
    va_start(ap, format);
    add(n, wf_arena_vtext(&n->graph->arena, format, ap));
    va_end(ap);
}

struct walk {
    const wf_node **stack;
    int n;
    char *is_met; /* by id */
};

static void meet(struct walk *w, wf_node *x)
{
    x = wf_resolve(x);
    if (w->is_met[x->id]) return;
    w->is_met[x->id] = 1;
    w->stack[w->n++] = x;
}

/* The cost of all that is needed now. Not by wf_walk: it counts readers anew, and then a pass that
 * is listened to would find other patterns than one that is not. */
static wf_cost cost_of(const wf_graph *g)
{
    size_t all = (size_t)g->n_nodes + 1;
    struct walk w = {.stack = malloc(all * sizeof *w.stack), .is_met = calloc(all, 1)};
    wf_cost sum = {0};
    bool ok = w.stack && w.is_met;
    for (int i = 0; ok && i < g->n_outputs; i++) meet(&w, g->outputs[i].node);
    for (int i = 0; ok && i < g->n_effects; i++) meet(&w, g->effects[i]);
    while (w.n > 0) {
        const wf_node *x = w.stack[--w.n];
        wf_cost c = wf_node_cost(x);
        sum.flops += c.flops;
        sum.bytes += c.bytes;
        for (int j = 0; j < x->n_in; j++) meet(&w, x->in[j]);
    }
    free(w.stack);
    free(w.is_met);
    return sum;
}

void wf_notes_look(wf_graph *g)
{
    if (!g->notes) return;
    for (wf_noted **at = &g->notes->noted; *at;) {
        bool is_old = !(*at)->fired && !strcmp((*at)->pass, g->pass);
        if (is_old)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
    g->notes->cost = cost_of(g);
}

void wf_notes_fired(const wf_node *old, const wf_node *also, const wf_node *by)
{
    wf_graph *g = old->graph;
    if (!g->notes || g->status != WF_OK || (old->op->traits & WF_REQUEST)) return;
    wf_noted *line =
        add(old, wf_arena_text(&g->arena, "%s%s%s -> %s", old->op->name, also ? " + " : "",
                               also ? also->op->name : "", by->op->name));
    if (!line) return;
    wf_cost before = g->notes->cost, now = g->notes->cost = cost_of(g);
    line->fired = true;
    line->saved.flops = before.flops - now.flops;
    line->saved.bytes = before.bytes - now.bytes;
}

bool wf_notes_listen(wf_graph *g)
{
    char *text = wf_graph_text(g);
    g->notes = text ? wf_graph_alloc(g, sizeof *g->notes) : NULL;
    if (g->notes) {
        g->notes->declared = wf_arena_text(&g->arena, "%s", text);
        g->notes->n_nodes = wf_graph_size(g);
    }
    free(text);
    if (g->notes && g->notes->declared) return true;
    wf_graph_fail(g, WF_ENOMEM, "out of memory for notes of passes");
    return false;
}

void wf_notes_passed(wf_graph *g)
{
    int n;
    if (!g->notes) return;
    wf_node **order = wf_walk(g, &n);
    wf_passed *p = order ? wf_graph_alloc(g, sizeof *p) : NULL, **end = &g->notes->passes;
    if (p) {
        *p = (wf_passed){.pass = g->pass, .before = g->notes->n_nodes, .after = n};
        p->cost = cost_of(g);
        while (*end) end = &(*end)->next;
        *end = p;
        g->notes->n_nodes = n;
    }
    free(order);
}
