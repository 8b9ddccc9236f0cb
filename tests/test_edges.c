/* Values at the edge of what a kernel or a rewrite may meet, each once found wrong. */
#define _GNU_SOURCE
#include "gau_trial.h"

#include <stdio.h>

TestSuite(edges, .timeout = 60);

/* top + ln sum - x would lose the logarithm beside a large top. */
Test(edges, cross_entropy_of_few_large_logits_keeps_its_digits)
{
    enum { ROWS = 3, CLASSES = 10 };
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(ROWS, CLASSES));
    wf_node *labels = wf_input(g, "labels", WF_I32, WF_SHAPE(ROWS));
    wf_output(wf_cross_entropy_rows(x, labels, -1), "loss");
    trial t = {.g = g, .store = wf_store_new(1), .rt = wf_runtime_new(NULL)};
    cr_assert_eq(wf_compile(&t.p, g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    float logits[ROWS * CLASSES];
    int32_t label[ROWS] = {0, 5, 9};
    for (int i = 0; i < ROWS * CLASSES; i++) logits[i] = 1e5f;
    cr_assert_eq(wf_bind(t.p, "x", logits, sizeof logits), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t.p, "labels", label, sizeof label), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
    for (int r = 0; r < ROWS; r++)
        cr_expect_float_eq(read_output(&t, "loss")[r], logf(CLASSES), 1e-6f, "row %d", r);
    end(&t);
}

/* A sliding window that nobody cut at the ends: its length counts, as span_length says. */
Test(edges, spans_beyond_the_rows_mean_the_same_fused_and_plain)
{
    enum { N = 70, WINDOW = 20 };
    static const char *const norms[] = {"softmax", "softmax_plus", "relu2"};
    static const char *const names[] = {"y", "dx", "dgq", "dgk"};
    static const int32_t offsets[] = {0, N};
    int32_t span[2 * N];
    for (int i = 0; i < N; i++) span[2 * i] = i - WINDOW, span[2 * i + 1] = i + WINDOW;
    float *x = random_x(N * 6);
    for (int k = 0; k < 3; k++) {
        gau_layer l = {.d = 6, .e = 10, .s = 4, .norm = norms[k], .min_len = 1, .packed = true};
        l.batch = 1, l.time = N;
        l.free_span = l.differentiate = true;
        trial fused = compile(&l, "", 2), plain = compile(&l, "-fuse_gau", 1),
              *both[] = {&fused, &plain};
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(wf_bind(both[i]->p, "span", span, sizeof span), WF_OK, "%s", wf_error());
            run(both[i], &l, x, offsets);
        }
        cr_expect(is_fused(&fused) && !is_fused(&plain), "%s: fusion", norms[k]);
        int64_t sizes[] = {N * 6, N * 6, 4, 4};
        for (int i = 0; i < 4; i++) {
            double d =
                distance(read_output(&fused, names[i]), read_output(&plain, names[i]), sizes[i]);
            cr_expect(d < 1e-5, "%s: %s differs by %g", norms[k], names[i], d);
        }
        end(&fused);
        end(&plain);
    }
    free(x);
}

/* A gradient of rows that is broadcast over the parameter moves every column of it. */
Test(edges, an_update_by_broadcast_rows_is_no_sparse_one)
{
    enum { ROWS = 4, COLS = 3 };
    float *after[2];
    for (int k = 0; k < 2; k++) {
        wf_graph *g = wf_graph_new();
        wf_init normal = {.kind = WF_INIT_NORMAL, .a = 1};
        wf_node *ids = wf_input(g, "ids", WF_I32, WF_SHAPE(ROWS));
        wf_node *q = wf_param(g, "q", WF_SHAPE(ROWS, 1), (wf_role){0}, normal);
        wf_node *p = wf_param(g, "p", WF_SHAPE(ROWS, COLS), (wf_role){0}, normal);
        wf_node *loss = wf_sum(wf_square(wf_gather(q, ids)), WF_ALL, false);
        wf_assign(p, wf_sub(p, wf_mul(wf_input(g, "lr", WF_F32, WF_SCALAR), wf_gradient(loss, q))));
        setenv("WF_PASSES", k ? "" : "-simplify", 1);
        trial t = {.g = g, .store = wf_store_new(1), .rt = wf_runtime_new(NULL)};
        cr_assert_eq(wf_compile(&t.p, g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
        int32_t id[ROWS] = {3, 1, 1, 0};
        cr_assert_eq(wf_bind(t.p, "ids", id, sizeof id), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_set(t.p, "lr", 0.1f), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
        after[k] = malloc(ROWS * COLS * sizeof(float));
        memcpy(after[k], wf_store_data(t.store, "p", NULL, NULL), ROWS * COLS * sizeof(float));
        end(&t);
    }
    cr_expect_eq(memcmp(after[0], after[1], ROWS * COLS * sizeof(float)), 0);
    free(after[0]);
    free(after[1]);
}

/* 1 / -0 is not 1 / 0: what goes away must leave every number as it is, zeros too. */
Test(edges, algebra_that_drops_ops_keeps_the_sign_of_a_zero)
{
    enum { N = 4, WAYS = 11 };
    static const float x_of[N] = {-0.0f, 0, 1.5f, -2};
    float bits[2][WAYS * N];
    for (int k = 0; k < 2; k++) {
        wf_graph *g = wf_graph_new();
        wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(N)), *column = wf_reshape(x, WF_SHAPE(N, 1));
        wf_node *zeros = wf_full(g, WF_SHAPE(N), 0), *negative = wf_full(g, WF_SHAPE(N), -0.0f);
        wf_node *ways[WAYS] = {
            wf_shift(x, 0),
            wf_shift(x, -0.0f),
            wf_add(x, zeros),
            wf_add(negative, x),
            wf_sub(x, zeros),
            wf_sub(x, negative),
            wf_sum(column, WF_AXES(1), false),
            wf_max_over(column, WF_AXES(1), false),
            wf_mean(wf_reshape(x, WF_SHAPE(1, N)), WF_AXES(0), false),
            wf_sum(wf_reshape(x, WF_SHAPE(1, N, 1)), WF_AXES(0, 2), false),
            wf_broadcast(wf_sum(wf_slice(x, 0, 0, 1), WF_ALL, true), WF_SHAPE(N))};
        char name[WAYS][16];
        for (int i = 0; i < WAYS; i++) {
            snprintf(name[i], sizeof name[i], "y%d", i);
            wf_output(wf_div(wf_constant(g, 1), ways[i]), name[i]);
        }
        setenv("WF_PASSES", k ? "" : "-simplify", 1);
        trial t = {.g = g, .store = wf_store_new(1), .rt = wf_runtime_new(NULL)};
        cr_assert_eq(wf_compile(&t.p, g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_bind(t.p, "x", x_of, sizeof x_of), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_run(t.p), WF_OK, "%s", wf_error());
        for (int i = 0; i < WAYS; i++)
            memcpy(bits[k] + i * N, read_output(&t, name[i]), N * sizeof(float));
        end(&t);
    }
    for (int i = 0; i < WAYS * N; i++)
        cr_expect(!memcmp(&bits[0][i], &bits[1][i], sizeof(float)), "way %d of %g: %g, then %g",
                  i / N, (double)x_of[i % N], (double)bits[0][i], (double)bits[1][i]);
}
