/* Who reads and who writes what, while effects are merged: what else were searched for in the list
 * of all effects, again for each of them. */
#ifndef WF_EFFECTS_H
#define WF_EFFECTS_H

#include "graph/graph.h"

struct wf_reader {
    wf_node *effect;
    int next; /* -1: the last one */
};

typedef struct wf_effects {
    wf_graph *g;
    int room;         /* of the arrays by id */
    wf_node **writer; /* by id of a tensor: the effect that stores it, or NULL */
    struct {
        int first, last;
    } * of; /* by id of a value: its readers, in order of birth */
    struct wf_reader *readers;
    int n_readers, room_readers;
    char *is_gone; /* by id of an effect */
    int *seen, round;
} wf_effects;

/* False: out of memory, and the graph says so. */
bool wf_effects_open(wf_effects *x, wf_graph *g);
void wf_effects_close(wf_effects *x);
/* by takes the place of old and also (or NULL), in the graph too. */
void wf_effects_replace(wf_effects *x, wf_node *old, wf_node *also, wf_node *by);
/* The next effect that reads value v element by element, stores it or assigns it; *at = -1: the
 * first. NULL: there is no more. */
wf_node *wf_effects_reader(const wf_effects *x, const wf_node *v, int *at);
/* Would effect n, which takes the place of a and b, have to run before itself? What an effect reads
 * has to be read before another one overwrites it. */
bool wf_effects_wait_for_itself(wf_effects *x, const wf_node *n, const wf_node *a,
                                const wf_node *b);
/* Does effect n store into this tensor? */
bool wf_stores_to(const wf_node *n, const wf_node *leaf);
/* Does n make 16 bits out of float32, for one reader? */
bool wf_is_rounding(const wf_node *n);
/* What assign a stores, before it is rounded to the leaf's 16 bits. */
wf_node *wf_assigned(const wf_node *a);

#endif
