/*
 * The parallel loop.
 *
 * A loop of n units is cut into chunks, and the chunks into one share a thread, so that a thread
 * meets the same part of its data in loop after loop. A thread works off its own share, then those
 * of the others. Each share is one counter of chunks left; who takes it down by one owns that
 * chunk.
 *
 * What makes this safe against threads that come late: a claim does not name a loop. A worker that
 * slept through ten loops and then claims simply takes part in the one that is open now, because it
 * reads what to do only after the claim succeeded, and from then on the loop cannot end: the caller
 * waits for every chunk claimed, and only then opens another loop. A worker that has claimed
 * nothing is never waited for.
 *
 * Sleeping follows the usual two-sided protocol: a sleeper announces itself, then looks once more;
 * a waker publishes, then looks for sleepers. All four are sequentially consistent.
 */
#define _GNU_SOURCE
#include "runtime/pool.h"

#include "graph/base.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPIN_NS = 40000, SPIN_ROUND = 16 };

typedef struct share {
    _Alignas(WF_ALIGN) atomic_int_least64_t left; /* chunks that nobody has claimed */
} share;

typedef struct worker {
    wf_pool *pool;
    int index;
    pthread_t thread;
} worker;

struct wf_pool {
    int threads, n_workers;
    int64_t spin; /* nanoseconds */
    const wf_topo *topo;
    worker *workers;

    /* The open loop. Written while no chunk is left or unfinished, read after a claim. */
    void (*fn)(void *ctx, int thread, int64_t lo, int64_t hi);
    void *ctx;
    int64_t n, chunk, chunks;

    _Alignas(WF_ALIGN) atomic_uint_least64_t epoch; /* loops opened: what idle workers watch */
    atomic_bool stop;
    _Alignas(WF_ALIGN) atomic_int_least64_t unfinished; /* chunks */
    _Alignas(WF_ALIGN) atomic_int sleepers;
    atomic_bool caller_sleeps, is_busy, is_measured;
    atomic_int_least64_t worked; /* nanoseconds in units, if that is measured */
    int n_started, n_unbound;
    pthread_mutex_t lock;
    pthread_cond_t opened, finished, started;
    share shares[];
};

/* Set while this thread is inside a loop. */
static _Thread_local struct {
    const wf_pool *pool;
    int index;
} self;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_briefly(void)
{
    for (int i = 0; i < SPIN_ROUND; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* ---- work -------------------------------------------------------------------------------- */

/* Chunks of shares before the i-th: sizes differ by one at most, larger ones first. */
static int64_t share_start(const wf_pool *p, int i)
{
    return i * (p->chunks / p->threads) + wf_min_i64(i, p->chunks % p->threads);
}

/* Run one chunk of a share of which "left" were left before it was claimed. */
static void run_chunk(const wf_pool *p, int owner, int64_t left, int thread)
{
    int64_t lo = (share_start(p, owner + 1) - left) * p->chunk;
    p->fn(p->ctx, thread, lo, lo + wf_min_i64(p->chunk, p->n - lo));
}

static int64_t start_of_work(const wf_pool *p)
{
    return atomic_load_explicit(&p->is_measured, memory_order_relaxed) ? now() : 0;
}

static void add_work(wf_pool *p, int64_t start)
{
    if (start) atomic_fetch_add_explicit(&p->worked, now() - start, memory_order_relaxed);
}

/* Claim and run until nothing is left; returns how many chunks that were. */
static int64_t work(wf_pool *p, int thread)
{
    int64_t done = 0, start = start_of_work(p);
    for (int k = 0; k < p->threads; k++) {
        int owner = thread + k < p->threads ? thread + k : thread + k - p->threads;
        atomic_int_least64_t *counter = &p->shares[owner].left;
        int64_t left = atomic_load_explicit(counter, memory_order_relaxed);
        while (left > 0) {
            if (!atomic_compare_exchange_weak_explicit(counter, &left, left - 1,
                                                       memory_order_acquire, memory_order_relaxed))
                continue;
            run_chunk(p, owner, left, thread);
            done++;
            left = atomic_load_explicit(counter, memory_order_relaxed);
        }
    }
    if (done > 0) add_work(p, start);
    return done;
}

/* ---- workers ----------------------------------------------------------------------------- */

static void wake(wf_pool *p, pthread_cond_t *who, int n)
{
    pthread_mutex_lock(&p->lock); /* whoever announced sleep is asleep once we get the lock */
    int all = atomic_load(&p->sleepers);
    pthread_mutex_unlock(&p->lock);
    if (n >= all) pthread_cond_broadcast(who);
    for (int i = 0; i < n && n < all; i++) pthread_cond_signal(who);
}

static void sleep_until_opened(wf_pool *p, uint64_t seen)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->epoch) == seen) pthread_cond_wait(&p->opened, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

/* Wait for a loop that is not the one seen; returns its number. */
static uint64_t next_loop(wf_pool *p, uint64_t seen)
{
    int64_t end = p->spin ? now() + p->spin : 0;
    for (;;) {
        uint64_t epoch = atomic_load_explicit(&p->epoch, memory_order_acquire);
        if (epoch != seen) return epoch;
        if (!p->spin || now() > end) break;
        pause_briefly();
    }
    sleep_until_opened(p, seen);
    return atomic_load_explicit(&p->epoch, memory_order_acquire);
}

static void finish(wf_pool *p, int64_t done)
{
    if (done == 0 || atomic_fetch_sub(&p->unfinished, done) != done) return;
    if (!atomic_load(&p->caller_sleeps)) return;
    pthread_mutex_lock(&p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->finished);
}

static void report_start(wf_pool *p, bool is_bound)
{
    pthread_mutex_lock(&p->lock);
    p->n_started++;
    p->n_unbound += !is_bound;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->started);
}

