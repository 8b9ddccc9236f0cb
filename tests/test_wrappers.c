/*
 * What wraps every optimizer: accumulation of gradients over runs, Lookahead, averages of weights
 * and evaluation with them; and clipping beside numbers that are not finite.
 * (Numbers of 100 steps: test_optimizers.c.)
 */
#include "optim_trial.h"

#include <stdio.h>
#include <string.h>

static const wf_optimizer *const all[] = {&wf_sgd,   &wf_adam, &wf_adamw,     &wf_lion,
                                          &wf_tiger, &wf_lamb, &wf_adafactor, &wf_rmsprop,
                                          &wf_nadam, &wf_radam};

enum { ALL = sizeof all / sizeof *all, WINDOWS = 4 };

static void start_trial(trial *t, const wf_optimizer *o, const void *hyper,
                        const wf_minimize_options *options)
{
    *t = begin();
    wf_minimize(w_times_gradient(t, (wf_role){0}), o, hyper, options);
    compile(t, .01f);
}

static float *tensor(const trial *t, const char *name)
{
    float *x = wf_store_data(t->store, name, NULL, NULL);
    cr_assert(x, "the store has no %s", name);
    return x;
}

static const float *w_of(const trial *t)
{
    return tensor(t, "w");
}

/* ---- accumulation ---- */

/* A trial whose runs tell how many items they are the mean of. */
static void start_weighted(trial *t, const wf_optimizer *o, int k, wf_minimize_options options)
{
    *t = begin();
    options.accumulate = k;
    options.items = wf_input(t->g, "items", WF_F32, WF_SCALAR);
    wf_minimize(w_times_gradient(t, (wf_role){0}), o, NULL, &options);
    compile(t, .01f);
}

static float items_of(int run)
{
    return (float)(1 + run * 7 % 5);
}

/* The gradient of window i of k runs, a mean over all its items. */
static void window_gradient(int i, int k, float mean[6])
{
    double sum[6] = {0}, items = 0;
    for (int j = i * k; j < i * k + k; j++) {
        float g[6];
        gradient(j + 1, g);
        items += (double)items_of(j);
        for (int e = 0; e < 6; e++) sum[e] += (double)items_of(j) * (double)g[e];
    }
    for (int e = 0; e < 6; e++) mean[e] = (float)(sum[e] / items);
}

static void run_weighted(trial *t, int run_)
{
    wf_set(t->p, "items", items_of(run_)); /* windows of one run do not ask */
    run(t, run_ + 1);
}

Test(wrappers, k_runs_make_the_update_of_all_their_items)
{
    static const int sizes[] = {1, 2, 3, 7};
    for (int c = 0; c < ALL * 4; c++) {
        int k = sizes[c % 4];
        const wf_optimizer *o = all[c / 4];
        trial parts, whole;
        start_weighted(&parts, o, k, (wf_minimize_options){0});
        start_trial(&whole, o, NULL, NULL);
        for (int i = 0; i < WINDOWS; i++) {
            for (int j = i * k; j < i * k + k; j++) {
                float before[6];
                memcpy(before, w_of(&parts), sizeof before);
                run_weighted(&parts, j);
                bool moved = memcmp(before, w_of(&parts), sizeof before) != 0;
                cr_expect_eq(moved, j == i * k + k - 1, "%s, k %d: run %d", o->name, k, j);
            }
            window_gradient(i, k, whole.gradient);
            cr_assert_eq(wf_run(whole.p), WF_OK);
            for (int e = 0; e < 6; e++)
                cr_expect_float_eq(w_of(&parts)[e], w_of(&whole)[e], 3e-6, "%s, k %d, window %d",
                                   o->name, k, i);
        }
        end(&parts);
        end(&whole);
    }
}

