/* What the files of wf_program_explain share. */
#ifndef WF_EXPLAIN_H
#define WF_EXPLAIN_H

#include "graph/notes.h"
#include "runtime/page.h"
#include "runtime/program.h"

/* What threads of a pool can do together (probe.c): GFLOP/s of the matrix kernel on tiles in the
 * cache, GB/s of a sum of two arrays far beyond the caches. 0: not measured, out of memory. */
typedef struct wf_limits {
    double gflops, gbs;
} wf_limits;
wf_limits wf_probe(wf_pool *pool);
/* The least nanoseconds of several loops over n units: a neighbour only ever slows one. */
double wf_best_of(wf_pool *pool, int64_t n,
                  void (*fn)(void *ctx, int thread, int64_t lo, int64_t hi), void *ctx);

/* Values of the plan are counted as in wf_program.life. The node that a place in it belongs to,
 * and its offset. */
const wf_node *wf_life_node(const wf_program *p, int i);
size_t wf_life_offset(const wf_program *p, int i);
static inline bool wf_lives_at(const wf_lifetime *l, int step)
{
    return l->bytes > 0 && l->first <= step && step <= l->last;
}

/* Drawings (explain_chart.c), for HTML alone. */
void wf_draw_memory(wf_page *page, const wf_program *p);
void wf_draw_run(wf_page *page, const wf_program *p);
void wf_draw_graph(wf_page *page, const char *title, const char *text);

#endif
