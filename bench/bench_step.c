/*
 * One training step of a reference workload, as the peers' scripts time it: first loss, time of the
 * first step (compile included), median and least milliseconds a step, items a second, peak MiB.
 *
 *   bench_step NAME [STEPS [WEIGHTS.safetensors]]
 *
 * WEIGHTS holds the start that a peer's script exported: parameters by our names, and ids, picks,
 * labels. Without it, weights and tokens are drawn here.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "models/gau.h"

typedef struct work {
    const char *name;
    int64_t batch, time;                       /* MLP: batch, inputs */
    int64_t width, expand, key, layers, vocab; /* MLP: expand = hidden, vocab = classes */
} work;

static const work works[] = {
    {"gau_base_128", 8, 128, 768, 1536, 128, 24, 12000},
    {"gau_small_256", 8, 256, 256, 512, 64, 6, 8000},
    {"gau_long_2048", 1, 2048, 256, 512, 64, 6, 8000},
    {"gau_tiny_32", 4, 32, 64, 128, 32, 2, 1000},
    {"mlp_64", 32, 64, 0, 32, 0, 0, 10},
    {"mlp_784", 64, 784, 0, 256, 0, 0, 10},
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(wf_status s)
{
    if (s == WF_OK) return;
    fprintf(stderr, "bench_step: %s\n", wf_error());
    exit(1);
}

static uint32_t next(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* A GAU with masked-language-model head and a bias of the vocabulary, trained by Lion. */
static wf_graph *declare_gau(const work *w)
{
    wf_graph *g = wf_graph_new();
    wf_gau_config c = {.layers = w->layers,
                       .width = w->width,
                       .expand = w->expand,
                       .key = w->key,
                       .vocab = w->vocab,
                       .min_len = 1,
                       .eps = 1e-12f};
    int64_t picks = w->batch * w->time * 15 / 100;
    wf_gau_batch batch = wf_gau_packed(g, false);
    wf_node *pick = wf_input(g, "picks", WF_I32, WF_SHAPE(picks));
    wf_node *label = wf_input(g, "labels", WF_I32, WF_SHAPE(picks));
    wf_node *bias =
        wf_param(g, "bias", WF_SHAPE(w->vocab), (wf_role){.kind = WF_BIAS}, (wf_init){0});
    wf_node *logits = wf_add(wf_gau_logits(wf_gau(g, &c, &batch), pick, &c), bias);
    wf_node *loss = wf_output(wf_cross_entropy(logits, label, -1), "loss");
    wf_minimize(loss, &wf_lion, &(wf_lion_hyper){.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.01f},
                NULL);
    return g;
}

static wf_graph *declare_mlp(const work *w)
{
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.05f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(w->batch, w->time));
    wf_node *label = wf_input(g, "labels", WF_I32, WF_SHAPE(w->batch));
    wf_node *h = wf_relu(wf_dense(x, w->expand, true, init, "fc1"));
    wf_node *loss = wf_cross_entropy(wf_dense(h, w->vocab, true, init, "fc2"), label, -1);
    wf_minimize(wf_output(loss, "loss"), &wf_lion, NULL, NULL);
    return g;
}

static int32_t *numbers(int64_t n, uint32_t below)
{
    int32_t *y = malloc((size_t)n * sizeof *y);
    for (int64_t i = 0; y && i < n; i++) y[i] = (int32_t)(next() % below);
    return y;
}

/* Data of a name in the given file, or random numbers. */
static void bind_numbers(wf_program *p, wf_store *given, const char *name, int64_t n,
                         uint32_t below)
{
    const void *data = given ? wf_store_data(given, name, NULL, NULL) : NULL;
    check(wf_bind(p, name, data ? data : numbers(n, below), (size_t)n * 4));
}

static void bind_gau(wf_program *p, const work *w, wf_store *given)
{
    int64_t tokens = w->batch * w->time, picks = tokens * 15 / 100;
    int32_t *offsets = malloc((size_t)(w->batch + 1) * sizeof *offsets);
    for (int64_t i = 0; i <= w->batch; i++) offsets[i] = (int32_t)(i * w->time);
    check(wf_bind(p, "offsets", offsets, (size_t)(w->batch + 1) * 4));
    bind_numbers(p, given, "ids", tokens, (uint32_t)w->vocab);
    bind_numbers(p, given, "picks", picks, (uint32_t)tokens);
    bind_numbers(p, given, "labels", picks, (uint32_t)w->vocab);
}

static void bind_mlp(wf_program *p, const work *w)
{
    float *x = malloc((size_t)(w->batch * w->time) * sizeof *x);
    for (int64_t i = 0; i < w->batch * w->time; i++) x[i] = (float)next() * 0x1p-31f;
    check(wf_bind(p, "x", x, (size_t)(w->batch * w->time) * 4));
    bind_numbers(p, NULL, "labels", w->batch, (uint32_t)w->vocab);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Weights by name; what the program does not know is ignored. */
static void take_weights(wf_store *to, const wf_store *from)
{
    for (int i = 0; i < wf_store_count(from); i++) {
        wf_dtype t;
        wf_shape s;
        const char *name = wf_store_name(from, i);
        const void *data = wf_store_data(from, name, &t, &s);
        if (t == WF_F32) check(wf_store_put(to, name, t, s, data));
    }
}

static void report(const work *w, const wf_program *p, double loss, double first, double *ms, int n)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    wf_program_stats s = wf_program_get_stats(p);
    qsort(ms, (size_t)n, sizeof *ms, by_size);
    double items = (double)(w->layers ? w->batch * w->time : w->batch), median = ms[n / 2];
    printf("{\"work\": \"%s\", \"mode\": \"weft\", \"loss0\": %.7g, \"first_step_s\": %.3f, "
           "\"median_ms\": %.4f, \"min_ms\": %.4f, \"items_per_s\": %.1f, \"peak_mib\": %ld, "
           "\"compile_s\": %.3f, \"gflop\": %.2f, \"gflop_per_s\": %.1f, \"plan_mib\": %.1f, "
           "\"plan_naive_mib\": %.1f, \"weights_mib\": %.1f, \"kernels\": %d}\n",
           w->name, loss, first, median, ms[0], items / median * 1e3, u.ru_maxrss / 1024,
           s.compile_seconds, s.flops * 1e-9, s.flops / median * 1e-6,
           (double)s.plan_bytes / 1048576, (double)s.plan_bytes_naive / 1048576,
           (double)s.store_bytes / 1048576, s.kernels);
}

static void bench(const work *w, int steps, const char *file)
{
    double start = now();
    wf_store *store = wf_store_new(1), *given = file ? wf_store_new(0) : NULL;
    wf_runtime *rt = wf_runtime_new(NULL);
    wf_program *p;
    if (!rt) check(WF_EMODEL);
    if (given) {
        check(wf_store_load(given, file));
        take_weights(store, given);
    }
    wf_size_value sizes[] = {{"tokens", w->batch * w->time}, {"rows", w->batch}, {NULL, 0}};
    wf_graph *g = w->layers ? declare_gau(w) : declare_mlp(w);
    check(wf_compile(&p, g, store, rt, &(wf_compile_options){.sizes = w->layers ? sizes : NULL}));
    if (w->layers)
        bind_gau(p, w, given);
    else
        bind_mlp(p, w);
    check(wf_set(p, "lr", 1e-4f));
    check(wf_run(p));
    double first = now() - start, loss = (double)wf_scalar(p, "loss");
    double *ms = malloc((size_t)steps * sizeof *ms);
    for (int i = -2; i < steps; i++) {
        double t = now();
        check(wf_run(p));
        if (i >= 0) ms[i] = (now() - t) * 1e3;
    }
    report(w, p, loss, first, ms, steps);
    free(ms);
    wf_program_free(p);
    wf_store_free(store);
    wf_store_free(given);
    wf_graph_free(g);
    wf_runtime_free(rt);
}

int main(int argc, char **argv)
{
    int steps = argc > 2 ? atoi(argv[2]) : 7;
    for (size_t i = 0; argc > 1 && steps > 0 && i < sizeof works / sizeof *works; i++)
        if (!strcmp(works[i].name, argv[1])) {
            bench(&works[i], steps, argc > 3 ? argv[3] : NULL);
            return 0;
        }
    fprintf(stderr, "usage: bench_step NAME [STEPS [WEIGHTS.safetensors]], NAME one of:");
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) fprintf(stderr, " %s", works[i].name);
    fprintf(stderr, "\n");
    return 2;
}
