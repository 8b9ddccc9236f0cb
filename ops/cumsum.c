/*
 * Cumulative sum along an axis: y_i = x_0 + ... + x_i; exclusive leaves out x_i; reverse counts
 * from the end. A unit is one line of the axis, summed in double.
 */
#include "ops/ops.h"

#include "graph/graph.h"

#include <stdio.h>

static void cumsum_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_axis_attr *a = c->attr;
    int64_t n = c->out->shape.dim[a->axis],
            step = wf_product(&c->out->shape, a->axis + 1, c->out->shape.rank);
    for (int64_t u = lo; u < hi; u++) {
        int64_t first = u / step * n * step + u % step;
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = first + (a->reverse ? n - 1 - i : i) * step;
            double x = (double)((const float *)c->in[0].data)[at];
            ((float *)c->out->data)[at] = (float)(a->exclusive ? sum : sum + x);
            sum += x;
        }
    }
}

static bool cumsum_infer(wf_node *y)
{
    if (y->in[0]->dtype != WF_F32) return wf_fail(y, "the input must be float32");
    return wf_infer_same(y);
}

static wf_cost cumsum_cost(const wf_node *y)
{
    const wf_axis_attr *a = y->attr;
    wf_cost c = wf_cost_elementwise(y, 1);
    c.units = wf_elements(&y->shape) / wf_max_i64(1, y->shape.dim[a->axis]);
    return c;
}

static void cumsum_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_axis_attr a = *(const wf_axis_attr *)y->attr;
    a.reverse = !a.reverse;
    dx[0] = wf_apply1(&wf_op_cumsum, &a, dy);
}

static int cumsum_print(const void *attr, char *text, size_t size)
{
    const wf_axis_attr *a = attr;
    return snprintf(text, size, "axis=%d%s%s", a->axis, a->exclusive ? " exclusive" : "",
                    a->reverse ? " reverse" : "");
}

wf_node *wf_cumsum(wf_node *x, int axis)
{
    wf_axis_attr a = {.axis = wf_find_axis(&wf_op_cumsum, x, axis)};
    return a.axis < 0 ? wf_poison(x->graph) : wf_apply1(&wf_op_cumsum, &a, x);
}

const wf_op wf_op_cumsum = {
    .name = "cumsum",
    .doc = "running sum along an axis",
    .arity = 1,
    .traits = WF_INPLACE,
    .attr_size = sizeof(wf_axis_attr),
    .infer = cumsum_infer,
    .grad = cumsum_grad,
    .cost = cumsum_cost,
    .run = cumsum_run,
    .print = cumsum_print,
};
