/*
 * Every op at the sizes that the table of cases has for it: milliseconds, rates by the kernels' own
 * count, how much faster than the naive reference they are, and the part of the roofline that they
 * reach: from warm caches (above 100 % where memory is not needed) and from cold ones.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/roofline.h"
#include "models/common.h"
#include "runtime/program.h"
#include "tests/op_cases.h"

typedef struct options {
    int64_t threads;
    double seconds;
    bool json;
    wf_arg_list ops;
} options;

static const wf_arg args[] = {
    {"threads", WF_ARG_INT, offsetof(options, threads), "0", "N", 0, 1024, .doc = "0: one a core"},
    {"seconds", WF_ARG_REAL, offsetof(options, seconds), "0.1", "S", 0, 3600,
     .doc = "time for a row, and at least three runs"},
    {"json", WF_ARG_FLAG, offsetof(options, json), .doc = "one JSON object a line"},
};

enum { MAX_RUNS = 1000 };

typedef struct timing {
    double ms, cold_ms; /* medians; the second after a sweep through the caches */
    double flops, bytes;
} timing;

static void check(wf_status s)
{
    if (s == WF_OK) return;
    wf_complain("bench_ops", "%s", wf_error());
    exit(WF_FAILED);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of as many runs as fit into the seconds, the first one left out. sweep: NULL, or what
 * drives the program's data out of the caches before each run. */
static double median_ms(wf_program *p, double seconds, const wf_streams *sweep)
{
    static double ms[MAX_RUNS];
    int n = 0;
    check(wf_run(p));
    double end = wf_seconds() + seconds;
    while (n < 3 || (n < MAX_RUNS && wf_seconds() < end)) {
        if (sweep) wf_streams_sweep(sweep);
        double start = wf_seconds();
        check(wf_run(p));
        ms[n++] = (wf_seconds() - start) * 1e3;
    }
    qsort(ms, (size_t)n, sizeof *ms, by_size);
    return ms[n / 2];
}

static timing time_case(const op_case *c, wf_runtime *rt, double seconds, const wf_streams *sweep)
{
    wf_graph *g = wf_graph_new();
    wf_store *store = wf_store_new(1);
    wf_node *x[OP_ARGS];
    void *data[OP_ARGS] = {0};
    wf_program *p;
    op_case_build(c, g, NULL, x);
    check(wf_compile(&p, g, store, rt, NULL));
    for (int i = 0; i < op_case_args(c); i++) {
        char name[8];
        size_t bytes;
        snprintf(name, sizeof name, "x%d", i);
        data[i] = op_case_draw(c, i, 1, &bytes);
        check(wf_bind(p, name, data[i], bytes));
    }
    timing t = {.ms = median_ms(p, seconds, NULL)};
    if (sweep) t.cold_ms = median_ms(p, seconds, sweep);
    for (int i = 0; i < p->n_steps; i++) {
        t.flops += p->steps[i].last.flops;
        t.bytes += p->steps[i].cost.bytes;
    }
    wf_program_free(p);
    for (int i = 0; i < OP_ARGS; i++) free(data[i]);
    wf_store_free(store);
    wf_graph_free(g);
    return t;
}

static bool is_wanted(const op_case *c, const options *o)
{
    if (!(c->flags & OP_LARGE)) return false;
    for (int i = 0; i < o->ops.n; i++)
        if (!strcmp(o->ops.item[i], c->op->name)) return true;
    return o->ops.n == 0;
}

typedef struct machine {
    wf_runtime *rt;
    wf_streams *sweep;
    wf_roofline limits;
} machine;

static void bench(const op_case *c, const options *o, const machine *m)
{
    bool asked = m->rt->reference;
    timing t = time_case(c, m->rt, o->seconds, m->sweep);
    m->rt->reference = true; /* what WF_KERNELS=ref asks for */
    timing slow = time_case(c, m->rt, 0, NULL);
    m->rt->reference = asked;
    double gflops = 1e-6 * t.flops / t.ms, gbs = 1e-6 * t.bytes / t.ms, ratio = slow.ms / t.ms;
    double least_ms = 1e3 * wf_roofline_seconds(&m->limits, t.flops, t.bytes);
    if (o->json)
        printf("{\"op\": \"%s\", \"case\": \"%s\", \"ms\": %.5f, \"gflop_per_s\": %.3f, "
               "\"gb_per_s\": %.3f, \"reference_ratio\": %.2f, \"of_roofline\": %.3f, "
               "\"cold_ms\": %.5f, \"cold_of_roofline\": %.3f}\n",
               c->op->name, c->name, t.ms, gflops, gbs, ratio, least_ms / t.ms, t.cold_ms,
               least_ms / t.cold_ms);
    else
        printf("%-20s %-24s %9.3f %9.1f %9.1f %9.1f %5.0f %% %9.3f %5.0f %%\n", c->op->name,
               c->name, t.ms, gflops, gbs, ratio, 100 * least_ms / t.ms, t.cold_ms,
               100 * least_ms / t.cold_ms);
    fflush(stdout);
}

static void print_head(const options *o, const wf_roofline *limits)
{
    if (o->json) {
        printf("{");
        wf_roofline_print_json(limits);
        printf("}\n");
        return;
    }
    wf_roofline_print(limits);
    printf("%-20s %-24s %9s %9s %9s %9s %7s %9s %7s\n", "op", "case", "ms", "GFLOP/s", "GB/s",
           "x naive", "of roof", "cold ms", "of roof");
}

int main(int argc, char **argv)
{
    static const wf_command command = {
        .name = "bench_ops",
        .usage = "[OP...]",
        .doc = "Time the large rows of the table of op cases: of all ops, or of those named.",
        .groups = {{args, sizeof args / sizeof *args, 0}},
        .rest = "OP",
        .rest_offset = offsetof(options, ops)};
    options o = {0};
    int code = wf_args_parse(&command, argc, argv, &o);
    if (code >= 0) return code;
    for (int i = 0; i < o.ops.n; i++)
        if (!wf_op_find(o.ops.item[i])) {
            wf_complain("bench_ops", "%s: no such op; docs/ops.md lists them", o.ops.item[i]);
            return WF_USAGE;
        }
    machine m = {.rt = wf_runtime_new(&(wf_runtime_options){.threads = (int)o.threads})};
    check(m.rt ? wf_roofline_measure(&m.limits, m.rt) : WF_EMODEL);
    m.sweep = wf_streams_new(m.rt);
    check(m.sweep ? WF_OK : WF_ENOMEM);
    print_head(&o, &m.limits);
    for (const op_case *c = op_cases; c->op; c++)
        if (is_wanted(c, &o)) bench(c, &o, &m);
    wf_streams_free(m.sweep);
    wf_runtime_free(m.rt);
    return WF_DONE;
}
