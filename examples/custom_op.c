/*
 * An op of one's own: softcap, y = c tanh(x / c), keeps values inside (-c, c).
 *
 * The descriptor is all that there is to it: the compiler differentiates, fuses and parallelizes
 * the op like a built-in one. The program checks its gradient against finite differences.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft/op.h>

typedef struct softcap_attr {
    float c;
} softcap_attr;

static void softcap_lane(const void *attr, int64_t n, float *y, const float *const x[])
{
    const softcap_attr *a = attr;
    for (int64_t i = 0; i < n; i++) y[i] = a->c * tanhf(x[0][i] / a->c);
}

/* dx = (1 - (y/c)^2) dy: the output is enough, x need not be kept */
static void softcap_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const softcap_attr *a = y->attr;
    wf_node *t = wf_scale(y, 1 / a->c);
    dx[0] = wf_mul(dy, wf_shift(wf_neg(wf_square(t)), 1));
}

static wf_cost softcap_cost(const wf_node *y)
{
    return wf_cost_elementwise(y, 12);
}

static const wf_op softcap_op = {
    .name = "softcap",
    .doc = "y = c tanh(x / c)",
    .arity = 1,
    .traits = WF_ELEMENTWISE | WF_INPLACE,
    .attr_size = sizeof(softcap_attr),
    .infer = wf_infer_same,
    .grad = softcap_grad,
    .cost = softcap_cost,
    .lane = softcap_lane,
};

static wf_node *softcap(wf_node *x, float c)
{
    return wf_apply(&softcap_op, &(softcap_attr){c}, 1, &x);
}

int main(void)
{
    const float x[6] = {-100, -3, -0.5f, 0.5f, 3, 100};
    wf_graph *g = wf_graph_new();
    wf_node *y = softcap(wf_input(g, "x", WF_F32, WF_SHAPE(6)), 2);
    wf_output(y, "y");
    wf_output(wf_sum(wf_square(wf_shift(y, 1)), WF_ALL, false), "loss");

    wf_runtime *rt = wf_runtime_new(NULL);
    wf_store *store = wf_store_new(1);
    wf_program *p = NULL;
    bool ok = rt && wf_compile(&p, g, store, rt, NULL) == WF_OK &&
              wf_bind(p, "x", x, sizeof x) == WF_OK && wf_run(p) == WF_OK;
    if (ok) {
        const float *cap = wf_read(p, "y", NULL);
        for (int i = 0; i < 6; i++) printf("softcap(%6.1f) = %+.6f\n", x[i], cap[i]);
        char *text = wf_program_text(p);
        printf("\ncompiled:\n%s\n", text ? text : "");
        free(text);
        ok = wf_gradcheck(g, "loss", rt, NULL) == WF_OK;
    }
    if (ok)
        printf("gradient: agrees with finite differences\n");
    else
        fprintf(stderr, "%s\n", wf_error());
    wf_program_free(p);
    wf_store_free(store);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return ok ? 0 : 1;
}
