/* The loop of training, on a task of its own: one number that follows a target. */
#define _GNU_SOURCE
#include "models/checkpoint.h"
#include "models/loop.h"
#include "tests/scratch.h"

#include <math.h>
#include <unistd.h>

TestSuite(loop, .init = make_folder, .fini = remove_folder, .timeout = 60);

typedef struct options {
    wf_loop_options loop;
    int64_t width;
} options;

static const wf_arg args[] = {
    {"width", WF_ARG_INT, offsetof(options, width), "3", "N", 1, 9, 0, true, "A width"}};

/* A task, and what the loop asked of it. */
typedef struct fake {
    options o;
    wf_command command;
    wf_task task;
    wf_loop loop;
    wf_graph *g;
    wf_store *store, *checkpoint;
    wf_runtime *rt;
    const float *losses;    /* of steps, or batches: the target is such that they come out */
    const double *measured; /* of evaluations */
    float target;
    int n_saved, n_best, n_checked, n_batches;
    int64_t best_at[20];
} fake;

static double rate(void *driver, int64_t step)
{
    (void)driver, (void)step;
    return 0;
}

static bool next(void *driver, wf_batch *b)
{
    fake *f = driver;
    int64_t i = f->task.accumulate > 1 ? f->n_batches++ : f->loop.step;
    f->target = f->losses ? f->losses[i] : 1;
    *b = (wf_batch){.items = 4, .weight = 4, .epoch = 1, .position = 4 * i};
    return true;
}

static bool evaluate(void *driver, double value[])
{
    fake *f = driver;
    value[0] = f->measured ? f->measured[f->loop.step] : 1;
    value[1] = 1 - value[0] / 100;
    return true;
}

static bool save(void *driver)
{
    fake *f = driver;
    f->n_saved++;
    return wf_loop_save(&f->loop, f->checkpoint) == WF_OK;
}

static bool save_best(void *driver)
{
    fake *f = driver;
    f->best_at[f->n_best++] = f->loop.step;
    return true;
}

static wf_status check(void *driver)
{
    fake *f = driver;
    f->n_checked++;
    return wf_program_check(f->task.train);
}

static void start_loop(fake *f)
{
    cr_assert(wf_loop_start(&f->loop, &f->task, &f->o.loop));
}

/* Evaluates after every step; nothing else is as the options say by default. */
static void start_with(fake *f, int64_t steps, int accumulate)
{
    *f = (fake){.command = {.name = "fake",
                            .groups = {{args, 1, 0}, wf_loop_arg_group(offsetof(options, loop))}}};
    cr_assert(wf_args_defaults(&f->command, &f->o));
    f->o.loop.steps = steps;
    f->o.loop.eval_every = f->o.loop.show_every = 1;
    f->g = wf_graph_new();
    f->store = wf_store_new(1);
    f->checkpoint = wf_store_new(1);
    f->rt = wf_runtime_new(&(wf_runtime_options){.threads = 1, .no_pinning = true});
    f->task = (wf_task){.command = &f->command,
                        .options = &f->o,
                        .title = "a number",
                        .items = "images",
                        .metrics = {{"loss", false, false}, {"share", true, true}},
                        .n_metrics = 2,
                        .driver = f,
                        .accumulate = accumulate,
                        .rate = rate,
                        .next = next,
                        .evaluate = evaluate,
                        .save = save,
                        .save_best = save_best,
                        .check = check};
    wf_node *w = wf_param(f->g, "w", WF_SCALAR, (wf_role){0}, (wf_init){0});
    wf_node *loss = wf_add(wf_input(f->g, "target", WF_F32, WF_SCALAR), wf_square(w));
    wf_minimize_options how = {.skip_nonfinite = true, .accumulate = accumulate};
    if (accumulate > 1) how.items = wf_input(f->g, "items", WF_F32, WF_SCALAR);
    wf_minimize(wf_output(loss, "loss"), &wf_sgd, NULL, &how);
    cr_assert_eq(wf_compile(&f->task.train, f->g, f->store, f->rt, NULL), WF_OK, "%s", wf_error());
    wf_bind(f->task.train, "target", &f->target, sizeof f->target);
    start_loop(f);
}

static void start(fake *f, int64_t steps)
{
    start_with(f, steps, 0);
}

