/*
 * Tiger whole: accumulation inside the momentum, gradients that are not finite, numbers below the
 * normal ones, and the faults that ports of it have had.
 */
#include "optim_trial.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const wf_role kernel = {.kind = WF_KERNEL}, scale = {.kind = WF_SCALE};

static const wf_tiger_hyper published = {.beta = 0.965f, .decay = 0.01f};

static void start_tiger(trial *t, wf_role role, const wf_tiger_hyper *h, float lr)
{
    *t = begin();
    wf_minimize(w_times_gradient(t, role), &wf_tiger, h, NULL);
    compile(t, lr);
}

static float *tensor(const trial *t, const char *name)
{
    float *x = wf_store_data(t->store, name, NULL, NULL);
    cr_assert(x, "the store has no %s", name);
    return x;
}

/* Run with the gradient of that step, or with one that has a bad element. */
static void run_with(trial *t, int step, float bad)
{
    gradient(step, t->gradient);
    if (bad != 0) t->gradient[4] = bad;
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
}

/* ---- the numbers of the formula ---- */

typedef struct four_runs {
    const char *name;
    wf_role role;
    int accumulate, nan_at; /* the run whose gradient has a NaN, from 0; -1: none */
    double want[6];
} four_runs;

static const four_runs cases[] = {
    {"two runs a step",
     {.kind = WF_KERNEL},
     2,
     -1,
     {.499917287899, -.977294371030, 2.022031204347, .022480820762, 1.522143608451,
      -.249973489951}},
    {"four runs a step",
     {.kind = WF_KERNEL},
     4,
     -1,
     {.511170693848, -.988660903732, 2.011002291428, .011226827988, 1.511058425568,
      -.261198760918}},
    {"two runs a step, NaN in the second",
     {.kind = WF_KERNEL},
     2,
     1,
     {.506059542637, -.978775406151, 1.990894491426, .011114559708, 1.495949508496,
      -.258587051173}},
    {"a scale, NaN in the third run",
     {.kind = WF_SCALE},
     1,
     2,
     {.500100000000, -.965100000000, 2.004900000000, .024900000000, 1.509900000000,
      -.222600000000}},
};

Test(tiger, four_runs_give_the_numbers_of_the_formula)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const four_runs *c = &cases[i];
        wf_tiger_hyper h = published;
        h.accumulate = c->accumulate;
        h.nonfinite = WF_SKIP_NAN;
        trial t;
        start_tiger(&t, c->role, &h, .01f);
        for (int k = 0; k < STEPS; k++) run_with(&t, k + 1, k == c->nan_at ? NAN : 0);
        expect_tensor(&t, "w", c->want, c->name);
        cr_expect_eq(*tensor(&t, "opt/tiger/w/skipped"), c->nan_at >= 0, "%s", c->name);
        end(&t);
    }
}

/* ---- accumulation ---- */

static const wf_role every_role[] = {
    {.kind = WF_KERNEL},
    {.kind = WF_EMBEDDING},
    {.kind = WF_BIAS},
    {.kind = WF_SCALE},
    {WF_CUSTOM, .rate = 0.3f, .decay = 2},
};

enum { ROLES = sizeof every_role / sizeof *every_role, WINDOWS = 5 };

/* The mean gradient of window i of k runs. */
static void mean_gradient(int i, int k, float mean[6])
{
    double sum[6] = {0};
    for (int j = 0; j < k; j++) {
        float g[6];
        gradient(i * k + j + 1, g);
        for (int e = 0; e < 6; e++) sum[e] += (double)g[e] / k;
    }
    for (int e = 0; e < 6; e++) mean[e] = (float)sum[e];
}

