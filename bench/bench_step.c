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
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/roofline.h"
#include "bench/work.h"
#include "models/common.h"
#include "runtime/program.h"

typedef struct options {
    int64_t steps, warmup, threads;
    const char *weights;
    int64_t memory;
    int64_t batch, time, layers; /* 0: the workload's own */
    int products, weights_as, states_as, activations_as;
    bool json, no_limits, explain, list;
    wf_arg_list names;
} options;

static const wf_arg args[] = {
    {"steps", WF_ARG_INT, offsetof(options, steps), "7", "N", 1, 1e6,
     .doc = "steps to time, after the first one and the warm-up"},
    {"warmup", WF_ARG_INT, offsetof(options, warmup), "2", "N", 0, 1e6,
     .doc = "steps between; numbers are compared after the first and after these"},
    {"threads", WF_ARG_INT, offsetof(options, threads), "0", "N", 0, 1024, .doc = "0: one a core"},
    {"weights", WF_ARG_TEXT, offsetof(options, weights), NULL, "FILE",
     .doc = "start of a workload, in safetensors format"},
    {"memory", WF_ARG_BYTES, offsetof(options, memory), "0", "BYTES",
     .doc = "limit for the program, met by computing values again; 0: none"},
    {"products", WF_ARG_CHOICE, offsetof(options, products), "f32", "f32|bf16",
     .doc = "what products multiply"},
    {"weights-as", WF_ARG_CHOICE, offsetof(options, weights_as), "f32", "f32|f16|bf16",
     .doc = "how they are stored"},
    {"states-as", WF_ARG_CHOICE, offsetof(options, states_as), "f32", "f32|f16|bf16",
     .doc = "the same for what the optimizer keeps"},
    {"activations-as", WF_ARG_CHOICE, offsetof(options, activations_as), "f32", "f32|f16|bf16",
     .doc = "and for what waits for the backward pass"},
    {"batch", WF_ARG_INT, offsetof(options, batch), "0", "N", 0, 1e6,
     .doc = "another size than the workload's; 0: that one"},
    {"time", WF_ARG_INT, offsetof(options, time), "0", "N", 0, 1e6, .doc = "the same"},
    {"layers", WF_ARG_INT, offsetof(options, layers), "0", "N", 0, 1000, .doc = "the same"},
    {"explain", WF_ARG_FLAG, offsetof(options, explain),
     .doc = "print what the compiler did and where the time went"},
    {"list", WF_ARG_FLAG, offsetof(options, list), .doc = "name the workloads and leave"},
    {"json", WF_ARG_FLAG, offsetof(options, json), .doc = "one JSON object a line"},
    {"no-limits", WF_ARG_FLAG, offsetof(options, no_limits),
     .doc = "do not measure the limits of the machine"},
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct result {
    double loss, loss2;         /* of the first step, and of the last one of the warm-up */
    double first;               /* seconds of the first step */
    double median, mean, least; /* milliseconds */
    double of_peak, of_roofline;
    int64_t peak_mib;
} result;

static double kernel_bytes(const wf_program *p)
{
    double sum = 0;
    for (int i = 0; i < p->n_steps; i++) sum += p->steps[i].cost.bytes;
    return sum;
}

static void print_json(const wf_work *w, const result *r, const wf_program *p,
                       const wf_roofline *limits)
{
    wf_program_stats s = wf_program_get_stats(p);
    double flops = w->model->flops(w);
    printf("{\"work\": \"%s\", \"mode\": \"weft\", \"loss0\": %.9g, \"loss2\": %.9g, "
           "\"first_step_s\": %.3f, \"median_ms\": %.4f, \"mean_ms\": %.4f, \"min_ms\": %.4f, "
           "\"items_per_s\": %.1f, \"peak_mib\": %lld, \"compile_s\": %.3f, \"gflop\": %.2f, "
           "\"gflop_per_s\": %.1f, \"gb_per_s\": %.1f, \"moved_mib\": %.5f, ",
           w->name, r->loss, r->loss2, r->first, r->median, r->mean, r->least,
           w->model->items(w) / r->mean * 1e3, (long long)r->peak_mib, s.compile_seconds,
           flops * 1e-9, flops / r->mean * 1e-6, kernel_bytes(p) / r->mean * 1e-6,
           kernel_bytes(p) / 1048576);
    printf("\"plan_mib\": %.1f, \"plan_naive_mib\": %.1f, \"weights_mib\": %.1f, \"kernels\": %d, "
           "\"recomputed\": %d, \"recompute_mib\": %.1f, \"recompute_gflop\": %.2f, "
           "\"narrowed\": %d, \"narrowed_mib\": %.1f, ",
           (double)s.plan_bytes / 1048576, (double)s.plan_bytes_naive / 1048576,
           (double)s.store_bytes / 1048576, s.kernels, s.recomputed,
           (double)s.recompute_bytes / 1048576, s.recompute_flops * 1e-9, s.narrowed,
           (double)s.narrowed_bytes / 1048576);
    if (limits->gflops > 0)
        printf("\"of_peak\": %.3f, \"of_roofline\": %.3f, ", r->of_peak, r->of_roofline);
    wf_roofline_print_json(limits);
    printf("}\n");
}

static void print_row(const wf_work *w, const result *r, const wf_program *p,
                      const wf_roofline *limits)
{
    if (limits->gflops > 0) wf_roofline_print(limits);
    printf("%-14s loss %.6f, first step %.2f s, %.3f ms (least %.3f), %.0f items/s, "
           "%.1f GFLOP/s, %.1f GB/s, %lld MiB",
           w->name, r->loss, r->first, r->median, r->least, w->model->items(w) / r->mean * 1e3,
           w->model->flops(w) / r->mean * 1e-6, kernel_bytes(p) / r->mean * 1e-6,
           (long long)r->peak_mib);
    if (limits->gflops > 0)
        printf(", %.0f %% of the peak, %.0f %% of the roofline", 100 * r->of_peak,
               100 * r->of_roofline);
    printf("\n");
}

/* The limits come last, because their arrays would count in the peak. */
static void report(const options *o, const wf_work *w, result *r, const wf_program *p)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    r->peak_mib = u.ru_maxrss / 1024;
    wf_roofline limits = {.isa = wf_runtime_isa(p->rt), .threads = wf_runtime_threads(p->rt)};
    if (!o->no_limits) {
        wf_work_check(wf_roofline_measure(&limits, p->rt));
        double seconds = 1e-3 * r->median, flops = w->model->flops(w);
        r->of_peak = 1e-9 * flops / limits.gflops / seconds;
        r->of_roofline = wf_roofline_seconds(&limits, flops, kernel_bytes(p)) / seconds;
    }
    if (o->json)
        print_json(w, r, p, &limits);
    else
        print_row(w, r, p, &limits);
}

