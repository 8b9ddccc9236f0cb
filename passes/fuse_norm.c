/*
 * x * rsqrt(mean(x^2) + eps)  ->  rms_norm(x, eps)
 * x / sqrt(mean(x^2) + eps)   ->  rms_norm(x, eps)
 *
 * over the last axis: one kernel that reads x once in place of four passes over it, with its own
 * gradient.
 */
#include "passes/passes.h"

#include "ops/ops.h"

/* mean(x^2) over the last axis, kept: returns x. */
static wf_node *mean_square(wf_node *n)
{
    const wf_reduce_attr *a = n->attr;
    if (n->op != &wf_op_mean) return NULL;
    wf_node *sq = n->in[0];
    bool is_square = sq->op == &wf_op_square || (sq->op == &wf_op_mul && sq->in[0] == sq->in[1]);
    int last = sq->shape.rank - 1;
    bool is_over_last = a->keep;
    for (int i = 0; i <= last; i++) is_over_last &= a->over[i] == (i == last);
    if (is_square && !is_over_last) wf_note(n, "the mean is not over the last axis alone, kept");
    return is_square && is_over_last ? sq->in[0] : NULL;
}

/* root(mean(x^2) + eps) where root is sqrt or rsqrt: returns x. */
static wf_node *inside(wf_node *n, const wf_op *root, float *eps)
{
    if (n->op != root) return NULL;
    *eps = 0;
    wf_node *m = n->in[0];
    if (m->op == &wf_op_shift) {
        *eps = ((const wf_scalar_attr *)m->attr)->a;
        m = m->in[0];
    }
    return mean_square(m);
}

/* x times or by the root of its own mean square. */
static wf_node *norm_of(wf_node *x, wf_node *by, const wf_op *root)
{
    float eps = 0;
    const wf_node *squared = inside(by, root, &eps);
    if (squared && squared != x) wf_note(by, "what is scaled is not what was squared");
    return squared == x ? wf_rms_norm(x, eps) : NULL;
}

static wf_node *fuse_norm(wf_node *n)
{
    if (n->op == &wf_op_div) return norm_of(n->in[0], n->in[1], &wf_op_sqrt);
    for (int i = 0; n->op == &wf_op_mul && i < 2; i++) {
        wf_node *y = norm_of(n->in[i], n->in[1 - i], &wf_op_rsqrt);
        if (y) return y;
    }
    return NULL;
}

const wf_pass wf_pass_fuse_norm = {
    .name = "fuse_norm",
    .doc = "x * rsqrt(mean(x^2) + eps) -> rms_norm(x)",
    .rewrite = fuse_norm,
};