/* As a batch that is k times larger, through a network whose labels are partly ignored. */
static void classifier(trial *t, int rows, const wf_optimizer *o, const void *hyper,
                       wf_minimize_options options)
{
    wf_node *x = wf_input(t->g, "x", WF_F32, WF_SHAPE(rows, 5));
    wf_node *y = wf_input(t->g, "y", WF_I32, WF_SHAPE(rows));
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.4f};
    wf_node *h = wf_tanh(wf_dense(x, 8, true, init, "hidden"));
    wf_node *loss = wf_cross_entropy(wf_dense(h, 3, true, init, "out"), y, -1);
    if (options.accumulate) options.items = wf_input(t->g, "items", WF_F32, WF_SCALAR);
    wf_minimize(loss, o, hyper, &options);
    cr_assert_eq(wf_compile(&t->p, t->g, t->store, t->rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_set(t->p, "lr", 0.1f), WF_OK);
}

enum { ROWS = 16, PARTS = 4, PART = ROWS / PARTS };

typedef struct batch {
    float x[ROWS][5];
    int32_t y[ROWS];
} batch;

static void run_part(trial *t, const batch *b, int first, int rows, bool has_items)
{
    float items = 0;
    for (int i = first; i < first + rows; i++) items += b->y[i] >= 0;
    cr_assert_eq(wf_bind(t->p, "x", b->x[first], (size_t)rows * sizeof b->x[0]), WF_OK);
    cr_assert_eq(wf_bind(t->p, "y", b->y + first, (size_t)rows * sizeof *b->y), WF_OK);
    if (has_items) cr_assert_eq(wf_set(t->p, "items", items), WF_OK);
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
}

static void expect_parts_are_the_whole(const wf_optimizer *o, const void *parts_hyper,
                                       const void *whole_hyper, wf_minimize_options options,
                                       const batch *b)
{
    trial parts = begin(), whole = begin();
    classifier(&parts, PART, o, parts_hyper, options);
    bool has_items = options.accumulate > 0;
    options.accumulate = 0;
    classifier(&whole, ROWS, o, whole_hyper, options);
    for (int step = 0; step < 3; step++) {
        for (int k = 0; k < PARTS; k++) run_part(&parts, b, k * PART, PART, has_items);
        run_part(&whole, b, 0, ROWS, false);
    }
    const float *x = tensor(&parts, "hidden/w"), *y = tensor(&whole, "hidden/w");
    for (int e = 0; e < 40; e++) cr_expect_float_eq(x[e], y[e], 1e-6, "%s: %d", o->name, e);
    end(&parts);
    end(&whole);
}

Test(wrappers, unequal_batches_are_the_larger_batch_and_clipping_sees_their_mean)
{
    batch b;
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < 5; j++) b.x[i][j] = (float)sin(i * 5 + j);
        b.y[i] = i % PART >= 1 + i / 5 ? -1 : i % 3; /* from one to all labels of a part count */
    }
    wf_minimize_options options = {.accumulate = PARTS, .clip_norm = 0.05f};
    expect_parts_are_the_whole(&wf_sgd, NULL, NULL, options, &b);
    options.clip_norm = 0;
    options.clip_adaptive = 0.02f;
    expect_parts_are_the_whole(&wf_sgd, NULL, NULL, options, &b);
    for (int i = 0; i < ROWS; i++) b.y[i] = i % 3;
    wf_tiger_hyper whole = {.beta = 0.9f, .decay = 0.01f}, parts = whole;
    parts.accumulate = PARTS;
    expect_parts_are_the_whole(&wf_tiger, &parts, &whole, (wf_minimize_options){0}, &b);
}

Test(wrappers, updates_are_counted_not_runs)
{
    trial t;
    start_weighted(&t, &wf_adam, 3, (wf_minimize_options){0});
    for (int j = 0; j < 8; j++) run_weighted(&t, j);
    cr_expect_eq(*tensor(&t, "opt/adam/w/step"), 2);
    cr_expect_eq(*tensor(&t, "opt/accumulate/w/phase"), 2);
    cr_expect_eq(*tensor(&t, "opt/accumulate/w/items"), items_of(6) + items_of(7));
    end(&t);
}

