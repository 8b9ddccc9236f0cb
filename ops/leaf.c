/* Leaves: inputs, constants, parameters, optimizer state; and values made of sizes alone. */
#include "ops/ops.h"

#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

static bool leaf_infer(wf_node *y)
{
    const wf_leaf_attr *a = y->attr;
    y->dtype = a->dtype;
    y->shape = a->shape;
    for (int i = 0; i < y->shape.rank; i++)
        y->shape.dim[i] = wf_size_now(y->graph, y->shape.dim[i]);
    return true;
}

static wf_node *leaf(wf_graph *g, const wf_op *op, const wf_leaf_attr *a, const char *path)
{
    wf_node *old = path ? wf_graph_find(g, path) : NULL;
    if (!old) return wf_leaf_new(g, op, a, path);
    wf_shape s = a->shape;
    for (int i = 0; i < s.rank; i++) s.dim[i] = wf_size_now(g, s.dim[i]);
    char was[80], is[80];
    if (old->op == op && old->dtype == a->dtype && wf_shape_equal(&old->shape, &s)) return old;
    wf_fail(old, "declared twice, %s and %s", wf_shape_text(&old->shape, was, sizeof was),
            wf_shape_text(&s, is, sizeof is));
    return wf_poison(g);
}

wf_node *wf_input(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape)
{
    return leaf(g, &wf_op_input, &(wf_leaf_attr){.dtype = dtype, .shape = shape},
                wf_graph_path(g, name));
}

wf_node *wf_full(wf_graph *g, wf_shape shape, float value)
{
    return leaf(g, &wf_op_constant, &(wf_leaf_attr){.shape = shape, .fill = value}, NULL);
}

wf_node *wf_constant(wf_graph *g, float value)
{
    return wf_full(g, WF_SCALAR, value);
}

static wf_node *constants(wf_graph *g, wf_dtype dtype, wf_shape shape, const void *values)
{
    char text[80];
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] < 1) { /* before anything is copied; a symbolic size is negative too */
            wf_graph_fail(g, WF_EMODEL, "%s: constant: sizes must be positive numbers, got %s",
                          g->scope, wf_shape_text(&shape, text, sizeof text));
            return wf_poison(g);
        }
    size_t bytes = (size_t)wf_elements(&shape) * wf_dtype_bytes(dtype);
    void *copy = wf_graph_alloc(g, bytes);
    if (!copy) return wf_poison(g);
    memcpy(copy, values, bytes);
    return leaf(g, &wf_op_constant, &(wf_leaf_attr){.dtype = dtype, .shape = shape, .values = copy},
                NULL);
}

wf_node *wf_constants(wf_graph *g, wf_shape shape, const float *values)
{
    return constants(g, WF_F32, shape, values);
}

wf_node *wf_constants_i32(wf_graph *g, wf_shape shape, const int32_t *values)
{
    return constants(g, WF_I32, shape, values);
}

wf_node *wf_param(wf_graph *g, const char *name, wf_shape shape, wf_role role, wf_init init)
{
    wf_leaf_attr a = {.role = role, .init = init, .shape = shape};
    return leaf(g, &wf_op_param, &a, wf_graph_path(g, name));
}

wf_node *wf_state_shaped(wf_node *p, const char *name, wf_shape shape)
{
    wf_graph *g = wf_graph_of(p);
    char path[400];
    snprintf(path, sizeof path, "opt/%s/%s/%s", wf_graph_optimizer(g), p->name ? p->name : "",
             name);
    char *copy = wf_graph_alloc(g, strlen(path) + 1);
    if (!copy) return wf_poison(g);
    memcpy(copy, path, strlen(path) + 1);
    return leaf(g, &wf_op_state, &(wf_leaf_attr){.shape = shape}, copy);
}

wf_node *wf_state(wf_node *p, const char *name)
{
    return wf_state_shaped(p, name, wf_shape_of(p));
}

wf_role wf_param_role(const wf_node *p)
{
    return p->op == &wf_op_param ? ((const wf_leaf_attr *)p->attr)->role : (wf_role){0};
}

static int constant_print(const void *attr, char *text, size_t size)
{
    const wf_leaf_attr *a = attr;
    return a->values ? 0 : snprintf(text, size, "%g", (double)a->fill);
}

#define LEAF .traits = WF_LEAF, .attr_size = sizeof(wf_leaf_attr), .infer = leaf_infer

const wf_op wf_op_input = {.name = "input", .doc = "data bound before a run", LEAF};
const wf_op wf_op_constant = {
    .name = "constant", .doc = "numbers of the model", LEAF, .print = constant_print};
const wf_op wf_op_param = {.name = "param", .doc = "a trained tensor of the store", LEAF};
const wf_op wf_op_state = {.name = "state", .doc = "an optimizer's tensor of the store", LEAF};

/* ---- values made of sizes ---- */

static bool extent_infer(wf_node *y)
{
    y->dtype = WF_F32;
    y->shape = WF_SCALAR;
    return true;
}

static void extent_run(const wf_call *c, int64_t lo, int64_t hi)
{
    const wf_axis_attr *a = c->attr;
    for (int64_t i = lo; i < hi; i++)
        ((float *)c->out->data)[i] = (float)c->in[0].shape.dim[a->axis];
}

wf_node *wf_extent(wf_node *x, int axis)
{
    wf_shape s = wf_shape_of(x);
    wf_axis_attr a = {.axis = wf_axis(&s, axis)};
    wf_node *y = a.axis < 0 ? x : wf_apply1(&wf_op_extent, &a, x);
    if (a.axis < 0) wf_fail(y, "has no axis %d", axis);
    return y;
}

const wf_op wf_op_extent = {
    .name = "extent",
    .doc = "the size of an axis",
    .arity = 1,
    .traits = WF_STRIDED | WF_FLAT,
    .attr_size = sizeof(wf_axis_attr),
    .infer = extent_infer,
    .run = extent_run,
};

static bool iota_infer(wf_node *y)
{
    const wf_leaf_attr *a = y->attr;
    y->dtype = WF_I32;
    y->shape = WF_SHAPE(wf_size_now(y->graph, a->shape.dim[0]));
    return true;
}

static void iota_run(const wf_call *c, int64_t lo, int64_t hi)
{
    for (int64_t i = lo; i < hi; i++) ((int32_t *)c->out->data)[i] = (int32_t)i;
}

wf_node *wf_iota(wf_graph *g, int64_t n)
{
    return wf_leaf_new(g, &wf_op_iota, &(wf_leaf_attr){.shape = WF_SHAPE(n)}, NULL);
}

const wf_op wf_op_iota = {
    .name = "iota",
    .doc = "0, 1, ..., n-1",
    .arity = 0,
    .attr_size = sizeof(wf_leaf_attr),
    .infer = iota_infer,
    .run = iota_run,
};
