/* Helpers shared by op files. */
#include "ops/ops.h"

#include "graph/graph.h"

int64_t wf_product(const wf_shape *s, int lo, int hi)
{
    int64_t n = 1;
    for (int i = lo; i < hi; i++) n *= s->dim[i];
    return n;
}

int64_t wf_rows(const wf_shape *s)
{
    return wf_product(s, 0, s->rank - 1);
}

wf_cost wf_cost_rows(const wf_node *y, double per_element)
{
    wf_cost c = wf_cost_elementwise(y, per_element);
    c.units = wf_rows(&y->shape);
    return c;
}

bool wf_infer_shape(wf_node *y, const wf_shape *s)
{
    if (s->rank < 0 || s->rank > WF_MAX_RANK)
        return wf_fail(y, "a shape of %d axes, possible are 0 to %d", s->rank, WF_MAX_RANK);
    y->shape = *s;
    for (int i = 0; i < s->rank; i++) y->shape.dim[i] = wf_size_now(y->graph, s->dim[i]);
    return true;
}

int wf_find_axis(const wf_op *op, wf_node *x, int axis)
{
    char text[80];
    int a = wf_axis(&x->shape, axis);
    if (a < 0)
        wf_refuse(wf_graph_of(x), op, "there is no axis %d in %s", axis,
                  wf_shape_text(&x->shape, text, sizeof text));
    return a;
}

wf_node *wf_apply1(const wf_op *op, const void *attr, wf_node *a)
{
    return wf_apply(op, attr, 1, &a);
}

wf_node *wf_apply2(const wf_op *op, const void *attr, wf_node *a, wf_node *b)
{
    return wf_apply(op, attr, 2, (wf_node *[]){a, b});
}

wf_node *wf_apply3(const wf_op *op, const void *attr, wf_node *a, wf_node *b, wf_node *c)
{
    return wf_apply(op, attr, 3, (wf_node *[]){a, b, c});
}

wf_node *wf_sum_to(wf_node *x, wf_node *like)
{
    wf_shape from = wf_shape_of(x), to = wf_shape_of(like);
    wf_axes axes = {0};
    if (wf_shape_equal(&from, &to)) return x;
    int extra = from.rank - to.rank;
    for (int i = 0; i < from.rank; i++)
        if (i < extra || (to.dim[i - extra] == 1 && from.dim[i] != 1)) axes.axis[axes.n++] = i;
    return wf_reshape(axes.n ? wf_sum(x, axes, true) : x, to);
}
