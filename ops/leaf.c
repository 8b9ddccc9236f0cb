/* Leaves: inputs, constants, parameters, optimizer state; and values made of sizes alone. */
#include "ops/narrow.h"

#include "graph/graph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool leaf_infer(wf_node *y)
{
    const wf_leaf_attr *a = y->attr;
    y->dtype = a->dtype;
    bool is_stored = y->op == &wf_op_param || y->op == &wf_op_state;
    if (a->dtype != WF_F32 && a->dtype != WF_I32 && a->dtype != WF_U8 &&
        !(is_stored && wf_is_narrow(a->dtype)))
        return wf_fail(y, "values are f32, i32 or u8, not %s", wf_dtype_name(a->dtype));
    return wf_infer_shape(y, &a->shape);
}

static wf_node *leaf(wf_graph *g, const wf_op *op, const wf_leaf_attr *a, const char *path)
{
    wf_node *old = path ? wf_graph_find(g, path) : NULL;
    if (!old) return wf_leaf_new(g, op, a, path);
    wf_node y = {.op = op, .graph = g, .name = path, .attr = (void *)a};
    char was[80], is[80];
    if (!leaf_infer(&y)) return wf_poison(g);
    bool is_equal = old->dtype == y.dtype && wf_shape_equal(&old->shape, &y.shape);
    if (old->op == op && is_equal) return old;
    wf_fail(old, "declared twice, as %s %s and as %s %s %s", wf_dtype_name(old->dtype),
            wf_shape_text(&old->shape, was, sizeof was), op->name, wf_dtype_name(y.dtype),
            wf_shape_text(&y.shape, is, sizeof is));
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
    assert(values);
    wf_leaf_attr a = {.dtype = dtype, .shape = shape, .values = values};
    wf_node *y = wf_leaf_new(g, &wf_op_constant, &a, NULL); /* which checks the shape */
    if (wf_is_poison(y)) return y;
    int64_t n = wf_elements(&y->shape);
    if (wf_is_symbol(n)) return wf_refuse(g, y->op, "its sizes must be numbers, not symbols");
    size_t bytes = (size_t)n * wf_dtype_bytes(dtype);
    void *copy = wf_graph_alloc(g, bytes);
    if (!copy) return wf_poison(g);
    ((wf_leaf_attr *)y->attr)->values = memcpy(copy, values, bytes);
    return y;
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
    bool may_narrow = shape.rank >= 2 && role.kind != WF_BIAS && role.kind != WF_SCALE;
    wf_leaf_attr a = {.role = role, .init = init, .may_narrow = may_narrow, .shape = shape};
    return leaf(g, &wf_op_param, &a, wf_graph_path(g, name));
}

static const char *state_path(wf_node *p, const char *name)
{
    wf_graph *g = wf_graph_of(p);
    const char *path = wf_arena_text(&g->arena, "opt/%s/%s/%s", wf_graph_optimizer(g),
                                     p->name ? p->name : "", name);
    if (!path) wf_graph_fail(g, WF_ENOMEM, "out of memory while building a graph");
    return path;
}

static wf_node *state(wf_node *p, const char *name, wf_shape shape, bool may_narrow)
{
    const char *path = state_path(p, name);
    wf_graph *g = wf_graph_of(p);
    wf_leaf_attr a = {.may_narrow = may_narrow, .shape = shape};
    return path ? leaf(g, &wf_op_state, &a, path) : wf_poison(g);
}

wf_node *wf_state_shaped(wf_node *p, const char *name, wf_shape shape)
{
    return state(p, name, shape, false);
}

wf_node *wf_state_shared(wf_node *p, const char *name, bool *is_new)
{
    wf_graph *g = wf_graph_of(p);
    if (g->owner) p = g->owner;
    const char *path = state_path(p, name);
    wf_node *known = path ? wf_graph_find(g, path) : NULL;
    *is_new = !known;
    return known ? known : wf_state_shaped(p, name, WF_SCALAR);
}

wf_node *wf_state(wf_node *p, const char *name)
{
    bool is_param = p->op == &wf_op_param;
    return state(p, name, wf_shape_of(p), is_param && ((wf_leaf_attr *)p->attr)->may_narrow);
}

wf_node *wf_state_square(wf_node *p, const char *name)
{
    wf_node *x = wf_state(p, name);
    if (x->op == &wf_op_state) ((wf_leaf_attr *)x->attr)->is_square = true;
    return x;
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
    wf_axis_attr a = {.axis = wf_find_axis(&wf_op_extent, x, axis)};
    return a.axis < 0 ? wf_poison(x->graph) : wf_apply1(&wf_op_extent, &a, x);
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
    if (a->shape.dim[0] > INT32_MAX) return wf_fail(y, "more numbers than int32 has");
    return wf_infer_shape(y, &a->shape);
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
