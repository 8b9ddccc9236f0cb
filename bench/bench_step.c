/*
 * One training step of a reference workload, as the peers' scripts time it: first loss, time of the
 * first step (compile included), median and least milliseconds a step, items a second, peak MiB;
 * beside them the limits of the machine, and how much of them a step reaches:
 *
 *   of_peak      the products of the model, and of their gradients, at the peak of multiply-adds
 *   of_roofline  the same, or the bytes that its kernels name at the best stream, if that is longer
 *
 * WEIGHTS holds the start that a peer's script exported: parameters by our names, and the inputs.
 * Without it, weights and inputs are drawn here.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/roofline.h"
#include "models/common.h"
#include "models/gau.h"
#include "runtime/program.h"

typedef struct options {
    int64_t steps, threads;
    const char *weights;
    int64_t memory;
    bool json, no_limits;
    wf_arg_list names;
} options;

static const wf_arg args[] = {
    {"steps", WF_ARG_INT, offsetof(options, steps), "7", "N", 1, 1e6,
     .doc = "steps to time, after three that are not"},
    {"threads", WF_ARG_INT, offsetof(options, threads), "0", "N", 0, 1024, .doc = "0: one a core"},
    {"weights", WF_ARG_TEXT, offsetof(options, weights), NULL, "FILE",
     .doc = "start of a workload, in safetensors format"},
    {"memory", WF_ARG_BYTES, offsetof(options, memory), "0", "BYTES",
     .doc = "limit for the program, met by computing values again; 0: none"},
    {"json", WF_ARG_FLAG, offsetof(options, json), .doc = "one JSON object a line"},
    {"no-limits", WF_ARG_FLAG, offsetof(options, no_limits),
     .doc = "do not measure the limits of the machine"},
};

typedef struct work {
    const char *name;
    int64_t batch, time;                       /* MLP: batch, inputs */
    int64_t width, expand, key, layers, vocab; /* MLP: expand = hidden, vocab = classes */
} work;

static const work works[] = {
    {"gau_base_128", 8, 128, 768, 1536, 128, 24, 12000},
    {"gau_base_512", 8, 512, 768, 1536, 128, 24, 12000},
    {"gau_base_4", 8, 128, 768, 1536, 128, 4, 12000},
    {"gau_small_256", 8, 256, 256, 512, 64, 6, 8000},
    {"gau_long_2048", 1, 2048, 256, 512, 64, 6, 8000},
    {"gau_tiny_32", 4, 32, 64, 128, 32, 2, 1000},
    {"mlp_64", 32, 64, 0, 32, 0, 0, 10},
    {"mlp_784", 64, 784, 0, 256, 0, 0, 10},
};

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

static const wf_lion_hyper lion = {.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.01f};

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
    wf_minimize(loss, &wf_lion, &lion, NULL);
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
    wf_minimize(wf_output(loss, "loss"), &wf_lion, &lion, NULL);
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

static void bind_mlp(wf_program *p, const work *w, wf_store *given)
{
    int64_t n = w->batch * w->time;
    float *x = given ? wf_store_data(given, "x", NULL, NULL) : NULL;
    if (!x) {
        x = malloc((size_t)n * sizeof *x);
        for (int64_t i = 0; x && i < n; i++) x[i] = (float)next() * 0x1p-31f;
    }
    check(wf_bind(p, "x", x, (size_t)n * 4));
    bind_numbers(p, given, "labels", w->batch, (uint32_t)w->vocab);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct result {
    double loss, first;   /* seconds of the first step */
    double median, least; /* milliseconds */
    double items;         /* a second */
    double of_peak, of_roofline;
    int64_t peak_mib;
} result;

/* Of the products as the model is written, forward and backward. The program's own count knows
 * neither how long packed sequences are nor what is work twice over. */
static double model_flops(const work *w)
{
    double rows = (double)(w->batch * w->time), e = (double)w->expand, v = (double)w->vocab;
    if (!w->layers) /* no gradient flows to the inputs of the first layer */
        return 2 * (double)w->batch * (2 * (double)w->time * e + 3 * e * v);
    double d = (double)w->width, s = (double)w->key, n = (double)w->time;
    double layer = 2 * rows * (d * (2 * e + s) + e * d + n * (s + e));
    double head = 2 * floor(rows * 15 / 100) * d * v;
    return 3 * ((double)w->layers * layer + head);
}

static double kernel_bytes(const wf_program *p)
{
    double sum = 0;
    for (int i = 0; i < p->n_steps; i++) sum += p->steps[i].cost.bytes;
    return sum;
}

static void print_json(const work *w, const result *r, const wf_program *p,
                       const wf_roofline *limits)
{
    wf_program_stats s = wf_program_get_stats(p);
    printf("{\"work\": \"%s\", \"mode\": \"weft\", \"loss0\": %.9g, \"first_step_s\": %.3f, "
           "\"median_ms\": %.4f, \"min_ms\": %.4f, \"items_per_s\": %.1f, \"peak_mib\": %lld, "
           "\"compile_s\": %.3f, \"gflop\": %.2f, \"gflop_per_s\": %.1f, \"plan_mib\": %.1f, "
           "\"plan_naive_mib\": %.1f, \"weights_mib\": %.1f, \"kernels\": %d, "
           "\"recomputed\": %d, \"recompute_mib\": %.1f, \"recompute_gflop\": %.2f, ",
           w->name, r->loss, r->first, r->median, r->least, r->items, (long long)r->peak_mib,
           s.compile_seconds, model_flops(w) * 1e-9, model_flops(w) / r->median * 1e-6,
           (double)s.plan_bytes / 1048576, (double)s.plan_bytes_naive / 1048576,
           (double)s.store_bytes / 1048576, s.kernels, s.recomputed,
           (double)s.recompute_bytes / 1048576, s.recompute_flops * 1e-9);
    if (limits->gflops > 0)
        printf("\"of_peak\": %.3f, \"of_roofline\": %.3f, ", r->of_peak, r->of_roofline);
    wf_roofline_print_json(limits);
    printf("}\n");
}

static void print_row(const work *w, const result *r, const wf_roofline *limits)
{
    if (limits->gflops > 0) wf_roofline_print(limits);
    printf("%-14s loss %.6f, first step %.2f s, %.3f ms (least %.3f), %.0f items/s, "
           "%.1f GFLOP/s, %lld MiB",
           w->name, r->loss, r->first, r->median, r->least, r->items,
           model_flops(w) / r->median * 1e-6, (long long)r->peak_mib);
    if (limits->gflops > 0)
        printf(", %.0f %% of the peak, %.0f %% of the roofline", 100 * r->of_peak,
               100 * r->of_roofline);
    printf("\n");
}

/* The limits come last, because their arrays would count in the peak. */
static void report(const options *o, const work *w, result *r, const wf_program *p)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    r->peak_mib = u.ru_maxrss / 1024;
    r->items = (double)(w->layers ? w->batch * w->time : w->batch) / r->median * 1e3;
    wf_roofline limits = {.isa = wf_runtime_isa(p->rt), .threads = wf_runtime_threads(p->rt)};
    if (!o->no_limits) {
        check(wf_roofline_measure(&limits, p->rt));
        double seconds = 1e-3 * r->median, flops = model_flops(w);
        r->of_peak = 1e-9 * flops / limits.gflops / seconds;
        r->of_roofline = wf_roofline_seconds(&limits, flops, kernel_bytes(p)) / seconds;
    }
    if (o->json)
        print_json(w, r, p, &limits);
    else
        print_row(w, r, &limits);
}

