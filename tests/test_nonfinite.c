/* Steps that are not finite: they are skipped as wholes, and the op that they came from is named.
 */
#define _GNU_SOURCE
#include "optim_trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(nonfinite, .timeout = 60);

/* ---- skipping ---- */

/* All bytes of a store's tensors; the caller frees them. */
static char *bytes_of(const wf_store *s, size_t *size)
{
    char *all = NULL;
    *size = 0;
    for (int i = 0; i < wf_store_count(s); i++) {
        wf_dtype dtype;
        wf_shape shape;
        const char *data = wf_store_data(s, wf_store_name(s, i), &dtype, &shape);
        size_t n = (size_t)wf_elements(&shape) * wf_dtype_bytes(dtype);
        all = realloc(all, *size + n);
        memcpy(all + *size, data, n);
        *size += n;
    }
    return all;
}

static bool is_same(const wf_store *a, const wf_store *b)
{
    bool same = wf_store_count(a) == wf_store_count(b);
    for (int i = 0; i < wf_store_count(a) && same; i++) {
        wf_dtype dtype;
        wf_shape shape;
        const char *name = wf_store_name(a, i);
        const void *x = wf_store_data(a, name, &dtype, &shape),
                   *y = wf_store_data(b, name, NULL, NULL);
        same = y && !memcmp(x, y, (size_t)wf_elements(&shape) * wf_dtype_bytes(dtype));
    }
    return same;
}

static void begin_with(trial *t, const wf_optimizer *o, const void *hyper,
                       wf_minimize_options options)
{
    *t = begin();
    if (options.accumulate > 1) options.items = wf_input(t->g, "items", WF_F32, WF_SCALAR);
    wf_minimize(w_times_gradient(t, (wf_role){0}), o, hyper, &options);
    compile(t, 0.01f);
}

static void run_of_items(trial *t, int step, bool has_items)
{
    if (has_items) cr_assert_eq(wf_set(t->p, "items", (float)(1 + step % 3)), WF_OK);
    run(t, step);
}

/* A run that is bad changes nothing, neither at once nor later. */
static void expect_skips(const wf_optimizer *o, const void *hyper, wf_minimize_options options,
                         const char *what)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const bool has_items = options.accumulate > 1;
    trial t, u;
    begin_with(&u, o, hyper, options);
    options.skip_nonfinite = true;
    begin_with(&t, o, hyper, options);
    for (int step = 1; step <= 2 * STEPS; step++) {
        size_t n, m;
        run_of_items(&t, step, has_items);
        run_of_items(&u, step, has_items);
        cr_expect_eq(wf_scalar(t.p, "nonfinite"), 0, "%s, %s", o->name, what);
        cr_expect(is_same(t.store, u.store), "%s, %s: step %d has other bits", o->name, what, step);
        char *x = bytes_of(t.store, &n);
        if (has_items) wf_set(t.p, "items", 5);
        t.gradient[step % 6] = bad[step % 3];
        cr_assert_eq(wf_run(t.p), WF_OK);
        cr_expect(isnan(wf_scalar(t.p, "nonfinite")), "%s, %s", o->name, what);
        char *y = bytes_of(t.store, &m);
        cr_expect(n == m && !memcmp(x, y, n), "%s, %s: a bad run after step %d changed bits",
                  o->name, what, step);
        free(x);
        free(y);
    }
    end(&t);
    end(&u);
}

/* Counters of steps are among the states: a step that was skipped never was. In a window of three
 * runs, bad ones come before its first, second and third. */
