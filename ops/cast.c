/*
 * Conversion between dtypes, and the view that stops gradients. A unit is a block of elements.
 *
 * To and from 16 bits it is what compiling puts around stored tensors (runtime/storage.c); models
 * do not ask for it, for nothing would flow through it.
 */
#include "ops/narrow.h"

#include "graph/graph.h"

#include <math.h>
#include <stdio.h>

enum { CHUNK = 4096 };

/* Towards zero; out of range becomes the nearest integer that exists, NaN becomes 0. */
static int32_t to_i32(float x)
{
    if (isnan(x)) return 0;
    if (x >= 0x1p31f) return INT32_MAX;
    return x < -0x1p31f ? INT32_MIN : (int32_t)x;
}

static void convert(const wf_call *c, int64_t from, int64_t n)
{
    const wf_tensor *x = &c->in[0], *y = c->out;
    const wf_cast_attr *a = c->attr;
    wf_draws d = wf_draws_of(c->seed, a->salt, c->step);
    if (wf_is_narrow(x->dtype))
        wf_widen(x->dtype, n, (float *)y->data + from, (const uint16_t *)x->data + from,
                 c->reference);
    else if (wf_is_narrow(y->dtype))
        wf_narrow(y->dtype, n, (uint16_t *)y->data + from, (const float *)x->data + from,
                  a->salt ? &d : NULL, from, c->reference);
    else if (y->dtype == WF_F32)
        for (int64_t i = from; i < from + n; i++)
            ((float *)y->data)[i] = wf_read_number(x->dtype, x->data, i);
    else
        for (int64_t i = from; i < from + n; i++)
            ((int32_t *)y->data)[i] = to_i32(wf_read_number(x->dtype, x->data, i));
}

static void cast_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t end = wf_min_i64(hi * CHUNK, wf_elements(&c->out->shape));
    for (int64_t i = lo * CHUNK; i < end; i += CHUNK) convert(c, i, wf_min_i64(CHUNK, end - i));
}

static wf_cost cast_cost(const wf_node *y)
{
    wf_cost c = wf_cost_elementwise(y, 1);
    c.units = wf_ceil_div(wf_elements(&y->shape), CHUNK);
    return c;
}

static bool cast_infer(wf_node *y)
{
    const wf_cast_attr *a = y->attr;
    wf_dtype from = y->in[0]->dtype;
    bool known = wf_is_narrow(from)    ? a->to == WF_F32
                 : wf_is_narrow(a->to) ? from == WF_F32
                                       : a->to == WF_F32 || a->to == WF_I32;
    if (!known || (unsigned)from > WF_BF16)
        return wf_fail(y, "converts float32, int32 and uint8 to float32 or int32 only");
    y->dtype = a->to;
    y->shape = y->in[0]->shape;
    return true;
}

static void cast_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    if (y->dtype == WF_F32 && y->in[0]->dtype == WF_F32) dx[0] = dy;
}

static int cast_print(const void *attr, char *text, size_t size)
{
    const wf_cast_attr *a = attr;
    if (!wf_is_narrow(a->to)) return 0;
    return snprintf(text, size, "%s", a->salt ? "by chance" : "to nearest");
}

wf_node *wf_cast(wf_node *x, wf_dtype to)
{
    if (wf_is_narrow(to))
        return wf_refuse(wf_graph_of(x), &wf_op_cast,
                         "to float32 or int32 only, %s is a type of stored tensors",
                         wf_dtype_name(to));
    return wf_apply1(&wf_op_cast, &(wf_cast_attr){.to = to}, x);
}

wf_node *wf_widened(wf_node *x)
{
    return wf_apply1(&wf_op_cast, &(wf_cast_attr){.to = WF_F32}, x);
}

wf_node *wf_narrowed(wf_node *x, wf_dtype to, uint32_t salt)
{
    return wf_apply1(&wf_op_cast, &(wf_cast_attr){to, salt}, x);
}

const wf_op wf_op_cast = {
    .name = "cast",
    .doc = "the same numbers in another dtype; towards zero to int32",
    .arity = 1,
    .traits = WF_NARROW,
    .attr_size = sizeof(wf_cast_attr),
    .infer = cast_infer,
    .grad = cast_grad,
    .cost = cast_cost,
    .run = cast_run,
    .print = cast_print,
};

static bool same_view(const wf_node *y, const wf_tensor *x, wf_tensor *out)
{
    (void)y;
    *out = *x;
    return true;
}

wf_node *wf_stop_gradient(wf_node *x)
{
    return wf_apply1(&wf_op_stop_gradient, NULL, x);
}

const wf_op wf_op_stop_gradient = {
    .name = "stop_gradient",
    .doc = "x, through which no gradient flows",
    .arity = 1,
    .traits = WF_VIEW | WF_FLAT,
    .infer = wf_infer_same,
    .view = same_view,
};
