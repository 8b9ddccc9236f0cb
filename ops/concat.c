/* Concatenation along an axis, and its gradient's counterpart: zeros around (pad). A unit is one
 * index of the axes before it. */
#include "ops/ops.h"

#include "graph/graph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Elements behind the axis. */
static int64_t behind(const wf_shape *s, int axis)
{
    return wf_product(s, axis + 1, s->rank);
}

static bool concat_infer(wf_node *y)
{
    const wf_axis_attr *a = y->attr;
    char s[80], t[80];
    wf_shape first = y->in[0]->shape;
    y->dtype = y->in[0]->dtype;
    y->shape = first;
    for (int i = 1; i < y->n_in; i++) {
        if (y->in[i]->dtype != y->dtype) return wf_fail(y, "input %d has another dtype", i);
        wf_shape other = y->in[i]->shape;
        if (other.rank == first.rank) {
            y->shape.dim[a->axis] =
                wf_size_add(y->graph, y->shape.dim[a->axis], other.dim[a->axis]);
            other.dim[a->axis] = first.dim[a->axis];
        }
        if (!wf_shape_equal(&other, &first))
            return wf_fail(y, "%s and %s differ outside axis %d",
                           wf_shape_text(&first, s, sizeof s),
                           wf_shape_text(&y->in[i]->shape, t, sizeof t), a->axis);
    }
    return true;
}

static wf_cost block_cost(const wf_node *y)
{
    const wf_axis_attr *a = y->attr; /* axis is the first member of wf_pad_attr too */
    wf_cost c = wf_cost_elementwise(y, 0);
    c.units = wf_product(&y->shape, 0, a->axis);
    return c;
}

static void concat_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_axis_attr *a = c->attr;
    size_t bytes = wf_dtype_bytes(c->out->dtype);
    int64_t inner = behind(&c->out->shape, a->axis);
    for (int64_t u = lo; u < hi; u++) {
        char *to = (char *)c->out->data + (size_t)(u * inner * c->out->shape.dim[a->axis]) * bytes;
        for (int i = 0; i < c->n_in; i++) {
            size_t n = (size_t)(inner * c->in[i].shape.dim[a->axis]) * bytes;
            memcpy(to, (const char *)c->in[i].data + (size_t)u * n, n);
            to += n;
        }
    }
}

static void concat_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_axis_attr *a = y->attr;
    int64_t at = 0;
    for (int i = 0; i < y->n_in; i++) {
        int64_t n = wf_dim(y->in[i], a->axis);
        dx[i] = wf_slice(dy, a->axis, at, n);
        at += n;
    }
}

static int axis_print(const void *attr, char *text, size_t size)
{
    return snprintf(text, size, "axis=%d", ((const wf_axis_attr *)attr)->axis);
}

wf_node *wf_concat(int n, wf_node *const x[], int axis)
{
    assert(n > 0 && x[0]);
    wf_axis_attr a = {.axis = wf_find_axis(&wf_op_concat, x[0], axis)};
    return a.axis < 0 ? wf_poison(x[0]->graph) : wf_apply(&wf_op_concat, &a, n, x);
}

const wf_op wf_op_concat = {
    .name = "concat",
    .doc = "inputs one behind the other along an axis",
    .arity = -1,
    .attr_size = sizeof(wf_axis_attr),
    .infer = concat_infer,
    .grad = concat_grad,
    .cost = block_cost,
    .run = concat_run,
    .print = axis_print,
};

/* ---- pad ---- */

static bool pad_infer(wf_node *y)
{
    const wf_pad_attr *a = y->attr;
    if (y->in[0]->dtype != WF_F32) return wf_fail(y, "the input must be float32");
    y->dtype = WF_F32;
    y->shape = y->in[0]->shape;
    y->shape.dim[a->axis] = wf_size_now(y->graph, a->total);
    return true;
}

static void pad_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_pad_attr *a = c->attr;
    int64_t inner = behind(&c->out->shape, a->axis), left = inner * a->before;
    int64_t n = inner * c->in[0].shape.dim[a->axis], all = inner * c->out->shape.dim[a->axis];
    for (int64_t u = lo; u < hi; u++) {
        float *y = (float *)c->out->data + u * all;
        memset(y, 0, (size_t)left * sizeof *y);
        memcpy(y + left, (const float *)c->in[0].data + u * n, (size_t)n * sizeof *y);
        memset(y + left + n, 0, (size_t)(all - left - n) * sizeof *y);
    }
}

static void pad_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_pad_attr *a = y->attr;
    dx[0] = wf_slice(dy, a->axis, a->before, wf_dim(y->in[0], a->axis));
}

static int pad_print(const void *attr, char *text, size_t size)
{
    const wf_pad_attr *a = attr;
    return snprintf(text, size, "axis=%d before=%lld", a->axis, (long long)a->before);
}

const wf_op wf_op_pad = {
    .name = "pad",
    .doc = "zeros before and behind along an axis",
    .arity = 1,
    .attr_size = sizeof(wf_pad_attr),
    .infer = pad_infer,
    .grad = pad_grad,
    .cost = block_cost,
    .run = pad_run,
    .print = pad_print,
};
