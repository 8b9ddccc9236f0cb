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

/* ---- the naive reference ---- */

/* From Philox 4x32-10 (Salmon et al. 2011): see simd_random.h. */
float wf_random_number(uint64_t key, uint64_t stream, int64_t i)
{
    uint64_t block = (uint64_t)i / 4;
    uint32_t a = (uint32_t)key, b = (uint32_t)(key >> 32), c[4];
    c[0] = (uint32_t)block, c[1] = (uint32_t)(block >> 32);
    c[2] = (uint32_t)stream, c[3] = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)c[0] * 0xd2511f53u, q = (uint64_t)c[2] * 0xcd9e8d57u;
        c[0] = (uint32_t)(q >> 32) ^ c[1] ^ a, c[1] = (uint32_t)q;
        c[2] = (uint32_t)(p >> 32) ^ c[3] ^ b, c[3] = (uint32_t)p;
        a += 0x9e3779b9u, b += 0xbb67ae85u;
    }
    return (float)(c[i % 4] >> 8) * 0x1p-24f;
}

/* Box, Muller 1958: sqrt(-2 ln(1 - u)) cos(2 pi v) */
float wf_random_normal(uint64_t key, uint64_t stream, int64_t i)
{
    double u = (double)wf_random_number(key, stream, i);
    double v = (double)wf_random_number(key, stream + 1, i);
    return (float)(sqrt(-2 * log1p(-u)) * cos(6.283185307179586 * v));
}

/* ---- dropout: x [, rows]: the numbers of the rows in the tensor whose draws they get ---- */

static bool dropout_infer(wf_node *y)
{
    const wf_random_attr *a = y->attr;
    if (!(a->rate >= 0 && a->rate < 1))
        return wf_fail(y, "the rate must lie in [0, 1), got %g", (double)a->rate);
    if (y->in[0]->dtype != WF_F32) return wf_fail(y, "the input must be float32");
    if (y->n_in < 1 || y->n_in > 2) return wf_fail(y, "takes 1 or 2 inputs, got %d", y->n_in);
    const wf_shape *rows = y->n_in > 1 ? &y->in[1]->shape : NULL, *x = &y->in[0]->shape;
    if (rows &&
        (y->in[1]->dtype != WF_I32 || rows->rank != 1 || x->rank < 1 || rows->dim[0] != x->dim[0]))
        return wf_fail(y, "input 1 must be int32 [rows], one for each row");
    y->dtype = WF_F32;
    y->shape = *x;
    return true;
}

/* Elements at..at+n-1, which have the numbers from first on. */
static void drop(const wf_call *c, int64_t at, int64_t n, int64_t first)
{
    const wf_random_attr *a = c->attr;
    uint64_t stream = stream_of(c, a->salt ? a->salt : c->salt);
    const float *x = (const float *)c->in[0].data + at;
    float *y = (float *)c->out->data + at, kept = 1 / (1 - a->rate);
    for (int64_t i = 0; c->reference && i < n; i++)
        y[i] = wf_random_number(c->seed, stream, first + i) >= a->rate ? x[i] * kept : 0;
    if (!c->reference) wf_vec_get()->dropout(n, y, x, a->rate, c->seed, stream, (uint64_t)first);
}

static void dropout_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t end = wf_min_i64(hi * BLOCK, wf_elements(&c->out->shape));
    const int32_t *rows = c->n_in > 1 ? c->in[1].data : NULL;
    int64_t size = rows ? wf_product(&c->out->shape, 1, c->out->shape.rank) : BLOCK;
    for (int64_t at = lo * BLOCK, n; at < end; at += n) {
        n = wf_min_i64(size - at % size, end - at);
        drop(c, at, n, rows ? rows[at / size] * size + at % size : at);
    }
}

/* The same draws for another input: the gradient, or some of the rows. */
static wf_node *drop_again(const wf_node *y, int n_in, wf_node *const in[])
{
    wf_random_attr a = *(const wf_random_attr *)y->attr;
    if (!a.salt) a.salt = wf_node_salt(y);
    return wf_apply(&wf_op_dropout, &a, n_in, in);
}

static void dropout_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    dx[0] = drop_again(y, y->n_in, (wf_node *[]){dy, y->n_in > 1 ? y->in[1] : NULL});
}

wf_node *wf_dropout_rows(const wf_node *y, wf_node *x, wf_node *rows)
{
    return drop_again(y, 2, (wf_node *[]){x, rows});
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
    .doc = "x / (1 - rate) with probability 1 - rate, else 0; draws of rows at input 1",
    .arity = -1,
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
    return wf_infer_shape(y, &((const wf_random_attr *)y->attr)->shape);
}

static void uniform_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t total = wf_elements(&c->out->shape);
    uint64_t stream = stream_of(c, c->salt);
    for (int64_t b = lo; b < hi; b++) {
        int64_t at = b * BLOCK, n = wf_min_i64(BLOCK, total - at);
        float *y = (float *)c->out->data + at;
        for (int64_t i = 0; c->reference && i < n; i++)
            y[i] = wf_random_number(c->seed, stream, at + i);
        if (!c->reference) wf_vec_get()->uniform(n, y, c->seed, stream, (uint64_t)at);
    }
}

void wf_normal_row(int64_t n, float *y, float *angle, uint64_t key, uint64_t stream, int64_t first)
{
    const wf_vec *v = wf_vec_get();
    v->uniform(n, y, key, stream, (uint64_t)first);
    v->uniform(n, angle, key, stream + 1, (uint64_t)first);
    v->neg(n, y, y);
    v->log1p(n, y, y);
    v->scale(n, y, y, -2);
    v->sqrt(n, y, y);
    v->scale(n, angle, angle, 6.28318530718f);
    v->cos(n, angle, angle);
    v->mul(n, y, y, angle);
}

static void normal_run(const wf_call *c, int64_t lo, int64_t hi)
{
    int64_t total = wf_elements(&c->out->shape);
    uint64_t stream = stream_of(c, c->salt);
    for (int64_t b = lo; b < hi; b++) {
        int64_t at = b * BLOCK, n = wf_min_i64(BLOCK, total - at);
        float *y = (float *)c->out->data + at;
        for (int64_t i = 0; c->reference && i < n; i++)
            y[i] = wf_random_normal(c->seed, stream, at + i);
        if (!c->reference) wf_normal_row(n, y, c->scratch, c->seed, stream, at);
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
