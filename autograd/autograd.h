/* Reverse-mode differentiation, graph to graph, and the update of parameters. */
#ifndef WF_AUTOGRAD_H
#define WF_AUTOGRAD_H

#include "graph/graph.h"

/* d loss / d x[i] as graph, into dx[i]; zeros where loss does not depend on x[i]. */
bool wf_backward(wf_node *loss, int n, wf_node *const x[], wf_node *dx[]);

extern const wf_pass wf_pass_backward; /* every gradient request becomes graph */
extern const wf_pass wf_pass_update;   /* every minimize request becomes gradients and assigns */

#endif