static void *worker_main(void *argument)
{
    const worker *w = argument;
    wf_pool *p = w->pool;
    self.pool = p;
    self.index = w->index;
    report_start(p, !p->topo || wf_topo_bind(p->topo, w->index));
    uint64_t seen = 0;
    for (;;) {
        seen = next_loop(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        finish(p, work(p, w->index));
    }
}

/* ---- the caller -------------------------------------------------------------------------- */

static void open_loop(wf_pool *p)
{
    atomic_store_explicit(&p->unfinished, p->chunks, memory_order_relaxed);
    for (int i = 0; i < p->threads && i < p->chunks; i++) /* the other shares are 0 already */
        atomic_store_explicit(&p->shares[i].left, share_start(p, i + 1) - share_start(p, i),
                              memory_order_release);
    atomic_fetch_add(&p->epoch, 1);
    if (atomic_load(&p->sleepers) == 0) return;
    if (p->topo) wf_topo_move(p->topo, 0); /* a worker that wakes where we run would push us off */
    wake(p, &p->opened, (int)wf_min_i64(p->chunks - 1, INT32_MAX));
}

static void await_others(wf_pool *p)
{
    int64_t end = 0;
    while (atomic_load_explicit(&p->unfinished, memory_order_acquire) > 0) {
        if (p->spin && !end) end = now() + p->spin;
        if (!p->spin || now() > end) break;
        pause_briefly();
    }
    if (atomic_load_explicit(&p->unfinished, memory_order_acquire) == 0) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (atomic_load(&p->unfinished) > 0) pthread_cond_wait(&p->finished, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

void wf_pool_for(wf_pool *p, int64_t n, int64_t chunk,
                 void (*fn)(void *ctx, int thread, int64_t lo, int64_t hi), void *ctx)
{
    assert(chunk >= 1);
    if (n <= 0) return;
    bool is_inline = n <= chunk || p->threads == 1 || self.pool;
    if (is_inline || atomic_exchange(&p->is_busy, true)) {
        int64_t start = self.pool ? 0 : start_of_work(p); /* inside a loop that is counted */
        fn(ctx, self.pool == p ? self.index : 0, 0, n);
        add_work(p, start);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->n = n;
    p->chunk = chunk;
    p->chunks = (n - 1) / chunk + 1;
    self.pool = p;
    self.index = 0;
    open_loop(p);
    int64_t done = work(p, 0);
    if (atomic_fetch_sub(&p->unfinished, done) != done) await_others(p);
    self.pool = NULL;
    atomic_store_explicit(&p->is_busy, false, memory_order_release);
}

/* ---- birth and death --------------------------------------------------------------------- */

/* Spinning pays only if every thread has a processor to spin on. */
static int processors(const wf_topo *topo)
{
    if (topo) return wf_topo_cores(topo);
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? 0 : CPU_COUNT(&set);
    int quota = wf_cpu_quota("");
    return quota > 0 && quota < n ? quota : n;
}

static bool start_workers(wf_pool *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the program's own threads' */
    int error = 0;
    for (int i = 1; i < p->threads && !error; i++) {
        worker *w = &p->workers[p->n_workers];
        *w = (worker){.pool = p, .index = i};
        error = pthread_create(&w->thread, NULL, worker_main, w);
        if (!error) p->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_lock(&p->lock);
    while (p->n_started < p->n_workers) pthread_cond_wait(&p->started, &p->lock);
    pthread_mutex_unlock(&p->lock);
    if (p->n_unbound > 0)
        fprintf(stderr, "weft: %d of %d threads could not be bound to their cores\n", p->n_unbound,
                p->n_workers);
    if (error)
        wf_error_set(WF_ELIMIT, "thread %d of %d cannot be started: %s", p->n_workers + 1,
                     p->threads, strerror(error));
    return !error;
}

wf_pool *wf_pool_new(int threads, const wf_topo *topo)
{
    assert(threads >= 1);
    wf_pool *p = wf_aligned_alloc(sizeof *p + (size_t)threads * sizeof(share));
    worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!p || !workers) {
        wf_error_set(WF_ENOMEM, "out of memory for %d threads", threads);
        free(p);
        free(workers);
        return NULL;
    }
    p->threads = threads;
    p->workers = workers;
    p->topo = topo && wf_topo_is_here(topo) ? topo : NULL;
    p->spin = threads > 1 && threads <= processors(p->topo) ? SPIN_NS : 0;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->opened, NULL);
    pthread_cond_init(&p->finished, NULL);
    pthread_cond_init(&p->started, NULL);
    if (start_workers(p)) return p;
    wf_pool_free(p);
    return NULL;
}

void wf_pool_free(wf_pool *p)
{
    if (!p) return;
    atomic_store(&p->stop, true);
    atomic_fetch_add(&p->epoch, 1);
    wake(p, &p->opened, p->n_workers);
    for (int i = 0; i < p->n_workers; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->started);
    pthread_cond_destroy(&p->finished);
    pthread_cond_destroy(&p->opened);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

void wf_pool_measure(wf_pool *p)
{
    atomic_store(&p->is_measured, true);
}

int64_t wf_pool_busy(const wf_pool *p)
{
    return atomic_load(&p->worked);
}

int wf_pool_threads(const wf_pool *p)
{
    return p->threads;
}
