/*
 * One parameter w [2, 3] whose gradient is an input: what an optimizer makes of it, run by run.
 */
#ifndef WF_TEST_OPTIM_TRIAL_H
#define WF_TEST_OPTIM_TRIAL_H

#include <criterion/criterion.h>

#include <math.h>

#include <weft/op.h>

enum { STEPS = 4 };

static const float start[6] = {0.5f, -1, 2, 0, 1.5f, -0.25f};

/* Gradient t = 1, 2, ...: cos(0.9 t + 1.3 i + 0.7 j) (1 + i / 2) at row i, column j. */
static inline void gradient(int t, float g[6])
{
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            g[3 * i + j] = (float)(cos(0.9 * t + 1.3 * i + 0.7 * j) * (1 + 0.5 * i));
}

typedef struct trial {
    wf_graph *g;
    wf_store *store;
    wf_runtime *rt;
    wf_program *p;
    float gradient[6];
} trial;

static inline trial begin(void)
{
    return (trial){.g = wf_graph_new(),
                   .store = wf_store_new(0),
                   .rt = wf_runtime_new(&(wf_runtime_options){.threads = 1})};
}

static inline void compile(trial *t, float lr)
{
    cr_assert_eq(wf_compile(&t->p, t->g, t->store, t->rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t->p, "gradient", t->gradient, sizeof t->gradient), WF_OK, "%s",
                 wf_error());
    cr_assert_eq(wf_set(t->p, "lr", lr), WF_OK, "%s", wf_error());
}

static inline void run(trial *t, int step)
{
    gradient(step, t->gradient);
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
}

static inline void end(trial *t)
{
    wf_program_free(t->p);
    wf_store_free(t->store);
    wf_runtime_free(t->rt);
    wf_graph_free(t->g);
}

static inline void expect_tensor(const trial *t, const char *name, const double want[6],
                                 const char *what)
{
    const float *x = wf_store_data(t->store, name, NULL, NULL);
    cr_assert(x, "%s: the store has no %s", what, name);
    for (int i = 0; i < 6; i++)
        cr_expect_float_eq((double)x[i], want[i], 2e-6, "%s: %s[%d] is %.9f, not %.9f", what, name,
                           i, (double)x[i], want[i]);
}

/* sum(w gradient) of a w of six elements */
static inline wf_node *shaped_w(trial *t, wf_role role, wf_shape shape)
{
    wf_node *w = wf_param(t->g, "w", shape, role, (wf_init){0});
    wf_node *dw = wf_input(t->g, "gradient", WF_F32, shape);
    wf_store_put(t->store, "w", WF_F32, shape, start);
    return wf_sum(wf_mul(w, dw), WF_ALL, false);
}

static inline wf_node *w_times_gradient(trial *t, wf_role role)
{
    return shaped_w(t, role, WF_SHAPE(2, 3));
}

#endif
