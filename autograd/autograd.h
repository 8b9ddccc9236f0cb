/* Reverse-mode differentiation, graph to graph, and the update of parameters. */
#ifndef WF_AUTOGRAD_H
#define WF_AUTOGRAD_H

#include "graph/graph.h"
#include "ops/ops.h"

/* d loss / d x[i] as graph, into dx[i]; zeros where loss does not depend on x[i]. */
bool wf_backward(wf_node *loss, int n, wf_node *const x[], wf_node *dx[]);

/* A parameter that a request trains. */
typedef struct wf_trained {
    wf_node *p, *dp;
    const wf_param_group *group; /* one of none: all zeros */
} wf_trained;

/* A request that becomes graph. */
typedef struct wf_update {
    wf_graph *g;
    wf_node *request;
    const wf_minimize_options *o;
    int n;
    wf_trained *x;
    wf_node *owner; /* has what all of them share */
} wf_update;

/* The parameters that a request trains, without frozen ones; false: g carries the mistake.
 * Free x. */
bool wf_find_trained(wf_graph *g, wf_node *request, wf_update *u);

/* Clip all gradients as options and groups want (clip.c). */
void wf_clip(const wf_update *u);

/* ---- wrap.c: what wraps any optimizer; states are opt/<wrapper>/<parameter>/<name> ---- */

/* Gradients become the means of windows of runs. Returns 1 in the run that ends a window, as a
 * scalar; NULL: every run does. */
wf_node *wf_accumulate(const wf_update *u);
/* What all parameters of a request share: made once, for wf_wrap. */
typedef struct wf_wrapping {
    wf_node *is_start, *is_end; /* of a cycle of lookahead */
    wf_node *is_first, *part;   /* no update before; that of the new weight in its average */
} wf_wrapping;
wf_wrapping wf_wrapping_make(const wf_update *u);
/* The next value of x, with what lookahead makes of it; its average goes on. */
wf_node *wf_wrap(const wf_update *u, const wf_wrapping *w, wf_trained *x, wf_node *next);

extern const wf_pass wf_pass_backward; /* every gradient request becomes graph */
extern const wf_pass wf_pass_update;   /* every minimize request becomes gradients and assigns */
extern const wf_pass wf_pass_averages; /* trained parameters become their averages */

#endif
