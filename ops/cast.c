/* Conversion between dtypes, and the view that stops gradients. A unit is an element. */
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

static float read_float(const wf_tensor *t, int64_t i)
{
    if (t->dtype == WF_I32) return (float)((const int32_t *)t->data)[i];
    if (t->dtype == WF_U8) return (float)((const uint8_t *)t->data)[i];
    return ((const float *)t->data)[i];
}

/* Towards zero; out of range becomes the nearest integer that exists, NaN becomes 0. */
static int32_t to_i32(float x)
{
    if (isnan(x)) return 0;
    if (x >= 0x1p31f) return INT32_MAX;
    return x < -0x1p31f ? INT32_MIN : (int32_t)x;
}

static void cast_run(const wf_call *c, int64_t lo, int64_t hi)
{
    for (int64_t i = lo; i < hi; i++) {
        float x = read_float(&c->in[0], i);
        if (c->out->dtype == WF_F32)
            ((float *)c->out->data)[i] = x;
        else
            ((int32_t *)c->out->data)[i] = to_i32(x);
    }
}

static bool cast_infer(wf_node *y)
{
    const wf_cast_attr *a = y->attr;
    wf_dtype from = y->in[0]->dtype;
    bool known = from == WF_F32 || from == WF_I32 || from == WF_U8;
    if (!known || (a->to != WF_F32 && a->to != WF_I32))
        return wf_fail(y, "converts float32, int32 and uint8 to float32 or int32 only");
    y->dtype = a->to;
    y->shape = y->in[0]->shape;
    return true;
}

static void cast_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    if (y->dtype == WF_F32 && y->in[0]->dtype == WF_F32) dx[0] = dy;
}

wf_node *wf_cast(wf_node *x, wf_dtype to)
{
    return wf_apply1(&wf_op_cast, &(wf_cast_attr){to}, x);
}

const wf_op wf_op_cast = {
    .name = "cast",
    .doc = "the same numbers in another dtype; towards zero to int32",
    .arity = 1,
    .attr_size = sizeof(wf_cast_attr),
    .infer = cast_infer,
    .grad = cast_grad,
    .run = cast_run,
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
