/*
 * Where storage in 16 bits meets the rest: activations under a limit of memory, updates that are
 * left out, groups that are frozen, the naive kernels.
 */
#define _XOPEN_SOURCE 700
#include "ops/narrow.h"
#include "tests/scratch.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <weft/op.h>

TestSuite(storage_edges, .timeout = 60);

static wf_runtime *one_thread(void)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    cr_assert(rt, "%s", wf_error());
    return rt;
}

/* ---- activations ---- */

enum { TALL = 560, DEEP = 1600, LOW = 500, WIDE = 1000, HIGH = 4000 };

/* The peak lies in the forward pass: y waits over it for an output, h for the backward pass alone.
 */
static wf_graph *declare_peak(void)
{
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.05f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(TALL, DEEP));
    wf_node *up = wf_input(g, "up", WF_F32, WF_SHAPE(WIDE, HIGH));
    wf_node *h = wf_tanh(wf_dense(x, LOW, false, init, "h"));
    wf_node *y = wf_dense(h, WIDE, false, init, "y");
    wf_node *high = wf_sin(wf_matmul(wf_stop_gradient(y), up));
    wf_node *back = wf_matmul_t(high, up);
    wf_node *out = wf_output(wf_sum(wf_mul(y, back), WF_AXES(1), false), "out");
    wf_minimize(wf_output(wf_mean(wf_square(out), WF_ALL, false), "loss"), &wf_lion, NULL, NULL);
    return g;
}

/* The outputs of a run, malloc'ed; the limit that a refusal names. */
static float *run_peak(wf_compile_options how, wf_program_stats *stats, size_t *least)
{
    static float x[TALL * DEEP], up[WIDE * HIGH];
    for (int i = 0; i < TALL * DEEP; i++) x[i] = sinf((float)i);
    for (int i = 0; i < WIDE * HIGH; i++) up[i] = 0.1f * cosf((float)i);
    wf_graph *g = declare_peak();
    wf_runtime *rt = one_thread();
    wf_store *s = wf_store_new(2);
    wf_program *p;
    float *out = NULL;
    if (wf_compile(&p, g, s, rt, &how) == WF_OK) {
        wf_bind(p, "x", x, sizeof x);
        wf_bind(p, "up", up, sizeof up);
        wf_set(p, "lr", 1e-3f);
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        out = malloc(TALL * sizeof *out);
        memcpy(out, wf_read(p, "out", NULL), TALL * sizeof *out);
        *stats = wf_program_get_stats(p);
        wf_program_free(p);
    } else {
        const char *found = strstr(wf_error(), "found is ");
        cr_assert(found, "%s", wf_error());
        *least = (size_t)strtoull(found + 9, NULL, 10);
    }
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return out;
}

/* Nor when a limit has it computed again. */
Test(storage_edges, what_outputs_need_is_never_made_of_16_bits)
{
    wf_program_stats exact, s;
    wf_compile_options how = {.activations = WF_BF16, .memory_limit = 1};
    size_t least = 0;
    float *want = run_peak((wf_compile_options){0}, &exact, &least);
    cr_assert_null(run_peak(how, &s, &least));
    how.memory_limit = least;
    float *got = run_peak(how, &s, &least);
    cr_assert(want && got);
    cr_expect(s.narrowed > 0);
    cr_expect_lt(s.plan_bytes, exact.plan_bytes);
    cr_expect(!memcmp(want, got, TALL * sizeof *want), "%.9g, not %.9g", (double)got[0],
              (double)want[0]);
    free(want), free(got);
}
