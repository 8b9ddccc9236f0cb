/*
 * Every optimizer for 100 updates of random tensors of ranks 1, 2 and 4 against PyTorch, optax or
 * its formula (golden/recipes.py): alone, and with all at once that a training run has: batches
 * that make an update together, a schedule, groups of parameters, clipping.
 */
#include "optim_cases.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <weft/op.h>

TestSuite(recipes, .timeout = 60);

enum { TENSORS = 3, MOST = 12, ELEMENTS = 3 + 6 + 12, EARLY = 10, LATE = 100 };

typedef enum recipe_kind { PLAIN, EQUAL, UNEQUAL, VALUES, RECIPES } recipe_kind;

static const char *const recipe_names[RECIPES] = {"alone", "equal batches", "unequal batches",
                                                  "values clipped"};
static const char *const tensor_names[TENSORS] = {"vector", "matrix", "kernel"};
static const wf_shape shapes[TENSORS] = {{1, {3}}, {2, {2, 3}}, {4, {2, 1, 3, 2}}};

static const wf_param_group groups[] = {
    {.pattern = "vector", .rate = 0.5f, .no_decay = true},
    {.pattern = "kernel", .decay = 0.02f},
    {.pattern = "frozen", .frozen = true},
};

static const struct recipe {
    int runs; /* that make an update */
    bool has_items;
    wf_minimize_options options;
} recipes[RECIPES] = {
    [PLAIN] = {1, false, {0}},
    [EQUAL] = {2, false, {.accumulate = 2, .clip_norm = 1.5f, .groups = groups, .n_groups = 3}},
    [UNEQUAL] = {3, true, {.accumulate = 3, .clip_norm = 1.2f, .groups = groups, .n_groups = 3}},
    [VALUES] = {3, true, {.accumulate = 3, .clip_value = 0.3f, .groups = groups, .n_groups = 3}},
};

typedef struct golden {
    const char *name;
    recipe_kind kind;
    double early[ELEMENTS], late[ELEMENTS];
} golden;

static const golden goldens[] = {
#include "golden/recipes.h"
};

enum { GOLDENS = sizeof goldens / sizeof *goldens };

/* The upper 24 bits of a congruential sequence, a number of [-1, 1). */
static void random_tensors(uint32_t *state, float x[TENSORS][MOST])
{
    for (int i = 0; i < TENSORS; i++)
        for (int e = 0; e < wf_elements(&shapes[i]); e++) {
            *state = 1664525u * *state + 1013904223u;
            x[i][e] = (float)(*state >> 8) * 0x1p-23f - 1;
        }
}

typedef struct course {
    wf_graph *g;
    wf_runtime *rt;
    wf_store *store;
    wf_program *p;
    uint32_t random;
    float gradient[TENSORS][MOST], frozen[MOST];
} course;

/* The loss is linear, so that its gradients are inputs; the frozen tensor's would be the largest.
 */
static void begin(course *t, const optim_case *c, const struct recipe *r)
{
    *t = (course){.g = wf_graph_new(),
                  .rt = wf_runtime_new(&(wf_runtime_options){.threads = 1}),
                  .store = wf_store_new(0),
                  .random = 1};
    float first[TENSORS][MOST];
    random_tensors(&t->random, first);
    wf_node *loss = wf_constant(t->g, 0);
    for (int i = 0; i < TENSORS; i++) {
        char input[32];
        snprintf(input, sizeof input, "d_%s", tensor_names[i]);
        wf_node *w = wf_param(t->g, tensor_names[i], shapes[i], c->role, (wf_init){0});
        wf_node *dw = wf_input(t->g, input, WF_F32, shapes[i]);
        wf_store_put(t->store, tensor_names[i], WF_F32, shapes[i], first[i]);
        loss = wf_add(loss, wf_sum(wf_mul(w, dw), WF_ALL, false));
    }
    wf_minimize_options o = r->options;
    if (r->has_items) o.items = wf_input(t->g, "items", WF_F32, WF_SCALAR);
    if (o.n_groups) {
        wf_node *still = wf_param(t->g, "frozen", WF_SHAPE(MOST), c->role, (wf_init){0});
        for (int e = 0; e < MOST; e++) t->frozen[e] = 1;
        wf_store_put(t->store, "frozen", WF_F32, WF_SHAPE(MOST), t->frozen);
        loss = wf_add(loss, wf_scale(wf_sum(still, WF_ALL, false), 100));
    }
    wf_minimize(loss, c->optimizer, c->hyper, &o);
    cr_assert_eq(wf_compile(&t->p, t->g, t->store, t->rt, NULL), WF_OK, "%s", wf_error());
    for (int i = 0; i < TENSORS; i++) {
        char input[32];
        snprintf(input, sizeof input, "d_%s", tensor_names[i]);
        size_t bytes = (size_t)wf_elements(&shapes[i]) * sizeof(float);
        cr_assert_eq(wf_bind(t->p, input, t->gradient[i], bytes), WF_OK, "%s", wf_error());
    }
}

