/* The limits of the machine. */
#define _POSIX_C_SOURCE 200809L
#include "bench/roofline.h"

#include "bench/fma.h"
#include "graph/base.h"
#include "ops/vec.h"
#include "runtime/explain.h"
#include "runtime/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FMA_UNITS = 32, FMA_ROUNDS = 100000, BLOCK = 1 << 16 };

struct wf_streams {
    const wf_vec *v;
    wf_pool *pool;
    int64_t blocks;
    float *x, *y, *z;
};

static void fma_units(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const wf_fma *f = ctx;
    volatile float keep;
    (void)thread;
    for (int64_t i = lo; i < hi; i++) keep = f->run(FMA_ROUNDS, 0.999f, 0.001f);
    (void)keep;
}

/* First touch from the threads themselves, so that memory is near them. */
static void fill_blocks(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const wf_streams *s = ctx;
    int64_t n = (hi - lo) * BLOCK;
    (void)thread;
    s->v->fill(n, s->x + lo * BLOCK, 0);
    s->v->fill(n, s->y + lo * BLOCK, 1);
    s->v->fill(n, s->z + lo * BLOCK, 2);
}

static void read_blocks(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const wf_streams *s = ctx;
    volatile float keep;
    (void)thread;
    keep = s->v->max_of((hi - lo) * BLOCK, s->x + lo * BLOCK);
    (void)keep;
}

static void copy_blocks(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const wf_streams *s = ctx;
    (void)thread;
    s->v->scale((hi - lo) * BLOCK, s->y + lo * BLOCK, s->x + lo * BLOCK, 1);
}

static void triad_blocks(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const wf_streams *s = ctx;
    (void)thread;
    s->v->axpby((hi - lo) * BLOCK, s->x + lo * BLOCK, 3, s->y + lo * BLOCK, 1, s->z + lo * BLOCK);
}

/* Of an array: four times the last cache, between 64 and 512 MiB. */
static int64_t stream_blocks(void)
{
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    int64_t bytes = wf_min_i64(wf_max_i64(4 * (int64_t)cache, 64 << 20), 512 << 20);
    return bytes / (BLOCK * (int64_t)sizeof(float));
}

wf_streams *wf_streams_new(wf_runtime *rt)
{
    wf_streams *s = calloc(1, sizeof *s);
    int64_t blocks = stream_blocks();
    size_t bytes = (size_t)blocks * BLOCK * sizeof(float);
    if (s) {
        *s = (wf_streams){.v = wf_vec_get(), .pool = rt->pool, .blocks = blocks};
        s->x = aligned_alloc(64, bytes);
        s->y = aligned_alloc(64, bytes);
        s->z = aligned_alloc(64, bytes);
    }
    if (!s || !s->x || !s->y || !s->z) {
        wf_error_set(WF_ENOMEM, "out of memory for three streams of %zu bytes", bytes);
        wf_streams_free(s);
        return NULL;
    }
    wf_pool_for(s->pool, blocks, 1, fill_blocks, s);
    return s;
}

void wf_streams_free(wf_streams *s)
{
    if (!s) return;
    free(s->x);
    free(s->y);
    free(s->z);
    free(s);
}

void wf_streams_sweep(const wf_streams *s)
{
    wf_pool_for(s->pool, s->blocks, 1, read_blocks, (void *)s);
}

double wf_roofline_peak(wf_runtime *rt)
{
    const wf_fma *f = wf_fma_find(wf_runtime_isa(rt));
    double ns = wf_best_of(rt->pool, FMA_UNITS, fma_units, (void *)f);
    return f->flops * FMA_UNITS * FMA_ROUNDS / ns;
}

wf_status wf_roofline_measure(wf_roofline *r, wf_runtime *rt)
{
    *r = (wf_roofline){.isa = wf_runtime_isa(rt), .threads = wf_runtime_threads(rt)};
    r->gflops = wf_roofline_peak(rt);
    wf_streams *s = wf_streams_new(rt);
    if (!s) return WF_ENOMEM;
    double array = (double)(s->blocks * BLOCK) * sizeof(float);
    r->read = array / wf_best_of(rt->pool, s->blocks, read_blocks, s);
    r->copy = 2 * array / wf_best_of(rt->pool, s->blocks, copy_blocks, s);
    r->triad = 3 * array / wf_best_of(rt->pool, s->blocks, triad_blocks, s);
    wf_streams_free(s);
    return WF_OK;
}

double wf_roofline_gbs(const wf_roofline *r)
{
    double best = r->read > r->copy ? r->read : r->copy;
    return best > r->triad ? best : r->triad;
}

double wf_roofline_seconds(const wf_roofline *r, double flops, double bytes)
{
    double compute = 1e-9 * flops / r->gflops, memory = 1e-9 * bytes / wf_roofline_gbs(r);
    return compute > memory ? compute : memory;
}

void wf_roofline_print(const wf_roofline *r)
{
    printf("%s, %d thread%s: %.1f GFLOP/s; read %.1f, copy %.1f, triad %.1f GB/s\n", r->isa,
           r->threads, r->threads == 1 ? "" : "s", r->gflops, r->read, r->copy, r->triad);
}

void wf_roofline_print_json(const wf_roofline *r)
{
    printf("\"isa\": \"%s\", \"threads\": %d, \"peak_gflops\": %.1f, \"read_gbs\": %.1f, "
           "\"copy_gbs\": %.1f, \"triad_gbs\": %.1f",
           r->isa, r->threads, r->gflops, r->read, r->copy, r->triad);
}