static void end(fake *f)
{
    wf_program_free(f->task.train);
    wf_store_free(f->store);
    wf_store_free(f->checkpoint);
    wf_runtime_free(f->rt);
    wf_graph_free(f->g);
}

/* What was printed to stdout and stderr while the loop ran; true if it ended well. */
static bool run(fake *f, char text[4096])
{
    fflush(NULL);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    FILE *into = tmpfile();
    cr_assert(into && out >= 0 && err >= 0);
    dup2(fileno(into), STDOUT_FILENO);
    dup2(fileno(into), STDERR_FILENO);
    bool ok = wf_loop_open(&f->loop) && wf_loop_run(&f->loop) && wf_loop_close(&f->loop);
    if (!ok) wf_loop_close(&f->loop);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    rewind(into);
    text[fread(text, 1, 4095, into)] = 0;
    fclose(into);
    return ok;
}

static void expect_says(const char *text, const char *says)
{
    cr_expect(strstr(text, says), "no '%s' in: %s", says, text);
}

Test(loop, it_tells_what_the_task_measures)
{
    static char text[4096];
    fake f;
    start(&f, 3);
    cr_expect(run(&f, text), "%s", text);
    expect_says(text, "step 0  held-out loss 1.0000  share 99.00 %\n");
    expect_says(text, "step 2/3  loss 1.0000  "); /* it has no hits, so no accuracy */
    expect_says(text, " images/s  0s left\n");
    cr_expect(!strstr(text, "accuracy"), "%s", text);
    cr_expect_eq(f.n_saved, 1);
    end(&f);
}

/* Evaluations 1, 2, ... after the one before training, which is better than all and does not count.
 */
Test(loop, patience_counts_evaluations_without_an_improvement)
{
    static const double course[] = {1, 9, 8, 7.6, 7.3, 7.2, 8, 3, 3, 3, 3};
    static const struct {
        int64_t patience;
        double delta;
        const char *best;
        int64_t ends, n_best, best_step;
    } cases[] = {
        {0, 0, "loss", 10, 6, 7},  /* never early; 1 2 3 4 5 7 */
        {1, 0, "loss", 6, 5, 5},   /* 8 is no better than 7.2 */
        {2, 0, "loss", 9, 6, 7},   /* 3 3 are no better than 3 */
        {2, 0.5, "loss", 6, 5, 5}, /* 7.3 is better than 8 by enough, 7.2 and 8 are not */
        {3, 0.9, "loss", 5, 5, 5}, /* 8 is better than 9, 7.6 7.3 7.2 are not by enough */
        {2, 0, "share", 9, 6, 7},  /* rises where the loss falls */
        {2, 0, "none", 9, 0, 7},
    };
    static char text[4096];
    for (size_t i = 0; i < COUNT(cases); i++) {
        fake f;
        start(&f, 10);
        f.measured = course;
        f.o.loop.patience = cases[i].patience;
        f.o.loop.min_delta = cases[i].delta;
        f.o.loop.best = cases[i].best;
        start_loop(&f);
        cr_expect(run(&f, text), "%s", text);
        cr_expect_eq(f.loop.step, cases[i].ends, "case %zu ends after %lld", i,
                     (long long)f.loop.step);
        cr_expect_eq(f.n_best, cases[i].n_best, "case %zu: %d times the best", i, f.n_best);
        cr_expect_eq(f.loop.best_step, cases[i].best_step, "case %zu: %lld", i,
                     (long long)f.loop.best_step);
        bool is_early = f.loop.step < 10;
        cr_expect(!strstr(text, "ends early") == !is_early, "case %zu: %s", i, text);
        cr_expect_eq(f.n_saved, 1, "the last step is saved");
        end(&f);
    }
}

/* Stopped after any step: the evaluations without an improvement and the best one go on. */
Test(loop, a_resumed_run_ends_where_the_other_did)
{
    static const double course[] = {1, 9, 8, 7.6, 7.3, 7.2, 8, 9, 9, 9, 9};
    static char text[4096];
    for (int64_t stop = 1; stop < 9; stop++) {
        fake f;
        start(&f, stop);
        f.measured = course;
        f.o.loop.patience = 3;
        start_loop(&f);
        cr_expect(run(&f, text), "%s", text);
        f.o.loop.steps = 10;
        start_loop(&f);
        wf_loop_load(&f.loop, f.checkpoint);
        cr_expect_eq(f.loop.step, stop < 8 ? stop : 8);
        f.n_saved = 0;
        cr_expect(run(&f, text), "%s", text);
        cr_expect_eq(f.loop.step, 8, "stopped after %lld, ended after %lld", (long long)stop,
                     (long long)f.loop.step);
        cr_expect_eq(f.loop.best_step, 5);
        cr_expect_eq(f.loop.stale, 3);
        end(&f);
    }
}

