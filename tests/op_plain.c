/*
 * The values of kernels that only move, count or pick numbers, by a longer way: with selection
 * matrices and comparisons. Kernels without a naive reference are held against these.
 */
#include "tests/op_cases.h"

#include <math.h>

static wf_node *floats(wf_node *x)
{
    return wf_cast(x, WF_F32);
}

static wf_node *ramp(wf_graph *g, int64_t n)
{
    return floats(wf_iota(g, n));
}

/* x with one more axis of size 1 at the end. */
static wf_node *column(wf_node *x)
{
    wf_shape s = wf_shape_of(x);
    s.dim[s.rank++] = 1;
    return wf_reshape(x, s);
}

static wf_node * not(wf_node * x)
{
    return wf_shift(wf_neg(x), 1);
}

static wf_node *sum_last(wf_node *x)
{
    return wf_sum(x, WF_AXES(-1), false);
}

/* ids [...] -> [..., n]: 1 where the id is the index. */
static wf_node *picks(wf_node *ids, int64_t n)
{
    return wf_equal(column(floats(ids)), ramp(wf_graph_of(ids), n));
}

wf_node *op_one_hot_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g;
    return picks(x[0], ((const wf_rows_attr *)attr)->rows);
}

/* One row for each of a table's. */
static wf_node *flat(wf_node *x, int64_t rows)
{
    return wf_reshape(x, WF_SHAPE(rows, -1));
}

wf_node *op_gather_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_shape table = wf_shape_of(x[0]), s = wf_shape_of(x[1]);
    int64_t n = wf_elements(&s), v = table.dim[0];
    (void)g, (void)attr;
    for (int i = 1; i < table.rank; i++) s.dim[s.rank++] = table.dim[i];
    wf_node *p = picks(wf_reshape(x[1], WF_SHAPE(n)), v);
    return wf_reshape(wf_matmul(p, flat(x[0], v)), s);
}

wf_node *op_scatter_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_shape ids = wf_shape_of(x[0]), dy = wf_shape_of(x[1]), s = {1, {0}};
    int64_t n = wf_elements(&ids);
    (void)g;
    s.dim[0] = ((const wf_rows_attr *)attr)->rows;
    for (int i = ids.rank; i < dy.rank; i++) s.dim[s.rank++] = dy.dim[i];
    wf_node *p = picks(wf_reshape(x[0], WF_SHAPE(n)), s.dim[0]);
    return wf_reshape(wf_t_matmul(p, flat(x[1], n)), s);
}

wf_node *op_scatter_into_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    return wf_add(op_scatter_plain(g, x, attr), x[2]);
}

/* ---- axes of matrices, by matrices ---- */

/* [n, m]: 1 where column = row + shift. */
static wf_node *selection(wf_graph *g, int64_t n, int64_t m, int64_t shift)
{
    return wf_equal(wf_shift(column(ramp(g, n)), (float)shift), ramp(g, m));
}

/* x [..., n, k] times a along axis (0 or 1 of a matrix, 0 of a row). */
static wf_node *along(wf_node *x, int axis, wf_node *a)
{
    if (wf_rank(x) == 1) return wf_reshape(wf_matmul(a, column(x)), WF_SHAPE(-1));
    if (axis == wf_rank(x) - 1) return wf_matmul_t(x, a);
    return wf_matmul(a, x);
}

wf_node *op_slice_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_slice_attr *a = attr;
    return along(x[0], a->axis, selection(g, a->size, wf_dim(x[0], a->axis), a->start));
}

wf_node *op_pad_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_pad_attr *a = attr;
    return along(x[0], a->axis, selection(g, a->total, wf_dim(x[0], a->axis), -a->before));
}

wf_node *op_transpose_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    int64_t n = wf_dim(x[0], 1);
    (void)attr;
    return wf_matmul_t(selection(g, n, n, 0), x[0]);
}

wf_node *op_broadcast_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    return wf_mul(wf_full(g, ((const wf_shape_attr *)attr)->shape, 1), x[0]);
}

wf_node *op_concat_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    int axis = ((const wf_axis_attr *)attr)->axis;
    int64_t sizes[] = {wf_dim(x[0], axis), wf_dim(x[1], axis)};
    wf_node *a = along(x[0], axis, selection(g, sizes[0] + sizes[1], sizes[0], 0));
    return wf_add(a, along(x[1], axis, selection(g, sizes[0] + sizes[1], sizes[1], -sizes[0])));
}

wf_node *op_cumsum_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_axis_attr *a = attr;
    int64_t n = wf_dim(x[0], a->axis);
    wf_node *i = column(ramp(g, n)), *j = ramp(g, n);
    wf_node *first = a->reverse ? i : j, *second = a->reverse ? j : i;
    return along(x[0], a->axis,
                 a->exclusive ? wf_less(first, second) : wf_less_equal(first, second));
}

/* ---- sequences ---- */

/* Of a packed batch: [t, 3] with the beginning and the end of each token's sequence, and 1. */
static wf_node *sequences(wf_graph *g, wf_node *offsets, int64_t t)
{
    int64_t n = wf_dim(offsets, 0) - 1;
    wf_node *o = wf_clamp(floats(offsets), 0, (float)t), *i = column(ramp(g, t));
    wf_node *from = wf_slice(o, 0, 0, n), *to = wf_slice(o, 0, 1, n);
    wf_node *inside = wf_mul(wf_less_equal(from, i), wf_less(i, to));
    wf_node *parts[] = {column(sum_last(wf_mul(inside, from))),
                        column(sum_last(wf_mul(inside, to))), column(sum_last(inside))};
    return wf_concat(3, parts, 1);
}

