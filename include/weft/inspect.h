/*
 * weft/inspect.h - what a compiled program needs and does: sizes, an explanation, where numbers
 * stop being finite, a check of gradients. Part of weft.h, which includes it.
 */
#ifndef WEFT_INSPECT_H
#define WEFT_INSPECT_H

#include <weft/weft.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_program_stats {
    int nodes_declared, nodes_before, nodes_after; /* declared; with gradient and update; fused */
    int kernels;                                   /* launches a run */
    size_t plan_bytes;                             /* activations and workspace with reuse, ... */
    size_t plan_bytes_naive; /* ... and if every value had memory of its own */
    size_t store_bytes;      /* tensors of the store that the program touches */
    size_t memory_bytes;     /* all that the program lives in: plan_bytes, store_bytes, and the
                                scratch of the threads; inputs are the caller's and do not count */
    int recomputed;          /* kernels that compute again what was not kept, ... */
    size_t recompute_bytes;  /* ... what that takes off plan_bytes, ... */
    double recompute_flops;  /* ... and costs, as flops below */
    int narrowed;            /* values that wait in 16 bits, ... */
    size_t narrowed_bytes;   /* ... and how much less that is than in float32 */
    double compile_seconds;  /* copying, optimizing, planning; and ... */
    double init_seconds;     /* ... making tensors of the store and their first values */
    double flops; /* of the last run, by the kernels' own count; before one, the most it can be */
} wf_program_stats;
WF_API wf_program_stats wf_program_get_stats(const wf_program *p);

typedef struct wf_explain_options {
    bool html;          /* one page that needs nothing else, with graphs and timelines; else text */
    double gflops, gbs; /* what the machine can do; 0: measured, if there are times to compare */
} wf_explain_options;

/* What the compiler did and where time goes: passes with their nodes; patterns that fired, with
 * what they save, and those that nearly fired, with what stopped them; the plan of memory; the cost
 * of every kernel; after runs, of the one that took the least for its FLOPs: time, rates, part of
 * what the machine can do and how long threads waited in it. A program compiled without .explain
 * tells memory and cost alone. malloc'ed: free() it. NULL: out of memory. options NULL: text. */
WF_API char *wf_program_explain(const wf_program *p, const wf_explain_options *options);

/* Repeat the last run of p, or the last training run over its store, with the same random draws,
 * and look at every value; nothing stored changes. WF_ENONFINITE: wf_error() names the first
 * kernel, input or parameter from which a NaN or infinity came into an output or a new stored
 * value. One that led to nothing, such as the -INFINITY of a mask, does not count. */
WF_API wf_status wf_program_check(wf_program *p);

typedef struct wf_input_data {
    const char *name;
    const void *data;
    size_t bytes;
} wf_input_data;

typedef struct wf_gradcheck_options {
    double step, tolerance; /* 0: 1e-2 and 1e-2, relative to the size of the derivative */
    uint64_t seed;          /* of parameters' first values, inputs and directions */
    const wf_size_value *sizes;
    const wf_input_data *inputs; /* what inputs hold, copied; ends with {NULL, NULL, 0} */
} wf_gradcheck_options;

/* Compare d loss / d x of every float32 parameter and input of g with central differences along
 * three random directions, and by every element where there are few. A float32 input that options
 * do not give is drawn from a normal distribution; one of integers (ids, offsets, labels) must be
 * given. All is stored in float32 meanwhile: what rounding to 16 bits adds would hide mistakes. */
WF_API wf_status wf_gradcheck(const wf_graph *g, const char *loss, wf_runtime *rt,
                              const wf_gradcheck_options *options);

#ifdef __cplusplus
}
#endif
#endif
