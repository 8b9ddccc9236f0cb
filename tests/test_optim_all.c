/*
 * What holds for every optimizer of the registry: it trains small problems as far as it did before;
 * sizes, threads and fusion change no bit; numbers at the edge of floats do no harm.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <weft/op.h>

TestSuite(optim_all, .timeout = 60);

/* ---- two problems ---- */

enum { ROWS = 48, BATCH = 12, INPUTS = 4, CLASSES = 3, STEPS = 100 };

static const struct numbers {
    const wf_optimizer *optimizer;
    const void *hyper;
    float lr;
    double linear, layers; /* losses of all rows after STEPS */
} table[] = {
    {&wf_sgd, &(wf_sgd_hyper){.momentum = 0.9f}, 0.05f, 0.2965, 0.2526},
    {&wf_adam, NULL, 0.03f, 0.3375, 0.1931},
    {&wf_adamw, NULL, 0.03f, 0.3408, 0.1979},
    {&wf_lion, NULL, 0.01f, 0.5049, 0.3331},
    {&wf_tiger, NULL, 0.03f, 0.2565, 0.0775},
    {&wf_lamb, NULL, 0.02f, 0.3638, 0.1235},
    {&wf_adafactor, &(wf_adafactor_hyper){.momentum = 0.9f, .eps = 1e-3f, .min_dim = 2}, 0.05f,
     0.3041, 0.4931},
    {&wf_rmsprop, &(wf_rmsprop_hyper){.beta = 0.99f, .eps = 1e-8f, .momentum = 0.9f}, 0.003f,
     0.2476, 0.1111},
    {&wf_nadam, NULL, 0.03f, 0.3594, 0.1979},
    {&wf_radam, NULL, 0.1f, 0.4858, 0.3494},
};

static const struct numbers *numbers_of(const wf_optimizer *o)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].optimizer == o) return &table[i];
    cr_assert_fail("%s has no losses to reach", o->name);
    return NULL;
}

typedef struct task {
    float x[ROWS][INPUTS];
    int32_t y[ROWS];
} task;

/* Linear: the largest of the first inputs is the class. Else as x0 x1 and x2 are signed, which no
 * linear function tells. */
static void make_task(task *t, bool is_linear)
{
    for (int i = 0; i < ROWS; i++) {
        float *x = t->x[i];
        for (int j = 0; j < INPUTS; j++) x[j] = (float)sin(1 + 2.3 * i * (j + 1) + 0.7 * j * j);
        if (is_linear)
            t->y[i] = x[0] > x[1] ? (x[0] > x[2] ? 0 : 2) : (x[1] > x[2] ? 1 : 2);
        else
            t->y[i] = x[0] * x[1] > 0 ? 0 : x[2] > 0 ? 1 : 2;
    }
}

typedef struct learner {
    wf_graph *g;
    wf_runtime *rt;
    wf_store *store;
    wf_program *p;
} learner;

static learner begin(int threads)
{
    return (learner){
        .g = wf_graph_new(),
        .rt = wf_runtime_new(&(wf_runtime_options){.threads = threads, .no_pinning = true}),
        .store = wf_store_new(42)};
}

static void compile(learner *l, float lr, const wf_compile_options *o)
{
    cr_assert_eq(wf_compile(&l->p, l->g, l->store, l->rt, o), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_set(l->p, "lr", lr), WF_OK, "%s", wf_error());
}

static void end(learner *l)
{
    wf_program_free(l->p);
    wf_store_free(l->store);
    wf_runtime_free(l->rt);
    wf_graph_free(l->g);
}

