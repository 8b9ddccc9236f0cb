/* What pull_gather.c does with a gated attention unit (pull_gau.c). */
#ifndef WF_PULL_GAU_H
#define WF_PULL_GAU_H

#include "passes/passes.h"

/* gau_gated(gau(P, ...), P, ...) with P = H W [+ bias]. */
typedef struct wf_gau_source {
    wf_node *h, *bias; /* bias: [columns], or NULL */
    const wf_node *product;
} wf_gau_source;

/* Of a gau_gated: NULL, or why rows of it cannot be computed for these alone. */
const char *wf_gau_source_find(const wf_node *gated, wf_gau_source *s);
/* Its rows at ids (int32, each one of its rows); h: those of H. */
wf_node *wf_gau_rows(const wf_node *gated, const wf_gau_source *s, wf_node *h, wf_node *ids);

#endif
