/* What the compiler's passes did to a graph and what stopped them, kept for those who ask. */
#ifndef WF_NOTES_H
#define WF_NOTES_H

#include "graph/graph.h"

/* A pattern that fired ("mul -> gau_gated"), or nearly fired and what stopped it. */
typedef struct wf_noted {
    struct wf_noted *next;
    const char *pass, *path, *text;
    bool fired;
    wf_cost saved; /* what all kernels do less now */
    size_t memory; /* bytes less at the peak of memory */
} wf_noted;

/* A pass that ran: live nodes, and the cost of all kernels afterwards. */
typedef struct wf_passed {
    struct wf_passed *next;
    const char *pass;
    int before, after;
    wf_cost cost;
} wf_passed;

/* In the graph's arena, in order of time. */
typedef struct wf_notes {
    wf_noted *noted, **end; /* end: where the next one goes */
    wf_passed *passes;
    const char *declared;     /* the graph's text before the first pass */
    int n_nodes;              /* live ones after the last pass, ... */
    wf_cost cost;             /* ... and the cost after the last pattern that fired */
    wf_cost now;              /* the cost of all that is needed, ... */
    struct wf_needed *needed; /* ... and by id how it is needed */
    int room;
} wf_notes;

/* What a reader calls the place of a node: never "". */
static inline const char *wf_path_of(const wf_node *n)
{
    const char *path = n->name ? n->name : n->scope;
    return *path ? path : "-";
}

/* From now on passes are listened to. false: the graph says why. */
bool wf_notes_listen(wf_graph *g);
/* All of these do nothing when nobody listens. A pass looks at the graph once more: what it said
 * of patterns that nearly fired is forgotten, so that its last word stays. */
void wf_notes_look(wf_graph *g);
void wf_notes_passed(wf_graph *g);
/* by has taken the place of old and also (or NULL). */
void wf_notes_fired(const wf_node *old, const wf_node *also, wf_node *by);
/* x is replaced for late readers alone, by what "how" names; saved as in wf_noted. */
void wf_notes_late(const wf_node *x, const char *how, wf_cost saved, size_t memory);
/* Add what all kernels do less since this was called last, or a pattern fired. */
void wf_notes_saved(wf_graph *g, wf_cost *sum);
/* n reads its input i instead of was. */
void wf_notes_input(const wf_node *n, int i, wf_node *was);

#endif
