/* Groups of parameters: rate, decay, clipping, frozen, lazy rows; roles of one's own. */
#include "optim_trial.h"

#include <string.h>

enum { PARAMS = 4 };

static const char *const names[PARAMS] = {"net/w", "net/b", "net/norm", "head/w"};
static const wf_role roles[PARAMS] = {
    {.kind = WF_KERNEL}, {.kind = WF_BIAS}, {.kind = WF_SCALE}, {.kind = WF_KERNEL}};

/* Four parameters, each with the same gradient. */
static void build(trial *t, const wf_optimizer *o, const void *hyper,
                  const wf_minimize_options *options)
{
    *t = begin();
    wf_node *dw = wf_input(t->g, "gradient", WF_F32, WF_SHAPE(2, 3)), *loss = NULL;
    for (int i = 0; i < PARAMS; i++) {
        wf_node *w = wf_param(t->g, names[i], WF_SHAPE(2, 3), roles[i], (wf_init){0});
        wf_store_put(t->store, names[i], WF_F32, WF_SHAPE(2, 3), start);
        wf_node *part = wf_sum(wf_mul(w, dw), WF_ALL, false);
        loss = loss ? wf_add(loss, part) : part;
    }
    wf_minimize(loss, o, hyper, options);
}

static const float *after(const trial *t, int i)
{
    return wf_store_data(t->store, names[i], NULL, NULL);
}

static const wf_sgd_hyper decayed = {.decay = 0.5f};

/* One step with these groups: parameter i shall have moved by -rate_i (f_i g + decay_i w). */
static void expect_step(const wf_minimize_options *o, const double rate[], const double factor[],
                        const double decay[], const char *what)
{
    trial t;
    build(&t, &wf_sgd, &decayed, o);
    compile(&t, 0.25f);
    run(&t, 1);
    for (int i = 0; i < PARAMS; i++)
        for (int e = 0; e < 6; e++) {
            double w = (double)start[e], g = (double)t.gradient[e];
            cr_expect_float_eq((double)after(&t, i)[e],
                               w - 0.25 * rate[i] * (factor[i] * g + decay[i] * w), 1e-6,
                               "%s: %s[%d] is %g", what, names[i], e, (double)after(&t, i)[e]);
        }
    end(&t);
}

#define GROUPS(...)                                                                                \
    (wf_param_group[]){__VA_ARGS__},                                                               \
        .n_groups = (int)(sizeof(wf_param_group[]){__VA_ARGS__} / sizeof(wf_param_group))

static const double ones[] = {1, 1, 1, 1}, half[] = {.5, .5, .5, .5};

Test(groups, a_role_or_a_pattern_chooses)
{
    expect_step(&(wf_minimize_options){.groups = GROUPS({.roles = 1u << WF_BIAS | 1u << WF_SCALE,
                                                         .no_decay = true})},
                ones, ones, (double[]){.5, 0, 0, .5}, "roles");
    expect_step(&(wf_minimize_options){.groups = GROUPS({.pattern = "net/*", .rate = 3})},
                (double[]){3, 3, 3, 1}, ones, half, "pattern");
    expect_step(
        &(wf_minimize_options){
            .groups = GROUPS({.pattern = "net/*", .roles = 1u << WF_KERNEL, .decay = 2},
                             {.pattern = "head/w", .rate = .5f, .decay = 1})},
        (double[]){1, 1, 1, .5}, ones, (double[]){2, .5, .5, 1}, "both, two groups");
}

Test(groups, a_frozen_group_is_not_touched)
{
    trial t;
    build(&t, &wf_adamw, NULL,
          &(wf_minimize_options){.groups = GROUPS({.pattern = "net/*", .frozen = true})});
    compile(&t, 0.1f);
    run(&t, 1);
    for (int i = 0; i < PARAMS; i++)
        cr_expect_eq(!memcmp(after(&t, i), start, sizeof start), i < 3, "%s", names[i]);
    cr_expect_null(wf_store_data(t.store, "opt/adamw/net/w/m", NULL, NULL));
    cr_expect(wf_store_data(t.store, "opt/adamw/head/w/m", NULL, NULL));
    end(&t);
}

/* The norm of one gradient is 2.353939359451, that of n of them sqrt(n) times that. */
Test(groups, a_group_is_clipped_by_its_own_norm)
{
    const double norm = 2.353939359451, most = 1 / norm;
    wf_param_group net = {.pattern = "net/*", .clip_norm = 1, .rate = 1}, other = net;
    double three = most / sqrt(3);
    expect_step(&(wf_minimize_options){.groups = &net, .n_groups = 1}, ones,
                (double[]){three, three, three, 1}, half, "one group");
    expect_step(&(wf_minimize_options){.groups = &net, .n_groups = 1, .clip_norm = 1}, ones,
                (double[]){three, three, three, most}, half, "and the rest");
    other.clip_norm = 0;
    expect_step(&(wf_minimize_options){.groups = &other, .n_groups = 1, .clip_norm = 1}, ones,
                (double[]){most / 2, most / 2, most / 2, most / 2}, half, "all together");
    other.frozen = true;
    trial t;
    build(&t, &wf_sgd, NULL,
          &(wf_minimize_options){.groups = &other, .n_groups = 1, .clip_norm = 1});
    compile(&t, 1);
    run(&t, 1);
    for (int e = 0; e < 6; e++)
        cr_expect_float_eq((double)(start[e] - after(&t, 3)[e]), (double)t.gradient[e] * most, 1e-6,
                           "frozen gradients do not count");
    end(&t);
}