Test(wrappers, a_window_without_items_is_a_gradient_of_zero)
{
    trial t;
    start_weighted(&t, &wf_sgd, 2, (wf_minimize_options){0});
    cr_assert_eq(wf_set(t.p, "items", 0), WF_OK);
    run(&t, 1);
    run(&t, 2);
    cr_expect_arr_eq(w_of(&t), start, sizeof start);
    end(&t);
}

/* A run that is not finite spoils its own window, if the optimizer lets it, not the sums after. */
Test(wrappers, a_sum_that_is_not_finite_is_gone_with_its_window)
{
    trial t;
    start_trial(&t, &wf_tiger, &(wf_tiger_hyper){.beta = 0.965f, .nonfinite = WF_SKIP_NAN_OR_INF},
                &(wf_minimize_options){.accumulate = 2});
    gradient(1, t.gradient);
    t.gradient[2] = INFINITY;
    cr_assert_eq(wf_run(t.p), WF_OK);
    for (int k = 2; k <= 4; k++) run(&t, k);
    for (int e = 0; e < 6; e++) {
        cr_expect(isfinite(w_of(&t)[e]), "w[%d] is %g", e, (double)w_of(&t)[e]);
        cr_expect_eq(tensor(&t, "opt/accumulate/w/sum")[e], 0);
    }
    cr_expect_eq(*tensor(&t, "opt/tiger/w/skipped"), 1);
    end(&t);
}

Test(wrappers, the_plan_counts_the_sum)
{
    size_t bytes[4];
    static const wf_minimize_options options[] = {
        {0}, {.accumulate = 4}, {.accumulate = 4, .lookahead = 5}, {.ema = 0.9f}};
    for (int i = 0; i < 4; i++) {
        trial t;
        start_trial(&t, &wf_adamw, NULL, &options[i]);
        bytes[i] = wf_program_get_stats(t.p).store_bytes;
        end(&t);
    }
    size_t tensor_bytes = sizeof start, one = sizeof(float);
    cr_expect_eq(bytes[1] - bytes[0], tensor_bytes + 2 * one, "sum, phase, items");
    cr_expect_eq(bytes[2] - bytes[1], tensor_bytes + one, "slow, phase");
    cr_expect_eq(bytes[3] - bytes[0], tensor_bytes + one, "average, share");
}

static const wf_minimize_options everything = {.accumulate = 3,
                                               .lookahead = 2,
                                               .ema = 0.9f,
                                               .ema_warmup = true,
                                               .ema_form = WF_EMA_FROM_START,
                                               .clip_value = 1,
                                               .clip_adaptive = 0.5f,
                                               .clip_tensor = 2,
                                               .clip_norm = 1};

static void run_scheduled(trial *t, int run_)
{
    wf_schedule s;
    cr_assert_eq(wf_schedule_read(&s, "cosine,warmup=2,total=7", 0, 0), WF_OK, "%s", wf_error());
    wf_set(t->p, "lr", (float)(0.01 * wf_schedule_at(&s, run_ / everything.accumulate)));
    run_weighted(t, run_);
}

Test(wrappers, a_run_continued_in_the_middle_of_a_window_gives_the_same_bits)
{
    const char *path = "wrappers-continued.safetensors";
    for (int i = 0; i < ALL; i++) {
        trial t, again = begin();
        start_weighted(&t, all[i], 3, everything);
        for (int j = 0; j < 8; j++) run_scheduled(&t, j);
        cr_assert_eq(wf_store_save(t.store, path, NULL), WF_OK, "%s", wf_error());
        end(&again);
        start_weighted(&again, all[i], 3, everything);
        cr_assert_eq(wf_store_load(again.store, path), WF_OK, "%s", wf_error());
        for (int j = 8; j < 20; j++) {
            run_scheduled(&t, j);
            run_scheduled(&again, j);
        }
        for (int k = 0; k < wf_store_count(t.store); k++) {
            const char *name = wf_store_name(t.store, k);
            wf_shape shape;
            const void *x = wf_store_data(t.store, name, NULL, &shape);
            cr_expect_arr_eq(tensor(&again, name), x, (size_t)wf_elements(&shape) * sizeof(float),
                             "%s: %s", all[i]->name, name);
        }
        remove(path);
        end(&t);
        end(&again);
    }
}