/* One step, the i-th of a pass over the data; its milliseconds. */
static double step(wf_program *p, const wf_work *w, int64_t i)
{
    double start = wf_seconds();
    if (w->model->next) w->model->next(w, i);
    wf_work_check(wf_run(p));
    return (wf_seconds() - start) * 1e3;
}

static void time_steps(result *r, wf_program *p, const wf_work *w, wf_store *store,
                       const options *o)
{
    int64_t steps = o->steps;
    double *ms = malloc((size_t)steps * sizeof *ms);
    if (!ms) wf_work_check(WF_ENOMEM);
    for (int64_t i = 1; i <= o->warmup; i++) step(p, w, i);
    r->loss2 = (double)wf_scalar(p, "loss");
    if (w->model->after3) r->loss = r->loss2 = w->model->after3(w, store);
    for (int64_t i = 0; i < steps; i++) {
        ms[i] = step(p, w, i);
        r->mean += ms[i] / (double)steps;
    }
    qsort(ms, (size_t)steps, sizeof *ms, by_size);
    r->median = ms[steps / 2];
    r->least = ms[0];
    free(ms);
}

static wf_program *compile(const options *o, const wf_work *w, wf_store *store, wf_runtime *rt)
{
    wf_program *p;
    wf_size_value sizes[] = {{"tokens", 0}, {"rows", 0}, {NULL, 0}};
    static const wf_dtype types[] = {WF_F32, WF_F16, WF_BF16};
    wf_compile_options how = {.explain = o->explain,
                              .products = (wf_products)o->products,
                              .weights = types[o->weights_as],
                              .states = types[o->states_as],
                              .activations = types[o->activations_as],
                              .memory_limit = (size_t)o->memory};
    if (w->model->sizes) {
        w->model->sizes(w, &sizes[0].value, &sizes[1].value);
        how.sizes = sizes;
    }
    wf_graph *g = w->model->declare(w);
    wf_work_check(wf_compile(&p, g, store, rt, &how));
    wf_graph_free(g);
    return p;
}