Test(groups, a_group_is_clipped_in_its_own_ways)
{
    wf_param_group net = {.pattern = "net/*", .clip_value = 10}, head = {.pattern = "head/w"};
    const double norm = 2.353939359451, most = 1 / norm;
    expect_step(&(wf_minimize_options){.groups = &net, .n_groups = 1, .clip_norm = 1}, ones,
                (double[]){1, 1, 1, most}, half, "values that are small enough, and the rest");
    net.clip_value = 0;
    net.clip_tensor = (float)(norm / 2);
    expect_step(&(wf_minimize_options){.groups = &net, .n_groups = 1, .clip_tensor = 1}, ones,
                (double[]){.5, .5, .5, most}, half, "each tensor by itself");
    head.no_clip = true;
    double three = most / sqrt(3);
    expect_step(&(wf_minimize_options){.groups = &head, .n_groups = 1, .clip_norm = 1}, ones,
                (double[]){three, three, three, 1}, half, "one is left alone");
}

/* No decay for some is, for these, a run without decay, to the bits. */
Test(groups, what_is_excluded_from_decay_goes_as_in_a_run_without_it)
{
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        char hyper[2][128];
        const wf_hyper *decay = wf_hyper_find(o, "decay");
        float values[] = {0.1f, 0};
        float w[2][PARAMS][6];
        for (int k = 0; k < 2; k++) {
            memcpy(hyper[k], o->defaults, o->hyper_size);
            memcpy(hyper[k] + decay->offset, &values[k], sizeof *values);
            trial t;
            build(&t, o, hyper[k],
                  &(wf_minimize_options){
                      .groups = &(wf_param_group){.pattern = "net/*", .no_decay = true},
                      .n_groups = 1});
            compile(&t, 0.1f);
            for (int step = 1; step <= STEPS; step++) run(&t, step);
            for (int p = 0; p < PARAMS; p++) memcpy(w[k][p], after(&t, p), sizeof w[k][p]);
            end(&t);
        }
        for (int p = 0; p < PARAMS; p++)
            cr_expect_eq(!memcmp(w[0][p], w[1][p], sizeof w[0][p]), p < 3, "%s: %s", o->name,
                         names[p]);
    }
}

static void expect_mistake(const wf_optimizer *o, const wf_minimize_options *options,
                           const char *what)
{
    trial t;
    build(&t, o, NULL, options);
    cr_expect_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_EMODEL, "%s", what);
    cr_expect(strstr(wf_error(), what), "'%s' does not say '%s'", wf_error(), what);
    end(&t);
}

static wf_node *plain_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    (void)hyper;
    return wf_sub(p, wf_mul(lr, dp));
}

static const wf_optimizer own = {.name = "own", .doc = "no numbers", .step = plain_step};

Test(groups, mistakes_are_told)
{
    expect_mistake(
        &wf_sgd,
        &(wf_minimize_options){.groups = GROUPS({.pattern = "net/*"}, {.roles = 1u << WF_BIAS})},
        "net/b fits groups 0 and 1");
    expect_mistake(&wf_sgd, &(wf_minimize_options){.groups = GROUPS({.pattern = "nett/*"})},
                   "minimize: no trained parameter fits group 0, nett/*");
    cr_expect(!strstr(wf_error(), "inputs"), "'%s': two scalars are its inputs", wf_error());
    expect_mistake(&own, &(wf_minimize_options){.groups = GROUPS({.no_decay = true})},
                   "own has no decay");
    expect_mistake(&wf_sgd, &(wf_minimize_options){.groups = GROUPS({.rate = -1})},
                   "group 0: rate");
    expect_mistake(&wf_sgd, &(wf_minimize_options){.groups = GROUPS({0}, {.decay = NAN})},
                   "group 1: rate");
    expect_mistake(&wf_sgd, &(wf_minimize_options){.groups = GROUPS({.clip_norm = -1})},
                   "group 0: rate");
}

Test(groups, they_are_copied)
{
    trial t;
    char pattern[] = "net/*";
    wf_param_group group = {.pattern = pattern, .frozen = true};
    build(&t, &wf_sgd, NULL, &(wf_minimize_options){.groups = &group, .n_groups = 1});
    memset(pattern, 'x', 5);
    group.frozen = false;
    compile(&t, 0.1f);
    run(&t, 1);
    cr_expect_arr_eq(after(&t, 0), start, sizeof start);
    end(&t);
}

/* ---- roles of one's own ---- */

