/* The order in which a program's nodes run. */
#ifndef WF_SCHEDULE_H
#define WF_SCHEDULE_H

#include "graph/graph.h"

/* Live nodes in an order that respects data and, for every store into a parameter or state, puts
 * all other readers of the old value before it. malloc'ed; NULL: the graph tells why. */
wf_node **wf_graph_schedule(wf_graph *g, int *n);

/* Does effect n write into the memory of leaf? */
bool wf_writes(const wf_node *n, const wf_node *leaf);

#endif