static void print_explanation(const wf_program *p)
{
    char *text = wf_program_explain(p, NULL);
    if (!text) wf_work_check(WF_ENOMEM);
    fputs(text, stdout);
    free(text);
}

static void bench(const options *o, const wf_work *w, bool warns)
{
    double start = wf_seconds();
    wf_store *store = wf_store_new(1), *given = o->weights ? store : NULL;
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = (int)o->threads});
    result r = {0};
    if (!rt) wf_work_check(WF_EMODEL);
    if (warns) wf_warn_of_products("bench_step", (wf_products)o->products, rt);
    if (given) wf_work_check(wf_store_load(store, o->weights)); /* with the inputs */
    if (w->model->load) w->model->load(w, given);
    wf_program *p = compile(o, w, store, rt);
    w->model->bind(p, w, given);
    wf_work_check(wf_set(p, "lr", 1e-4f));
    step(p, w, 0);
    r.first = wf_seconds() - start;
    r.loss = (double)wf_scalar(p, "loss");
    time_steps(&r, p, w, store, o);
    report(o, w, &r, p);
    if (o->explain) print_explanation(p);
    wf_program_free(p);
    wf_store_free(store);
    wf_runtime_free(rt);
}

/* A process for each workload: the peak of memory is one of a process. The first one warns. */
static bool bench_apart(const options *o, const wf_work *w, bool warns)
{
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bench(o, w, warns);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return wf_complain("bench_step", "%s: no process for it", w->name);
    if (WIFSIGNALED(status))
        return wf_complain("bench_step", "%s: killed by signal %d", w->name, WTERMSIG(status));
    return status == 0;
}

/* The workload with the sizes that were asked for. */
static wf_work resized(const options *o, const wf_work *of)
{
    wf_work w = *of;
    if (o->batch) w.batch = o->batch;
    if (o->time) w.time = o->time;
    if (o->layers && w.layers) w.layers = o->layers;
    return w;
}

static bool bench_all(const options *o)
{
    bool ok = true;
    for (int i = 0; o->names.n ? i < o->names.n : wf_work_at(i) != NULL; i++) {
        const wf_work *of = o->names.n ? wf_work_find(o->names.item[i]) : wf_work_at(i);
        wf_work w = resized(o, of);
        ok = bench_apart(o, &w, i == 0) && ok;
    }
    return ok;
}

static int list(void)
{
    for (int i = 0; wf_work_at(i); i++) printf("%s\n", wf_work_at(i)->name);
    return WF_DONE;
}

int main(int argc, char **argv)
{
    static const wf_command command = {
        .name = "bench_step",
        .usage = "[NAME...]",
        .doc = "Time training steps of all workloads, or of those that are named.",
        .groups = {{args, sizeof args / sizeof *args, 0}},
        .rest = "NAME",
        .rest_offset = offsetof(options, names)};
    options o = {0};
    int code = wf_args_parse(&command, argc, argv, &o);
    if (code >= 0) return code;
    if (o.list) return list();
    for (int i = 0; i < o.names.n; i++)
        if (!wf_work_find(o.names.item[i])) return WF_USAGE;
    if (o.weights && o.names.n != 1) {
        wf_complain("bench_step", "--weights FILE: name the one workload that it starts");
        return WF_USAGE;
    }
    return bench_all(&o) ? WF_DONE : WF_FAILED;
}
