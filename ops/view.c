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
    if (!wf_infer_shape(y, &((const wf_shape_attr *)y->attr)->shape)) return false;
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
    char a[80], b[80];
    if (shape.rank > WF_MAX_RANK) return wf_apply1(&wf_op_reshape, &(wf_shape_attr){shape}, x);
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] != -1)
            known = wf_size_mul(g, known, shape.dim[i]);
        else if (open < 0)
            open = i;
        else
            return wf_refuse(g, &wf_op_reshape, "more than one size is open, %s to %s",
                             text_of(x, a), wf_shape_text(&shape, b, sizeof b));
    if (open >= 0) {
        int64_t size = wf_size_div(g, product(g, &x->shape), known);
        if (size == 0)
            return wf_refuse(g, &wf_op_reshape, "the open size is no whole number, %s to %s",
                             text_of(x, a), wf_shape_text(&shape, b, sizeof b));
        shape.dim[open] = size;
    }
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
    char text[80];
    y->dtype = y->in[0]->dtype;
    y->shape.rank = s->rank;
    for (int i = 0; i < s->rank; i++) {
        int from = a->order[i];
        if (from < 0 || from >= s->rank || seen[from])
            return wf_fail(y, "the order must name each axis of %s once", text_of(y->in[0], text));
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
    char text[80];
    if (order.n != 0 && order.n != rank)
        return wf_refuse(x->graph, &wf_op_transpose, "the order names %d axes of %s", order.n,
                         text_of(x, text));
    for (int i = 0; i < rank; i++) {
        a.order[i] = order.n ? wf_find_axis(&wf_op_transpose, x, order.axis[i]) : rank - 1 - i;
        if (a.order[i] < 0) return wf_poison(x->graph);
    }
    return wf_apply1(&wf_op_transpose, &a, x);
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
    wf_shape both;
    y->dtype = y->in[0]->dtype;
    if (!wf_infer_shape(y, &((const wf_shape_attr *)y->attr)->shape)) return false;
    bool fits = wf_shape_broadcast(&y->in[0]->shape, &y->shape, &both);
    if (fits && wf_shape_equal(&both, &y->shape)) return true;
    return wf_fail(y, "%s does not broadcast to %s", text_of(y->in[0], a),
                   wf_shape_text(&y->shape, b, sizeof b));
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
    if (wf_is_symbol(a->start)) return wf_fail(y, "the start must be a number, not a symbol");
    if (a->start >= 0 && (wf_is_symbol(all) || wf_is_symbol(size))) return true;
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
    wf_slice_attr a = {.axis = wf_find_axis(&wf_op_slice, x, axis), .start = start, .size = size};
    return a.axis < 0 ? wf_poison(x->graph) : wf_apply1(&wf_op_slice, &a, x);
}

void wf_split(wf_node *x, int axis, int n, const int64_t sizes[], wf_node *parts[])
{
    int64_t at = 0;
    char is[80], all[80];
    for (int i = 0; i < n; i++) {
        parts[i] = wf_slice(x, axis, at, sizes[i]);
        at = wf_size_add(x->graph, at, sizes[i]);
    }
    if (at == wf_dim(x, axis)) return;
    wf_size_text(x->graph, at, is, sizeof is);
    wf_size_text(x->graph, wf_dim(x, axis), all, sizeof all);
    wf_refuse(x->graph, &wf_op_slice, "the parts of a split have %s of %s elements", is, all);
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
    return wf_cost_rows(y, 0);
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