Test(nonfinite, a_skipped_run_leaves_all_bits_and_counts_for_nothing)
{
    static const struct {
        wf_minimize_options options;
        const char *what;
    } ways[] = {
        {{0}, "alone"},
        {{.clip_norm = 1}, "clipped"},
        {{.accumulate = 3}, "accumulated"},
        {{.accumulate = 3,
          .clip_value = 1,
          .clip_adaptive = 0.5f,
          .clip_tensor = 2,
          .clip_norm = 1,
          .lookahead = 2,
          .ema = 0.9f,
          .ema_warmup = true},
         "accumulated, clipped, with Lookahead and averages"},
    };
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++)
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++)
            expect_skips(o, NULL, ways[k].options, ways[k].what);
    const wf_tiger_hyper own = {.beta = 0.9f, .decay = 0.01f, .accumulate = 3};
    expect_skips(&wf_tiger, &own, (wf_minimize_options){0}, "windows of its own");
    expect_skips(&wf_tiger, &own, (wf_minimize_options){.lookahead = 2, .ema = 0.9f},
                 "windows of its own, with Lookahead and averages");
}

/* Large gradients whose squares, and whose sum, are beyond the largest float are finite still. */
Test(nonfinite, large_gradients_are_finite)
{
    trial t;
    begin_with(&t, &wf_sgd, NULL, (wf_minimize_options){.skip_nonfinite = true});
    for (int i = 0; i < 6; i++) t.gradient[i] = 3e38f;
    wf_store_put(t.store, "w", WF_F32, WF_SHAPE(2, 3), (const float[6]){0});
    cr_assert_eq(wf_run(t.p), WF_OK);
    cr_expect_eq(wf_scalar(t.p, "nonfinite"), 0);
    end(&t);
}

Test(nonfinite, a_loss_alone_skips_too_and_two_requests_tell_as_one)
{
    float a = 1, b = 1;
    trial t = begin();
    const char *names[] = {"v", "w"}, *inputs[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        wf_node *w = wf_param(t.g, names[i], WF_SCALAR, (wf_role){0}, (wf_init){0});
        wf_node *loss =
            wf_add(wf_square(wf_shift(w, 1)), wf_input(t.g, inputs[i], WF_F32, WF_SCALAR));
        wf_minimize(loss, &wf_sgd, NULL, &(wf_minimize_options){.skip_nonfinite = true});
    }
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    wf_bind(t.p, "a", &a, 4);
    wf_bind(t.p, "b", &b, 4);
    wf_set(t.p, "lr", 0.25f);
    b = INFINITY;
    cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
    cr_expect(isnan(wf_scalar(t.p, "nonfinite")));
    cr_expect_eq(*(float *)wf_store_data(t.store, "v", NULL, NULL), -0.5f, "its loss was finite");
    cr_expect_eq(*(float *)wf_store_data(t.store, "w", NULL, NULL), 0.0f);
    end(&t);
}

/* Loss, gradients and update are finite in float32; as f16, or with a rate of 3e38, the row that is
 * stored is not. Batches that do not name it would train on. */
Test(nonfinite, weights_that_overflowed_when_they_were_stored_are_trained_no_further)
{
    static const float rates[] = {1e5f, 3e38f};
    for (int k = 0; k < 2; k++) {
        trial t = begin();
        wf_role role = {.kind = WF_EMBEDDING};
        wf_init ones = {.kind = WF_INIT_CONSTANT, .a = -2};
        wf_node *table = wf_param(t.g, "table", WF_SHAPE(4, 2), role, ones);
        wf_node *rows = wf_gather(table, wf_input(t.g, "ids", WF_I32, WF_SHAPE(1)));
        wf_node *loss = wf_output(wf_sum(wf_square(rows), WF_ALL, false), "loss");
        wf_minimize(loss, &wf_sgd, NULL, &(wf_minimize_options){.skip_nonfinite = true});
        wf_compile_options how = {.weights = k ? WF_F32 : WF_F16};
        cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, &how), WF_OK, "%s", wf_error());
        int32_t id = 3;
        wf_bind(t.p, "ids", &id, sizeof id);
        wf_set(t.p, "lr", rates[k]);
        cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
        cr_expect_eq(wf_scalar(t.p, "nonfinite"), 0);
        size_t n, m;
        char *x = bytes_of(t.store, &n);
        id = 1;
        wf_set(t.p, "lr", 0.1f);
        cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
        cr_expect_eq(wf_scalar(t.p, "loss"), 8);
        cr_expect(isnan(wf_scalar(t.p, "nonfinite")), "%d: not seen", k);
        char *y = bytes_of(t.store, &m);
        cr_expect(n == m && !memcmp(x, y, n), "%d: it trained on", k);
        cr_expect_eq(wf_program_check(t.p), WF_ENONFINITE, "%s", wf_error());
        cr_expect(strstr(wf_error(), "param table: 2 of 8 values are not finite, the first is inf"),
                  "%s", wf_error());
        free(x);
        free(y);
        end(&t);
    }
}

