/*
 * Every optimizer against PyTorch, optax or its formula in double precision, four and a hundred
 * steps (golden/optimizers.py), and what is easily got wrong in them.
 */
#include "optim_cases.h"
#include "optim_trial.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

enum { LATE = 100 };

typedef struct golden {
    const char *name;
    double early[6], late[6];
} golden;

static const golden goldens[] = {
#include "golden/optimizers.h"
};

static const golden *find(const char *name)
{
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++)
        if (!strcmp(goldens[i].name, name)) return &goldens[i];
    cr_assert_fail("no golden values of %s", name);
    return NULL;
}

static void compare(const trial *t, const double want[6], const optim_case *c, int step)
{
    const char *name = c->name;
    const float *w = wf_store_data(t->store, c->tensor ? c->tensor : "w", NULL, NULL);
    for (int i = 0; i < 6; i++) {
        double room = step == STEPS ? 2e-6 : 2e-6 + 1e-5 * fabs(want[i]);
        cr_expect_float_eq((double)w[i], want[i], room, "%s, step %d: w[%d] is %.9f, not %.9f",
                           name, step, i, (double)w[i], want[i]);
    }
}

Test(optimizers, every_one_gives_the_numbers_of_its_formula)
{
    for (int r = 0; r < OPTIM_CASES; r++) {
        const optim_case *c = &optim_cases[r];
        const golden *g = find(c->name);
        trial t = begin();
        wf_node *loss = shaped_w(&t, c->role, c->shape.rank ? c->shape : WF_SHAPE(2, 3));
        wf_minimize(loss, c->optimizer, c->hyper, c->options);
        compile(&t, c->lr);
        for (int k = 1; k <= LATE; k++) {
            run(&t, k);
            if (k == STEPS) compare(&t, g->early, c, k);
        }
        compare(&t, g->late, c, LATE);
        end(&t);
    }
}

/* ---- what all have in common ---- */

static const wf_optimizer *const all[] = {&wf_sgd,   &wf_adam, &wf_adamw,     &wf_lion,
                                          &wf_tiger, &wf_lamb, &wf_adafactor, &wf_rmsprop,
                                          &wf_nadam, &wf_radam};

enum { ALL = sizeof all / sizeof *all };

Test(optimizers, each_is_found_by_its_name_and_has_good_defaults)
{
    for (int i = 0; i < ALL; i++) {
        cr_expect_eq(wf_optimizer_find(all[i]->name), all[i], "%s", all[i]->name);
        cr_expect_null(all[i]->check(all[i]->defaults), "%s", all[i]->name);
    }
}

Test(optimizers, each_continues_from_a_checkpoint_to_the_same_bits)
{
    const char *path = "optimizer-continued.safetensors";
    for (int i = 0; i < ALL; i++) {
        trial t = begin(), again = begin();
        wf_minimize(w_times_gradient(&t, (wf_role){0}), all[i], NULL, NULL);
        compile(&t, .01f);
        for (int k = 1; k <= 5; k++) run(&t, k);
        cr_assert_eq(wf_store_save(t.store, path, NULL), WF_OK, "%s", wf_error());
        wf_minimize(w_times_gradient(&again, (wf_role){0}), all[i], NULL, NULL);
        cr_assert_eq(wf_store_load(again.store, path), WF_OK, "%s", wf_error());
        compile(&again, .01f);
        for (int k = 6; k <= 10; k++) {
            run(&t, k);
            run(&again, k);
        }
        cr_expect_arr_eq(wf_store_data(again.store, "w", NULL, NULL),
                         wf_store_data(t.store, "w", NULL, NULL), 6 * sizeof(float), "%s",
                         all[i]->name);
        remove(path);
        end(&t);
        end(&again);
    }
}

/* No gradient, ever: no decay, no division of 0 by 0. */
Test(optimizers, a_gradient_of_zero_moves_nothing_but_by_decay)
{
    for (int i = 0; i < ALL; i++) {
        trial t = begin();
        wf_minimize(w_times_gradient(&t, (wf_role){0}), all[i], NULL, NULL);
        compile(&t, .01f);
        for (int k = 0; k < 3; k++) cr_assert_eq(wf_run(t.p), WF_OK);
        const float *w = wf_store_data(t.store, "w", NULL, NULL);
        for (int j = 0; j < 6; j++) {
            cr_expect_leq(fabsf(w[j]), fabsf(start[j]), "%s", all[i]->name);
            cr_expect_geq(fabsf(w[j]), 0.97f * fabsf(start[j]), "%s: %g", all[i]->name,
                          (double)w[j]); /* lamb: |p| / |decay p| makes it the rate */
        }
        end(&t);
    }
}

