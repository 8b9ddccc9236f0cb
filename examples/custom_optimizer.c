/*
 * An optimizer of one's own: the sign of the momentum (signSGD with momentum), in one descriptor.
 *
 *   m <- beta m + (1 - beta) g,   p <- p - lr sign(m)
 *
 * Its step is graph like everything else, so it is fused into one pass over each parameter. The
 * program fits a line to points that lie on one.
 */
#include <math.h>
#include <stdio.h>
#include <weft/op.h>

typedef struct sign_hyper {
    float beta;
} sign_hyper;

static wf_node *sign_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const sign_hyper *h = hyper;
    wf_node *m = wf_state(p, "momentum"); /* zero at birth, kept in the store */
    wf_node *fresh = wf_lerp(dp, m, h->beta);
    wf_assign(m, fresh);
    return wf_sub(p, wf_mul(lr, wf_sign(fresh)));
}

static const char *sign_check(const void *hyper)
{
    const sign_hyper *h = hyper;
    return h->beta >= 0 && h->beta < 1 ? NULL : "beta must lie in [0, 1)";
}

static const wf_optimizer sign_momentum = {
    .name = "sign_momentum",
    .doc = "m = beta m + (1-beta) g; p -= lr sign(m)",
    .hyper_size = sizeof(sign_hyper),
    .defaults = &(const sign_hyper){.beta = 0.9f},
    .step = sign_step,
    .check = sign_check,
};

enum { POINTS = 256, STEPS = 400 };

/* y = 3 u - 2 v + 0.5 on a grid */
static void make_points(float *x, float *y)
{
    for (int i = 0; i < POINTS; i++) {
        float u = (float)(i % 16) / 8 - 1, v = (float)i / 128 - 1;
        x[2 * i] = u;
        x[2 * i + 1] = v;
        y[i] = 3 * u - 2 * v + 0.5f;
    }
}

static wf_graph *regression(void)
{
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(POINTS, 2));
    wf_node *y = wf_input(g, "y", WF_F32, WF_SHAPE(POINTS, 1));
    wf_node *guess = wf_dense(x, 1, true, (wf_init){.kind = WF_INIT_ZEROS}, "line");
    wf_node *loss = wf_output(wf_mse(guess, y), "loss");
    wf_minimize(loss, &sign_momentum, &(sign_hyper){.beta = 0.8f}, NULL);
    return g;
}

int main(void)
{
    static float x[2 * POINTS], y[POINTS];
    make_points(x, y);
    wf_graph *g = regression();
    wf_runtime *rt = wf_runtime_new(NULL);
    wf_store *store = wf_store_new(1);
    wf_program *p = NULL;
    float loss = INFINITY;
    if (!rt || wf_compile(&p, g, store, rt, NULL) != WF_OK) {
        fprintf(stderr, "%s\n", wf_error());
    } else {
        wf_bind(p, "x", x, sizeof x);
        wf_bind(p, "y", y, sizeof y);
        for (int t = 0; t < STEPS; t++) {
            wf_set(p, "lr", 0.05f * (1 - (float)t / STEPS)); /* signs need a rate that falls */
            wf_run(p);
            if (t % 100 == 0) printf("step %3d  loss %.6f\n", t, wf_scalar(p, "loss"));
        }
        loss = wf_scalar(p, "loss");
        const float *w = wf_store_data(store, "line/w", NULL, NULL);
        const float *b = wf_store_data(store, "line/b", NULL, NULL);
        printf("y = %.3f u %+.3f v %+.3f, loss %.6f\n", w[0], w[1], b[0], loss);
    }
    wf_program_free(p);
    wf_store_free(store);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return loss < 1e-3f ? 0 : 1;
}
