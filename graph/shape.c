/* Shapes: broadcast, axes, strides, text; the ready-made infer functions and costs. */
#include "graph/graph.h"

#include <stdio.h>

int64_t wf_elements(const wf_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) {
        if (wf_is_symbol(s->dim[i])) return s->dim[i]; /* unknown until compiled */
        n *= s->dim[i];
    }
    return n;
}

bool wf_shape_equal(const wf_shape *a, const wf_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool wf_shape_broadcast(const wf_shape *a, const wf_shape *b, wf_shape *out)
{
    wf_shape y = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int i = 1; i <= y.rank; i++) {
        int64_t p = i <= a->rank ? a->dim[a->rank - i] : 1;
        int64_t q = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (p != q && p != 1 && q != 1) return false;
        y.dim[y.rank - i] = p == 1 ? q : p;
    }
    *out = y;
    return true;
}

int wf_axis(const wf_shape *s, int axis)
{
    int a = axis < 0 ? axis + s->rank : axis;
    return a >= 0 && a < s->rank ? a : -1;
}

const char *wf_shape_text(const wf_shape *s, char *text, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < s->rank && n < size; i++) {
        const char *comma = i ? "," : "[";
        int k = wf_is_symbol(s->dim[i])
                    ? snprintf(text + n, size - n, "%s?", comma)
                    : snprintf(text + n, size - n, "%s%lld", comma, (long long)s->dim[i]);
        n += (size_t)(k > 0 ? k : 0);
    }
    if (n < size) snprintf(text + n, size - n, s->rank ? "]" : "[]");
    return text;
}

size_t wf_dtype_bytes(wf_dtype t)
{
    switch (t) {
    case WF_F32:
    case WF_I32:
        return 4;
    case WF_F16:
    case WF_BF16:
        return 2;
    case WF_U8:
        return 1;
    }
    return 0;
}

bool wf_is_contiguous(const wf_tensor *t)
{
    int64_t step = 1;
    for (int i = t->shape.rank - 1; i >= 0; i--) {
        if (t->shape.dim[i] != 1 && t->stride[i] != step) return false;
        step *= t->shape.dim[i];
    }
    return true;
}

bool wf_infer_same(wf_node *y)
{
    y->dtype = y->in[0]->dtype;
    y->shape = y->in[0]->shape;
    return true;
}

bool wf_infer_broadcast(wf_node *y)
{
    wf_shape s = y->in[0]->shape;
    for (int i = 0; i < y->n_in; i++) {
        char a[80], b[80];
        wf_dtype t = y->in[i]->dtype; /* 16 bits come to those that may have them only */
        if (t != WF_F32 && t != WF_F16 && t != WF_BF16)
            return wf_fail(y, "input %d must be float32", i);
        wf_shape before = s;
        if (!wf_shape_broadcast(&before, &y->in[i]->shape, &s))
            return wf_fail(y, "shapes do not broadcast, %s and %s",
                           wf_shape_text(&before, a, sizeof a),
                           wf_shape_text(&y->in[i]->shape, b, sizeof b));
    }
    y->dtype = WF_F32;
    y->shape = s;
    return true;
}

wf_cost wf_cost_elementwise(const wf_node *y, double per_element)
{
    int64_t n = wf_elements(&y->shape);
    double bytes = (double)n * (double)wf_dtype_bytes(y->dtype);
    for (int i = 0; i < y->n_in; i++)
        bytes += (double)wf_elements(&y->in[i]->shape) * (double)wf_dtype_bytes(y->in[i]->dtype);
    return (wf_cost){.flops = per_element * (double)n, .bytes = bytes, .units = n};
}
