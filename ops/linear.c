/*
 * A product whose tiles go through an elementwise program while they are in the cache: bias,
 * activation, residual (linear), or the update of a parameter by its gradient, which then exists
 * nowhere as a whole (linear_store). Made by the pass fuse_linear; what people write is wf_linear.
 */
#include "ops/matmul.h"

#include <stdio.h>

wf_node *wf_linear(wf_node *x, wf_node *w, wf_node *b)
{
    wf_node *y = wf_matmul(x, w);
    return b ? wf_add(y, b) : y;
}

static bool linear_infer(wf_node *y)
{
    wf_linear_attr *a = (wf_linear_attr *)y->attr; /* the node's own copy */
    wf_shape both;
    wf_pw_settle(&a->program);
    if (!wf_matmul_infer(y, &a->product)) return false;
    for (int i = 2; i < y->n_in; i++)
        if (!wf_shape_broadcast(&y->in[i]->shape, &y->shape, &both) ||
            !wf_shape_equal(&both, &y->shape))
            return wf_fail(y, "input %d does not broadcast to the product", i);
    return true;
}

/* The product and its program; what is only stored is no output. */
static wf_cost linear_cost(const wf_node *y)
{
    const wf_linear_attr *a = y->attr;
    wf_cost c = wf_matmul_cost(y);
    double n = (double)wf_elements(&y->shape);
    c.flops += a->program.n_instr * n;
    if (a->program.n_stores) c.bytes += wf_store_bytes(y) - 4 * n;
    return c;
}

static int64_t linear_units(const wf_call *c, int phase)
{
    return wf_matmul_units(c, &((const wf_linear_attr *)c->attr)->product, phase);
}

static size_t linear_work(const wf_node *y)
{
    return wf_matmul_work(y, &((const wf_linear_attr *)y->attr)->product);
}

static size_t linear_scratch(const wf_node *y)
{
    const wf_linear_attr *a = y->attr;
    return wf_matmul_scratch(y, &a->product, &a->program);
}

static void linear_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_linear_attr *a = c->attr;
    wf_matmul_run(c, &a->product, &a->program, lo, hi);
}

static int linear_print(const void *attr, char *text, size_t size)
{
    const wf_linear_attr *a = attr;
    size_t n = (size_t)wf_matmul_print(&a->product, text, size);
    if (n) n += (size_t)snprintf(text + n, n < size ? size - n : 0, "; ");
    int more = n < size ? wf_pw_print(&a->program, text + n, size - n) : 0;
    return (int)n + more;
}

#define LINEAR                                                                                     \
    .arity = -1, .attr_size = sizeof(wf_linear_attr), .infer = linear_infer, .cost = linear_cost,  \
    .prepare = wf_pw_prepare, .scratch = linear_scratch, .work = linear_work,                      \
    .units = linear_units, .run = linear_run, .print = linear_print

const wf_op wf_op_linear = {
    .name = "linear",
    .doc = "an elementwise program on the tiles of a product",
    .traits = WF_STRIDED | WF_NARROW,
    LINEAR,
};

const wf_op wf_op_linear_store = {
    .name = "linear_store",
    .doc = "an elementwise program on the tiles of a product, which writes into stored tensors",
    .traits = WF_EFFECT | WF_STRIDED | WF_NARROW,
    LINEAR,
};
