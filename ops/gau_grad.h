/* The parts of the backward pass of the gated attention unit: gau_grad.c and gau_rows.c. */
#ifndef WF_GAU_GRAD_H
#define WF_GAU_GRAD_H

#include "ops/gau_plan.h"

/* Everything in work. [padded] rows are those of all items, padded. */
typedef struct wf_gau_work {
    wf_gau_plan plan;
    wf_gau_turned turned;
    float *dk;          /* [padded][s]: gradient of k */
    float *dy;          /* [rows][e], for segments that are taken in ranges of keys */
    float *kept, *seen; /* tiles of the wave: see wf_gau_weigh; seen may be kept */
    float *parts;       /* sums of dA over groups of panels, ... */
    int64_t part_floats;
    int64_t groups, ranges; /* ... as many as this wave has; ranges of a segment's keys */
} wf_gau_work;

/* Columns of the result. */
static inline int64_t wf_gau_d_width(const wf_gau_shape *g)
{
    return g->width + 2 * g->s;
}

/* From the gradient of a rotated query or key (one row, overwritten by that of the unrotated one)
 * to its part of dZ and to dq z (or dk z). */
void wf_gau_turn_back(const wf_call *c, const wf_gau_shape *g, int64_t row, const float *gamma,
                      float *dq, float *dz, float *product);

/* dS' and dq of a block of rows, once its dA is complete; dk of a block of keys. */
void wf_gau_rows_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b);
void wf_gau_keys_run(const wf_gau_shape *g, const wf_gau_work *w, const wf_gau_block *keys);

#endif
