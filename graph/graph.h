/* What the other folders may know of a graph. */
#ifndef WF_GRAPH_H
#define WF_GRAPH_H

#include "graph/base.h"
#include <weft/op.h>

typedef struct wf_named {
    const char *name;
    wf_node *node;
} wf_named;

struct wf_sizes; /* symbolic sizes: size.c */
struct wf_notes; /* what passes say: notes.h */

struct wf_graph {
    wf_arena arena;
    struct wf_graph *parent; /* a copy borrows names and attributes from its original */
    int refs;
    wf_status status; /* sticky: the first mistake, and its text */
    char message[256];
    wf_node poison;

    wf_node **nodes; /* in order of birth, dead ones included until a sweep */
    int n_nodes, room_nodes;
    wf_node **by_name; /* leaves, hashed by their paths (names.c) */
    int room_by_name, n_by_name, n_searched;
    wf_named *outputs;
    int n_outputs;
    wf_node **effects; /* live nodes with WF_EFFECT, in order of birth */
    int n_effects, room_effects;

    const char *scope; /* current path, "" at the top */
    const char *scopes[32];
    int depth;
    struct wf_sizes *sizes;
    const char *optimizer; /* set while an optimizer's step runs */
    wf_node *owner;        /* while updates are made: what all parameters share is its */
    wf_node *due;          /* while updates are made: assign only where it is not 0; NULL: always */
    const char *pass;      /* the pass that runs or ran last, or NULL */
    wf_program *program;   /* what the graph is compiled to, or NULL: for passes of the runtime */
    int n_random;
    struct wf_notes *notes; /* NULL: nobody listens */
};

/* Births and names. */
void *wf_graph_alloc(wf_graph *g, size_t bytes); /* zeroed; NULL makes the graph WF_ENOMEM */
const char *wf_graph_path(wf_graph *g, const char *name); /* name inside the current scope */
wf_node *wf_graph_find(wf_graph *g, const char *path);    /* a leaf by its path, or NULL */
wf_node *wf_leaf_new(wf_graph *g, const wf_op *op, const void *attr, const char *path);
wf_node *wf_poison(wf_graph *g);
bool wf_is_poison(const wf_node *n);
const char *wf_graph_optimizer(const wf_graph *g);
uint64_t wf_node_salt(const wf_node *n);
/* Report a mistake that a builder of op finds before there is a node; returns the poison node. */
wf_node *wf_refuse(wf_graph *g, const wf_op *op, const char *format, ...) WF_PRINTF(3, 4);
/* Remember a mistake that belongs to no node. */
void wf_graph_fail(wf_graph *g, wf_status s, const char *format, ...) WF_PRINTF(3, 4);

/* A copy in which symbolic sizes have these values (ends with {NULL, 0}; NULL: none) and every
 * node's shape is inferred anew. NULL: wf_error(). */
wf_graph *wf_graph_copy(const wf_graph *g, const wf_size_value *sizes);

/* Symbolic sizes (size.c). */
struct wf_sizes *wf_sizes_copy(wf_graph *to, const struct wf_sizes *from);
bool wf_size_set(wf_graph *g, const char *name, int64_t value); /* false: no such size */
const char *wf_size_unknown(const wf_graph *g); /* the first size without a value, or NULL */
int64_t wf_size_div(wf_graph *g, int64_t a, int64_t b); /* 0 if a is not a multiple of b */
int wf_size_text(const wf_graph *g, int64_t size, char *text, size_t room);
static inline bool wf_is_symbol(int64_t size)
{
    return size <= -1000;
}

/* Walks (walk.c). */
/* Live nodes, inputs before users; brings inputs, outputs, effects and n_users up to date. The
 * array is malloc'ed, its length in *n. NULL: out of memory (the graph says so too). */
wf_node **wf_walk(wf_graph *g, int *n);
wf_node **wf_walk_from(wf_node *root, int *n); /* the same as if root alone were needed */
wf_node *wf_resolve(wf_node *n);               /* follow replacements */
void wf_replace(wf_node *old, wf_node *by);
void wf_set_input(wf_node *n, int i, wf_node *x); /* for one reader */
void wf_remove_effect(wf_node *n);
/* Effect by, which is in the list already, does what old and also (or NULL) did. */
void wf_replace_effects(wf_node *old, wf_node *also, wf_node *by);
/* Does a gradient flow from n to its inputs, if its op knows how? */
static inline bool wf_flows(const wf_node *n)
{
    return n->dtype == WF_F32 && !(n->op->traits & WF_FLAT);
}
/* Mark, by id, all that gradients of loss flow to; order is that of wf_walk. */
void wf_mark_flow(int n, wf_node *const order[], const wf_node *loss, char *mark);
/* The node whose memory n shares: follows views to their origin. */
static inline wf_node *wf_origin(const wf_node *n)
{
    while (n->op->traits & WF_VIEW) n = n->in[0];
    return (wf_node *)n;
}

/* What one run of a node costs, nothing for what never runs (notes.c). */
wf_cost wf_node_cost(const wf_node *n);

/* Invariants (verify.c): false after wf_graph_fail with the pass's name. */
bool wf_verify(wf_graph *g);
/* Report what is wrong with a node that a pass left behind. */
void wf_graph_broken(const wf_node *n, const char *what);

#endif
