/* Views: reshape, transpose, broadcast, slice describe their input anew, no data moves; copy makes
 * any view contiguous. */
#include "ops/ops.h"

#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const wf_node *x, char text[80])
{
    return wf_shape_text(&x->shape, text, 80);
}

/* ---- reshape ---- */

static void resolve(const wf_graph *g, wf_shape *s)
{
    for (int i = 0; i < s->rank; i++) s->dim[i] = wf_size_now(g, s->dim[i]);
}

static int64_t product(wf_graph *g, const wf_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) n = wf_size_mul(g, n, s->dim[i]);
    return n;
}

static bool reshape_infer(wf_node *y)
{
    char a[80], b[80];
    y->dtype = y->in[0]->dtype;
    y->shape = ((const wf_shape_attr *)y->attr)->shape;
    resolve(y->graph, &y->shape);
    if (product(y->graph, &y->shape) == product(y->graph, &y->in[0]->shape)) return true;
    return wf_fail(y, "sizes differ, %s to %s", text_of(y->in[0], a),
                   wf_shape_text(&y->shape, b, sizeof b));
}

static bool reshape_view(const wf_node *y, const wf_tensor *x, wf_tensor *out)
{
    if (!wf_is_contiguous(x)) return false;
    *out = (wf_tensor){.data = x->data, .dtype = x->dtype, .shape = y->shape};
    int64_t step = 1;
    for (int i = y->shape.rank - 1; i >= 0; i--) {
        out->stride[i] = step;
        step *= y->shape.dim[i];
    }
    return true;
}

static void reshape_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_reshape(dy, y->in[0]->shape);
}

wf_node *wf_reshape(wf_node *x, wf_shape shape)
{
    wf_graph *g = wf_graph_of(x);
    int open = -1;
    int64_t known = 1;
    if (wf_is_poison(x)) return x;
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] == -1 && open < 0)
            open = i;
        else
            known = wf_size_mul(g, known, shape.dim[i]);
    if (open >= 0) shape.dim[open] = wf_size_div(g, product(g, &x->shape), known);
    return wf_apply1(&wf_op_reshape, &(wf_shape_attr){shape}, x);
}

const wf_op wf_op_reshape = {
    .name = "reshape",
    .doc = "the same elements in order, in another shape",
    .arity = 1,
    .traits = WF_VIEW,
    .attr_size = sizeof(wf_shape_attr),
    .infer = reshape_infer,
    .grad = reshape_grad,
    .view = reshape_view,
};

/* ---- transpose ---- */

static bool transpose_infer(wf_node *y)
{
    const wf_order_attr *a = y->attr;
    const wf_shape *s = &y->in[0]->shape;
    bool seen[WF_MAX_RANK] = {0};
    y->dtype = y->in[0]->dtype;
    y->shape.rank = s->rank;
    for (int i = 0; i < s->rank; i++) {
        int from = a->order[i];
        if (from < 0 || from >= s->rank || seen[from])
            return wf_fail(y, "the order must name each of %d axes once", s->rank);
        seen[from] = true;
        y->shape.dim[i] = s->dim[from];
    }
    return true;
}

static bool transpose_view(const wf_node *y, const wf_tensor *x, wf_tensor *out)
{
    const wf_order_attr *a = y->attr;
    *out = *x;
    out->shape = y->shape;
    for (int i = 0; i < y->shape.rank; i++) out->stride[i] = x->stride[a->order[i]];
    return true;
}

static void transpose_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_order_attr *a = y->attr;
    wf_axes back = {.n = y->shape.rank};
    for (int i = 0; i < back.n; i++) back.axis[a->order[i]] = i;
    dx[0] = wf_transpose(dy, back);
}

static int transpose_print(const void *attr, char *text, size_t size)
{
    const wf_order_attr *a = attr;
    return snprintf(text, size, "order=%d%d%d%d%d%d", a->order[0], a->order[1], a->order[2],
                    a->order[3], a->order[4], a->order[5]);
}

wf_node *wf_transpose(wf_node *x, wf_axes order)
{
    wf_order_attr a = {{0}};
    int rank = x->shape.rank;
    for (int i = 0; i < rank && order.n == 0; i++) a.order[i] = rank - 1 - i;
    for (int i = 0; i < order.n; i++) a.order[i] = wf_axis(&x->shape, order.axis[i]);
    wf_node *y = wf_apply1(&wf_op_transpose, &a, x);
    if (order.n != 0 && order.n != rank && !wf_is_poison(y))
        wf_fail(y, "the order names %d axes of %d", order.n, rank);
    return y;
}

const wf_op wf_op_transpose = {
    .name = "transpose",
    .doc = "axes in another order",
    .arity = 1,
    .traits = WF_VIEW,
    .attr_size = sizeof(wf_order_attr),
    .infer = transpose_infer,
    .grad = transpose_grad,
    .view = transpose_view,
    .print = transpose_print,
};

/* ---- broadcast ---- */

static bool broadcast_infer(wf_node *y)
{
    char a[80], b[80];
    wf_shape to = ((const wf_shape_attr *)y->attr)->shape, both;
    resolve(y->graph, &to);
    y->dtype = y->in[0]->dtype;
    y->shape = to;
    if (wf_shape_broadcast(&y->in[0]->shape, &to, &both) && wf_shape_equal(&both, &to)) return true;
    return wf_fail(y, "%s does not broadcast to %s", text_of(y->in[0], a),
                   wf_shape_text(&to, b, sizeof b));
}

