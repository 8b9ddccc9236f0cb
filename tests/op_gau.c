/* Rows of the gated attention unit: its fused ops, and the same in plain ops. */
#include "tests/op_cases.h"

#include "ops/gau.h"

#include <math.h>

enum { P, GAMMA_Q, GAMMA_K, SPAN, POSITIONS, DG, IDS = DG, DY };

/* ---- fused ---- */

static void fused_inputs(wf_node *const x[], const wf_gau_attr *a, wf_node *in[7])
{
    wf_rope_attr rope = {.base = 100, .size = a->s};
    for (int i = 0; i < 4; i++) in[i] = x[i];
    in[4] = wf_apply1(&wf_op_rope_angles, &rope, x[POSITIONS]);
    in[5] = wf_apply(&wf_op_gau, a, 5, in);
}

wf_node *op_gau(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *in[7];
    (void)g;
    fused_inputs(x, attr, in);
    return in[5];
}

wf_node *op_gau_gated(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *in[7];
    (void)g;
    fused_inputs(x, attr, in);
    return wf_apply(&wf_op_gau_gated, attr, 6,
                    (wf_node *[]){in[5], in[0], in[1], in[2], in[3], in[4]});
}

wf_node *op_gau_grad(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *in[7];
    (void)g;
    fused_inputs(x, attr, in);
    in[6] = x[DG];
    return wf_apply(&wf_op_gau_grad, attr, 7, in);
}

/* ---- fused, some queries ---- */

wf_node *op_gau_picked(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_rope_attr rope = {.base = 100, .size = ((const wf_gau_attr *)attr)->s};
    wf_node *angles = wf_apply1(&wf_op_rope_angles, &rope, x[POSITIONS]);
    (void)g;
    return wf_apply(&wf_op_gau, attr, 6,
                    (wf_node *[]){x[P], x[GAMMA_Q], x[GAMMA_K], x[SPAN], angles, x[IDS]});
}

wf_node *op_gau_grad_picked(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_rope_attr rope = {.base = 100, .size = ((const wf_gau_attr *)attr)->s};
    wf_node *angles = wf_apply1(&wf_op_rope_angles, &rope, x[POSITIONS]);
    (void)g;
    return wf_apply(&wf_op_gau_grad, attr, 7,
                    (wf_node *[]){x[P], x[GAMMA_Q], x[GAMMA_K], x[SPAN], angles, x[DY], x[IDS]});
}

/* ---- plain ---- */

/* Sums over columns of P, so that no pass finds the unit: gammas come as rows, [..., n, s]. */
static wf_node *plain_attend(wf_node *const x[], const wf_gau_attr *a)
{
    wf_node *h = wf_silu(x[P]), *z = wf_slice(h, -1, a->z, a->s);
    wf_node *q = wf_rope(wf_mul(z, x[GAMMA_Q]), x[POSITIONS], 100);
    wf_node *k = wf_rope(wf_mul(z, x[GAMMA_K]), x[POSITIONS], 100);
    wf_node *score = wf_scale(wf_matmul_t(q, k), a->scale), *weights;
    wf_node *length = wf_span_length(x[SPAN], a->min_len);
    if (a->log_scale != 0) score = wf_mul(score, wf_scale(wf_log(length), a->log_scale));
    if (a->kind == WF_GAU_KIND_RELU2)
        weights = wf_div(wf_mask_span(wf_relu2(score), x[SPAN], 0), length);
    else
        weights = wf_softmax(wf_mask_span(score, x[SPAN], -INFINITY));
    return wf_matmul(weights, wf_slice(h, -1, a->v, a->e));
}

static wf_node *plain_gate(wf_node *const x[], const wf_gau_attr *a)
{
    return wf_mul(wf_silu(wf_slice(x[P], -1, a->u, a->e)), plain_attend(x, a));
}

wf_node *op_gau_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g;
    return plain_attend(x, attr);
}

wf_node *op_gau_gated_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g;
    return plain_gate(x, attr);
}

wf_node *op_gau_picked_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    wf_node *y = plain_attend(x, attr);
    (void)g;
    return wf_gather(wf_reshape(y, WF_SHAPE(wf_rows(&y->shape), wf_dim(y, -1))), x[IDS]);
}

/* dq z and dk z are gradients by a gamma that every row has of its own. */
static wf_node *plain_grad(wf_node *const x[], const wf_gau_attr *a, op_build *value, wf_node *dy)
{
    wf_shape rows = wf_shape_of(x[P]);
    rows.dim[rows.rank - 1] = a->s;
    wf_node *in[] = {x[P],
                     wf_broadcast(x[GAMMA_Q], rows),
                     wf_broadcast(x[GAMMA_K], rows),
                     x[SPAN],
                     x[POSITIONS],
                     x[IDS]};
    wf_node *loss = wf_sum(wf_mul(value(dy->graph, in, a), dy), WF_ALL, false);
    wf_node *d[] = {wf_gradient(loss, in[P]), wf_gradient(loss, in[GAMMA_Q]),
                    wf_gradient(loss, in[GAMMA_K])};
    return wf_concat(3, d, -1);
}

wf_node *op_gau_grad_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g;
    return plain_grad(x, attr, op_gau_gated_plain, x[DG]);
}

wf_node *op_gau_grad_picked_plain(wf_graph *g, wf_node *const x[], const void *attr)
{
    (void)g;
    return plain_grad(x, attr, op_gau_picked_plain, x[DY]);
}