static double final_loss(const struct numbers *n, const task *t, bool is_linear)
{
    learner l = begin(1);
    wf_size_value train[] = {{"rows", BATCH}, {NULL, 0}}, all[] = {{"rows", ROWS}, {NULL, 0}};
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.5f};
    int64_t rows = wf_size(l.g, "rows");
    wf_node *x = wf_input(l.g, "x", WF_F32, WF_SHAPE(rows, INPUTS)), *h = x;
    wf_node *y = wf_input(l.g, "y", WF_I32, WF_SHAPE(rows));
    if (!is_linear) h = wf_tanh(wf_dense(x, 16, true, init, "hidden"));
    wf_node *loss =
        wf_output(wf_cross_entropy(wf_dense(h, CLASSES, true, init, "out"), y, -1), "loss");
    wf_minimize(loss, n->optimizer, n->hyper, NULL);
    compile(&l, n->lr, &(wf_compile_options){.sizes = train});
    for (int k = 0; k < STEPS; k++) {
        int first = k * BATCH % ROWS;
        cr_assert_eq(wf_bind(l.p, "x", t->x[first], BATCH * sizeof t->x[0]), WF_OK);
        cr_assert_eq(wf_bind(l.p, "y", &t->y[first], BATCH * sizeof t->y[0]), WF_OK);
        cr_assert_eq(wf_run(l.p), WF_OK, "%s", wf_error());
    }
    wf_program_free(l.p);
    wf_compile_options o = {.sizes = all, .forward_only = true};
    cr_assert_eq(wf_compile(&l.p, l.g, l.store, l.rt, &o), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(l.p, "x", t->x, sizeof t->x), WF_OK);
    cr_assert_eq(wf_bind(l.p, "y", t->y, sizeof t->y), WF_OK);
    cr_assert_eq(wf_run(l.p), WF_OK, "%s", wf_error());
    double y1 = (double)wf_scalar(l.p, "loss");
    end(&l);
    return y1;
}

/* A wrong sign, a correction that is missing or a momentum that is not written moves the loss by
 * more than 1 %, to either side. */
static void expect_losses(bool is_linear)
{
    task t;
    make_task(&t, is_linear);
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        const struct numbers *n = numbers_of(o);
        double got = final_loss(n, &t, is_linear), want = is_linear ? n->linear : n->layers;
        cr_expect_float_eq(got, want, 0.01 * want, "%s: a loss of %.4f, not %.4f", o->name, got,
                           want);
    }
}

Test(optim_all, each_separates_classes_by_a_linear_function)
{
    expect_losses(true);
}

Test(optim_all, each_trains_two_layers)
{
    expect_losses(false);
}

/* A quadratic bowl around 3: each gets there with its defaults. */
Test(optim_all, each_goes_down_a_bowl)
{
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        learner l = begin(1);
        wf_node *w = wf_param(l.g, "w", WF_SHAPE(10), (wf_role){0},
                              (wf_init){.kind = WF_INIT_CONSTANT, .a = 1});
        wf_node *loss = wf_output(wf_sum(wf_square(wf_shift(w, -3)), WF_ALL, false), "loss");
        wf_minimize(loss, o, NULL, NULL);
        compile(&l, 0, NULL);
        for (int k = 0; k < 400; k++) { /* signs need a rate that falls */
            cr_assert_eq(wf_set(l.p, "lr", 0.06f * (1 - (float)k / 400)), WF_OK);
            cr_assert_eq(wf_run(l.p), WF_OK);
        }
        cr_expect_lt(wf_scalar(l.p, "loss"), 0.1f, "%s: from 40 to %g", o->name,
                     (double)wf_scalar(l.p, "loss"));
        end(&l);
    }
}

/* ---- sizes, threads, fusion ---- */

enum { SIZES = 67 };

/* Vectors of 1 to SIZES elements that begin alike, and a matrix of many blocks; gradients cos(w).
 */
static void train_sizes(learner *l, const wf_optimizer *o, const wf_compile_options *options)
{
    float x[SIZES];
    wf_node *loss = wf_constant(l->g, 0);
    for (int i = 0; i < SIZES; i++) x[i] = (float)sin(3 * i + 1);
    for (int n = 1; n <= SIZES; n++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", n);
        wf_node *v = wf_param(l->g, name, WF_SHAPE(n), (wf_role){.kind = WF_BIAS}, (wf_init){0});
        wf_store_put(l->store, name, WF_F32, WF_SHAPE(n), x);
        loss = wf_add(loss, wf_sum(wf_sin(v), WF_ALL, false));
    }
    wf_node *w = wf_param(l->g, "w", WF_SHAPE(300, 131), (wf_role){.kind = WF_KERNEL},
                          (wf_init){.kind = WF_INIT_NORMAL, .a = 1});
    loss = wf_add(loss, wf_sum(wf_sin(w), WF_ALL, false));
    wf_minimize(loss, o, NULL, &(wf_minimize_options){.clip_norm = 100});
    compile(l, 0.01f, options);
    for (int k = 0; k < 5; k++) cr_assert_eq(wf_run(l->p), WF_OK, "%s", wf_error());
}

