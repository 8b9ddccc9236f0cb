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
    if (n->op != &wf_op_mean || !a->keep) return NULL;
    wf_node *sq = n->in[0];
    int last = sq->shape.rank - 1;
    for (int i = 0; i <= last; i++)
        if (a->over[i] != (i == last)) return NULL;
    if (sq->op == &wf_op_square) return sq->in[0];
    return sq->op == &wf_op_mul && sq->in[0] == sq->in[1] ? sq->in[0] : NULL;
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

static wf_node *fuse_norm(wf_node *n)
{
    float eps = 0;
    if (n->op == &wf_op_div && inside(n->in[1], &wf_op_sqrt, &eps) == n->in[0])
        return wf_rms_norm(n->in[0], eps);
    for (int i = 0; n->op == &wf_op_mul && i < 2; i++)
        if (inside(n->in[1 - i], &wf_op_rsqrt, &eps) == n->in[i]) return wf_rms_norm(n->in[i], eps);
    return NULL;
}

const wf_pass wf_pass_fuse_norm = {
    .name = "fuse_norm",
    .doc = "x * rsqrt(mean(x^2) + eps) -> rms_norm(x)",
    .rewrite = fuse_norm,
};