Test(wrappers, a_window_that_is_longer_than_k_ends_with_the_next_run)
{
    const char *path = "wrappers-shorter.safetensors";
    trial t, shorter, whole;
    start_weighted(&t, &wf_sgd, 5, (wf_minimize_options){0});
    for (int j = 0; j < 4; j++) run_weighted(&t, j);
    cr_assert_eq(wf_store_save(t.store, path, NULL), WF_OK);
    start_weighted(&shorter, &wf_sgd, 2, (wf_minimize_options){0});
    cr_assert_eq(wf_store_load(shorter.store, path), WF_OK);
    run_weighted(&shorter, 4);
    start_trial(&whole, &wf_sgd, NULL, NULL);
    window_gradient(0, 5, whole.gradient);
    cr_assert_eq(wf_run(whole.p), WF_OK);
    for (int e = 0; e < 6; e++) cr_expect_float_eq(w_of(&shorter)[e], w_of(&whole)[e], 1e-7);
    remove(path);
    end(&t);
    end(&shorter);
    end(&whole);
}

/* Wrappers count updates of an optimizer that accumulates by itself, too. */
Test(wrappers, tigers_own_windows_are_updates)
{
    wf_tiger_hyper h = {.beta = 0.9f, .decay = 0.01f}, parts_h = h;
    wf_minimize_options options = {.lookahead = 2, .ema = 0.5f};
    parts_h.accumulate = 3;
    trial parts, whole;
    start_trial(&parts, &wf_tiger, &parts_h, &options);
    start_trial(&whole, &wf_tiger, &h, &options);
    for (int i = 0; i < 6; i++) {
        double mean[6] = {0};
        for (int j = 3 * i; j < 3 * i + 3; j++) {
            run(&parts, j + 1);
            for (int e = 0; e < 6; e++) mean[e] += (double)parts.gradient[e] / 3;
        }
        for (int e = 0; e < 6; e++) whole.gradient[e] = (float)mean[e];
        cr_assert_eq(wf_run(whole.p), WF_OK);
        for (int e = 0; e < 6; e++) {
            cr_expect_float_eq(w_of(&parts)[e], w_of(&whole)[e], 1e-6, "window %d", i);
            cr_expect_float_eq(tensor(&parts, "opt/ema/w/average")[e],
                               tensor(&whole, "opt/ema/w/average")[e], 1e-6, "window %d", i);
        }
    }
    end(&parts);
    end(&whole);
}

/* ---- mistakes ---- */

static void expect_mistake(const wf_optimizer *o, const void *hyper,
                           const wf_minimize_options *options, const char *says)
{
    trial t = begin();
    wf_minimize(w_times_gradient(&t, (wf_role){0}), o, hyper, options);
    cr_expect_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_EMODEL, "%s", says);
    cr_expect(strstr(wf_error(), says), "'%s' does not say '%s'", wf_error(), says);
    end(&t);
}