static void expect_same_bits(const learner *a, const learner *b, const char *what)
{
    cr_expect_eq(wf_store_count(a->store), wf_store_count(b->store));
    for (int i = 0; i < wf_store_count(a->store); i++) {
        const char *name = wf_store_name(a->store, i);
        wf_shape shape;
        const float *x = wf_store_data(a->store, name, NULL, &shape);
        const float *y = wf_store_data(b->store, name, NULL, NULL);
        cr_expect(y && !memcmp(x, y, (size_t)wf_elements(&shape) * sizeof *x), "%s: %s", what,
                  name);
    }
}

Test(optim_all, one_two_and_four_threads_give_the_same_bits)
{
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        learner one = begin(1);
        train_sizes(&one, o, NULL);
        for (int threads = 2; threads <= 4; threads += 2) {
            learner more = begin(threads);
            train_sizes(&more, o, NULL);
            expect_same_bits(&one, &more, o->name);
            end(&more);
        }
        end(&one);
    }
}

/* Where no number of the whole tensor counts, elements go on alike in a vector of any size. */
Test(optim_all, elements_at_the_end_of_a_vector_are_as_those_inside)
{
    static const wf_optimizer *const elementwise[] = {&wf_sgd,   &wf_adam,    &wf_adamw, &wf_lion,
                                                      &wf_tiger, &wf_rmsprop, &wf_nadam, &wf_radam};
    for (size_t i = 0; i < sizeof elementwise / sizeof *elementwise; i++) {
        learner l = begin(1);
        train_sizes(&l, elementwise[i], NULL);
        const float *longest = wf_store_data(l.store, "v67", NULL, NULL);
        for (int n = 1; n < SIZES; n++) {
            char name[16];
            snprintf(name, sizeof name, "v%d", n);
            cr_expect_arr_eq(wf_store_data(l.store, name, NULL, NULL), longest,
                             (size_t)n * sizeof *longest, "%s: %s", elementwise[i]->name, name);
        }
        end(&l);
    }
}

Test(optim_all, fused_updates_have_the_bits_of_single_ops)
{
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        learner fused = begin(1), plain = begin(1);
        train_sizes(&fused, o, NULL);
        train_sizes(&plain, o, &(wf_compile_options){.plain = true});
        expect_same_bits(&fused, &plain, o->name);
        end(&fused);
        end(&plain);
    }
}

/* ---- numbers at the edge ---- */

Test(optim_all, no_number_may_be_negative_or_nan)
{
    static const float bad[] = {-1, NAN, -INFINITY};
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++)
        for (const wf_hyper *h = o->hypers; h->name; h++)
            for (int k = 0; k < 3 && h->kind == WF_HYPER_REAL; k++) {
                _Alignas(8) char hyper[128]; /* of any optimizer */
                memcpy(hyper, o->defaults, o->hyper_size);
                memcpy(hyper + h->offset, &bad[k], sizeof bad[k]);
                cr_expect(o->check(hyper), "%s: %s of %g", o->name, h->name, (double)bad[k]);
            }
}