/* Rate and decay of a custom role count for every optimizer: lr is halved, decay doubled. */
Test(groups, every_optimizer_reads_the_numbers_of_a_custom_role)
{
    static const wf_optimizer *const some[] = {&wf_sgd, &wf_adamw, &wf_lion, &wf_radam};
    static const wf_sgd_hyper sgd[2] = {{.decay = 0.2f}, {.decay = 0.1f}};
    static const wf_adamw_hyper adamw[2] = {
        {.beta1 = .9f, .beta2 = .99f, .eps = 1e-8f, .decay = 0.2f},
        {.beta1 = .9f, .beta2 = .99f, .eps = 1e-8f, .decay = 0.1f}};
    static const wf_lion_hyper lion[2] = {{.beta1 = .9f, .decay = 0.2f},
                                          {.beta1 = .9f, .decay = 0.1f}};
    static const wf_radam_hyper radam[2] = {
        {.beta1 = .9f, .beta2 = .99f, .eps = 1e-8f, .decay = 0.2f},
        {.beta1 = .9f, .beta2 = .99f, .eps = 1e-8f, .decay = 0.1f}};
    const void *const hypers[][2] = {
        {&sgd[0], &sgd[1]}, {&adamw[0], &adamw[1]}, {&lion[0], &lion[1]}, {&radam[0], &radam[1]}};
    for (int i = 0; i < 4; i++) {
        float w[2][6];
        for (int custom = 0; custom < 2; custom++) {
            wf_role role = {.kind = custom ? WF_CUSTOM : WF_KERNEL, .rate = 0.5f, .decay = 2};
            trial t = begin();
            wf_minimize(w_times_gradient(&t, role), some[i], hypers[i][custom], NULL);
            compile(&t, custom ? 0.5f : 0.25f);
            for (int k = 1; k <= STEPS; k++) run(&t, k);
            memcpy(w[custom], wf_store_data(t.store, "w", NULL, NULL), sizeof w[custom]);
            end(&t);
        }
        cr_expect_arr_eq(w[0], w[1], sizeof w[0], "%s", some[i]->name);
    }
}

/* ---- lazy rows ---- */

/* One gradient of -1e-3, then none: the row of a word that was seen once. */
static float drifted(const wf_optimizer *o, bool lazy, int runs, float last[2])
{
    trial t = begin();
    wf_node *w = wf_param(t.g, "w", WF_SHAPE(2, 3), (wf_role){.kind = WF_EMBEDDING},
                          (wf_init){.kind = WF_INIT_CONSTANT, .a = 0.02f});
    wf_node *dw = wf_input(t.g, "gradient", WF_F32, WF_SHAPE(2, 3));
    wf_param_group group = {.roles = 1u << WF_EMBEDDING, .lazy = lazy};
    wf_minimize(wf_sum(wf_mul(w, dw), WF_ALL, false), o, NULL,
                &(wf_minimize_options){.groups = &group, .n_groups = 1});
    compile(&t, 1.76e-3f);
    for (int e = 0; e < 6; e++) t.gradient[e] = e < 3 ? -1e-3f : 0;
    for (int k = 0; k < runs; k++) {
        cr_assert_eq(wf_run(t.p), WF_OK);
        memset(t.gradient, 0, sizeof t.gradient);
    }
    const float *now = wf_store_data(t.store, "w", NULL, NULL);
    float first = now[0];
    last[0] = now[3];
    last[1] = now[5];
    end(&t);
    return first;
}

Test(groups, a_word_that_was_seen_once_drifts_away_unless_rows_are_lazy)
{
    float never[2];
    cr_expect_float_eq(drifted(&wf_tiger, false, 100, never), 0.024f, 5e-4);
    cr_expect_float_eq(drifted(&wf_tiger, false, 1000, never), 0.116f, 2e-3);
    cr_expect_float_eq(drifted(&wf_tiger, false, 2000, never), 0.669f, 2e-3);
    cr_expect_float_eq(drifted(&wf_tiger, false, 3000, never), 0.879f, 2e-3,
                       "from 2160 on the momentum is 0 and only the decay moves it");
    float one = drifted(&wf_tiger, true, 1, never);
    cr_expect_gt(one, 0.02f, "the row that was read moves");
    cr_expect_eq(drifted(&wf_tiger, true, 1000, never), one);
    cr_expect(never[0] == 0.02f && never[1] == 0.02f, "the other one never does: %g",
              (double)never[0]);
    cr_expect_gt(drifted(&wf_lion, false, 1000, never), 0.5f);
    cr_expect_float_eq(drifted(&wf_lion, true, 1000, never), 0.02f + 1.76e-3f, 1e-6);
}

Test(groups, a_row_whose_gradient_is_not_a_number_is_not_lazy)
{
    trial t = begin();
    wf_param_group group = {.lazy = true};
    wf_minimize(w_times_gradient(&t, (wf_role){.kind = WF_EMBEDDING}), &wf_sgd, NULL,
                &(wf_minimize_options){.groups = &group, .n_groups = 1});
    compile(&t, 1);
    t.gradient[1] = NAN;
    cr_assert_eq(wf_run(t.p), WF_OK);
    const float *w = wf_store_data(t.store, "w", NULL, NULL);
    cr_expect(isnan(w[1]));
    cr_expect_arr_eq(w + 3, start + 3, 3 * sizeof *w);
    end(&t);
}