static void expect_refusal(const wf_optimizer *o, const void *hyper, const char *what)
{
    const char *text = o->check(hyper);
    cr_expect(text && strstr(text, what), "%s: %s, not %s", o->name, what, text ? text : "fine");
}

Test(optimizers, impossible_numbers_are_refused)
{
    expect_refusal(&wf_sgd, &(wf_sgd_hyper){.momentum = 0.9f, .dampening = 2}, "dampening");
    expect_refusal(&wf_sgd, &(wf_sgd_hyper){.is_nesterov = true}, "nesterov needs");
    expect_refusal(&wf_sgd, &(wf_sgd_hyper){.momentum = .5f, .dampening = .5f, .is_nesterov = true},
                   "nesterov needs");
    expect_refusal(&wf_sgd,
                   &(wf_sgd_hyper){.momentum = .5f, .is_average = true, .is_nesterov = true},
                   "averaging form");
    expect_refusal(&wf_lion, &(wf_lion_hyper){.caution = NAN}, "caution");
    expect_refusal(&wf_tiger, &(wf_tiger_hyper){.accumulate = -1}, "accumulate");
    expect_refusal(&wf_tiger, &(wf_tiger_hyper){.accumulate = (1 << 24) + 1}, "accumulate");
    expect_refusal(&wf_tiger, &(wf_tiger_hyper){.shrink = 1.5f}, "shrink");
    expect_refusal(&wf_tiger, &(wf_tiger_hyper){.peak = NAN}, "peak");
    expect_refusal(&wf_adam, &(wf_adamw_hyper){.beta1 = 1}, "beta1");
    expect_refusal(&wf_lamb, &(wf_lamb_hyper){LAMB, .max_ratio = -1}, "max_ratio");
    expect_refusal(&wf_lamb, &(wf_lamb_hyper){0}, "beta1");
    expect_refusal(&wf_adafactor, &(wf_adafactor_hyper){.momentum = 1}, "momentum");
    expect_refusal(&wf_adafactor,
                   &(wf_adafactor_hyper){.momentum = .9f, .form = WF_ADAFACTOR_TORCH},
                   "no momentum");
    expect_refusal(&wf_adafactor, &(wf_adafactor_hyper){.eps = -1}, "eps");
    expect_refusal(&wf_adafactor, &(wf_adafactor_hyper){.decay = -1}, "decay");
    expect_refusal(&wf_rmsprop, &(wf_rmsprop_hyper){.beta = 1}, "beta");
    expect_refusal(&wf_rmsprop, &(wf_rmsprop_hyper){.momentum = 1}, "momentum");
    expect_refusal(&wf_rmsprop, &(wf_rmsprop_hyper){0}, "eps");
    expect_refusal(&wf_rmsprop, &(wf_rmsprop_hyper){.eps = 1, .decay = NAN}, "decay");
    expect_refusal(&wf_nadam, &(wf_nadam_hyper){ADAM, .momentum_decay = -1}, "momentum_decay");
    expect_refusal(&wf_nadam, &(wf_nadam_hyper){ADAM, .decay = -1}, "decay");
    expect_refusal(&wf_radam, &(wf_radam_hyper){.beta1 = 0.9f, .beta2 = 0.9f}, "eps");
}

Test(optimizers, no_decay_is_infinite)
{
    for (int i = 0; i < ALL; i++) {
        const float infinite = INFINITY;
        char hyper[256];
        cr_assert_leq(all[i]->hyper_size, sizeof hyper);
        memcpy(hyper, all[i]->defaults, all[i]->hyper_size);
        memcpy(hyper + wf_hyper_find(all[i], "decay")->offset, &infinite, sizeof infinite);
        expect_refusal(all[i], hyper, "decay must be finite");
    }
}

/* ---- Adafactor keeps rows and columns ---- */