/* w [6] of the loss sum(w), after a run at this rate; step: what was counted before, if counted. */
static void one_run(const wf_optimizer *o, float lr, float step, float w[6], float *counted)
{
    learner l = begin(1);
    char name[64];
    wf_node *p = wf_param(l.g, "w", WF_SHAPE(6), (wf_role){.kind = WF_BIAS},
                          (wf_init){.kind = WF_INIT_CONSTANT, .a = 1});
    wf_minimize(wf_sum(p, WF_ALL, false), o, NULL, NULL);
    compile(&l, lr, NULL);
    snprintf(name, sizeof name, "opt/%s/w/step", o->name);
    float *t = wf_store_data(l.store, name, NULL, NULL);
    if (t) *t = step;
    cr_assert_eq(wf_run(l.p), WF_OK, "%s", wf_error());
    memcpy(w, wf_store_data(l.store, "w", NULL, NULL), 6 * sizeof *w);
    *counted = t ? *t : step;
    end(&l);
}

Test(optim_all, each_goes_on_when_a_float_no_longer_counts)
{
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        float w[6], counted;
        one_run(o, 0.01f, 0x1p24f, w, &counted);
        for (int e = 0; e < 6; e++)
            cr_expect(w[e] < 1 && w[e] > 0.5f, "%s: %g", o->name, (double)w[e]);
    }
}

/* What of a step a float cannot take waits until it can. */
Test(optim_all, steps_are_counted_beyond_what_a_float_counts)
{
    static const float first[] = {0x1p24f - 5, 0x1p27f, 0x1p31f - 1024};
    enum { RUNS = 700 };
    const wf_optimizer *o;
    int counting = 0;
    for (int i = 0; (o = wf_optimizer_at(i)); i++)
        for (int k = 0; k < 3; k++) {
            learner l = begin(1);
            char step[64], part[64];
            wf_minimize(
                wf_sum(wf_param(l.g, "w", WF_SHAPE(6), (wf_role){0}, (wf_init){0}), WF_ALL, false),
                o, NULL, NULL);
            compile(&l, 0, NULL);
            snprintf(step, sizeof step, "opt/%s/w/step", o->name);
            snprintf(part, sizeof part, "opt/%s/w/step_part", o->name);
            float *n = wf_store_data(l.store, step, NULL, NULL);
            const float *rest = wf_store_data(l.store, part, NULL, NULL);
            if (n) *n = first[k];
            for (int r = 0; n && r < RUNS; r++) cr_assert_eq(wf_run(l.p), WF_OK);
            if (n)
                cr_expect_eq((double)*n + (double)*rest, (double)first[k] + RUNS, "%s: %f %f",
                             o->name, (double)*n, (double)*rest);
            counting += n != NULL;
            end(&l);
        }
    cr_expect_eq(counting, 6 * 3);
}

/* sqrt(((r-4) (r-2) R) / ((R-4) r)) sqrt(1 - beta2^t) m^ / sqrt(v), the gradient is 1 */
static double radam_at(double t)
{
    double beta1 = 0.9f, beta2 = 0.999f, all = 2 / (1 - beta2) - 1;
    double rest = -expm1(t * log(beta2)), r = all - 2 * t * (1 - rest) / rest;
    double factor = (r - 4) * (r - 2) * all / ((all - 4) * (all - 2) * r);
    return sqrt(factor * rest) * (1 - beta1) / (-expm1(t * log(beta1))) / sqrt(1 - beta2);
}

Test(optim_all, the_rectification_of_radam_holds_at_any_step)
{
    static const float steps[] = {10, 500, 998, 1002, 3e3f, 1e5f, 0x1p20f, 0x1p24f, 0x1p30f};
    for (int k = 0; k < (int)(sizeof steps / sizeof *steps); k++) {
        float w[6], counted;
        one_run(&wf_radam, 0.1f, steps[k], w, &counted);
        double want = 0.1 * radam_at((double)steps[k] + 1), got = 1 - (double)w[0];
        cr_expect_float_eq(got, want, 1e-5 * want, "step %g: %.9g, not %.9g", (double)steps[k], got,
                           want);
    }
}

Test(optim_all, a_rate_below_the_normal_numbers_moves_nothing)
{
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        float w[6], counted;
        one_run(o, 1e-40f, 0, w, &counted);
        for (int e = 0; e < 6; e++) cr_expect_eq(w[e], 1, "%s: %g", o->name, (double)w[e]);
    }
}
