/* What rotary positions must do: keep norms, and let scores depend on differences alone. */
#define _GNU_SOURCE
#include "gau_trial.h"

enum { N = 40, S = 16 };

/* The rotation with its even results in front of the odd ones. */
static wf_node *turn_halves(wf_node *x, wf_node *positions)
{
    wf_graph *g = wf_graph_of(x);
    wf_node *part[2], *j = wf_cast(wf_iota(g, S / 2), WF_F32);
    wf_node *theta = wf_exp(wf_scale(j, (float)(-2.0 / S * log(10000))));
    wf_node *angle = wf_mul(wf_reshape(wf_cast(positions, WF_F32), WF_SHAPE(N, 1)), theta);
    x = wf_reshape(x, WF_SHAPE(N, S / 2, 2));
    for (int i = 0; i < 2; i++) part[i] = wf_reshape(wf_slice(x, 2, i, 1), WF_SHAPE(N, S / 2));
    wf_node *c = wf_cos(angle), *s = wf_sin(angle);
    wf_node *even = wf_sub(wf_mul(part[0], c), wf_mul(part[1], s));
    wf_node *odd = wf_add(wf_mul(part[1], c), wf_mul(part[0], s));
    return wf_concat(2, (wf_node *[]){even, odd}, -1);
}

/* Inputs "a", "b" [N, S] and "at" [N]; outputs "ta", "scores" = <turned a, turned b>, and the same
 * scores of the other layout, "halves". */
static trial compile_turns(void)
{
    trial t = {.g = wf_graph_new(), .store = wf_store_new(1)};
    wf_node *at = wf_input(t.g, "at", WF_I32, WF_SHAPE(N));
    wf_node *a = wf_input(t.g, "a", WF_F32, WF_SHAPE(N, S));
    wf_node *b = wf_input(t.g, "b", WF_F32, WF_SHAPE(N, S));
    wf_node *ta = wf_output(wf_rope(a, at, 10000), "ta");
    wf_output(wf_matmul_t(ta, wf_rope(b, at, 10000)), "scores");
    wf_output(wf_matmul_t(turn_halves(a, at), turn_halves(b, at)), "halves");
    t.rt = wf_runtime_new(&(wf_runtime_options){.threads = 1, .no_pinning = true});
    cr_assert(t.rt, "%s", wf_error());
    cr_assert_eq(wf_compile(&t.p, t.g, t.store, t.rt, NULL), WF_OK, "%s", wf_error());
    return t;
}

/* Scores, to be freed. */
static float *turn(trial *t, const float *a, const float *b, int first)
{
    int32_t at[N];
    float *scores = malloc(N * N * sizeof *scores);
    for (int i = 0; i < N; i++) at[i] = first + i;
    cr_assert_eq(wf_bind(t->p, "at", at, sizeof at), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t->p, "a", a, N * S * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(t->p, "b", b, N * S * 4), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
    memcpy(scores, wf_read(t->p, "scores", NULL), N * N * sizeof *scores);
    return scores;
}

Test(rope, turning_keeps_norms_and_position_0_is_the_identity)
{
    trial t = compile_turns();
    float *x = random_x(2 * N * S);
    for (int first = 0; first <= 100000; first = 10 * first + 1) {
        free(turn(&t, x, x + N * S, first));
        const float *y = wf_read(t.p, "ta", NULL);
        for (int i = 0; i < N * S; i += 2) {
            double was = hypot((double)x[i], (double)x[i + 1]);
            double is = hypot((double)y[i], (double)y[i + 1]);
            cr_expect_float_eq(is, was, 1e-6, "position %d: pair %d has norm %g, was %g",
                               first + i / S, i % S / 2, is, was);
        }
        for (int i = 0; i < S && first == 0; i++) cr_expect_eq(y[i], x[i], "column %d", i);
    }
    free(x);
    end(&t);
}

Test(rope, scores_depend_on_differences_of_positions_alone)
{
    trial t = compile_turns();
    float *x = random_x(2 * N * S), *same = malloc(2 * N * S * sizeof *same);
    for (int i = 0; i < 2 * N * S; i++) same[i] = x[i / (N * S) * N * S + i % S];
    float *s = turn(&t, same, same + N * S, 0);
    for (int i = 1; i < N; i++)
        for (int j = 1; j < N; j++)
            cr_expect_float_eq(s[N * i + j], s[N * (i - 1) + j - 1], 1e-5f, "<R%d q, R%d k>", i, j);
    cr_expect(fabsf(s[1] - s[0]) > 1e-3f && fabsf(s[1] - s[N]) > 1e-3f, "positions do nothing");
    free(s);

    s = turn(&t, x, x + N * S, 0);
    double d = distance(wf_read(t.p, "halves", NULL), s, N * N);
    cr_expect_leq(d, 1e-5, "pairs of the other layout: scores differ by %g", d);
    for (int shift = 1; shift < 1000000; shift *= 10) {
        float *moved = turn(&t, x, x + N * S, shift);
        d = distance(moved, s, N * N);
        cr_expect_leq(d, 1e-5, "positions moved by %d: scores differ by %g", shift, d);
        free(moved);
    }
    free(s);
    free(same);
    free(x);
    end(&t);
}