Test(optimizers, adafactor_keeps_rows_and_columns_of_the_axes_of_its_form)
{
    static const struct {
        wf_adafactor_form form;
        int64_t rows[3], columns[3];
    } cases[] = {
        {WF_ADAFACTOR_OPTAX, {1, 1, 2}, {3, 1, 1}},
        {WF_ADAFACTOR_BERT4KERAS, {1, 1, 2}, {3, 1, 1}},
        {WF_ADAFACTOR_HF, {3, 1, 1}, {3, 1, 2}},
        {WF_ADAFACTOR_TORCH, {3, 1, 1}, {3, 1, 2}},
    };
    for (int i = 0; i < 4; i++) {
        trial t = begin();
        wf_minimize(shaped_w(&t, (wf_role){0}, WF_SHAPE(3, 1, 2)), &wf_adafactor,
                    &(wf_adafactor_hyper){.form = cases[i].form}, NULL);
        compile(&t, .01f);
        wf_shape by_row, by_column;
        cr_assert(wf_store_data(t.store, "opt/adafactor/w/rows", NULL, &by_row));
        cr_assert(wf_store_data(t.store, "opt/adafactor/w/columns", NULL, &by_column));
        cr_expect_arr_eq(by_row.dim, cases[i].rows, sizeof cases[i].rows, "form %d", i);
        cr_expect_arr_eq(by_column.dim, cases[i].columns, sizeof cases[i].columns, "form %d", i);
        cr_expect_null(wf_store_data(t.store, "opt/adafactor/w/v", NULL, NULL));
        end(&t);
    }
}

/* After one step: w is what is wanted, from w = first and gradients g. */
static void expect_one_step(const wf_optimizer *o, const void *hyper, const float first[6],
                            const float g[6], const double want[6], const char *what)
{
    trial t = begin();
    wf_minimize(w_times_gradient(&t, (wf_role){0}), o, hyper, NULL);
    memcpy(wf_store_data(t.store, "w", NULL, NULL), first, 6 * sizeof *first);
    compile(&t, .01f);
    memcpy(t.gradient, g, sizeof t.gradient);
    cr_assert_eq(wf_run(t.p), WF_OK);
    expect_tensor(&t, "w", want, what);
    end(&t);
}

/* R = (1e-8, 1e-18), C = 5e-9: mean(R) becomes e, the second row of V becomes e^2. */
Test(optimizers, adafactor_in_torchs_form_has_least_moments)
{
    static const float g[6] = {1e-4f, 1e-4f, 1e-4f, 1e-9f, 1e-9f, 1e-9f};
    double e = (double)FLT_EPSILON, u = 1e-4 / sqrt(1e-8 * 5e-9 / e), v = 1e-9 / e;
    double rms = sqrt((u * u + v * v) / 2), scale = 0.01 * 1.1226827987756,
           want[6]; /* RMS(start) */
    for (int i = 0; i < 6; i++) want[i] = (double)start[i] - scale * (i < 3 ? u : v) / rms;
    expect_one_step(&wf_adafactor, &(wf_adafactor_hyper){.form = WF_ADAFACTOR_TORCH}, start, g,
                    want, "small gradients");
}

Test(optimizers, adafactor_survives_gradients_of_zero_in_every_form)
{
    static const float none[6] = {0};
    double want[6];
    for (int i = 0; i < 6; i++) want[i] = (double)start[i];
    for (int f = 0; f < 4; f++)
        expect_one_step(&wf_adafactor, &(wf_adafactor_hyper){.form = (wf_adafactor_form)f}, start,
                        none, want, "zero");
}

/* Without a norm the ratio is 1: a tensor of zeros moves as Adam would, or stays. */
Test(optimizers, lamb_moves_a_tensor_of_zeros)
{
    static const float none[6] = {0}, g[6] = {1, -1, 1, -1, 1, -1};
    static const double moved[6] = {-.01, .01, -.01, .01, -.01, .01}, still[6] = {0};
    expect_one_step(&wf_lamb, NULL, none, g, moved, "zeros");
    expect_one_step(&wf_lamb, NULL, none, none, still, "zeros without gradient");
}

