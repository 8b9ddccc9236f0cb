/* The limits of this machine, on one thread and on all. */
#include "bench/roofline.h"

#include <stdio.h>

#include "models/args.h"

typedef struct options {
    bool json;
} options;

static const wf_arg args[] = {
    {"json", WF_ARG_FLAG, offsetof(options, json), .doc = "one JSON object a line"},
};

static bool measure(int threads, bool json)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = threads});
    wf_roofline r;
    bool ok = rt && wf_roofline_measure(&r, rt) == WF_OK;
    if (!ok) {
        fprintf(stderr, "bench_roofline: %s\n", wf_error());
    } else if (json) {
        printf("{");
        wf_roofline_print_json(&r);
        printf("}\n");
    } else {
        wf_roofline_print(&r);
    }
    wf_runtime_free(rt);
    return ok;
}

int main(int argc, char **argv)
{
    static const wf_command command = {.name = "bench_roofline",
                                       .doc = "Measure what this machine can do at most.",
                                       .groups = {{args, sizeof args / sizeof *args, 0}}};
    options o = {0};
    int code = wf_args_parse(&command, argc, argv, &o);
    if (code >= 0) return code;
    return measure(1, o.json) && measure(0, o.json) ? WF_DONE : WF_FAILED;
}
