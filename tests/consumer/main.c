/* A user's first program: two dense layers learn which half of a row has the larger sum. */
#include <stdint.h>
#include <stdio.h>
#include <weft/weft.h>

enum { ROWS = 64, WIDTH = 16 };

static void draw(float x[ROWS][WIDTH], int32_t label[ROWS])
{
    uint32_t state = 1;
    for (int i = 0; i < ROWS; i++) {
        float difference = 0;
        for (int j = 0; j < WIDTH; j++) {
            state = state * 1664525u + 1013904223u;
            x[i][j] = (float)(state >> 8) / 8388608.0f - 1.0f;
            difference += j < WIDTH / 2 ? x[i][j] : -x[i][j];
        }
        label[i] = difference > 0;
    }
}

static wf_graph *declare(void)
{
    wf_init init = {WF_INIT_NORMAL, 0.25f, 0};
    wf_graph *g = wf_graph_new();
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(ROWS, WIDTH));
    wf_node *label = wf_input(g, "label", WF_I32, WF_SHAPE(ROWS));
    wf_node *h = wf_relu(wf_dense(x, 32, true, init, "fc1"));
    wf_node *y = wf_dense(h, 2, true, init, "fc2");
    wf_node *loss = wf_output(wf_cross_entropy(y, label, -1), "loss");
    wf_minimize(loss, &wf_lion, NULL, NULL);
    return g;
}

/* The loss before the first and after the last of 100 steps. */
static wf_status train(wf_program *p, float *first, float *last)
{
    static float x[ROWS][WIDTH];
    static int32_t label[ROWS];
    draw(x, label);
    wf_status s = wf_bind(p, "x", x, sizeof x);
    if (s == WF_OK) s = wf_bind(p, "label", label, sizeof label);
    if (s == WF_OK) s = wf_set(p, "lr", 0.003f);
    for (int step = 0; s == WF_OK && step < 100; step++) {
        s = wf_run(p);
        *last = wf_scalar(p, "loss");
        if (step == 0) *first = *last;
    }
    return s;
}

int main(void)
{
    wf_graph *g = declare();
    wf_runtime *rt = wf_runtime_new(NULL);
    wf_store *weights = wf_store_new(42);
    wf_program *p = NULL;
    float first = 0, last = 0;
    wf_status s = rt ? wf_compile(&p, g, weights, rt, NULL) : WF_EMODEL;
    if (s == WF_OK) s = train(p, &first, &last);
    if (s != WF_OK)
        fprintf(stderr, "%s\n", wf_error());
    else
        printf("weft %s: loss %.4f -> %.4f\n", WF_VERSION, (double)first, (double)last);
    wf_program_free(p);
    wf_store_free(weights);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return s != WF_OK || !(last < 0.5f * first);
}