Test(tiger, k_runs_are_one_step_on_the_mean_gradient)
{
    static const int sizes[] = {1, 2, 3, 4, 7};
    for (int c = 0; c < ROLES * 5; c++) {
        int k = sizes[c % 5];
        wf_tiger_hyper h = published;
        trial whole;
        start_tiger(&whole, every_role[c / 5], &h, 0);
        h.accumulate = k;
        trial parts;
        start_tiger(&parts, every_role[c / 5], &h, 0);
        for (int i = 0; i < WINDOWS; i++) {
            float before[6];
            memcpy(before, tensor(&parts, "w"), sizeof before);
            for (int j = 0; j < k; j++) {
                cr_expect_arr_eq(tensor(&parts, "w"), before, sizeof before,
                                 "k %d: moved before the window was full", k);
                cr_assert_eq(wf_set(parts.p, "lr", 0.01f + 0.001f * (float)(i * k + j)), WF_OK);
                run(&parts, i * k + j + 1);
            }
            cr_assert_eq(wf_set(whole.p, "lr", 0.01f + 0.001f * (float)(i * k + k - 1)), WF_OK);
            mean_gradient(i, k, whole.gradient);
            cr_assert_eq(wf_run(whole.p), WF_OK);
        }
        for (int e = 0; e < 6; e++) {
            cr_expect_float_eq(tensor(&parts, "w")[e], tensor(&whole, "w")[e], 1e-6, "k %d", k);
            cr_expect_float_eq(tensor(&parts, "opt/tiger/w/momentum")[e],
                               tensor(&whole, "opt/tiger/w/momentum")[e], 1e-7, "k %d", k);
        }
        end(&whole);
        end(&parts);
    }
}

Test(tiger, accumulation_needs_no_buffer)
{
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        wf_tiger_hyper h = published;
        h.accumulate = i ? 7 : 1;
        trial t;
        start_tiger(&t, kernel, &h, .01f);
        bytes[i] = wf_program_get_stats(t.p).store_bytes;
        end(&t);
    }
    cr_expect_eq(bytes[1] - bytes[0], sizeof(float), "only the phase is kept beside the momentum");
}

Test(tiger, a_run_continued_in_the_middle_of_a_window_gives_the_same_bits)
{
    const char *path = "tiger-continued.safetensors";
    wf_tiger_hyper h = published;
    h.accumulate = 3;
    trial t;
    start_tiger(&t, kernel, &h, .01f);
    for (int k = 1; k <= 4; k++) run(&t, k);
    cr_assert_eq(wf_store_save(t.store, path, NULL), WF_OK, "%s", wf_error());
    trial again = begin();
    wf_minimize(w_times_gradient(&again, kernel), &wf_tiger, &h, NULL);
    cr_assert_eq(wf_store_load(again.store, path), WF_OK, "%s", wf_error());
    compile(&again, .01f);
    for (int k = 5; k <= 8; k++) {
        run(&t, k);
        run(&again, k);
    }
    cr_expect_arr_eq(tensor(&again, "w"), tensor(&t, "w"), 6 * sizeof(float));
    remove(path);
    end(&t);
    end(&again);
}

/* Who changes k in the middle of a window of more runs: the next run ends it. */
Test(tiger, a_window_that_is_longer_than_k_ends_with_the_next_run)
{
    wf_tiger_hyper h = published;
    h.accumulate = 2;
    trial t;
    start_tiger(&t, kernel, &h, .01f);
    *tensor(&t, "opt/tiger/w/phase") = 5;
    run(&t, 1);
    cr_expect_eq(*tensor(&t, "opt/tiger/w/phase"), 0);
    end(&t);
}

/* ---- gradients that are not finite ---- */

