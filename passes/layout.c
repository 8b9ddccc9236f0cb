/*
 * Kernels get the memory layout they ask for: an input that is a strided view goes through a copy
 * unless the op takes strides (WF_STRIDED); so does the input of a view that cannot be described
 * without one, and an output that is no tensor of its own.
 */
#include "passes/passes.h"

#include "ops/ops.h"

static void contiguous(const wf_node *n, wf_tensor *t)
{
    *t = (wf_tensor){.dtype = n->dtype, .shape = n->shape};
    int64_t step = 1;
    for (int i = n->shape.rank - 1; i >= 0; i--) {
        t->stride[i] = step;
        step *= n->shape.dim[i];
    }
}

bool wf_layout_of(const wf_node *n, wf_tensor *t)
{
    contiguous(n, t);
    if (n->op == &wf_op_constant && !((const wf_leaf_attr *)n->attr)->values) {
        for (int i = 0; i < n->shape.rank; i++) t->stride[i] = 0; /* one element stands for all */
        return true;
    }
    wf_tensor x;
    if (!(n->op->traits & WF_VIEW)) return true;
    return wf_layout_of(n->in[0], &x) && n->op->view(n, &x, t);
}

/* Views of views are followed so far: not deeper than a stack, and not over and over in a chain. */
enum { MOST_VIEWS = 32 };

static bool is_deep(const wf_node *n)
{
    int depth = 0;
    for (; n->op->traits & WF_VIEW && depth <= MOST_VIEWS; n = n->in[0]) depth++;
    return depth > MOST_VIEWS;
}

static bool is_plain(const wf_node *x)
{
    wf_tensor t;
    return wf_layout_of(x, &t) && wf_is_contiguous(&t);
}

static wf_node *layout(wf_node *n)
{
    wf_tensor t;
    bool view = n->op->traits & WF_VIEW;
    if (view && !is_deep(n) && wf_layout_of(n, &t)) return NULL; /* what it views is done already */
    for (int i = 0; i < n->n_in; i++)
        if (view || (!(n->op->traits & WF_STRIDED) && !is_plain(n->in[i])))
            n->in[i] = wf_apply1(&wf_op_copy, NULL, n->in[i]);
    if (n->op == &wf_op_assign && (wf_origin(n->in[1])->op->traits & WF_LEAF))
        n->in[1] = wf_apply1(&wf_op_copy, NULL, n->in[1]); /* two may trade values */
    return NULL;
}

static bool layout_outputs(wf_graph *g)
{
    for (int i = 0; i < g->n_outputs; i++) {
        wf_node *x = g->outputs[i].node;
        if ((wf_origin(x)->op->traits & WF_LEAF) || !is_plain(x))
            g->outputs[i].node = wf_apply1(&wf_op_copy, NULL, x);
    }
    return false;
}

const wf_pass wf_pass_layout = {
    .name = "layout",
    .doc = "op(strided view) -> op(copy(view)) where the kernel needs contiguous data",
    .rewrite = layout,
    .run = layout_outputs,
};
