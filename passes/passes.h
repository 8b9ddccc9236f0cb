/* The compiler's table of contents (pipeline.c) and what passes share. */
#ifndef WF_PASSES_H
#define WF_PASSES_H

#include "graph/graph.h"

typedef struct wf_pass_options {
    bool forward_only;
    bool averages;        /* forward_only: parameters are read from their averages */
    bool rounds_products; /* to bf16 */
    const char *dump;    /* a pass's name, "before" or "after": the graph goes to stderr; or NULL */
    const char *without; /* "-fuse_gau,-cse": these passes are left out; or NULL */
    const wf_pass *const *extra; /* run after the fusions that know their gradient; or NULL */
    const wf_pass *const
        *stored;                /* run once all is graph, before it is tidied and fused; or NULL */
    const wf_pass *const *last; /* run behind all others; or NULL */
    int nodes_differentiated;   /* out: nodes once gradients and updates are graph */
} wf_pass_options;

/* Run all passes on g. false: g carries the mistake. */
bool wf_optimize(wf_graph *g, wf_pass_options *o);

/* Run one pass on g until nothing changes, then verify. */
bool wf_pass_apply(wf_graph *g, const wf_pass *p);

/* The tables of the pipeline in the order in which they run; each, and the list, ends with NULL. */
extern const wf_pass *const *const wf_pipeline[];

extern const wf_pass wf_pass_inference, wf_pass_simplify, wf_pass_cse, wf_pass_fuse_gau,
    wf_pass_pull_gather, wf_pass_round_products, wf_pass_lower, wf_pass_widen_inside,
    wf_pass_fuse_pointwise, wf_pass_fuse_linear, wf_pass_layout;

/* May this input of n have 16 bits and be as fast? */
bool wf_widens(const wf_node *n, int input);

/* How a value lies in memory, data left NULL: views follow their input, others are contiguous.
 * false: the view cannot be described without a copy of its input. */
bool wf_layout_of(const wf_node *n, wf_tensor *t);

#endif