Test(tiger, what_is_skipped_depends_on_the_mode)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const double is_skipped[3][3] = {{0, 0, 0}, {1, 0, 0}, {1, 1, 1}};
    for (int c = 0; c < 9; c++) {
        wf_tiger_hyper h = published;
        h.nonfinite = (wf_nonfinite)(c / 3);
        h.shrink = 0.5f;
        trial t;
        start_tiger(&t, kernel, &h, 0); /* shrunk whatever the rate */
        run(&t, 1);
        float m[6], shrunk[6];
        memcpy(m, tensor(&t, "opt/tiger/w/momentum"), sizeof m);
        for (int i = 0; i < 6; i++) shrunk[i] = start[i] * 0.5f;
        run_with(&t, 2, bad[c % 3]);
        bool skipped = is_skipped[c / 3][c % 3] != 0;
        bool kept = !memcmp(tensor(&t, "opt/tiger/w/momentum"), m, sizeof m);
        cr_expect_eq(kept, skipped, "mode %d, %g", c / 3, (double)bad[c % 3]);
        if (skipped) cr_expect_arr_eq(tensor(&t, "w"), shrunk, sizeof shrunk);
        if (c / 3)
            cr_expect_eq(*tensor(&t, "opt/tiger/w/skipped"), skipped, "mode %d, %g", c / 3,
                         (double)bad[c % 3]);
        else
            cr_expect_null(wf_store_data(t.store, "opt/tiger/w/skipped", NULL, NULL));
        end(&t);
    }
}

/* As long as gradients are finite, however large, the modes differ in nothing. */
Test(tiger, what_may_be_skipped_does_not_change_the_rest)
{
    cr_expect_eq(((const wf_tiger_hyper *)wf_tiger.defaults)->nonfinite, WF_SKIP_NAN_OR_INF);
    float w[3][6], m[3][6];
    for (int mode = 0; mode < 3; mode++) {
        wf_tiger_hyper h = published;
        h.nonfinite = (wf_nonfinite)mode;
        trial t;
        start_tiger(&t, (wf_role){.kind = WF_KERNEL}, &h, 0.01f);
        for (int k = 1; k < 20; k++) run_with(&t, k, k == 9 ? 3e38f : k == 10 ? -3e38f : 0);
        memcpy(w[mode], tensor(&t, "w"), sizeof w[mode]);
        memcpy(m[mode], tensor(&t, "opt/tiger/w/momentum"), sizeof m[mode]);
        if (mode) cr_expect_eq(*tensor(&t, "opt/tiger/w/skipped"), 0, "mode %d", mode);
        end(&t);
    }
    for (int mode = 1; mode < 3; mode++) {
        cr_expect_arr_eq(w[mode], w[0], sizeof w[0], "mode %d", mode);
        cr_expect_arr_eq(m[mode], m[0], sizeof m[0], "mode %d", mode);
    }
}

/* At the first, a middle and the last run of a window: the momentum keeps its bits, the others'
 * part of the window is in it. */
Test(tiger, a_bad_run_of_a_window_leaves_the_momentum_as_it_was)
{
    for (int at = 0; at < 3; at++) {
        wf_tiger_hyper h = published;
        h.accumulate = 3;
        h.nonfinite = WF_SKIP_NAN;
        trial t;
        start_tiger(&t, kernel, &h, .01f);
        for (int k = 0; k < 3; k++) run(&t, k + 1); /* a window before */
        for (int k = 0; k < 3; k++) {
            float m[6], w[6];
            memcpy(m, tensor(&t, "opt/tiger/w/momentum"), sizeof m);
            memcpy(w, tensor(&t, "w"), sizeof w);
            run_with(&t, k + 4, k == at ? NAN : 0);
            bool kept = !memcmp(tensor(&t, "opt/tiger/w/momentum"), m, sizeof m);
            cr_expect_eq(kept, k == at, "NaN at %d: run %d", at, k);
            for (int i = 0; i < 6 && k == at; i++)
                cr_expect_float_eq(tensor(&t, "w")[i], w[i] * 0.99f, 1e-6, "NaN at %d", at);
        }
        cr_expect_eq(*tensor(&t, "opt/tiger/w/phase"), 0, "the count goes on");
        end(&t);
    }
}