/* ---- naming ---- */

typedef struct tower {
    trial t;
    float x[6];
} tower;

/* exp(scale(x w)) inside a scope, then a mean that is trained. */
static void build(tower *k, bool is_plain, float factor)
{
    k->t = begin();
    wf_graph *g = k->t.g;
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(2, 3));
    wf_node *w =
        wf_param(g, "w", WF_SHAPE(3), (wf_role){0}, (wf_init){.kind = WF_INIT_CONSTANT, .a = 1});
    wf_push(g, "tower");
    wf_node *y = wf_exp(wf_scale(wf_mul(x, w), factor));
    wf_pop(g);
    wf_node *loss = wf_output(wf_mean(wf_sqrt(wf_shift(y, 1)), WF_ALL, false), "loss");
    wf_minimize(loss, &wf_sgd, NULL, NULL);
    for (int i = 0; i < 6; i++) k->x[i] = (float)i;
    wf_compile_options how = {.plain = is_plain};
    cr_assert_eq(wf_compile(&k->t.p, g, k->t.store, k->t.rt, &how), WF_OK, "%s", wf_error());
    wf_bind(k->t.p, "x", k->x, sizeof k->x);
    wf_set(k->t.p, "lr", 0.01f);
}

static void expect_check(tower *k, const char *says)
{
    size_t n, m;
    char *before = bytes_of(k->t.store, &n);
    cr_expect_eq(wf_program_check(k->t.p), says ? WF_ENONFINITE : WF_OK, "%s", wf_error());
    if (says) cr_expect(strstr(wf_error(), says), "expected '%s', got '%s'", says, wf_error());
    char *after = bytes_of(k->t.store, &m);
    cr_expect(n == m && !memcmp(before, after, n), "the store changed");
    free(before);
    free(after);
}

Test(nonfinite, the_op_that_overflows_is_named_with_its_scope_and_what_it_read)
{
    tower k;
    build(&k, true, 2);
    expect_check(&k, NULL);
    k.x[4] = 100;
    expect_check(&k,
                 "tower: exp: 1 of 6 values is not finite, the first is inf at [1,1]; of finite "
                 "scale up to 200");
    end(&k.t);
    build(&k, false, 2); /* fused: all ops of the kernel */
    k.x[4] = 100;
    expect_check(&k,
                 "tower: mul+scale+exp: 1 of 6 values is not finite, the first is inf at [1,1]; of "
                 "finite x up to 100, w up to 1");
    end(&k.t);
}

Test(nonfinite, what_came_in_is_named_as_an_input_or_a_parameter)
{
    tower k;
    build(&k, true, 1);
    k.x[5] = INFINITY;
    expect_check(&k, "input x: 1 of 6 values is not finite, the first is inf at [1,2]");
    k.x[5] = 1;
    float w[3] = {1, NAN, NAN};
    wf_store_put(k.t.store, "w", WF_F32, WF_SHAPE(3), w);
    expect_check(&k, "param w: 2 of 3 values are not finite, the first is nan at [1]");
    end(&k.t);
}

