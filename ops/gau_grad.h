/* The parts of the backward pass of the gated attention unit: gau_grad.c, gau_panels.c and
 * gau_rows.c. */
#ifndef WF_GAU_GRAD_H
#define WF_GAU_GRAD_H

#include "ops/gau_tile.h"

/* Keys that are taken together: V and dV of a panel stay in the cache. */
enum { WF_GAU_RANGE = 256 };

/* Everything in work. [padded] rows are those of all items, padded. */
typedef struct wf_gau_work {
    wf_gau_plan plan;
    wf_gau_turned turned;
    float *dq, *dk;        /* [padded][s]: gradients of rotated queries, over f, and keys */
    float *dy, *turned_dy; /* of segments that are taken in ranges of keys: see wf_gau_dy_at */
    float *v;              /* of long segments */
    float *kept, *seen;    /* tiles of the wave: see wf_gau_weigh; seen may be kept */
    float *parts;          /* sums of dA over groups of panels, ... */
    int64_t part_floats;
    int64_t groups, ranges; /* ... as many as this wave has; ranges of a segment's keys */
} wf_gau_work;

/* Columns of the result. */
static inline int64_t wf_gau_d_width(const wf_gau_shape *g)
{
    return g->width + 2 * g->s;
}

static inline int64_t wf_gau_ranges_of(const wf_gau_segment *s)
{
    return wf_ceil_div(s->height, WF_GAU_RANGE);
}

/* Where in dy and turned_dy a block has its panel of 64 columns, [queries][columns] and turned. */
static inline int64_t wf_gau_dy_at(const wf_gau_shape *g, const wf_gau_block *b, int64_t column)
{
    return b->at * g->e + column * b->height;
}

/* dY of a block for all panels, turned too; of a gate if there is one, and dU (as dP). */
void wf_gau_make_dy(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w,
                    const wf_gau_block *b);

/* Columns from..to-1 of e, so many at a time, of a range of keys of a segment; group: whose sum. */
typedef struct wf_gau_panels {
    const wf_gau_segment *segment;
    int64_t range, group, from, to, wide;
} wf_gau_panels;

/* Of scratch. */
int64_t wf_gau_panels_floats(void);
void wf_gau_panels_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w,
                       const wf_gau_panels *what);

/* dS' and dq of a block, once its dA is complete. dk of some keys. */
void wf_gau_rows_run(const wf_call *c, const wf_gau_shape *g, const wf_gau_work *w, int64_t b);
void wf_gau_keys_run(const wf_gau_shape *g, const wf_gau_work *w, const wf_gau_part *keys);

#endif