/* A constant gradient has no variance, and rounding may leave less than none. */
Test(optimizers, centred_rmsprop_stays_finite_on_a_constant_gradient)
{
    trial t = begin();
    wf_rmsprop_hyper h = {.beta = 0.9f, .eps = 1e-4f, .is_centred = true};
    wf_minimize(w_times_gradient(&t, (wf_role){0}), &wf_rmsprop, &h, NULL);
    compile(&t, 1e-6f);
    gradient(1, t.gradient);
    for (int k = 0; k < 300; k++) cr_assert_eq(wf_run(t.p), WF_OK);
    const float *w = wf_store_data(t.store, "w", NULL, NULL);
    for (int i = 0; i < 6; i++) cr_expect(isfinite(w[i]), "%d", i);
    end(&t);
}

/* ---- Lion: what its users ran into ---- */

/* Where the gradient is 0 now, the momentum's step does not agree with it. */
Test(optimizers, cautious_lion_leaves_out_what_has_no_gradient)
{
    trial t = begin();
    wf_lion_hyper h = {.beta1 = 0.9f, .beta2 = 0.5f, .caution = 1};
    wf_minimize(w_times_gradient(&t, (wf_role){0}), &wf_lion, &h, NULL);
    compile(&t, .01f);
    for (int i = 0; i < 6; i++) t.gradient[i] = 1;
    cr_assert_eq(wf_run(t.p), WF_OK);
    for (int i = 0; i < 3; i++) t.gradient[i] = 0;
    cr_assert_eq(wf_run(t.p), WF_OK);
    double want[6]; /* the other half moves twice as far */
    for (int i = 0; i < 6; i++) want[i] = (double)start[i] - (i < 3 ? .01 : .03);
    expect_tensor(&t, "w", want, "cautious");
    end(&t);
}

static void run_lion(float decay, float factor, int steps, float w[6])
{
    trial t = begin();
    wf_lion_hyper h = {.beta1 = 0.9f, .beta2 = 0.99f, .decay = decay};
    wf_minimize(w_times_gradient(&t, (wf_role){0}), &wf_lion, &h, NULL);
    compile(&t, .01f);
    for (int k = 1; k <= steps; k++) {
        gradient(k, t.gradient);
        for (int i = 0; i < 6; i++) t.gradient[i] *= factor;
        cr_assert_eq(wf_run(t.p), WF_OK);
    }
    memcpy(w, wf_store_data(t.store, "w", NULL, NULL), 6 * sizeof *w);
    end(&t);
}

/* Folding decay p into the gradient would change the sign; here the decay is the larger of both. */
Test(optimizers, lion_takes_the_sign_before_the_decay)
{
    for (int d = 0; d < 3; d++) {
        float w[6], g[6], decay = (float)d * 5;
        run_lion(decay, 1e-3f, 1, w);
        gradient(1, g);
        for (int i = 0; i < 6; i++) {
            double want = (double)start[i] * (1 - 0.01 * (double)decay) - (g[i] > 0 ? 0.01 : -0.01);
            cr_expect_float_eq((double)w[i], want, 1e-6, "decay %g", (double)decay);
        }
    }
}

/* An update that is done twice, or tuned in place, would go two rates. */
Test(optimizers, the_first_step_of_lion_moves_every_weight_by_the_rate_once)
{
    float w[6];
    run_lion(0, 1, 1, w);
    for (int i = 0; i < 6; i++) cr_expect_float_eq(fabsf(w[i] - start[i]), 0.01f, 1e-6, "%d", i);
}

Test(optimizers, lion_does_not_see_the_size_of_gradients)
{
    float one[6], other[6];
    run_lion(0.1f, 1, LATE, one);
    run_lion(0.1f, 0x1p-40f, LATE, other);
    cr_expect_arr_eq(one, other, sizeof one);
    run_lion(0.1f, 0x1p40f, LATE, other);
    cr_expect_arr_eq(one, other, sizeof one);
}

/* By 1 - 0.25 * 0.5 a step, which floats hold exactly for seven. */
Test(optimizers, lion_without_a_gradient_shrinks_by_rate_times_decay_exactly)
{
    trial t = begin();
    wf_lion_hyper h = {.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.5f};
    wf_minimize(w_times_gradient(&t, (wf_role){0}), &wf_lion, &h, NULL);
    compile(&t, 0.25f);
    for (int k = 1; k <= 7; k++) {
        cr_assert_eq(wf_run(t.p), WF_OK);
        const float *w = wf_store_data(t.store, "w", NULL, NULL);
        for (int i = 0; i < 6; i++)
            cr_expect_eq(w[i], start[i] * powf(0.875f, (float)k), "step %d: %a", k, (double)w[i]);
    }
    end(&t);
}

