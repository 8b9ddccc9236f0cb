/*
 * Random numbers, counter-based: element i of a node in one run depends on (seed of the store, salt
 * of the node, number of the run, i) alone. The gradient of dropout regenerates the mask of its
 * dropout from the same salt. A unit is a block of 4,096 elements.
 */
#include "ops/ops.h"

#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 4096 };

static wf_cost random_cost(const wf_node *y)
{
    wf_cost c = wf_cost_elementwise(y, 20);
    c.units = wf_ceil_div(wf_elements(&y->shape), BLOCK);
    return c;
}

static uint64_t stream_of(const wf_call *c, uint64_t salt)
{
    return wf_random_stream(salt, c->step);
}

/* ---- dropout ---- */

static bool dropout_infer(wf_node *y)
{
    const wf_random_attr *a = y->attr;
    if (!(a->rate >= 0 && a->rate < 1))
        return wf_fail(y, "the rate must lie in [0, 1), got %g", (double)a->rate);
    if (y->in[0]->dtype != WF_F32) return wf_fail(y, "the input must be float32");
    return wf_infer_same(y);
}

static void dropout_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_random_attr *a = c->attr;
    uint64_t stream = stream_of(c, a->salt ? a->salt : c->salt);
    int64_t total = wf_elements(&c->out->shape);
    for (int64_t b = lo; b < hi; b++) {
        int64_t at = b * BLOCK, n = wf_min_i64(BLOCK, total - at);
        wf_vec_get()->dropout(n, (float *)c->out->data + at, (const float *)c->in[0].data + at,
                              a->rate, c->seed, stream, (uint64_t)at);
    }
}

static void dropout_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    wf_random_attr a = *(const wf_random_attr *)y->attr;
    if (!a.salt) a.salt = wf_node_salt(y);
    dx[0] = wf_apply1(&wf_op_dropout, &a, dy);
}

static int dropout_print(const void *attr, char *text, size_t size)
{
    return snprintf(text, size, "rate=%g", (double)((const wf_random_attr *)attr)->rate);
}

wf_node *wf_dropout(wf_node *x, float rate)
{
    return rate == 0 ? x : wf_apply1(&wf_op_dropout, &(wf_random_attr){.rate = rate}, x);
}

const wf_op wf_op_dropout = {
    .name = "dropout",
    .doc = "x / (1 - rate) with probability 1 - rate, else 0",
    .arity = 1,
    .traits = WF_RANDOM | WF_INPLACE,
    .attr_size = sizeof(wf_random_attr),
    .infer = dropout_infer,
    .grad = dropout_grad,
    .cost = random_cost,
    .run = dropout_run,
    .print = dropout_print,
};

/* ---- uniform, normal ---- */

static bool numbers_infer(wf_node *y)
{
    y->dtype = WF_F32;
    y->shape = ((const wf_random_attr *)y->attr)->shape;
    for (int i = 0; i < y->shape.rank; i++)
        y->shape.dim[i] = wf_size_now(y->graph, y->shape.dim[i]);
    return true;
}

static void uniform_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t total = wf_elements(&c->out->shape);
    for (int64_t b = lo; b < hi; b++)
        wf_vec_get()->uniform(wf_min_i64(BLOCK, total - b * BLOCK),
                              (float *)c->out->data + b * BLOCK, c->seed, stream_of(c, c->salt),
                              (uint64_t)(b * BLOCK));
}

/* Box, Muller 1958: sqrt(-2 ln(1 - u)) cos(2 pi v) */
static void normal_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_vec *v = wf_vec_get();
    int64_t total = wf_elements(&c->out->shape);
    uint64_t stream = stream_of(c, c->salt);
    float *angle = c->scratch;
    for (int64_t b = lo; b < hi; b++) {
        int64_t n = wf_min_i64(BLOCK, total - b * BLOCK);
        float *y = (float *)c->out->data + b * BLOCK;
        v->uniform(n, y, c->seed, stream, (uint64_t)(b * BLOCK));
        v->uniform(n, angle, c->seed, ~stream, (uint64_t)(b * BLOCK));
        v->neg(n, y, y);
        v->log1p(n, y, y);
        v->scale(n, y, y, -2);
        v->sqrt(n, y, y);
        v->scale(n, angle, angle, 6.28318530718f);
        v->cos(n, angle, angle);
        v->mul(n, y, y, angle);
    }
}

static size_t normal_scratch(const wf_node *y)
{
    (void)y;
    return BLOCK * sizeof(float);
}

static wf_node *numbers(wf_graph *g, const wf_op *op, wf_shape shape)
{
    wf_random_attr a = {.shape = shape};
    return wf_leaf_new(g, op, &a, NULL);
}

wf_node *wf_uniform(wf_graph *g, wf_shape shape)
{
    return numbers(g, &wf_op_uniform, shape);
}

wf_node *wf_normal(wf_graph *g, wf_shape shape)
{
    return numbers(g, &wf_op_normal, shape);
}

const wf_op wf_op_uniform = {
    .name = "uniform",
    .doc = "random numbers in [0, 1), new ones every run",
    .traits = WF_RANDOM,
    .attr_size = sizeof(wf_random_attr),
    .infer = numbers_infer,
    .cost = random_cost,
    .run = uniform_run,
};

const wf_op wf_op_normal = {
    .name = "normal",
    .doc = "normal random numbers, new ones every run",
    .traits = WF_RANDOM,
    .attr_size = sizeof(wf_random_attr),
    .infer = numbers_infer,
    .cost = random_cost,
    .scratch = normal_scratch,
    .run = normal_run,
};