/* Loss and gradient are finite, the new parameter is not. */
Test(nonfinite, an_update_that_overflows_is_named_and_taken_back)
{
    for (int is_plain = 0; is_plain < 2; is_plain++) {
        tower k;
        build(&k, is_plain, 1);
        float infinite = INFINITY; /* wf_set refuses it */
        wf_bind(k.t.p, "lr", &infinite, sizeof infinite);
        expect_check(&k, "input lr");
        wf_set(k.t.p, "lr", 3e38f);
        expect_check(&k, is_plain ? "update/w: " : ": what it stores is not finite; of finite ");
        end(&k.t);
    }
}

/* The mask of a softmax holds -inf where it hides keys, and is no mistake. */
Test(nonfinite, an_infinity_that_leads_to_nothing_is_not_named)
{
    trial t = begin();
    float x[6] = {0, 1, 2, 3, 4, 5};
    int32_t lengths[1] = {2};
    wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1};
    wf_node *span = wf_span_padded(wf_input(t.g, "lengths", WF_I32, WF_SHAPE(1)), 2, true);
    wf_node *scores = wf_input(t.g, "x", WF_F32, WF_SHAPE(1, 2, 2));
    wf_node *w = wf_param(t.g, "w", WF_SCALAR, (wf_role){0}, one);
    wf_push(t.g, "attention");
    wf_node *a = wf_softmax(wf_mask_span(wf_mul(scores, w), span, -INFINITY));
    wf_pop(t.g);
    wf_push(t.g, "head");
    wf_node *loss = wf_output(wf_sum(wf_log(wf_slice(a, 2, 0, 1)), WF_ALL, false), "loss");
    wf_pop(t.g);
    wf_minimize(loss, &wf_sgd, NULL, NULL);
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, &(wf_compile_options){.plain = true}), WF_OK,
                 "%s", wf_error());
    wf_bind(t.p, "x", x, 4 * sizeof *x);
    wf_bind(t.p, "lengths", lengths, sizeof lengths);
    wf_set(t.p, "lr", 0.1f);
    cr_expect_eq(wf_program_check(t.p), WF_OK, "%s", wf_error());
    x[2] = -300, x[3] = 300; /* the softmax gives 0, and the log of that is infinite */
    cr_expect_eq(wf_program_check(t.p), WF_ENONFINITE);
    cr_expect(strstr(wf_error(), "head: log: 1 of 2 values is not finite, the first is -inf"), "%s",
              wf_error());
    end(&t);
}

/* Dropout draws as in the run that is repeated: else the check would look at another one. */
Test(nonfinite, a_check_repeats_the_draws_of_the_last_run)
{
    enum { N = 8 };
    trial t = begin();
    float x[N] = {0};
    wf_node *w = wf_param(t.g, "w", WF_SHAPE(N), (wf_role){0}, (wf_init){0});
    wf_node *y = wf_dropout(wf_add(wf_input(t.g, "x", WF_F32, WF_SHAPE(N)), w), 0.5f);
    wf_minimize(wf_sum(wf_output(y, "y"), WF_ALL, false), &wf_sgd, NULL, NULL);
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    wf_bind(t.p, "x", x, sizeof x);
    wf_set(t.p, "lr", 0);
    for (int i = 0; i < N; i++) x[i] = (float)(i + 1);
    for (int run = 0; run < 5; run++) {
        float was[N];
        cr_assert_eq(wf_run(t.p), WF_OK);
        memcpy(was, wf_read(t.p, "y", NULL), sizeof was);
        cr_expect_eq(wf_program_check(t.p), WF_OK, "%s", wf_error());
        cr_expect(!memcmp(was, wf_read(t.p, "y", NULL), sizeof was), "run %d", run);
    }
    end(&t);
}

Test(nonfinite, a_program_that_cannot_run_cannot_be_checked)
{
    trial t = begin();
    wf_output(wf_exp(wf_input(t.g, "x", WF_F32, WF_SCALAR)), "y");
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK);
    cr_expect_eq(wf_program_check(t.p), WF_EUNBOUND);
    wf_program_free(t.p);
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, &(wf_compile_options){.look_only = true}),
                 WF_OK);
    cr_expect_eq(wf_program_check(t.p), WF_EMODEL);
    end(&t);
}