Test(wrappers, impossible_options_are_refused)
{
    const struct {
        wf_minimize_options options;
        const char *says;
    } cases[] = {
        {{.accumulate = -1}, "accumulate and lookahead"},
        {{.accumulate = (1 << 24) + 1}, "accumulate and lookahead"},
        {{.lookahead = -2}, "accumulate and lookahead"},
        {{.lookahead = 2, .lookahead_alpha = 1.5f}, "lookahead_alpha"},
        {{.ema = 1}, "ema must lie"},
        {{.ema = NAN}, "ema must lie"},
        {{.clip_value = -1}, "clip_norm, _value"},
        {{.clip_adaptive = NAN}, "clip_norm, _value"},
        {{.groups = &(wf_param_group){.clip_tensor = -1}, .n_groups = 1}, "group 0: rate"},
        {{.groups = &(wf_param_group){.clip_tensor = 1, .no_clip = true}, .n_groups = 1},
         "contradicts no_clip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_mistake(&wf_sgd, NULL, &cases[i].options, cases[i].says);
    static const wf_tiger_hyper hidden = {.beta = 0.9f, .accumulate = 2};
    const wf_minimize_options clipping[] = {
        {.clip_norm = 1},
        {.clip_value = 1},
        {.clip_adaptive = 1},
        {.groups = &(wf_param_group){.clip_norm = 1}, .n_groups = 1}};
    for (size_t i = 0; i < sizeof clipping / sizeof *clipping; i++)
        expect_mistake(&wf_tiger, &hidden, &clipping[i], "tiger accumulates by itself");
    expect_mistake(&wf_tiger, &hidden, &(wf_minimize_options){.accumulate = 2},
                   "tiger accumulates by itself");
}

/* ---- clipping ---- */

enum { NORM, VALUE, TENSOR, ADAPTIVE };

/* Two parameters; the gradient of the first has this element, the second's are ones. */
static void clipped(int how, float bad, float a[6], float b[2])
{
    static const wf_minimize_options ways[] = {
        {.clip_norm = 1}, {.clip_value = .5f}, {.clip_tensor = 1}, {.clip_adaptive = .01f}};
    trial t = begin();
    wf_node *v = wf_param(t.g, "v", WF_SHAPE(2), (wf_role){0}, (wf_init){0});
    wf_node *loss = wf_add(w_times_gradient(&t, (wf_role){0}), wf_sum(v, WF_ALL, false));
    wf_minimize(loss, &wf_sgd, NULL, &ways[how]);
    compile(&t, 1);
    gradient(1, t.gradient);
    t.gradient[4] = bad;
    cr_assert_eq(wf_run(t.p), WF_OK);
    memcpy(a, w_of(&t), 6 * sizeof *a);
    memcpy(b, tensor(&t, "v"), 2 * sizeof *b);
    end(&t);
}

/* As PyTorch: a norm of NaN makes NaN of all that it scales, one of infinity zeros and NaN. */
Test(wrappers, what_clipping_makes_of_numbers_that_are_not_finite)
{
    float a[6], b[2];
    clipped(NORM, NAN, a, b);
    cr_expect(isnan(a[0]) && isnan(a[4]) && isnan(b[0]), "all are scaled by NaN");
    clipped(NORM, INFINITY, a, b);
    cr_expect(a[0] == start[0] && isnan(a[4]) && b[0] == 0, "all are scaled by 0");
    clipped(TENSOR, NAN, a, b);
    cr_expect(isnan(a[0]) && isnan(a[4]) && b[0] < -0.7f, "this tensor is scaled by NaN");
    clipped(TENSOR, INFINITY, a, b);
    cr_expect(a[0] == start[0] && isnan(a[4]) && b[0] < -0.7f, "this tensor is scaled by 0");
    clipped(VALUE, NAN, a, b);
    cr_expect(a[0] != start[0] && isfinite(a[0]) && isnan(a[4]) && b[0] == -0.5f, "element");
    clipped(VALUE, -INFINITY, a, b);
    cr_expect(isfinite(a[0]) && a[4] == start[4] + 0.5f, "infinity is clamped");
    clipped(ADAPTIVE, NAN, a, b);
    cr_expect(isnan(a[1]) && isnan(a[4]) && isfinite(a[0]) && isfinite(b[0]), "a unit");
    clipped(ADAPTIVE, INFINITY, a, b);
    cr_expect(a[1] == start[1] && isnan(a[4]) && isfinite(a[0]), "a unit is scaled by 0");
    cr_expect_float_eq(b[0], -0.01f * 1e-3f / sqrtf(2), 1e-9, "weights of zero count as 1e-3");
}

Test(wrappers, several_ways_to_clip_go_one_after_the_other)
{
    trial t;
    start_trial(&t, &wf_sgd, NULL, &(wf_minimize_options){.clip_value = .5f, .clip_tensor = .6f});
    run(&t, 1);
    double norm = 0, g[6];
    for (int e = 0; e < 6; e++) {
        g[e] = fmax(-.5, fmin(.5, (double)t.gradient[e]));
        norm += g[e] * g[e];
    }
    for (int e = 0; e < 6; e++)
        cr_expect_float_eq((double)w_of(&t)[e], (double)start[e] - .01 * g[e] * .6 / sqrt(norm),
                           1e-7);
    end(&t);
}

/* ---- Lookahead and averages ---- */

/* bert4keras begins with zeros: its first return multiplies the weights by alpha. */
Test(wrappers, weights_that_do_not_move_stay_under_lookahead)
{
    trial t;
    start_trial(&t, &wf_sgd, NULL, &(wf_minimize_options){.lookahead = 3, .ema = 0.99f});
    for (int k = 0; k < 7; k++) {
        cr_assert_eq(wf_run(t.p), WF_OK); /* the gradient is zero */
        cr_expect_arr_eq(w_of(&t), start, sizeof start, "update %d", k);
        for (int e = 0; e < 6; e++)
            cr_expect_float_eq(tensor(&t, "opt/ema/w/average")[e], start[e], 1e-6, "update %d", k);
    }
    end(&t);
}

Test(wrappers, the_first_debiased_average_is_the_weight)
{
    trial t;
    start_trial(&t, &wf_adam, NULL, &(wf_minimize_options){.ema = 0.9999f});
    run(&t, 1);
    cr_expect_arr_eq(tensor(&t, "opt/ema/w/average"), w_of(&t), sizeof start);
    end(&t);
}

/* Another program over the same store: w, what loss it has, by weights or by their averages. */
static const float *evaluated(trial *t, bool averages)
{
    wf_program_free(t->p);
    wf_compile_options o = {.forward_only = true, .averages = averages};
    cr_assert_eq(wf_compile(&t->p, t->g, t->store, t->rt, &o), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
    return wf_read(t->p, "shown", NULL);
}

static void start_shown(trial *t, float ema)
{
    *t = begin();
    wf_node *loss = w_times_gradient(t, (wf_role){0});
    wf_node *rest = wf_param(t->g, "rest", WF_SHAPE(6), (wf_role){0},
                             (wf_init){.kind = WF_INIT_CONSTANT, .a = 7});
    wf_node *w = wf_param(t->g, "w", WF_SHAPE(2, 3), (wf_role){0}, (wf_init){0});
    wf_node *parts[] = {wf_reshape(w, WF_SHAPE(6)), rest};
    wf_output(wf_concat(2, parts, 0), "shown");
    wf_output(w, "bare");
    wf_minimize(
        wf_add(loss, wf_sum(wf_mul(rest, rest), WF_ALL, false)), &wf_sgd, NULL,
        &(wf_minimize_options){.ema = ema,
                               .groups = &(wf_param_group){.pattern = "rest", .frozen = true},
                               .n_groups = 1});
    compile(t, .1f);
}

Test(wrappers, evaluation_reads_the_averages)
{
    trial t;
    start_shown(&t, 0.9f);
    const float *x = evaluated(&t, true);
    cr_expect_arr_eq(x, start, sizeof start, "before the first update there is no average");
    wf_program_free(t.p);
    compile(&t, .1f);
    for (int k = 1; k <= STEPS; k++) run(&t, k);
    x = evaluated(&t, true);
    cr_expect_arr_eq(x, tensor(&t, "opt/ema/w/average"), sizeof start);
    cr_expect_eq(x[6], 7, "what is frozen has no average");
    cr_expect_arr_eq(wf_read(t.p, "bare", NULL), x, sizeof start);
    cr_expect_arr_neq(x, w_of(&t), sizeof start);
    x = evaluated(&t, false);
    cr_expect_arr_eq(x, w_of(&t), sizeof start);
    cr_expect_null(wf_store_data(t.store, "opt/ema/rest/average", NULL, NULL));
    end(&t);
}

Test(wrappers, averages_that_nobody_keeps_are_a_mistake)
{
    trial t;
    start_shown(&t, 0);
    wf_program *p;
    cr_expect_eq(wf_compile(&p, t.g, t.store, t.rt,
                            &(wf_compile_options){.forward_only = true, .averages = true}),
                 WF_EMODEL);
    cr_expect(strstr(wf_error(), "no wf_minimize of the graph keeps any"), "%s", wf_error());
    end(&t);
}

/* Two requests over one store: each has counts of its own. */
Test(wrappers, two_requests_do_not_share_their_windows)
{
    trial t = begin();
    wf_node *g = wf_input(t.g, "gradient", WF_F32, WF_SHAPE(6));
    static const char *const names[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        wf_node *x = wf_param(t.g, names[i], WF_SHAPE(6), (wf_role){0}, (wf_init){0});
        wf_minimize(wf_sum(wf_mul(x, g), WF_ALL, false), &wf_sgd, NULL,
                    &(wf_minimize_options){.accumulate = 2 + i, .ema = 0.5f});
    }
    compile(&t, 1);
    for (int k = 1; k <= 2; k++) run(&t, k);
    for (int e = 0; e < 6; e++) {
        cr_expect_neq(tensor(&t, "a")[e], 0);
        cr_expect_eq(tensor(&t, "b")[e], 0);
    }
    end(&t);
}

/* The update of an embedding that moves rows in place still leaves an average of all rows. */
Test(wrappers, rows_that_move_in_place_are_averaged)
{
    trial t = begin();
    static const int32_t ids[] = {1};
    wf_node *table = wf_param(t.g, "table", WF_SHAPE(3, 2), (wf_role){.kind = WF_EMBEDDING},
                              (wf_init){.kind = WF_INIT_CONSTANT, .a = 1});
    wf_node *row = wf_gather(table, wf_constants_i32(t.g, WF_SHAPE(1), ids));
    wf_minimize(wf_sum(row, WF_ALL, false), &wf_sgd, NULL, &(wf_minimize_options){.ema = 0.5f});
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_set(t.p, "lr", 0.25f), WF_OK);
    for (int k = 0; k < 2; k++) cr_assert_eq(wf_run(t.p), WF_OK);
    static const float now[] = {1, 1, .5f, .5f, 1, 1};
    cr_expect_arr_eq(tensor(&t, "table"), now, sizeof now);
    const float want = (.75f + 2 * .5f) / 3, *e = tensor(&t, "opt/ema/table/average");
    for (int i = 0; i < 6; i++)
        cr_expect_float_eq(e[i], i / 2 == 1 ? want : 1, 1e-6, "%d: %g", i, (double)e[i]);
    end(&t);
}

Test(wrappers, threads_and_odd_sizes_change_no_bit)
{
    static const int64_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 67, 40000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        float *w[2];
        trial t[2];
        for (int k = 0; k < 2; k++) {
            t[k] = (trial){.g = wf_graph_new(), .store = wf_store_new(3)};
            t[k].rt = wf_runtime_new(&(wf_runtime_options){.threads = 1 + k, .no_pinning = true});
            wf_node *x = wf_param(t[k].g, "w", WF_SHAPE(sizes[i]), (wf_role){0},
                                  (wf_init){.kind = WF_INIT_NORMAL, .a = 1});
            wf_minimize(wf_sum(wf_sin(x), WF_ALL, false), &wf_adamw, NULL, &everything);
            cr_assert_eq(wf_compile(&t[k].p, t[k].g, t[k].store, t[k].rt, NULL), WF_OK);
            cr_assert_eq(wf_set(t[k].p, "lr", 0.1f), WF_OK);
            for (int r = 0; r < 9; r++) cr_assert_eq(wf_run(t[k].p), WF_OK);
            w[k] = tensor(&t[k], "opt/ema/w/average");
        }
        cr_expect_arr_eq(w[0], w[1], (size_t)sizes[i] * sizeof(float), "%d", (int)sizes[i]);
        for (int k = 0; k < 2; k++) end(&t[k]);
    }
}
