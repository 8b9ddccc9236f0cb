/* What both passes of the gated attention unit make of a block and of a panel: queries and keys,
 * weights, values, sums. Those of a block use the first wf_gau_tile_scratch floats of c->scratch.
 */
#ifndef WF_GAU_TILE_H
#define WF_GAU_TILE_H

#include "ops/gau_plan.h"

int64_t wf_gau_tile_scratch(const wf_gau_shape *g);

typedef struct wf_gau_turned {
    float *queries, *keys; /* [padded][s]: f q and k, rotated */
} wf_gau_turned;

/* f_i of some keys; 1 / len_i of a block's queries, padding like the last of them. */
void wf_gau_factors(const wf_call *c, const wf_gau_shape *g, const wf_gau_part *k, float *y);
void wf_gau_inverses(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b, float *y);

/* Keys, and the queries that are made of their rows. */
void wf_gau_turn(const wf_call *c, const wf_gau_shape *g, const wf_gau_plan *p,
                 const wf_gau_part *k, const wf_gau_turned *t);

/* The tile of a block. x becomes what the backward pass needs (weights before dropout; relu2:
 * max(S, 0)), y the weights after dropout; y may be x. */
void wf_gau_weigh(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b,
                  const wf_gau_turned *t, float *x, float *y);
/* Multiply WF_GAU_DEEP keys of a tile, the first of them from, by the factors of dropout: in the
 * first 2 WF_GAU_BLOCK WF_GAU_DEEP floats of c->scratch. */
void wf_gau_drop(const wf_call *c, const wf_gau_shape *g, const wf_gau_block *b, int64_t from,
                 float *x);

/* Columns at..at+cols-1 of V for the padded rows from..to-1 of a segment. */
typedef struct wf_gau_values {
    const wf_gau_segment *segment;
    int64_t from, to, at, cols;
} wf_gau_values;

/* y [rows][cols]; the slope of SiLU too, unless it is NULL. */
void wf_gau_make_v(const wf_call *c, const wf_gau_shape *g, const wf_gau_values *v, float *y,
                   float *slope);
/* V of these rows for all panels, if they are of a long segment; and where it is then kept. */
void wf_gau_keep_v(const wf_call *c, const wf_gau_shape *g, const wf_gau_part *k, float *kept);
float *wf_gau_kept_v(const wf_gau_shape *g, const wf_gau_values *v, float *kept);

/* y [queries][n] = A x, summed over the keys that the block sees: x [keys][n], A [keys][queries] if
 * it is turned, else [queries][keys of a piece], a piece of WF_GAU_DEEP keys behind the other. So
 * many rows of x stay in the nearest cache until all of A have met them. */
void wf_gau_sum_keys(const wf_gau_block *b, const float *a, bool is_turned, const float *x,
                     int64_t n, float *y);

/* A panel's rows lie far apart, where no hardware prefetches: a few rows ahead are asked for. */
static inline void wf_gau_ask(const float *row, int64_t step, int64_t cols)
{
    enum { AHEAD = 6, LINE = 16 };
    for (int64_t i = 0; i < cols; i += LINE) __builtin_prefetch(row + AHEAD * step + i);
}

#endif
