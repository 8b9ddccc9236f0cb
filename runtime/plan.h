/* Memory plan: a pure function from lifetimes to places in one slab. */
#ifndef WF_PLAN_H
#define WF_PLAN_H

#include <weft/weft.h>

typedef struct wf_lifetime {
    int first, last; /* steps during which the bytes are in use, both included */
    size_t bytes;    /* 0: needs no place */
} wf_lifetime;

/* Offsets (multiples of 64) so that no two live values overlap; returns the slab's bytes, or
 * SIZE_MAX when out of memory. Largest first, each at the lowest place that is free for its life.
 */
size_t wf_plan(int n, const wf_lifetime life[], size_t offset[]);

#endif