wf_node *op_span_packed_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_span_attr *a = attr;
    wf_node *s = sequences(g, x[0], a->tokens), *from = wf_slice(s, 1, 0, 1);
    wf_node *to = wf_slice(s, 1, 1, 1), *next = wf_shift(column(ramp(g, a->tokens)), 1);
    if (a->causal) to = wf_min(to, wf_mul(next, wf_slice(s, 1, 2, 1)));
    return wf_cast(wf_concat(2, (wf_node *[]){from, to}, 1), WF_I32);
}

wf_node *op_positions_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    int64_t t = ((const wf_span_attr *)attr)->tokens;
    wf_node *s = sequences(g, x[0], t), *i = wf_mul(column(ramp(g, t)), wf_slice(s, 1, 2, 1));
    return wf_cast(wf_reshape(wf_sub(i, wf_slice(s, 1, 0, 1)), WF_SHAPE(t)), WF_I32);
}

wf_node *op_span_padded_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_span_attr *a = attr;
    int64_t b = wf_dim(x[0], 0), n = a->tokens;
    wf_node *to = wf_broadcast(column(wf_clamp(floats(x[0]), 0, (float)n)), WF_SHAPE(b, n));
    if (a->causal) to = wf_min(to, wf_shift(ramp(g, n), 1));
    wf_node *parts[] = {column(wf_scale(to, 0)), column(to)};
    return wf_cast(wf_concat(2, parts, -1), WF_I32);
}

wf_node *op_mask_span_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *from = wf_slice(floats(x[1]), -1, 0, 1), *to = wf_slice(floats(x[1]), -1, 1, 1);
    wf_node *j = ramp(g, wf_dim(x[0], -1));
    wf_node *inside = wf_mul(wf_less_equal(from, j), wf_less(j, to));
    return wf_where(inside, x[0], wf_constant(g, ((const wf_span_attr *)attr)->value));
}

wf_node *op_span_length_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *from = wf_slice(floats(x[0]), -1, 0, 1), *to = wf_slice(floats(x[0]), -1, 1, 1);
    return wf_max(wf_sub(to, from), wf_constant(g, ((const wf_span_attr *)attr)->value));
}

/* p theta_j as [n, s/2]; positions and angles stay small enough for floats. */
static wf_node *angles(wf_graph *g, wf_node *positions, float base, int64_t s)
{
    wf_node *power = wf_scale(ramp(g, s / 2), (float)(-2 / (double)s * log((double)base)));
    return wf_mul(column(floats(positions)), wf_exp(power));
}

wf_node *op_rope_angles_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_rope_attr *a = attr;
    wf_node *turn = angles(g, x[0], a->base, a->size);
    return wf_concat(2, (wf_node *[]){wf_cos(turn), wf_sin(turn)}, 1);
}

wf_node *op_rope_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    const wf_rope_attr *a = attr;
    wf_shape s = wf_shape_of(x[0]), pairs = s;
    wf_node *turn = angles(g, x[1], a->base, s.dim[s.rank - 1]);
    wf_node *c = column(wf_cos(turn)), *d = column(wf_sin(a->inverse ? wf_neg(turn) : turn));
    pairs.dim[pairs.rank - 1] /= 2;
    pairs.dim[pairs.rank++] = 2;
    wf_node *p = wf_reshape(x[0], pairs), *u = wf_slice(p, -1, 0, 1), *v = wf_slice(p, -1, 1, 1);
    wf_node *parts[] = {wf_sub(wf_mul(u, c), wf_mul(v, d)), wf_add(wf_mul(v, c), wf_mul(u, d))};
    return wf_reshape(wf_concat(2, parts, -1), s);
}

/* ---- losses ---- */

/* 1 where a label is one of n classes and not to be ignored. */
static wf_node *counted(wf_node *labels, int64_t n, const void *attr)
{
    wf_graph *g = wf_graph_of(labels);
    wf_node *y = floats(labels), *zero = wf_constant(g, 0);
    wf_node *ignore = wf_constant(g, (float)((const wf_loss_attr *)attr)->ignore);
    wf_node *inside = wf_mul(wf_less_equal(zero, y), wf_less(y, wf_constant(g, (float)n)));
    return wf_mul(inside, not(wf_equal(y, ignore)));
}

wf_node *op_label_mask_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g;
    return counted(x[1], wf_dim(x[0], -1), attr);
}

wf_node *op_cross_entropy_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    int64_t n = wf_dim(x[0], -1);
    (void)g;
    wf_node *rows = wf_neg(sum_last(wf_mul(wf_log_softmax(x[0]), picks(x[1], n))));
    return wf_mul(rows, counted(x[1], n, attr));
}

wf_node *op_cross_entropy_grad_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    int64_t n = wf_dim(x[0], -1);
    (void)g;
    wf_node *slope = wf_sub(wf_softmax(x[0]), picks(x[1], n));
    return wf_mul(slope, column(wf_mul(x[2], counted(x[1], n, attr))));
}

/* The first of the largest: none of them lies before it. */
wf_node *op_hits_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    int64_t n = wf_dim(x[0], -1);
    wf_node *top = wf_equal(x[0], wf_max_over(x[0], WF_AXES(-1), true));
    wf_node *before = wf_sub(wf_cumsum(top, -1), top);
    wf_node *first = wf_mul(top, wf_equal(before, wf_constant(g, 0)));
    return wf_mul(sum_last(wf_mul(first, picks(x[1], n))), counted(x[1], n, attr));
}
