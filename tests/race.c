/*
 * What runs on several threads, for the thread sanitizer: a plain program, because Criterion does
 * not start under it. Every part checks its results as well. Exit code 0: fine.
 */
#define _GNU_SOURCE
#include "ops/pointwise.h"
#include "runtime/runtime.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int failures;

static void expect(bool ok, const char *what, int64_t a, int64_t b)
{
    if (ok) return;
    failures++;
    fprintf(stderr, "race: %s: %lld, %lld\n", what, (long long)a, (long long)b);
}

/* ---- pools ------------------------------------------------------------------------------- */

enum { UNITS = 600, MOST_THREADS = 64 };

/* Plain memory on purpose: the pool alone keeps threads apart. */
typedef struct sums {
    int64_t unit[UNITS];
    struct {
        int64_t sum;
        char apart[56];
    } thread[MOST_THREADS];
} sums;

static void add_units(void *ctx, int thread, int64_t lo, int64_t hi)
{
    sums *s = ctx;
    for (int64_t i = lo; i < hi; i++) {
        s->unit[i] += i;
        s->thread[thread].sum += i;
    }
}

static void run_loops(wf_pool *p, int loops)
{
    sums *s = calloc(1, sizeof *s);
    if (!s) exit(2);
    for (int k = 0; k < loops; k++) {
        int64_t n = k * 37 % UNITS, total = 0;
        memset(s, 0, sizeof *s);
        wf_pool_for(p, n, 1 + k % 9, add_units, s);
        for (int t = 0; t < wf_pool_threads(p); t++) total += s->thread[t].sum;
        expect(total == n * (n - 1) / 2, "sum of threads", n, total);
        for (int64_t i = 0; i < n; i++) expect(s->unit[i] == i, "unit", i, s->unit[i]);
        struct timespec pause = {.tv_nsec = k % 64 ? 0 : 200000}; /* let workers fall asleep */
        if (k % 64 == 0) nanosleep(&pause, NULL);
    }
    free(s);
}

static void race_loops(void)
{
    const int threads[] = {1, 2, 3, 8, MOST_THREADS}, loops[] = {500, 4000, 3000, 1500, 150};
    for (int i = 0; i < 5; i++) {
        wf_pool *p = wf_pool_new(threads[i], NULL);
        if (p && i % 2) wf_pool_measure(p);
        if (!p) exit(2);
        run_loops(p, loops[i]);
        wf_pool_free(p);
    }
}

static void race_births(void)
{
    for (int k = 0; k < 60; k++) {
        wf_pool *p = wf_pool_new(1 + k % 5, NULL);
        if (!p) exit(2);
        run_loops(p, k % 3);
        wf_pool_free(p);
    }
}

static void *loops_of_a_thread(void *pool)
{
    run_loops(pool, 500);
    return NULL;
}

/* Two callers with pools of their own, and two that share one. */
static void race_callers(void)
{
    wf_pool *pool[3];
    pthread_t caller[4];
    for (int i = 0; i < 3; i++)
        if (!(pool[i] = wf_pool_new(3, NULL))) exit(2);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&caller[i], NULL, loops_of_a_thread, pool[i < 2 ? i : 2])) exit(2);
    for (int i = 0; i < 4; i++) pthread_join(caller[i], NULL);
    for (int i = 0; i < 3; i++) wf_pool_free(pool[i]);
}

static void race_bound(void)
{
    wf_topo *topo = wf_topo_new();
    wf_pool *p = topo ? wf_pool_new(wf_topo_cores(topo), topo) : NULL;
    if (!p) exit(2);
    run_loops(p, 2000);
    wf_pool_free(p);
    wf_topo_free(topo);
}

/* ---- code of elementwise programs ---------------------------------------------------------- */

enum { PROGRAMS = 24, LONG = 100 };

/* 2 x, 2 (2 x), ...: the same programs in every thread */
static void *codes_of_a_thread(void *found)
{
    const wf_jit **code = found;
    for (int k = 0; k < PROGRAMS; k++) {
        wf_scalar_attr two = {.a = 2};
        wf_pw p = {.n_in = 1, .n_instr = k + 1};
        for (int i = 0; i <= k; i++)
            p.instr[i] = (wf_pw_instr){.op = &wf_op_scale, .attr = &two, .n_in = 1, .in = {i}};
        code[k] = wf_jit_get(&p, 0);
        float x[LONG], *to[] = {x};
        for (int i = 0; i < LONG; i++) x[i] = 1;
        if (code[k]) wf_jit_run(code[k], LONG, to, (const float *[]){x});
        if (code[k]) expect(x[LONG - 1] == (float)(2 << k), "code", k, (int64_t)x[LONG - 1]);
    }
    return NULL;
}

static void race_codes(void)
{
    static const wf_jit *code[3][PROGRAMS];
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread[i], NULL, codes_of_a_thread, code[i])) exit(2);
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    for (int k = 0; k < PROGRAMS; k++)
        expect(code[0][k] == code[1][k] && code[0][k] == code[2][k], "code is shared", k, 0);
}

/* ---- traces ------------------------------------------------------------------------------- */

enum { EVENTS = 3000 };

static void *events_of_a_thread(void *trace)
{
    wf_trace_event e = {.name = "name", .op = "op"};
    for (int i = 0; i < EVENTS; i++) {
        wf_trace_add(trace, &e);
        if (i % 1000 == 0 && wf_trace_save(trace) != WF_OK) exit(2);
    }
    return NULL;
}

/* Programs of one runtime that run at the same time. */
static void race_traces(void)
{
    char path[] = "/tmp/weft-race-XXXXXX";
    int file = mkstemp(path), lines = 0;
    struct wf_trace *t = file < 0 ? NULL : wf_trace_new(path);
    pthread_t thread[2];
    if (!t) exit(2);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, events_of_a_thread, t)) exit(2);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    wf_trace_free(t);
    close(file); /* it was replaced */
    FILE *f = fopen(path, "r");
    for (int c; f && (c = fgetc(f)) != EOF;) lines += c == '\n';
    expect(lines == 2 * EVENTS + 2, "lines of the trace", lines, 2 * EVENTS + 2);
    if (f) fclose(f);
    unlink(path);
}

int main(void)
{
    race_loops();
    race_births();
    race_callers();
    race_bound();
    race_codes();
    race_traces();
    if (failures) fprintf(stderr, "race: %d failures\n", failures);
    return failures > 0;
}