static void end(course *t)
{
    wf_program_free(t->p);
    wf_store_free(t->store);
    wf_runtime_free(t->rt);
    wf_graph_free(t->g);
}

static void update(course *t, const struct recipe *r, int n, double lr)
{
    cr_assert_eq(wf_set(t->p, "lr", (float)lr), WF_OK, "%s", wf_error());
    for (int run = n * r->runs; run < (n + 1) * r->runs; run++) {
        random_tensors(&t->random, t->gradient);
        if (r->has_items) wf_set(t->p, "items", (float)(1 + run * 7 % 5));
        cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
    }
}

static void compare(const course *t, const optim_case *c, const golden *g, int step)
{
    const double *want = step == EARLY ? g->early : g->late;
    for (int i = 0; i < TENSORS; i++) {
        const float *x = wf_store_data(t->store, tensor_names[i], NULL, NULL);
        for (int e = 0; e < wf_elements(&shapes[i]); e++, want++)
            cr_expect_float_eq((double)x[e], *want, 5e-7 + 1e-5 * fabs(*want),
                               "%s, %s, step %d: %s[%d] is %.9f, not %.9f", c->name,
                               recipe_names[g->kind], step, tensor_names[i], e, (double)x[e],
                               *want);
    }
}

static void walk(const optim_case *c, const golden *g)
{
    const struct recipe *r = &recipes[g->kind];
    wf_schedule s;
    const char *text = g->kind == PLAIN ? "constant,warmup=0" : "cosine,warmup=10,total=100";
    cr_assert_eq(wf_schedule_read(&s, text, 0, 0), WF_OK, "%s", wf_error());
    course t;
    begin(&t, c, r);
    for (int n = 0; n < LATE; n++) {
        update(&t, r, n, (double)c->lr * wf_schedule_at(&s, n));
        if (n + 1 == EARLY) compare(&t, c, g, EARLY);
    }
    compare(&t, c, g, LATE);
    if (r->options.n_groups)
        cr_expect_arr_eq(wf_store_data(t.store, "frozen", NULL, NULL), t.frozen, sizeof t.frozen,
                         "%s: what is frozen has moved", c->name);
    end(&t);
}

/* How many rows of golden numbers were walked for this optimizer. */
static int walk_all(const wf_optimizer *o, recipe_kind kind)
{
    int walked = 0;
    for (int i = 0; i < OPTIM_CASES; i++) {
        const optim_case *c = &optim_cases[i];
        if (c->optimizer != o || c->options || c->shape.rank) continue;
        for (int k = 0; k < GOLDENS; k++)
            if (goldens[k].kind == kind && !strcmp(goldens[k].name, c->name)) {
                walk(c, &goldens[k]);
                walked++;
            }
    }
    return walked;
}

static void walk_every_optimizer(recipe_kind kind)
{
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++)
        cr_expect_gt(walk_all(o, kind), 0, "%s has no golden numbers, %s", o->name,
                     recipe_names[kind]);
}

Test(recipes, random_tensors_of_ranks_1_2_and_4)
{
    walk_every_optimizer(PLAIN);
}

Test(recipes, accumulation_schedule_groups_and_clipping_by_norm_at_once)
{
    walk_every_optimizer(EQUAL);
}

Test(recipes, the_same_with_batches_of_unequal_items)
{
    walk_every_optimizer(UNEQUAL);
}

Test(recipes, the_same_with_values_clipped)
{
    cr_expect_gt(walk_all(&wf_sgd, VALUES), 0);
    cr_expect_gt(walk_all(&wf_adamw, VALUES), 0);
}
