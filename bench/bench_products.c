/*
 * Products of the shapes of GAU-alpha, forward and both gradients, and of odd ones, as parts of the
 * peak of multiply-adds that the same threads reached just before; beside a BLAS, if one is given,
 * whose results are compared first.
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/roofline.h"
#include "models/common.h"
#include "runtime/runtime.h"

typedef struct options {
    int64_t threads, tokens, rounds;
    const char *blas;
    bool json;
} options;

static const wf_arg args[] = {
    {"threads", WF_ARG_INT, offsetof(options, threads), "0", "N", 0, 1024, .doc = "0: one a core"},
    {"tokens", WF_ARG_INT, offsetof(options, tokens), "2048", "N", 1, 1 << 20,
     .doc = "rows of a batch"},
    {"rounds", WF_ARG_INT, offsetof(options, rounds), "9", "N", 1, 1000,
     .doc = "for each shape, peak and product by turns"},
    {"blas", WF_ARG_TEXT, offsetof(options, blas), NULL, "LIBRARY",
     .doc = "a shared library with cblas_sgemm; its threads are set by its own variables, such as "
            "OPENBLAS_NUM_THREADS"},
    {"json", WF_ARG_FLAG, offsetof(options, json), .doc = "one JSON object a line"},
};

/* y[m][n] = a b; a is [k][m] if ta, b is [n][k] if tb. */
typedef struct shape {
    const char *what;
    int64_t m, n, k;
    bool ta, tb;
} shape;

/* order, a and b transposed or not, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc */
typedef void (*sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                      float, float *, int);
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

/* OpenBLAS's threads turn in circles for that long after a product. */
static const struct timespec rest = {.tv_nsec = 100000000};

static void check(bool ok)
{
    if (ok) return;
    wf_complain("bench_products", "%s", wf_error());
    exit(WF_FAILED);
}

