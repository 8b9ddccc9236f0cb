/* Notes of passes. What a pattern saves is the cost of the whole graph before less that after; it
 * is kept by counts of readers, which follow what passes replace. */
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
    *notes->end = line;
    notes->end = &line->next;
    return line;
}

void wf_note(const wf_node *n, const char *format, ...)
{
    if (!n->graph->notes) return;
    va_list ap;
    va_start(ap, format);
    add(n, wf_arena_vtext(&n->graph->arena, format, ap));
    va_end(ap);
}

/* Not wf_node.n_users: these are counted anew by walks alone, and a pass that is listened to must
 * find the patterns that one finds that is not. */
struct wf_needed {
    int readers;   /* outputs, the list of effects, and inputs of what is needed */
    wf_cost cost;  /* 0 where it is not needed */
    wf_node *next; /* of those whose inputs wait to be counted */
};

static bool make_room(wf_graph *g)
{
    wf_notes *t = g->notes;
    if (g->n_nodes <= t->room) return true;
    int room = 2 * g->n_nodes;
    struct wf_needed *grown = wf_graph_alloc(g, (size_t)room * sizeof *grown);
    if (!grown) return false;
    if (t->room) memcpy(grown, t->needed, (size_t)t->room * sizeof *grown);
    t->needed = grown;
    t->room = room;
    return true;
}

static void count(wf_notes *t, wf_node *x, int more, wf_node **list)
{
    x = wf_resolve(x);
    struct wf_needed *at = &t->needed[x->id];
    bool was = at->readers > 0;
    at->readers += more;
    if (was == (at->readers > 0)) return;
    at->next = *list;
    *list = x;
}

static void set_cost(wf_notes *t, struct wf_needed *at, wf_cost cost)
{
    t->now.flops += cost.flops - at->cost.flops;
    t->now.bytes += cost.bytes - at->cost.bytes;
    at->cost = cost;
}

/* So many readers more of x, or less. Where it is needed now or no more, it reads its inputs now or
 * no more. */
static void add_readers(wf_notes *t, wf_node *x, int more)
{
    wf_node *list = NULL;
    count(t, x, more, &list);
    while (list) {
        wf_node *n = list;
        struct wf_needed *at = &t->needed[n->id];
        int sign = at->readers > 0 ? 1 : -1;
        list = at->next;
        set_cost(t, at, sign > 0 ? wf_node_cost(n) : (wf_cost){0});
        for (int j = 0; j < n->n_in; j++) count(t, n->in[j], sign, &list);
    }
}

/* All readers of old, which is replaced, read by. */
static void move_readers(wf_notes *t, const wf_node *old, wf_node *by)
{
    struct wf_needed *at = &t->needed[old->id];
    if (at->readers <= 0) return;
    add_readers(t, by, at->readers);
    at->readers = 0;
    set_cost(t, at, (wf_cost){0});
    for (int j = 0; j < old->n_in; j++) add_readers(t, old->in[j], -1);
}

static void count_all(wf_graph *g)
{
    wf_notes *t = g->notes;
    if (!make_room(g)) return;
    memset(t->needed, 0, (size_t)t->room * sizeof *t->needed);
    t->now = (wf_cost){0};
    for (int i = 0; i < g->n_outputs; i++) add_readers(t, g->outputs[i].node, 1);
    for (int i = 0; i < g->n_effects; i++) add_readers(t, g->effects[i], 1);
    t->cost = t->now;
}

void wf_notes_look(wf_graph *g)
{
    if (!g->notes) return;
    wf_noted **at = &g->notes->noted;
    while (*at) {
        bool is_old = !(*at)->fired && !strcmp((*at)->pass, g->pass);
        if (is_old)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
    g->notes->end = at;
    count_all(g);
}

void wf_notes_input(const wf_node *n, int i, wf_node *was)
{
    wf_notes *t = n->graph->notes;
    if (!t || wf_is_poison(n->in[i]) || !make_room(n->graph)) return;
    struct wf_needed *at = &t->needed[n->id];
    if (at->readers <= 0) return;
    add_readers(t, n->in[i], 1);
    add_readers(t, was, -1);
    set_cost(t, at, wf_node_cost(n));
}

void wf_notes_saved(wf_graph *g, wf_cost *sum)
{
    if (!g->notes) return;
    wf_cost before = g->notes->cost, now = g->notes->cost = g->notes->now;
    sum->flops += before.flops - now.flops;
    sum->bytes += before.bytes - now.bytes;
}

void wf_notes_fired(const wf_node *old, const wf_node *also, wf_node *by)
{
    wf_graph *g = old->graph;
    if (!g->notes || g->status != WF_OK || (old->op->traits & WF_REQUEST)) return;
    wf_noted *line =
        add(old, wf_arena_text(&g->arena, "%s%s%s -> %s", old->op->name, also ? " + " : "",
                               also ? also->op->name : "", by->op->name));
    if (!line || !make_room(g)) return;
    move_readers(g->notes, old, by);
    if (also) move_readers(g->notes, also, by);
    line->fired = true;
    wf_notes_saved(g, &line->saved);
}

void wf_notes_late(const wf_node *x, const char *how, wf_cost saved, size_t memory)
{
    wf_graph *g = x->graph;
    wf_noted *line =
        g->notes ? add(x, wf_arena_text(&g->arena, "%s -> %s", x->op->name, how)) : NULL;
    if (!line) return;
    line->fired = true;
    line->saved = saved;
    line->memory = memory;
}

bool wf_notes_listen(wf_graph *g)
{
    char *text = wf_graph_text(g);
    g->notes = text ? wf_graph_alloc(g, sizeof *g->notes) : NULL;
    if (g->notes) {
        g->notes->declared = wf_arena_text(&g->arena, "%s", text);
        g->notes->n_nodes = wf_graph_size(g);
        g->notes->end = &g->notes->noted;
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
        count_all(g);
        p->cost = g->notes->now;
        while (*end) end = &(*end)->next;
        *end = p;
        g->notes->n_nodes = n;
    }
    free(order);
}
