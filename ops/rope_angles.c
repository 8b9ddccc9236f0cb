/*
 * Cosines and sines of the rotary angles (Su et al. 2021): row i is cos(p_i theta_j) for all j,
 * then sin(p_i theta_j), theta_j = base^(-2j/s), j < s/2. Made once a run and shared by all layers.
 * A unit is a row. Angles are reduced to one turn in double precision.
 */
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

static bool angles_infer(wf_node *y)
{
    const wf_rope_attr *a = y->attr;
    if (y->in[0]->dtype != WF_I32 || y->in[0]->shape.rank != 1)
        return wf_fail(y, "positions must be int32 [n]");
    y->dtype = WF_F32;
    y->shape = WF_SHAPE(y->in[0]->shape.dim[0], a->size);
    return true;
}

static int64_t angles_units(const wf_call *c, int phase)
{
    return phase == 0 ? 1 : phase == 1 ? c->out->shape.dim[0] : -1;
}

static void angles_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_rope_attr *a = c->attr;
    const int32_t *position = c->in[0].data;
    int64_t half = a->size / 2;
    double *turns = c->work; /* theta_j / 2 pi */
    if (c->phase == 0) {
        for (int64_t j = 0; j < half; j++)
            turns[j] = pow((double)a->base, -2.0 * (double)j / (double)a->size) / 6.283185307179586;
        return;
    }
    for (int64_t i = lo; i < hi; i++) {
        float *cosine = (float *)c->out->data + i * a->size, *sine = cosine + half;
        for (int64_t j = 0; c->reference && j < half; j++) {
            double angle = position[i] * pow((double)a->base, -2.0 * (double)j / (double)a->size);
            cosine[j] = (float)cos(angle);
            sine[j] = (float)sin(angle);
        }
        if (c->reference) continue;
        for (int64_t j = 0; j < half; j++) {
            double t = position[i] * turns[j];
            cosine[j] = (float)((t - floor(t + 0.5)) * 6.283185307179586);
        }
        wf_vec_get()->sin(half, sine, cosine);
        wf_vec_get()->cos(half, cosine, cosine);
    }
}

static size_t angles_work(const wf_node *y)
{
    return (size_t)((const wf_rope_attr *)y->attr)->size * sizeof(double);
}

static wf_cost angles_cost(const wf_node *y)
{
    return wf_cost_elementwise(y, 30);
}

static int angles_print(const void *attr, char *text, size_t size)
{
    const wf_rope_attr *a = attr;
    return snprintf(text, size, "base=%g s=%lld", (double)a->base, (long long)a->size);
}

const wf_op wf_op_rope_angles = {
    .name = "rope_angles",
    .doc = "[cos(p_i theta_j) | sin(p_i theta_j)], theta_j = base^(-2j/s)",
    .arity = 1,
    .attr_size = sizeof(wf_rope_attr),
    .infer = angles_infer,
    .cost = angles_cost,
    .work = angles_work,
    .units = angles_units,
    .run = angles_run,
    .print = angles_print,
};