Test(tiger, a_hundred_bad_gradients_lead_to_the_centre)
{
    static const wf_role roles[] = {
        {.kind = WF_KERNEL}, {.kind = WF_SCALE}, {WF_CUSTOM, .rate = 1, .centre = -2}};
    static const double centres[] = {0, 1, -2};
    for (int r = 0; r < 3; r++) {
        wf_tiger_hyper h = published;
        h.nonfinite = WF_SKIP_NAN_OR_INF;
        trial t;
        start_tiger(&t, roles[r], &h, .01f);
        for (int k = 0; k < 100; k++) run_with(&t, 1, k % 2 ? NAN : -INFINITY);
        double c = centres[r], want[6];
        for (int i = 0; i < 6; i++) want[i] = c + pow(0.99, 100) * ((double)start[i] - c);
        expect_tensor(&t, "w", want, "shrunk");
        cr_expect_eq(*tensor(&t, "opt/tiger/w/skipped"), 100);
        end(&t);
    }
}

/* ---- small numbers ---- */

/* One gradient, then none: after so many runs the momentum is 0 and nothing moves any more; with
 * numbers below the normal ones it would stand still at 14 * 2^-149 for ever. */
Test(tiger, a_momentum_below_the_normal_numbers_is_zero)
{
    trial t;
    start_tiger(&t, kernel, &(wf_tiger_hyper){.beta = 0.965f}, 0);
    run(&t, 1);
    memset(t.gradient, 0, sizeof t.gradient);
    for (int k = 0; k < 2400; k++) cr_assert_eq(wf_run(t.p), WF_OK);
    for (int i = 0; i < 6; i++)
        cr_expect_eq(tensor(&t, "opt/tiger/w/momentum")[i], 0, "%g",
                     (double)tensor(&t, "opt/tiger/w/momentum")[i]);
    tensor(&t, "opt/tiger/w/momentum")[0] = -1.01f * FLT_MIN / 0.965f;
    cr_assert_eq(wf_run(t.p), WF_OK);
    cr_expect_lt(tensor(&t, "opt/tiger/w/momentum")[0], -FLT_MIN, "normal numbers stay");
    end(&t);
}

/* ---- the power of the momentum: from its sign at the peak rate to itself at rate 0 ---- */

Test(tiger, the_step_goes_from_the_sign_to_the_momentum_as_the_rate_falls)
{
    static const float rates[] = {0.02f, 0.01f, 0.0025f};
    for (int r = 0; r < 3; r++) {
        wf_tiger_hyper h = {.beta = 0.9f, .peak = 0.01f};
        trial t;
        start_tiger(&t, (wf_role){WF_CUSTOM, .rate = 1}, &h, rates[r]);
        run(&t, 1);
        double power = r < 2 ? 0 : 0.75, want[6];
        for (int i = 0; i < 6; i++) {
            double m = 0.1 * (double)t.gradient[i];
            want[i] = (double)start[i] - (double)rates[r] * copysign(pow(fabs(m), power), m);
        }
        expect_tensor(&t, "w", want, "step");
        end(&t);
    }
}

/* ---- how ports went wrong ---- */

Test(tiger, the_momentum_is_written_back)
{
    trial t;
    start_tiger(&t, kernel, &published, .01f);
    run(&t, 1);
    run(&t, 2);
    float g1[6], g2[6];
    gradient(1, g1);
    gradient(2, g2);
    double want[6];
    for (int i = 0; i < 6; i++)
        want[i] = 0.035 * (0.965 * (double)g1[i] + (double)g2[i]); /* each gradient once */
    expect_tensor(&t, "opt/tiger/w/momentum", want, "momentum");
    end(&t);
}

Test(tiger, the_gradient_enters_the_momentum_once)
{
    for (int k = 1; k <= 3; k++) {
        wf_tiger_hyper h = published;
        h.accumulate = k;
        trial t;
        start_tiger(&t, kernel, &h, .01f);
        double want[6];
        run(&t, 1);
        for (int i = 0; i < 6; i++) want[i] = 0.035 / k * (double)t.gradient[i];
        expect_tensor(&t, "opt/tiger/w/momentum", want, "momentum");
        end(&t);
    }
}

