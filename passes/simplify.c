/*
 * Algebra that never changes a result's bits (x - 0, 1 x, double negation or reshape) and sizes
 * made numbers. But for rounding and the sign of a zero: constants folded, parts of a gradient
 * joined, sparse rows added in place, into a sum of gradients, or into the table where plain SGD
 * trains it.
 */
#include "passes/passes.h"

#include "ops/narrow.h"

#include <math.h>

/* The value of a constant whose elements are all equal. */
static bool is_fill(const wf_node *n, float *value)
{
    while (n->op == &wf_op_broadcast || n->op == &wf_op_reshape) n = n->in[0];
    const wf_leaf_attr *a = n->attr;
    if (n->op != &wf_op_constant || a->values || n->dtype != WF_F32) return false;
    *value = a->fill;
    return true;
}

static wf_node *fold_extent(wf_node *n)
{
    const wf_axis_attr *a = n->attr;
    if (n->op != &wf_op_extent) return NULL;
    int64_t size = n->in[0]->shape.dim[a->axis];
    return size > 0 ? wf_full(n->graph, WF_SCALAR, (float)size) : NULL;
}

/* An elementwise op on filled constants is a filled constant. */
static wf_node *fold_constants(wf_node *n)
{
    double x[4];
    float v;
    if (!n->op->lane || !n->op->scalar || n->n_in > 4) return NULL;
    for (int i = 0; i < n->n_in; i++) {
        if (!is_fill(n->in[i], &v)) return NULL;
        x[i] = (double)v;
    }
    return wf_full(n->graph, n->shape, (float)n->op->scalar(n->attr, x));
}

static wf_node *if_shape(wf_node *n, wf_node *by)
{
    return wf_shape_equal(&n->shape, &by->shape) && n->dtype == by->dtype ? by : NULL;
}

/* x + 0 is none of them: it makes 0 of -0. */
static wf_node *neutral(wf_node *n)
{
    const wf_scalar_attr *a = n->attr;
    float v;
    if (n->op == &wf_op_scale && a->a == 1.0f) return n->in[0];
    if (n->op == &wf_op_shift && a->a == 0 && signbit(a->a)) return n->in[0];
    if (n->op == &wf_op_mul || n->op == &wf_op_div) {
        if (is_fill(n->in[1], &v) && v == 1.0f) return if_shape(n, n->in[0]);
        if (n->op == &wf_op_mul && is_fill(n->in[0], &v) && v == 1.0f) return if_shape(n, n->in[1]);
    }
    if (n->op == &wf_op_sub && is_fill(n->in[1], &v) && v == 0 && !signbit(v))
        return if_shape(n, n->in[0]);
    return NULL; /* x + -0: immediate makes it a shift */
}

/* mul(x, c) -> scale(x, c), add(x, c) -> shift(x, c): one load less in every tile. */
static wf_node *immediate(wf_node *n)
{
    float v;
    if (n->op != &wf_op_mul && n->op != &wf_op_add) return NULL;
    for (int i = 0; i < 2; i++) {
        wf_node *x = n->in[1 - i];
        if (!is_fill(n->in[i], &v) || !wf_shape_equal(&x->shape, &n->shape)) continue;
        return n->op == &wf_op_mul ? wf_scale(x, v) : wf_shift(x, v);
    }
    return NULL;
}

static bool is_identity_order(const wf_node *n)
{
    const wf_order_attr *a = n->attr;
    for (int i = 0; i < n->shape.rank; i++)
        if (a->order[i] != i) return false;
    return true;
}

static wf_node *views(wf_node *n)
{
    wf_node *x = n->in[0];
    if (n->op == &wf_op_reshape && x->op == &wf_op_reshape) return wf_reshape(x->in[0], n->shape);
    if (n->op == &wf_op_reshape || n->op == &wf_op_broadcast || n->op == &wf_op_slice)
        return if_shape(n, x); /* a slice as large as its axis is all of it */
    if (n->op == &wf_op_transpose) {
        if (is_identity_order(n)) return x;
        if (x->op != &wf_op_transpose) return NULL;
        const wf_order_attr *outer = n->attr, *inner = x->attr;
        wf_axes both = {.n = n->shape.rank};
        for (int i = 0; i < both.n; i++) both.axis[i] = inner->order[outer->order[i]];
        return wf_transpose(x->in[0], both);
    }
    return NULL;
}

static bool is_trivial_sum(const wf_node *n)
{
    const wf_reduce_attr *a = n->attr;
    if (n->op != &wf_op_sum && n->op != &wf_op_mean && n->op != &wf_op_max_over) return false;
    for (int i = 0; i < n->in[0]->shape.rank; i++)
        if (a->over[i] && n->in[0]->shape.dim[i] != 1) return false;
    return true;
}

