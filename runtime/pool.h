/*
 * Threads: one parallel loop over a range.
 *
 * The caller takes part. Workers spin for some tens of microseconds, then sleep on a futex (through
 * a condition variable), so an idle program burns nothing. Units are claimed in small chunks by
 * atomic counters: what a late worker has not claimed, others finish; the caller never waits for a
 * worker that has claimed nothing.
 */
#ifndef WF_POOL_H
#define WF_POOL_H

#include "runtime/topo.h"

typedef struct wf_pool wf_pool;

/* threads >= 1, the caller included. Workers are bound to the cores 1, 2, ... of topo, which must
 * outlive the pool. Whoever calls wf_pool_for is brought to core 0 when it has drifted, but stays
 * free to move. topo may be NULL or another machine's: no binding. NULL: wf_error(). */
wf_pool *wf_pool_new(int threads, const wf_topo *topo);
void wf_pool_free(wf_pool *p);
int wf_pool_threads(const wf_pool *p);
/* From now on measure how long threads work: two readings of the clock a thread and loop. */
void wf_pool_measure(wf_pool *p);
/* Nanoseconds that all threads together have worked in loops since then; what is missing to their
 * number times the time of a loop, they waited. */
int64_t wf_pool_busy(const wf_pool *p);

/* fn(ctx, thread, lo, hi) for a partition of 0..n-1; thread < threads tells whose scratch to use.
 * Returns when all are done. chunk: units claimed at once, >= 1. One call of fn does everything if
 * n <= chunk, or inside another loop (thread is then the caller's there if it is the same pool's),
 * or while another thread's loop runs on this pool. */
void wf_pool_for(wf_pool *p, int64_t n, int64_t chunk,
                 void (*fn)(void *ctx, int thread, int64_t lo, int64_t hi), void *ctx);

#endif