static void time_steps(result *r, wf_program *p, int64_t steps)
{
    double *ms = malloc((size_t)steps * sizeof *ms);
    if (!ms) check(WF_ENOMEM);
    for (int64_t i = -2; i < steps; i++) {
        double start = wf_seconds();
        check(wf_run(p));
        if (i >= 0) ms[i] = (wf_seconds() - start) * 1e3;
    }
    qsort(ms, (size_t)steps, sizeof *ms, by_size);
    r->median = ms[steps / 2];
    r->least = ms[0];
    free(ms);
}

static void bench(const options *o, const work *w)
{
    double start = wf_seconds();
    wf_store *store = wf_store_new(1), *given = o->weights ? store : NULL;
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = (int)o->threads});
    wf_program *p;
    result r = {0};
    if (!rt) check(WF_EMODEL);
    if (given) check(wf_store_load(store, o->weights)); /* the inputs too: nobody else reads them */
    wf_size_value sizes[] = {{"tokens", w->batch * w->time}, {"rows", w->batch}, {NULL, 0}};
    wf_graph *g = w->layers ? declare_gau(w) : declare_mlp(w);
    wf_compile_options how = {.sizes = w->layers ? sizes : NULL, .memory_limit = (size_t)o->memory};
    check(wf_compile(&p, g, store, rt, &how));
    (w->layers ? bind_gau : bind_mlp)(p, w, given);
    check(wf_set(p, "lr", 1e-4f));
    check(wf_run(p));
    r.first = wf_seconds() - start;
    r.loss = (double)wf_scalar(p, "loss");
    time_steps(&r, p, o->steps);
    report(o, w, &r, p);
    wf_program_free(p);
    wf_store_free(store);
    wf_graph_free(g);
    wf_runtime_free(rt);
}

/* A process for each workload: the peak of memory is one of a process. */
static bool bench_apart(const options *o, const work *w)
{
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bench(o, w);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return wf_complain("bench_step", "%s: no process for it", w->name);
    if (WIFSIGNALED(status))
        return wf_complain("bench_step", "%s: killed by signal %d", w->name, WTERMSIG(status));
    return status == 0;
}

static const work *find_work(const char *name)
{
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        if (!strcmp(works[i].name, name)) return &works[i];
    wf_complain("bench_step", "%s: no such workload; --help lists them", name);
    return NULL;
}

int main(int argc, char **argv)
{
    static const wf_command command = {
        .name = "bench_step",
        .usage = "[NAME...]",
        .doc = "Time training steps of gau_base_128, gau_base_512, gau_base_4, gau_small_256, "
               "gau_long_2048, gau_tiny_32,\n"
               "mlp_64, mlp_784: of all, or of those that are named.",
        .groups = {{args, sizeof args / sizeof *args, 0}},
        .rest = "NAME",
        .rest_offset = offsetof(options, names)};
    options o = {0};
    int code = wf_args_parse(&command, argc, argv, &o);
    if (code >= 0) return code;
    for (int i = 0; i < o.names.n; i++)
        if (!find_work(o.names.item[i])) return WF_USAGE;
    if (o.weights && o.names.n != 1) {
        wf_complain("bench_step", "--weights FILE: name the one workload that it starts");
        return WF_USAGE;
    }
    bool ok = true;
    int n = o.names.n ? o.names.n : (int)(sizeof works / sizeof *works);
    for (int i = 0; i < n; i++)
        ok = bench_apart(&o, o.names.n ? find_work(o.names.item[i]) : &works[i]) && ok;
    return ok ? WF_DONE : WF_FAILED;
}
