/*
 * Random graphs: the optimized program gives what the plain one on reference kernels gives, values,
 * gradients and updates alike. The seed of a failure is printed; RANDOM_SEED=n replays it.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <weft/weft.h>

enum { ROUNDS = 60, NODES = 14, SIZE = 6 };

static uint32_t state;

static int next(int below)
{
    state = state * 1664525u + 1013904223u;
    return (int)((state >> 8) % (uint32_t)below);
}

static wf_node *unary(wf_node *x)
{
    switch (next(12)) {
    case 0:
        return wf_tanh(x);
    case 1:
        return wf_sigmoid(x);
    case 2:
        return wf_silu(x);
    case 3:
        return wf_sin(x);
    case 4:
        return wf_scale(x, 0.5f);
    case 5:
        return wf_softmax(x);
    case 6:
        return wf_rms_norm(x, 1e-3f);
    case 7:
        return wf_transpose(x, WF_AXES(1, 0));
    case 8:
        return wf_neg(x);
    case 9:
        return wf_reshape(
            wf_transpose(wf_reshape(x, WF_SHAPE(2, SIZE / 2, SIZE)), WF_AXES(1, 0, 2)),
            WF_SHAPE(SIZE, SIZE));
    case 10:
        return wf_cumsum(x, next(2));
    default:
        return wf_layer_norm(x, 1e-3f);
    }
}

static wf_node *binary(wf_node *a, wf_node *b)
{
    switch (next(7)) {
    case 0:
        return wf_add(a, b);
    case 1:
        return wf_mul(a, b);
    case 2:
        return wf_sub(a, wf_mean(b, WF_AXES(next(2)), true));
    case 3:
        return wf_scale(wf_matmul(a, b), 0.3f);
    case 4:
        return wf_scale(wf_matmul_t(a, b), 0.3f);
    case 5: {
        wf_node *both[] = {wf_slice(a, 1, 0, 2), wf_slice(b, 1, 2, SIZE - 2)};
        return wf_concat(2, both, 1);
    }
    default:
        return wf_mul(a, wf_slice(b, 0, next(SIZE), 1));
    }
}

static wf_graph *draw(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *n[NODES + 3];
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.7f};
    n[0] = wf_param(g, "a", WF_SHAPE(SIZE, SIZE), (wf_role){0}, init);
    n[1] = wf_param(g, "b", WF_SHAPE(SIZE, SIZE), (wf_role){.kind = WF_EMBEDDING}, init);
    n[2] = wf_add(n[0], wf_param(g, "c", WF_SHAPE(SIZE), (wf_role){.kind = WF_BIAS}, init));
    wf_node *loss = wf_constant(g, 0);
    for (int i = 3; i < NODES + 3; i++) {
        n[i] = next(2) ? unary(n[next(i)]) : binary(n[next(i)], n[next(i)]);
        loss = wf_add(loss, wf_mean(wf_tanh(n[i]), WF_ALL, false));
    }
    loss = wf_add(loss, wf_mean(wf_square(n[0]), WF_ALL, false));
    wf_output(n[NODES + 2], "y");
    wf_output(loss, "loss");
    const wf_optimizer *const o[] = {&wf_sgd, &wf_adamw, &wf_tiger, &wf_lion};
    wf_minimize(loss, o[next(2)], NULL, &(wf_minimize_options){.clip_norm = next(2) ? 0 : 0.5f});
    return g;
}

static wf_store *train(const wf_graph *g, const char *passes, const char *kernels, float y[36])
{
    setenv("WF_PASSES", passes, 1);
    setenv("WF_KERNELS", kernels, 1);
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1});
    wf_store *s = wf_store_new(state);
    wf_program *p;
    cr_assert(rt, "%s", wf_error());
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_set(p, "lr", 0.01f), WF_OK);
    for (int i = 0; i < 3; i++) cr_assert_eq(wf_run(p), WF_OK);
    memcpy(y, wf_read(p, "y", NULL), 36 * sizeof *y);
    wf_program_free(p);
    wf_runtime_free(rt);
    return s;
}

static void expect_close(const float *a, const float *b, int n, uint32_t seed, const char *what)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 2e-3f * (1 + fabsf(b[i])))) {
            cr_expect(false, "seed %u: %s[%d] is %g, reference %g", seed, what, i, (double)a[i],
                      (double)b[i]);
            return;
        }
}

Test(random_graphs, optimized_equals_plain, .timeout = 120)
{
    static const char without[] =
        "-simplify,-cse,-fuse_norm,-fuse_gau,-fuse_pointwise,-fuse_linear";
    const char *replay = getenv("RANDOM_SEED");
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t seed = replay ? (uint32_t)strtoul(replay, NULL, 10) : 1000 + round;
        float y[36], want[36];
        state = seed;
        wf_graph *g = draw();
        wf_store *a = train(g, "", "", y), *b = train(g, without, "ref", want);
        expect_close(y, want, 36, seed, "y");
        for (int i = 0; i < wf_store_count(b); i++) {
            wf_shape s;
            const char *name = wf_store_name(b, i);
            const float *x = wf_store_data(b, name, NULL, &s);
            int64_t n = 1;
            for (int k = 0; k < s.rank; k++) n *= s.dim[k];
            expect_close(wf_store_data(a, name, NULL, NULL), x, (int)n, seed, name);
        }
        wf_store_free(a);
        wf_store_free(b);
        wf_graph_free(g);
    }
}
