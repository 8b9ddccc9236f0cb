/* A classifier with one hidden layer, trained by Lion. */
#include "bench/work.h"

static wf_graph *declare(const wf_work *w)
{
    wf_graph *g = wf_graph_new();
    wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.05f};
    wf_node *x = wf_input(g, "x", WF_F32, WF_SHAPE(w->batch, w->time));
    wf_node *label = wf_input(g, "labels", WF_I32, WF_SHAPE(w->batch));
    wf_node *h = wf_relu(wf_dense(x, w->expand, true, init, "fc1"));
    wf_node *loss = wf_cross_entropy(wf_dense(h, w->vocab, true, init, "fc2"), label, -1);
    wf_work_minimize(wf_output(loss, "loss"), w);
    return g;
}

static void bind(wf_program *p, const wf_work *w, wf_store *given)
{
    wf_work_bind_floats(p, given, "x", w->batch * w->time);
    wf_work_bind_ints(p, given, "labels", w->batch, (uint32_t)w->vocab);
}

static double items(const wf_work *w)
{
    return (double)w->batch;
}

static double flops(const wf_work *w) /* no gradient flows to the inputs of the first layer */
{
    double x = (double)w->time, h = (double)w->expand, y = (double)w->vocab;
    return 2 * (double)w->batch * (2 * x * h + 3 * h * y);
}

const wf_work_model wf_work_mlp = {
    .declare = declare, .bind = bind, .items = items, .flops = flops};