Test(loop, another_metric_starts_anew)
{
    static char text[4096];
    fake f;
    start(&f, 2);
    cr_expect(run(&f, text), "%s", text);
    f.o.loop.best = "share";
    start_loop(&f);
    wf_loop_load(&f.loop, f.checkpoint);
    cr_expect_eq(f.loop.step, 2);
    cr_expect_eq(f.loop.best_step, -1);
    end(&f);
}

/* ---- spikes ---- */

Test(loop, a_loss_that_jumps_is_reported_with_its_place)
{
    enum { N = 140 };
    static char text[4096], log[1 << 16];
    float losses[N];
    for (int i = 0; i < N; i++)
        losses[i] = 4 + 0.1f * (float)(i % 5); /* median 4.2, deviations .1 */
    losses[30] = 50;                           /* too early to tell */
    losses[100] = 5.6f;                        /* 9.4 deviations of 0.14826 */
    losses[110] = 5.8f;                        /* 10.8 */
    losses[111] = -90;                         /* downwards is fine */
    fake f;
    start(&f, N);
    f.losses = losses;
    f.o.loop.eval_every = f.o.loop.show_every = N;
    f.o.loop.log = in_folder("log.jsonl");
    start_loop(&f);
    cr_expect(run(&f, text), "%s", text);
    expect_says(text,
                "step 111  loss 5.8000 is 10.8 deviations above the median 4.2000 of late; the "
                "batch is at epoch 1, position 440 of the data\n");
    cr_expect(!strstr(strstr(text, "deviations") + 1, "deviations"), "once: %s", text);
    FILE *file = fopen(f.o.loop.log, "rb");
    log[fread(log, 1, sizeof log - 1, file)] = 0;
    fclose(file);
    expect_says(log, "{\"event\": \"spike\", \"step\": 111, \"loss\": 5.8, \"median\": 4.2, "
                     "\"deviations\": 10.79, \"epoch\": 1, \"position\": 440}\n");
    expect_says(log, "{\"event\": \"configuration\", \"command\": \"fake\", \"options\": { "
                     "\"width\": 3}}\n");
    f.o.loop.spike = 0;
    start_loop(&f);
    cr_expect(run(&f, text) && !strstr(text, "deviations"), "%s", text);
    end(&f);
}

Test(loop, losses_before_a_break_count_after_it)
{
    enum { N = 70 };
    static char text[4096];
    float losses[N + 1];
    for (int i = 0; i < N; i++) losses[i] = 4;
    losses[N - 1] = 9;
    fake f;
    start(&f, 40);
    f.losses = losses;
    f.o.loop.eval_every = f.o.loop.show_every = N;
    cr_expect(run(&f, text), "%s", text);
    f.o.loop.steps = N;
    start_loop(&f);
    wf_loop_load(&f.loop, f.checkpoint);
    cr_expect(run(&f, text), "%s", text);
    expect_says(text, "step 70  loss 9.0000 is 125.0 deviations above"); /* of 1 % of 4 */
    end(&f);
}

Test(loop, a_step_of_several_batches_that_jumps_tells_its_first_one)
{
    enum { STEPS = WF_SPIKE_WINDOW + 1 };
    static char text[4096];
    float losses[2 * STEPS];
    for (int i = 0; i < 2 * STEPS; i++) losses[i] = i < 2 * STEPS - 2 ? 4 : 9;
    fake f;
    start_with(&f, STEPS, 2);
    f.losses = losses;
    f.o.loop.eval_every = f.o.loop.show_every = STEPS;
    cr_expect(run(&f, text), "%s", text);
    expect_says(text, "of late; its first batch is at epoch 1, position 512 of the data\n");
    end(&f);
}

/* ---- steps that are not finite ---- */

