/* Helpers shared by op files. */
#include "ops/ops.h"

int64_t wf_rows(const wf_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < s->rank; i++) n *= s->dim[i];
    return n;
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
