/*
 * Products of matrices over the last two axes, leading axes broadcast: y = op(a) op(b), where op
 * swaps the last two axes if ta, tb say so. product.c has the kernel.
 *
 *   da = dy op(b)^T   db = op(a)^T dy
 *
 * In bf16 (wf_compile_options.products) operands are rounded and sums are float32. Operands that
 * are stored in 16 bits are widened while they are packed.
 */
#include "ops/matmul.h"

#include "graph/graph.h"
#include "ops/narrow.h"

#include <stdio.h>

static bool leading_axes(wf_node *y, const wf_shape *a, const wf_shape *b)
{
    wf_shape p = *a, q = *b;
    char s[80], t[80];
    p.rank -= 2;
    q.rank -= 2;
    if (wf_shape_broadcast(&p, &q, &y->shape)) return true;
    return wf_fail(y, "leading axes do not broadcast, %s x %s", wf_shape_text(a, s, sizeof s),
                   wf_shape_text(b, t, sizeof t));
}

bool wf_matmul_infer(wf_node *y, const wf_matmul_attr *attr)
{
    const wf_shape *a = &y->in[0]->shape, *b = &y->in[1]->shape;
    char s[80], t[80];
    for (int i = 0; i < 2; i++)
        if (!wf_is_real(y->in[i]->dtype)) return wf_fail(y, "input %d must be float32", i);
    if (a->rank < 2 || b->rank < 2)
        return wf_fail(y, "both inputs need two axes, got %s x %s", wf_shape_text(a, s, sizeof s),
                       wf_shape_text(b, t, sizeof t));
    int64_t k = a->dim[attr->ta ? a->rank - 2 : a->rank - 1];
    if (k != b->dim[attr->tb ? b->rank - 1 : b->rank - 2])
        return wf_fail(y, "inner sizes differ, %s%s x %s%s", wf_shape_text(a, s, sizeof s),
                       attr->ta ? "^T" : "", wf_shape_text(b, t, sizeof t), attr->tb ? "^T" : "");
    if (!leading_axes(y, a, b)) return false;
    y->dtype = WF_F32;
    y->shape.dim[y->shape.rank++] = a->dim[attr->ta ? a->rank - 1 : a->rank - 2];
    y->shape.dim[y->shape.rank++] = b->dim[attr->tb ? b->rank - 2 : b->rank - 1];
    return true;
}

/* ---- the op ---- */

static bool matmul_infer(wf_node *y)
{
    return wf_matmul_infer(y, y->attr);
}

static int64_t matmul_units(const wf_call *c, int phase)
{
    return wf_matmul_units(c, c->attr, phase);
}

static size_t matmul_work(const wf_node *y)
{
    return wf_matmul_work(y, y->attr);
}

static size_t matmul_scratch(const wf_node *y)
{
    return wf_matmul_scratch(y, y->attr, NULL);
}

static void matmul_run(const wf_call *c, int64_t lo, int64_t hi)
{
    wf_matmul_run(c, c->attr, NULL, lo, hi);
}

static wf_node *multiply_nodes(wf_node *a, bool ta, wf_node *b, bool tb)
{
    wf_matmul_attr attr = {.ta = ta, .tb = tb};
    return wf_apply2(&wf_op_matmul, &attr, a, b);
}

static void matmul_grad(wf_node *y, wf_node *dy, wf_node *dx[])
{
    const wf_matmul_attr *t = y->attr;
    wf_node *a = y->in[0], *b = y->in[1];
    wf_node *da = t->ta ? multiply_nodes(b, t->tb, dy, true) : multiply_nodes(dy, false, b, !t->tb);
    wf_node *db = t->tb ? multiply_nodes(dy, true, a, t->ta) : multiply_nodes(a, !t->ta, dy, false);
    dx[0] = wf_sum_to(da, a);
    dx[1] = wf_sum_to(db, b);
}

int wf_matmul_print(const void *attr, char *text, size_t size)
{
    const wf_matmul_attr *a = attr;
    const char *rounded = !a->bf16 ? "" : a->ta || a->tb ? " bf16" : "bf16";
    return snprintf(text, size, "%s%s%s", a->ta ? "ta" : "", a->tb ? "tb" : "", rounded);
}

/* A matrix on the right is one for all leading axes on the left: they become rows. */
static wf_node *over_rows(wf_node *a, wf_node *b, bool tb)
{
    wf_shape s = wf_shape_of(a);
    wf_node *rows = wf_reshape(a, WF_SHAPE(-1, s.dim[s.rank - 1]));
    wf_node *y = multiply_nodes(rows, false, b, tb);
    s.dim[s.rank - 1] = wf_dim(y, 1);
    return wf_reshape(y, s);
}

static wf_node *product_node(wf_node *a, bool ta, wf_node *b, bool tb)
{
    bool is_matrix = wf_rank(b) == 2 && wf_rank(a) > 2 && !ta;
    if (is_matrix && wf_dim(a, -1) == wf_dim(b, tb ? 1 : 0)) return over_rows(a, b, tb);
    return multiply_nodes(a, ta, b, tb);
}

wf_node *wf_matmul(wf_node *a, wf_node *b)
{
    return product_node(a, false, b, false);
}

wf_node *wf_matmul_t(wf_node *a, wf_node *b)
{
    return product_node(a, false, b, true);
}

wf_node *wf_t_matmul(wf_node *a, wf_node *b)
{
    return product_node(a, true, b, false);
}

const wf_op wf_op_matmul = {
    .name = "matmul",
    .doc = "a b over the last two axes, each transposed if ta, tb say so",
    .arity = 2,
    .traits = WF_STRIDED | WF_NARROW,
    .attr_size = sizeof(wf_matmul_attr),
    .infer = matmul_infer,
    .grad = matmul_grad,
    .cost = wf_matmul_cost,
    .scratch = matmul_scratch,
    .work = matmul_work,
    .units = matmul_units,
    .run = matmul_run,
    .print = wf_matmul_print,
};