static wf_node *transforms(wf_node *n)
{
    wf_node *x = n->in[0];
    if (n->op == &wf_op_neg && x->op == &wf_op_neg) return x->in[0];
    if (n->op == &wf_op_cast) return if_shape(n, x);
    if (is_trivial_sum(n)) return wf_reshape(x, n->shape);
    return NULL;
}

/* add(table gradient, scatter_rows(ids, dy)) -> scatter_rows(ids, dy, base): in place, and only
 * the touched rows move. */
static wf_node *scatter_into(wf_node *n)
{
    if (n->op != &wf_op_add) return NULL;
    for (int i = 0; i < 2; i++) {
        wf_node *s = n->in[i], *base = n->in[1 - i];
        if (s->op != &wf_op_scatter_rows || s->n_in != 2 || s->n_users != 1) continue;
        if (!wf_shape_equal(&s->shape, &base->shape)) continue;
        wf_node *in[3] = {s->in[0], s->in[1], base};
        return wf_apply(&wf_op_scatter_rows, s->attr, 3, in);
    }
    return NULL;
}

/* add(a between zeros, b between zeros) -> concat(a, b), where each has its zeros where the other
 * is: the gradient of a parameter of which two parts are read. */
static wf_node *join_parts(wf_node *n)
{
    if (n->op != &wf_op_add) return NULL;
    for (int i = 0; i < 2; i++) {
        const wf_node *x = n->in[i], *y = n->in[1 - i];
        if (x->op != &wf_op_pad || y->op != &wf_op_pad) return NULL;
        const wf_pad_attr *a = x->attr, *b = y->attr;
        if (!wf_shape_equal(&x->shape, &y->shape) || a->axis != b->axis || a->before > 0) continue;
        int64_t size = x->in[0]->shape.dim[a->axis];
        if (b->before != size || y->in[0]->shape.dim[a->axis] != n->shape.dim[a->axis] - size)
            continue;
        return wf_concat(2, (wf_node *[]){x->in[0], y->in[0]}, a->axis);
    }
    return NULL;
}

static wf_node *simplify(wf_node *n)
{
    static wf_node *(*const rules[])(wf_node *) = {
        fold_extent, fold_constants, neutral,      immediate,
        views,       transforms,     scatter_into, join_parts,
    };
    if (n->n_in == 0 || (n->op->traits & (WF_EFFECT | WF_REQUEST))) return NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        wf_node *by = rules[i](n);
        if (by) return by;
    }
    return NULL;
}

static bool is_widened(const wf_node *x, const wf_node *p)
{
    return x == p || (x->op == &wf_op_cast && x->in[0] == p);
}

/* assign(p, p - lr * scatter_rows(ids, dy)) -> scatter_store(ids, -lr * dy, p): rows that nobody
 * names are not touched; also where p has 16 bits. */
static bool sparse_updates(wf_graph *g)
{
    bool changed = false;
    for (int i = g->n_effects - 1; i >= 0; i--) {
        wf_node *e = g->effects[i], *p = e->in[0], *y = e->op == &wf_op_assign ? e->in[1] : e;
        bool rounds = y->op == &wf_op_cast && wf_is_narrow(p->dtype) && y->n_users == 1;
        const wf_cast_attr *rounding = y->attr;
        if (rounds) y = y->in[0];
        wf_node *d = y->op == &wf_op_sub && is_widened(y->in[0], p) ? y->in[1] : e;
        wf_node *s = d->op == &wf_op_mul && d->in[0]->shape.rank == 0 ? d->in[1] : e;
        if (s->op != &wf_op_scatter_rows || s->n_in != 2) continue;
        if (!wf_shape_equal(&s->shape, &p->shape)) continue; /* broadcast: all rows move */
        if (y->n_users != 1 || d->n_users != 1 || s->n_users != 1) continue;
        g->scope = e->scope;
        wf_node *in[3] = {s->in[0], wf_mul(wf_neg(d->in[0]), s->in[1]), p};
        wf_rows_attr a = *(const wf_rows_attr *)s->attr;
        if (rounds) a.salt = rounding->salt;
        wf_replace_effects(e, NULL, wf_apply(&wf_op_scatter_store, &a, 3, in));
        changed = true;
    }
    g->scope = "";
    return changed;
}

const wf_pass wf_pass_simplify = {
    .name = "simplify",
    .doc = "x-0, 1x, constants, sizes, views of views -> less; sparse rows go into their table",
    .rewrite = simplify,
    .run = sparse_updates,
};
