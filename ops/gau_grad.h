/* The parts of the backward pass of the gated attention unit: gau_grad.c and gau_rows.c. */
#ifndef WF_GAU_GRAD_H
#define WF_GAU_GRAD_H

#include "ops/gau.h"

typedef enum wf_gau_phase {
    WF_GAU_PREPARE,
    WF_GAU_ROWS,
    WF_GAU_KEYS,
    WF_GAU_FINISH,
} wf_gau_phase;

typedef struct wf_gau_wave {
    wf_gau_phase kind;
    int64_t first, last; /* blocks of rows of this wave; last is exclusive */
    int64_t lo, hi;      /* key blocks (of all items) that it touches */
} wf_gau_wave;

/* Everything in work. rows are padded to whole blocks in each item. */
typedef struct wf_gau_work {
    wf_gau_wave *wave;
    wf_gau_rows *blocks;
    int64_t *tile;              /* where in tiles a block's keys begin, in floats */
    int64_t *first, *last;      /* of the blocks of rows that see a block of keys; -1: none */
    float *values, *dy;         /* [item][panels][blocks B][B]: V, dY */
    float *queries, *keys, *dk; /* [block][B][s]: f q, k, gradient of k */
    float *weights, *ds;        /* tiles [key][64 rows] of the wave: A (after dropout), dS' */
} wf_gau_work;

/* Columns of the result. */
static inline int64_t wf_gau_d_width(const wf_gau_shape *g)
{
    return g->width + 2 * g->s;
}

/* Where the panels of block b begin; a panel is blocks * 64 rows of its item high. */
static inline int64_t wf_gau_panel_offset(const wf_gau_shape *g, int64_t b)
{
    int64_t item = b / g->blocks, first = b % g->blocks * WF_GAU_BLOCK;
    return (item * g->panels * g->blocks * WF_GAU_BLOCK + first) * WF_GAU_BLOCK;
}

/* From the gradient of a rotated query or key (one row, overwritten by that of the unrotated one)
 * to its part of dZ and to dq z (or dk z). */
void wf_gau_turn_back(const wf_call *c, const wf_gau_shape *g, int64_t row, const float *gamma,
                      float *dq, float *dz, float *product);

/* Phase ROWS of block b, and the floats of scratch that it needs. */
void wf_gau_rows_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b);
int64_t wf_gau_rows_scratch(const wf_gau_shape *g);

#endif