Test(loop, bad_steps_are_skipped_up_to_a_limit_and_named_then)
{
    static const float losses[] = {1, NAN, 1, INFINITY, NAN, 1, NAN, INFINITY, NAN, 1};
    static char text[4096];
    fake f;
    start(&f, 9);
    f.losses = losses;
    f.o.loop.nonfinite = WF_STEP_SKIP;
    f.o.loop.nonfinite_limit = 4;
    start_loop(&f);
    cr_expect(run(&f, text), "%s", text);
    cr_expect_eq(f.loop.skipped, 6);
    expect_says(text,
                "step 5  the loss is not finite: no update, 2 of at most 4 in a row; the batch "
                "is at epoch 1, position 16 of the data\n");
    cr_expect_eq(f.loop.losses.n, 3, "only finite ones are drawn");
    f.o.loop.nonfinite_limit = 3;
    start_loop(&f);
    cr_expect(!run(&f, text));
    cr_expect_eq(f.loop.step, 9);
    cr_expect_eq(f.n_checked, 1);
    expect_says(text, "fake: step 9: input target: 1 of 1 values is not finite, the first is nan; "
                      "nothing was saved");
    f.o.loop.nonfinite = WF_STEP_STOP;
    start_loop(&f);
    cr_expect(!run(&f, text));
    cr_expect_eq(f.loop.step, 2);
    expect_says(text, "fake: step 2: input target");
    f.o.loop.nonfinite = WF_STEP_OFF;
    start_loop(&f);
    cr_expect(!run(&f, text));
    expect_says(text, "fake: step 2: the loss is not a number; nothing was saved");
    end(&f);
}

Test(loop, bad_steps_in_a_row_go_on_after_a_break)
{
    static const float losses[] = {1, NAN, NAN, NAN, NAN};
    static char text[4096];
    fake f;
    start(&f, 3);
    f.losses = losses;
    f.o.loop.nonfinite = WF_STEP_SKIP;
    f.o.loop.nonfinite_limit = 4;
    start_loop(&f);
    cr_expect(run(&f, text), "%s", text);
    f.o.loop.steps = 5;
    start_loop(&f);
    wf_loop_load(&f.loop, f.checkpoint);
    cr_expect(!run(&f, text));
    cr_expect_eq(f.loop.step, 5);
    expect_says(text, "fake: step 5: input target");
    expect_says(text, "the checkpoint of step 3 stays");
    end(&f);
}

Test(loop, another_batch_takes_the_place_of_a_bad_one_among_several)
{
    static const float losses[] = {1, NAN, 2, 3, 5};
    static char text[4096];
    fake f;
    start_with(&f, 2, 2);
    f.losses = losses;
    f.o.loop.nonfinite = WF_STEP_SKIP;
    start_loop(&f);
    cr_expect(run(&f, text), "%s", text);
    cr_expect_eq(f.loop.step, 2);
    cr_expect_eq(f.n_batches, 5);
    cr_expect_eq(f.loop.skipped, 1);
    cr_expect_eq(f.loop.losses.n, 2);
    expect_says(text, "step 1/2  loss 1.5000");
    expect_says(text, "step 2/2  loss 4.0000");
    end(&f);
}

Test(loop, weights_are_lent_with_their_averages)
{
    wf_store *s = wf_store_new(0), *of = wf_store_new(0), *averages = wf_store_new(0);
    const float x[2] = {1, 2}, share = 1;
    const char *average = "opt/ema/w/average";
    wf_store_put(s, "w", WF_F32, WF_SHAPE(2), x);
    wf_store_put(s, average, WF_F32, WF_SHAPE(2), x);
    wf_store_put(s, "opt/ema/w/share", WF_F32, (wf_shape){0}, &share);
    cr_expect_eq(wf_weights_lend(of, s, false), WF_OK);
    cr_expect_eq(wf_weights_lend(averages, s, true), WF_OK);
    cr_expect(wf_store_count(of) == 1 && wf_store_count(averages) == 1);
    cr_expect_eq(wf_store_data(of, "w", NULL, NULL), wf_store_data(s, "w", NULL, NULL));
    cr_expect_eq(wf_store_data(averages, "w", NULL, NULL), wf_store_data(s, average, NULL, NULL));
    wf_store_free(averages);
    wf_store_free(of);
    wf_store_free(s);
}
