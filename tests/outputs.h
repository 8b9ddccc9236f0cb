/* All outputs of a graph that is run once, to be compared with those of another run. */
#ifndef OUTPUTS_H
#define OUTPUTS_H

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

enum { MOST_OUTPUTS = 8 };

typedef struct outputs {
    int n;
    char name[MOST_OUTPUTS][32];
    float *data[MOST_OUTPUTS];
    int64_t size[MOST_OUTPUTS];
    double flops;
} outputs;

/* seed: of the first values. */
static inline outputs outputs_of(const wf_graph *g, wf_runtime *rt, uint64_t seed, const char *what)
{
    outputs y = {0};
    wf_store *s = wf_store_new(seed);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s: %s", what, wf_error());
    cr_assert_eq(wf_run(p), WF_OK, "%s: %s", what, wf_error());
    for (; y.n < g->n_outputs; y.n++) {
        wf_shape shape;
        const float *x = wf_read(p, g->outputs[y.n].name, &shape);
        snprintf(y.name[y.n], sizeof *y.name, "%s", g->outputs[y.n].name);
        y.size[y.n] = wf_elements(&shape);
        size_t bytes = (size_t)y.size[y.n] * sizeof *x;
        y.data[y.n] = malloc(bytes);
        memcpy(y.data[y.n], x, bytes);
    }
    y.flops = wf_program_get_stats(p).flops;
    wf_program_free(p);
    wf_store_free(s);
    return y;
}

static inline void outputs_end(outputs *y)
{
    for (int i = 0; i < y->n; i++) free(y->data[i]);
}

/* The first exact ones by bits, others up to rounding of sums: tolerance of a tensor's largest. */
static inline void expect_outputs(const outputs *a, const outputs *b, int exact, double tolerance,
                                  const char *what)
{
    for (int i = 0; i < a->n; i++) {
        double size = 1e-30;
        cr_assert_eq(a->size[i], b->size[i], "%s: %s", what, a->name[i]);
        for (int64_t k = 0; k < b->size[i]; k++) size = fmax(size, fabs((double)b->data[i][k]));
        for (int64_t k = 0; k < a->size[i]; k++) {
            float x = a->data[i][k], y = b->data[i][k];
            bool is_equal = i < exact ? !memcmp(&x, &y, sizeof x)
                                      : fabs((double)x - (double)y) <= tolerance * size + 1e-8;
            cr_assert(is_equal, "%s: %s[%lld of %lld] is %.9g, not %.9g, of %g", what, a->name[i],
                      (long long)k, (long long)a->size[i], (double)x, (double)y, size);
        }
    }
}

#endif