static float *draw(int64_t n, unsigned seed)
{
    float *x = aligned_alloc(64, (size_t)(n + 15) / 16 * 64);
    for (int64_t i = 0; x && i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    if (!x) {
        wf_complain("bench_products", "out of memory for %lld numbers", (long long)n);
        exit(WF_FAILED);
    }
    return x;
}

typedef struct bench {
    const options *o;
    const shape *s;
    wf_runtime *rt;
    wf_program *p;
    sgemm blas;
    float *a, *b, *y;
} bench;

static void run_ours(const bench *b)
{
    check(wf_run(b->p) == WF_OK);
}

static void run_blas(const bench *b)
{
    const shape *s = b->s;
    b->blas(ROW_MAJOR, s->ta ? TRANSPOSED : PLAIN, s->tb ? TRANSPOSED : PLAIN, (int)s->m, (int)s->n,
            (int)s->k, 1, b->a, (int)(s->ta ? s->m : s->k), b->b, (int)(s->tb ? s->k : s->n), 0,
            b->y, (int)s->n);
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* GFLOP/s of the product, and its part of the peak: medians. */
typedef struct rate {
    double gflops, part, least, most;
} rate;

static rate measure(const bench *b, void (*run)(const bench *b))
{
    enum { MOST = 1000, SAMPLE = 2 /* GFLOP at least */ };
    static double gflops[MOST], part[MOST];
    double gflop = 2e-9 * (double)b->s->m * (double)b->s->n * (double)b->s->k;
    int64_t n = b->o->rounds, times = (int64_t)ceil(SAMPLE / gflop);
    run(b);
    for (int64_t i = 0; i < n; i++) {
        if (run == run_blas) nanosleep(&rest, NULL);
        double peak = wf_roofline_peak(b->rt), start = wf_seconds();
        for (int64_t j = 0; j < times; j++) run(b);
        gflops[i] = (double)times * gflop / (wf_seconds() - start);
        part[i] = gflops[i] / peak;
    }
    qsort(gflops, (size_t)n, sizeof *gflops, by_size);
    qsort(part, (size_t)n, sizeof *part, by_size);
    return (rate){gflops[n / 2], 100 * part[n / 2], 100 * part[0], 100 * part[n - 1]};
}

/* Sums of k products of numbers in [-1, 1): how far apart, over sqrt(k). */
static void compare(const bench *b)
{
    double most = 0;
    run_ours(b);
    run_blas(b);
    const float *ours = wf_read(b->p, "y", NULL);
    for (int64_t i = 0; i < b->s->m * b->s->n; i++)
        most = fmax(most, fabs((double)ours[i] - (double)b->y[i]));
    most /= sqrt((double)b->s->k);
    if (most < 1e-5) return;
    wf_complain("bench_products", "%s: results differ from those of %s by %g", b->s->what,
                b->o->blas, most);
    exit(WF_FAILED);
}

static void report(const bench *b, const char *who, const rate *r)
{
    const shape *s = b->s;
    long long m = (long long)s->m, n = (long long)s->n, k = (long long)s->k;
    if (b->o->json)
        printf("{\"product\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, \"by\": \"%s\", "
               "\"gflop_per_s\": %.1f, \"of_peak\": %.3f, \"least\": %.3f, \"most\": %.3f}\n",
               s->what, m, n, k, who, r->gflops, r->part / 100, r->least / 100, r->most / 100);
    else
        printf("%-26s %5lld x %5lld x %5lld  %-5s %8.1f %6.0f %% (%.0f-%.0f)\n", s->what, m, n, k,
               who, r->gflops, r->part, r->least, r->most);
    fflush(stdout);
}

static void time_shape(const options *o, const shape *s, wf_runtime *rt, sgemm blas)
{
    bench b = {.o = o, .s = s, .rt = rt, .blas = blas};
    size_t bytes_a = (size_t)(s->m * s->k) * sizeof(float);
    size_t bytes_b = (size_t)(s->k * s->n) * sizeof(float);
    wf_graph *g = wf_graph_new();
    wf_store *store = wf_store_new(1);
    wf_node *x = wf_input(g, "a", WF_F32, s->ta ? WF_SHAPE(s->k, s->m) : WF_SHAPE(s->m, s->k));
    wf_node *w = wf_input(g, "b", WF_F32, s->tb ? WF_SHAPE(s->n, s->k) : WF_SHAPE(s->k, s->n));
    wf_output(s->ta ? wf_t_matmul(x, w) : s->tb ? wf_matmul_t(x, w) : wf_matmul(x, w), "y");
    check(wf_compile(&b.p, g, store, rt, NULL) == WF_OK);
    b.a = draw(s->m * s->k, 1);
    b.b = draw(s->k * s->n, 2);
    b.y = draw(s->m * s->n, 3);
    check(wf_bind(b.p, "a", b.a, bytes_a) == WF_OK && wf_bind(b.p, "b", b.b, bytes_b) == WF_OK);
    if (blas) compare(&b);
    rate r = measure(&b, run_ours);
    report(&b, "weft", &r);
    if (blas) {
        r = measure(&b, run_blas);
        report(&b, "blas", &r);
    }
    free(b.a);
    free(b.b);
    free(b.y);
    wf_program_free(b.p);
    wf_store_free(store);
    wf_graph_free(g);
}

static sgemm load(const char *path)
{
    if (!path) return NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    sgemm f = NULL;
    if (library) *(void **)&f = dlsym(library, "cblas_sgemm");
    if (f) return f;
    wf_complain("bench_products", "--blas: %s", dlerror());
    exit(WF_FAILED);
}

int main(int argc, char **argv)
{
    static const wf_command command = {
        .name = "bench_products",
        .doc = "Time the products of GAU-alpha beside the peak of multiply-adds, and a BLAS.",
        .groups = {{args, sizeof args / sizeof *args, 0}}};
    options o = {0};
    int code = wf_args_parse(&command, argc, argv, &o);
    if (code >= 0) return code;
    int64_t t = o.tokens; /* width 768; u, v and z together 3,200 columns; u 1,536 */
    const shape shapes[] = {
        {"u v z", t, 3200, 768, false, false},
        {"u v z, data gradient", t, 768, 3200, false, true},
        {"u v z, weight gradient", 768, 3200, t, true, false},
        {"output", t, 768, 1536, false, false},
        {"output, data gradient", t, 1536, 768, false, true},
        {"output, weight gradient", 1536, 768, t, true, false},
        {"odd sizes", 193, 331, 257, false, false},
    };
    sgemm blas = load(o.blas);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = (int)o.threads});
    check(rt != NULL);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        time_shape(&o, &shapes[i], rt, blas);
    wf_runtime_free(rt);
    return WF_DONE;
}
