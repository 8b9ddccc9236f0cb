/* The machine as a runtime sees it: how many threads there are and where each is put. Other
 * machines are named in hwloc's variable: HWLOC_SYNTHETIC="numa:2 core:4 pu:2". */
#include <stdio.h>

#include "models/args.h"
#include "runtime/topo.h"

typedef struct options {
    const char *cpuset;
    int64_t quota;
} options;

static const wf_arg args[] = {
    {"cpuset", WF_ARG_TEXT, offsetof(options, cpuset), .value = "LIST",
     .doc = "as if only these hardware threads were allowed, such as 0-3,8"},
    {"quota", WF_ARG_INT, offsetof(options, quota), .initial = "0", .lo = 0, .hi = WF_MOST_THREADS,
     .value = "N", .doc = "as if so many processors were the CPU quota"},
};

int main(int argc, char **argv)
{
    static const wf_command command = {
        .name = "bench_topology",
        .doc = "Print how many threads a runtime uses and the core of each.\n"
               "HWLOC_SYNTHETIC=\"numa:2 core:4 pu:2\" stands for another machine.",
        .groups = {{args, sizeof args / sizeof *args, 0}}};
    options o = {0};
    int code = wf_args_parse(&command, argc, argv, &o);
    if (code >= 0) return code;
    wf_topo *t = wf_topo_new_within(o.cpuset, (int)o.quota);
    if (!t) {
        fprintf(stderr, "bench_topology: %s\n", wf_error());
        return WF_FAILED;
    }
    printf("thread  node  processors\n");
    for (int i = 0; i < wf_topo_cores(t); i++) {
        char processors[200];
        int node = wf_topo_place(t, i, processors, sizeof processors);
        printf("%6d  %4d  %s\n", i, node, processors);
    }
    wf_topo_free(t);
    return WF_DONE;
}
