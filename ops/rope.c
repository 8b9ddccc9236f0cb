/*
 * Rotary position embedding (Su et al. 2021) of adjacent pairs along the last axis:
 *
 *   y_2j   = x_2j   cos(p theta_j) - x_2j+1 sin(p theta_j)
 *   y_2j+1 = x_2j+1 cos(p theta_j) + x_2j   sin(p theta_j),   theta_j = base^(-2j/s)
 *
 * x is [..., n, s], positions [n]. The gradient rotates by -p. A unit is a row of s elements.
 */
#include "ops/ops.h"

#include "graph/graph.h"

#include <math.h>
#include <stdio.h>

static bool rope_infer(wf_node *y)
{
    const wf_shape *x = &y->in[0]->shape, *p = &y->in[1]->shape;
    if (y->in[0]->dtype != WF_F32 || x->rank < 2)
        return wf_fail(y, "the input must be float32 with at least two axes");
    if (y->in[1]->dtype != WF_I32 || p->rank != 1 || p->dim[0] != x->dim[x->rank - 2])
        return wf_fail(y, "positions must be int32, one for each of axis -2");
    const wf_rope_attr *a = y->attr;
    if (!(a->base > 0)) return wf_fail(y, "the base must be positive, got %g", (double)a->base);
    if (!wf_is_symbol(x->dim[x->rank - 1]) && x->dim[x->rank - 1] % 2)
        return wf_fail(y, "the last size must be even, got %lld", (long long)x->dim[x->rank - 1]);
    return wf_infer_same(y);
}

/* Work: cos and sin, [n][s/2] each. Phase 0 fills a row of them, phase 1 rotates. */
static size_t rope_work(const wf_node *y)
{
    const wf_shape *x = &y->shape;
    return (size_t)(x->dim[x->rank - 2] * x->dim[x->rank - 1]) * sizeof(float);
}

static int64_t rope_units(const wf_call *c, int phase)
{
    const wf_shape *x = &c->out->shape;
    return phase == 0 ? x->dim[x->rank - 2] : phase == 1 ? wf_rows(x) : -1;
}

static void fill_angles(const wf_call *c, int64_t row, float *cosine, float *sine, int64_t half)
{
    const wf_rope_attr *a = c->attr;
    double p = ((const int32_t *)c->in[1].data)[row];
    if (a->inverse) p = -p;
    for (int64_t j = 0; j < half; j++) {
        double angle = p * pow((double)a->base, -(double)j / (double)half);
        cosine[j] = (float)cos(angle);
        sine[j] = (float)sin(angle);
    }
}

static void reference_row(int64_t half, float *y, const float *x, const float *c, const float *s)
{
    for (int64_t j = 0; j < half; j++) {
        y[2 * j] = x[2 * j] * c[j] - x[2 * j + 1] * s[j];
        y[2 * j + 1] = x[2 * j + 1] * c[j] + x[2 * j] * s[j];
    }
}

static void rope_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_shape *x = &c->out->shape;
    int64_t n = x->dim[x->rank - 2], s = x->dim[x->rank - 1], half = s / 2;
    float *cosine = c->work, *sine = cosine + n * half;
    for (int64_t r = lo; r < hi; r++) {
        int64_t at = r % n * half;
        if (c->phase == 0)
            fill_angles(c, r, cosine + at, sine + at, half);
        else
            (c->reference ? reference_row : wf_vec_get()->rotate)(
                half, (float *)c->out->data + r * s, (const float *)c->in[0].data + r * s,
                cosine + at, sine + at);
    }
}

static wf_cost rope_cost(const wf_node *y)
{
    return wf_cost_elementwise(y, 3);
}

static void rope_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_rope_attr a = *(const wf_rope_attr *)y->attr;
    a.inverse = !a.inverse;
    dx[0] = wf_apply2(&wf_op_rope, &a, dy, y->in[1]);
}

static int rope_print(const void *attr, char *text, size_t size)
{
    const wf_rope_attr *a = attr;
    return snprintf(text, size, "base=%g%s", (double)a->base, a->inverse ? " inverse" : "");
}

wf_node *wf_rope(wf_node *x, wf_node *positions, float base)
{
    return wf_apply2(&wf_op_rope, &(wf_rope_attr){.base = base}, x, positions);
}

const wf_op wf_op_rope = {
    .name = "rope",
    .doc = "adjacent pairs turned by position * base^(-2j/s)",
    .arity = 2,
    .attr_size = sizeof(wf_rope_attr),
    .infer = rope_infer,
    .grad = rope_grad,
    .cost = rope_cost,
    .work = rope_work,
    .units = rope_units,
    .run = rope_run,
    .print = rope_print,
};