static bool broadcast_view(const wf_node *y, const wf_tensor *x, wf_tensor *out)
{
    *out = (wf_tensor){.data = x->data, .dtype = x->dtype, .shape = y->shape};
    int extra = y->shape.rank - x->shape.rank;
    for (int i = extra; i < y->shape.rank; i++)
        out->stride[i] = x->shape.dim[i - extra] == 1 ? 0 : x->stride[i - extra];
    return true;
}

static void broadcast_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = wf_sum_to(dy, y->in[0]);
}

wf_node *wf_broadcast(wf_node *x, wf_shape shape)
{
    return wf_apply1(&wf_op_broadcast, &(wf_shape_attr){shape}, x);
}

const wf_op wf_op_broadcast = {
    .name = "broadcast",
    .doc = "repeated along axes of size 1 and new leading axes",
    .arity = 1,
    .traits = WF_VIEW,
    .attr_size = sizeof(wf_shape_attr),
    .infer = broadcast_infer,
    .grad = broadcast_grad,
    .view = broadcast_view,
};

/* ---- slice ---- */

static bool slice_infer(wf_node *y)
{
    const wf_slice_attr *a = y->attr;
    char text[80];
    y->dtype = y->in[0]->dtype;
    y->shape = y->in[0]->shape;
    int64_t size = wf_size_now(y->graph, a->size), all = y->shape.dim[a->axis];
    y->shape.dim[a->axis] = size;
    if (wf_is_symbol(all) || wf_is_symbol(size)) return true;
    if (a->start >= 0 && size >= 1 && a->start <= all - size) return true;
    return wf_fail(y, "%lld elements from %lld lie outside axis %d of %s", (long long)size,
                   (long long)a->start, a->axis, text_of(y->in[0], text));
}

static bool slice_view(const wf_node *y, const wf_tensor *x, wf_tensor *out)
{
    const wf_slice_attr *a = y->attr;
    *out = *x;
    out->shape = y->shape;
    if (x->data)
        out->data =
            (char *)x->data + a->start * x->stride[a->axis] * (int64_t)wf_dtype_bytes(x->dtype);
    return true;
}

static void slice_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_slice_attr *a = y->attr;
    wf_pad_attr p = {.axis = a->axis, .before = a->start, .total = y->in[0]->shape.dim[a->axis]};
    dx[0] = wf_apply1(&wf_op_pad, &p, dy);
}

static int slice_print(const void *attr, char *text, size_t size)
{
    const wf_slice_attr *a = attr;
    return snprintf(text, size, "axis=%d start=%lld", a->axis, (long long)a->start);
}

wf_node *wf_slice(wf_node *x, int axis, int64_t start, int64_t size)
{
    wf_slice_attr a;
    memset(&a, 0, sizeof a);
    a.axis = wf_axis(&x->shape, axis);
    a.start = start;
    a.size = size;
    bool ok = a.axis >= 0;
    if (wf_is_poison(x)) return x;
    if (!ok) {
        wf_fail(x, "cannot be sliced along axis %d: it has %d axes", axis, x->shape.rank);
        return wf_poison(wf_graph_of(x));
    }
    return wf_apply1(&wf_op_slice, &a, x);
}

void wf_split(wf_node *x, int axis, int n, const int64_t sizes[], wf_node *parts[])
{
    int64_t at = 0, all = wf_dim(x, axis);
    for (int i = 0; i < n; i++) {
        parts[i] = wf_slice(x, axis, at, sizes[i]);
        at += sizes[i];
    }
    if (at != all && !wf_is_poison(x))
        wf_fail(x, "cannot be split: the parts have %lld of %lld elements", (long long)at,
                (long long)all);
}

const wf_op wf_op_slice = {
    .name = "slice",
    .doc = "a range of one axis",
    .arity = 1,
    .traits = WF_VIEW,
    .attr_size = sizeof(wf_slice_attr),
    .infer = slice_infer,
    .grad = slice_grad,
    .view = slice_view,
    .print = slice_print,
};

/* ---- copy: a unit is a row of the last axis ---- */

static const char *row_of(const wf_tensor *x, int64_t row, size_t bytes)
{
    int64_t at = 0;
    for (int i = x->shape.rank - 2; i >= 0; i--) {
        at += row % x->shape.dim[i] * x->stride[i];
        row /= x->shape.dim[i];
    }
    return (const char *)x->data + at * (int64_t)bytes;
}

static void copy_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_tensor *x = &c->in[0];
    size_t b = wf_dtype_bytes(x->dtype);
    int64_t n = wf_last(&x->shape), step = x->shape.rank ? x->stride[x->shape.rank - 1] : 1;
    for (int64_t r = lo; r < hi; r++) {
        const char *from = row_of(x, r, b);
        char *to = (char *)c->out->data + (size_t)(r * n) * b;
        if (step == 1 || n == 1)
            memcpy(to, from, (size_t)n * b);
        else if (b == 4)
            for (int64_t i = 0; i < n; i++) memcpy(to + 4 * i, from + 4 * i * step, 4);
        else
            for (int64_t i = 0; i < n; i++)
                memcpy(to + (size_t)i * b, from + i * step * (int64_t)b, b);
    }
}

static wf_cost copy_cost(const wf_node *y)
{
    wf_cost c = wf_cost_elementwise(y, 0);
    c.units = wf_rows(&y->shape);
    return c;
}

static void copy_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    (void)y;
    dx[0] = dy;
}

const wf_op wf_op_copy = {
    .name = "copy",
    .doc = "x, laid out contiguously",
    .arity = 1,
    .traits = WF_STRIDED,
    .infer = wf_infer_same,
    .grad = copy_grad,
    .cost = copy_cost,
    .run = copy_run,
};
