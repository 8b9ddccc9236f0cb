/* A program of one GAU layer with all that it needs, and its inputs: shared by tests of the unit.
 */
#ifndef GAU_TRIAL_H
#define GAU_TRIAL_H

#include "gau_layer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

typedef struct trial {
    wf_graph *g;
    wf_store *store;
    wf_runtime *rt;
    wf_program *p;
} trial;

static inline trial compile(const gau_layer *l, const char *passes, int threads)
{
    trial t = {.g = wf_graph_new(), .store = wf_store_new(7)};
    setenv("WF_PASSES", passes, 1);
    t.rt = wf_runtime_new(&(wf_runtime_options){.threads = threads, .no_pinning = true});
    cr_assert(t.rt, "%s", wf_error());
    gau_layer_build(t.g, l);
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    return t;
}

static inline void end(trial *t)
{
    wf_program_free(t->p);
    wf_store_free(t->store);
    wf_runtime_free(t->rt);
    wf_graph_free(t->g);
}

static inline void run(trial *t, const gau_layer *l, const float *x, const int32_t *ends)
{
    size_t rows = (size_t)(l->packed ? l->time : l->batch * l->time);
    size_t count = (size_t)(l->packed ? l->batch + 1 : l->batch);
    cr_assert_eq(wf_bind(t->p, "x", x, rows * (size_t)l->d * 4), WF_OK, "%s", wf_error());
    const char *name = l->packed ? "offsets" : "lengths";
    if (!l->is_glu) cr_assert_eq(wf_bind(t->p, name, ends, count * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
}

static inline const float *read_output(const trial *t, const char *name)
{
    const float *y = wf_read(t->p, name, NULL);
    cr_assert(y, "no output %s", name);
    return y;
}

static inline bool is_fused(const trial *t)
{
    char *text = wf_program_text(t->p);
    bool fused = strstr(text, "= gau ") && !strstr(text, "= softmax");
    free(text);
    return fused;
}

static inline float *random_x(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    uint32_t r = 12345;
    for (int64_t i = 0; i < n; i++) {
        r = r * 1664525u + 1013904223u;
        x[i] = (float)(r >> 8) * 0x1p-23f - 1;
    }
    return x;
}

/* The largest difference by the largest of b; infinite where a number is not finite. */
static inline double distance(const float *a, const float *b, int64_t n)
{
    double d = 0, size = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) return INFINITY;
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return d / size;
}

#endif