/* A recipe of AdamW is carried over with rate / 10 and decay * 10. */
Test(optimizers, rate_times_decay_is_what_decays)
{
    static const wf_lion_hyper lion = {.beta1 = 0.9f, .beta2 = 0.99f, .decay = 1};
    static const wf_adamw_hyper adamw = {ADAM, .decay = 0.1f};
    float w[2][6];
    for (int i = 0; i < 2; i++) {
        trial t = begin();
        wf_minimize(w_times_gradient(&t, (wf_role){0}), i ? &wf_lion : &wf_adamw,
                    i ? (const void *)&lion : &adamw, NULL);
        compile(&t, i ? 1e-3f : 1e-2f);
        for (int k = 0; k < 50; k++) cr_assert_eq(wf_run(t.p), WF_OK); /* no gradient */
        memcpy(w[i], wf_store_data(t.store, "w", NULL, NULL), sizeof w[i]);
        end(&t);
    }
    for (int i = 0; i < 6; i++) {
        cr_expect_float_eq(w[0][i], w[1][i], 1e-6f);
        cr_expect_float_eq((double)w[1][i], (double)start[i] * pow(1 - 1e-3, 50), 2e-6);
    }
}

/* A sign made by two comparisons would turn NaN into a step of the rate. */
Test(optimizers, the_sign_of_nan_is_nan)
{
    for (int tiger = 0; tiger < 2; tiger++) {
        trial t = begin();
        wf_minimize(w_times_gradient(&t, (wf_role){0}), tiger ? &wf_tiger : &wf_lion,
                    tiger ? &(wf_tiger_hyper){.beta = 0.965f} : NULL, NULL); /* skips nothing */
        compile(&t, .01f);
        t.gradient[2] = NAN;
        cr_assert_eq(wf_run(t.p), WF_OK);
        const float *w = wf_store_data(t.store, "w", NULL, NULL);
        for (int i = 0; i < 6; i++) cr_expect_eq(isnan(w[i]) != 0, i == 2, "%d", i);
        end(&t);
    }
}

/* A row that is read twice, with gradients 1 and -3: the sign is that of their sum. */
Test(optimizers, gradients_of_a_row_are_added_before_the_sign)
{
    static const int32_t ids[3] = {1, 1, 0};
    static const float factors[3] = {1, -3, 1};
    trial t = begin();
    wf_node *table =
        wf_param(t.g, "table", WF_SHAPE(2, 1), (wf_role){.kind = WF_EMBEDDING}, (wf_init){0});
    wf_node *x = wf_gather(table, wf_constants_i32(t.g, WF_SHAPE(3), ids));
    wf_node *loss = wf_sum(wf_mul(x, wf_constants(t.g, WF_SHAPE(3, 1), factors)), WF_ALL, false);
    wf_minimize(loss, &wf_lion, NULL, NULL);
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_set(t.p, "lr", 0.25f), WF_OK);
    cr_assert_eq(wf_run(t.p), WF_OK);
    const float *w = wf_store_data(t.store, "table", NULL, NULL);
    cr_expect_eq(w[0], -0.25f);
    cr_expect_eq(w[1], 0.25f);
    end(&t);
}

Test(optimizers, lion_of_one_beta_is_tiger_without_its_scaling)
{
    float w[2][6];
    for (int i = 0; i < 2; i++) {
        trial t = begin();
        wf_lion_hyper lion = {.beta1 = 0.95f, .beta2 = 0.95f, .decay = 0.1f};
        wf_tiger_hyper tiger = {.beta = 0.95f, .decay = 0.1f};
        wf_minimize(w_times_gradient(&t, (wf_role){WF_CUSTOM, .rate = 1, .decay = 1}),
                    i ? &wf_tiger : &wf_lion, i ? (const void *)&tiger : &lion, NULL);
        compile(&t, .01f);
        for (int k = 1; k <= LATE; k++) run(&t, k);
        memcpy(w[i], wf_store_data(t.store, "w", NULL, NULL), sizeof w[i]);
        end(&t);
    }
    cr_expect_arr_eq(w[0], w[1], sizeof w[0]);
}
