/*
 * Order of execution. Outputs come first, then effects from the loss's end of the network to its
 * beginning, each node as late as its users allow: gradients are consumed by their update at once,
 * and activations die as early as possible. What makes 16 bits out of a value does so at once. What
 * is computed again comes right before its first reader, behind all else that this one needs.
 */
#include "runtime/schedule.h"

#include "ops/narrow.h"
#include "ops/pointwise.h"

#include <stdlib.h>

struct edge { /* reader must run before writer */
    wf_node *reader;
    int next;
};

struct frame { /* a node that waits for others, and which of them come next */
    wf_node *node;
    int input, edge; /* inputs are passed twice, repeated nodes the second time */
};

struct schedule {
    wf_graph *g;
    struct frame *stack; /* graphs are deeper than a thread's stack is large */
    wf_node **order;
    int n;
    char *state;        /* by id: 0 new, 1 being visited, 2 placed */
    int *first;         /* by id: first edge of an effect, -1 none */
    wf_node **narrow;   /* by id: the cast of a value to 16 bits, or NULL */
    struct edge *edges; /* lists of readers */
    int n_edges, room_edges;
};

bool wf_writes(const wf_node *n, const wf_node *leaf)
{
    if (n->op == &wf_op_assign) return n->in[0] == leaf;
    if (n->op == &wf_op_scatter_store) return n->in[2] == leaf;
    const wf_op *op = n->op;
    if (!(op->traits & WF_EFFECT)) return false;
    const wf_pw *p = wf_stores_of(n);
    for (int i = 0; p && i < p->n_stores; i++)
        if (n->in[wf_store_input(n, i)] == leaf) return true;
    return false;
}

static bool add_edge(struct schedule *s, const wf_node *writer, wf_node *reader)
{
    if (s->n_edges == s->room_edges) {
        int room = s->room_edges ? 2 * s->room_edges : 256;
        struct edge *grown = realloc(s->edges, (size_t)room * sizeof *grown);
        if (!grown) return false;
        s->edges = grown;
        s->room_edges = room;
    }
    s->edges[s->n_edges] = (struct edge){reader, s->first[writer->id]};
    s->first[writer->id] = s->n_edges++;
    return true;
}

/* For each leaf that some effect writes: writer[leaf] by id. Then every reader gets an edge. */
static bool find_edges(struct schedule *s, wf_node **live, int n)
{
    wf_node **writer = calloc((size_t)s->g->n_nodes + 1, sizeof *writer);
    bool ok = writer;
    for (int e = 0; ok && e < s->g->n_effects; e++) {
        wf_node *w = s->g->effects[e];
        for (int i = 0; i < w->n_in; i++)
            if (wf_writes(w, w->in[i])) writer[w->in[i]->id] = w;
    }
    for (int i = 0; ok && i < n; i++)
        for (int j = 0; ok && j < live[i]->n_in; j++) {
            wf_node *w = writer[wf_origin(live[i]->in[j])->id];
            if (w && w != live[i] && !(live[i]->op->traits & WF_VIEW)) ok = add_edge(s, w, live[i]);
        }
    free(writer);
    return ok;
}

/* The next node that must run before that of the frame, or NULL. */
static wf_node *next_before(const struct schedule *s, struct frame *f)
{
    for (int n = f->node->n_in; f->input < 2 * n;) {
        wf_node *x = f->node->in[f->input % n];
        if ((x->repeats != NULL) == (f->input++ >= n)) return x;
    }
    if (f->edge < 0) return NULL;
    const struct edge *e = &s->edges[f->edge];
    f->edge = e->next;
    return e->reader;
}

static void place(struct schedule *s, wf_node *n)
{
    struct frame *top = s->stack;
    for (;;) {
        if (s->state[n->id] == 1)
            wf_graph_fail(s->g, WF_EMODEL, "%s: %s: two updates each need the other's old value",
                          n->scope, n->op->name);
        if (s->state[n->id] == 0) {
            s->state[n->id] = 1;
            *top++ = (struct frame){.node = n, .edge = s->first[n->id]};
        }
        if (top == s->stack) return;
        n = next_before(s, top - 1);
        if (n) continue;
        n = (--top)->node;
        s->state[n->id] = 2;
        s->order[s->n++] = n;
        if (s->narrow[n->id] && s->state[s->narrow[n->id]->id] == 0) n = s->narrow[n->id];
    }
}

struct ranked {
    wf_node *node;
    int level, index;
};

static int by_level(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->level != y->level ? (x->level > y->level) - (x->level < y->level)
                                : x->index - y->index;
}

/* Effects sorted by their distance from the leaves: those near the loss come first. */
static struct ranked *rank_effects(wf_graph *g, wf_node **live, int n)
{
    int *level = calloc((size_t)g->n_nodes + 1, sizeof *level);
    struct ranked *r = malloc(((size_t)g->n_effects + 1) * sizeof *r);
    for (int i = 0; level && r && i < n; i++)
        for (int j = 0; j < live[i]->n_in; j++)
            if (level[live[i]->id] <= level[live[i]->in[j]->id])
                level[live[i]->id] = level[live[i]->in[j]->id] + 1;
    for (int e = 0; level && r && e < g->n_effects; e++)
        r[e] = (struct ranked){g->effects[e], level[g->effects[e]->id], e};
    if (level && r) qsort(r, (size_t)g->n_effects, sizeof *r, by_level);
    if (!level) {
        free(r);
        r = NULL;
    }
    free(level);
    return r;
}

wf_node **wf_graph_schedule(wf_graph *g, int *n)
{
    int live_n;
    wf_node **live = wf_walk(g, &live_n);
    size_t all = (size_t)g->n_nodes + 1;
    struct schedule s = {.g = g,
                         .stack = malloc(all * sizeof(struct frame)),
                         .order = malloc(all * sizeof(wf_node *)),
                         .state = calloc(all, 1),
                         .first = malloc(all * sizeof(int)),
                         .narrow = calloc(all, sizeof(wf_node *))};
    struct ranked *effects = live ? rank_effects(g, live, live_n) : NULL;
    for (size_t i = 0; s.first && i < all; i++) s.first[i] = -1;
    bool ok = effects && s.stack && s.order && s.state && s.first && s.narrow &&
              find_edges(&s, live, live_n);
    if (!ok) wf_graph_fail(g, WF_ENOMEM, "out of memory while scheduling");
    for (int i = 0; ok && i < live_n; i++)
        if (live[i]->op == &wf_op_cast && wf_is_narrow(live[i]->dtype))
            s.narrow[live[i]->in[0]->id] = live[i];
    for (int i = 0; ok && i < g->n_outputs; i++) place(&s, g->outputs[i].node);
    for (int e = 0; ok && e < g->n_effects; e++) place(&s, effects[e].node);
    free(live);
    free(effects);
    free(s.stack);
    free(s.state);
    free(s.first);
    free(s.narrow);
    free(s.edges);
    if (g->status != WF_OK) {
        free(s.order);
        return NULL;
    }
    *n = s.n;
    return s.order;
}
