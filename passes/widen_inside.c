/*
 * op(cast(x))  ->  op(x), where x has 16 bits and the op widens what it reads: elementwise programs
 * in their tiles, products while they pack, gather the rows that it takes. Saves writing and
 * reading all of x as float32.
 */
#include "passes/passes.h"

#include "ops/narrow.h"

/* The left operand of a product is read again for every panel of columns, unless it is transposed
 * first. */
bool wf_widens(const wf_node *n, int input)
{
    const wf_op *op = n->op;
    if (!(op->traits & WF_NARROW) || op == &wf_op_cast || op == &wf_op_assign) return false;
    bool is_product = op == &wf_op_matmul || op == &wf_op_linear || op == &wf_op_linear_store;
    return !is_product || input > 0 || ((const wf_matmul_attr *)n->attr)->ta;
}

static wf_node *widen_inside(wf_node *n)
{
    wf_node *in[64];
    bool found = false;
    if (n->op->traits & WF_EFFECT || n->n_in > 64) return NULL;
    for (int i = 0; i < n->n_in; i++) {
        const wf_node *x = n->in[i];
        bool is_widened = x->op == &wf_op_cast && wf_is_narrow(x->in[0]->dtype) && wf_widens(n, i);
        in[i] = is_widened ? x->in[0] : n->in[i];
        found |= is_widened;
    }
    return found ? wf_apply(n->op, n->attr, n->n_in, in) : NULL;
}

const wf_pass wf_pass_widen_inside = {
    .name = "widen_inside",
    .doc = "op(cast(x)) -> op(x), x of 16 bits, where the op widens what it reads",
    .rewrite = widen_inside,
};