/* w after four runs beside other tensors, of which one gets a NaN every time. */
static void run_beside_others(bool others, float w[6])
{
    trial t = begin();
    wf_node *loss = w_times_gradient(&t, kernel);
    for (int i = 0; others && i < 4; i++) {
        static const wf_role roles[] = {
            {.kind = WF_KERNEL}, {.kind = WF_SCALE}, {.kind = WF_EMBEDDING}, {.kind = WF_BIAS}};
        char name[8];
        snprintf(name, sizeof name, "%c", "avxy"[i]); /* before and behind w */
        wf_node *other = wf_param(t.g, name, WF_SHAPE(2, 3), roles[i], (wf_init){0});
        cr_assert_eq(wf_store_put(t.store, name, WF_F32, WF_SHAPE(2, 3), start), WF_OK);
        wf_node *factor = i == 1 ? wf_constant(t.g, NAN) : wf_constant(t.g, 3);
        loss = wf_add(loss, wf_mul(factor, wf_sum(wf_square(other), WF_ALL, false)));
    }
    wf_tiger_hyper h = published;
    h.nonfinite = WF_SKIP_NAN;
    wf_minimize(loss, &wf_tiger, &h, NULL);
    compile(&t, .01f);
    for (int k = 1; k <= STEPS; k++) run(&t, k);
    memcpy(w, tensor(&t, "w"), 6 * sizeof *w);
    if (others) cr_expect_eq(*tensor(&t, "opt/tiger/v/skipped"), STEPS);
    if (others) cr_expect_eq(*tensor(&t, "opt/tiger/x/skipped"), 0);
    end(&t);
}

Test(tiger, the_rates_of_one_tensor_do_not_leak_into_the_next)
{
    float alone[6], among[6];
    run_beside_others(false, alone);
    run_beside_others(true, among);
    cr_expect_arr_eq(among, alone, sizeof alone);
}

Test(tiger, building_and_compiling_is_no_step)
{
    trial t;
    start_tiger(&t, scale, &published, .01f);
    cr_expect_arr_eq(tensor(&t, "w"), start, sizeof start);
    end(&t);
}

/* What other ports call Tiger: no RMS, no kinds, decoupled decay (custom, rate 1, decay 1). */
Test(tiger, a_custom_role_of_rate_one_is_the_basic_rule)
{
    trial t;
    start_tiger(&t, (wf_role){WF_CUSTOM, .rate = 1, .decay = 1}, &published, .01f);
    double m[6] = {0}, w[6];
    for (int i = 0; i < 6; i++) w[i] = (double)start[i];
    for (int k = 1; k <= STEPS; k++) {
        run(&t, k);
        for (int i = 0; i < 6; i++) {
            m[i] = 0.965 * m[i] + 0.035 * (double)t.gradient[i];
            w[i] -= 0.01 * ((m[i] > 0 ? 1 : -1) + 0.01 * w[i]);
        }
    }
    expect_tensor(&t, "w", w, "basic rule");
    end(&t);
}

/* With decay 0 the path of a kernel that is s times as large is s times as large. */
Test(tiger, the_path_of_a_kernel_scales_with_it)
{
    trial one;
    start_tiger(&one, kernel, &(wf_tiger_hyper){.beta = 0.965f}, .01f);
    trial four;
    start_tiger(&four, kernel, &(wf_tiger_hyper){.beta = 0.965f}, .01f);
    for (int i = 0; i < 6; i++) tensor(&four, "w")[i] *= 4;
    for (int k = 1; k <= STEPS; k++) {
        run(&one, k);
        run(&four, k);
    }
    for (int i = 0; i < 6; i++)
        cr_expect_eq(tensor(&four, "w")[i], 4 * tensor(&one, "w")[i], "%d", i);
    end(&one);
    end(&four);
}
