/* One GAU layer of plain ops, with the gradients of a probe: shared by tests of the fused unit. */
#ifndef GAU_LAYER_H
#define GAU_LAYER_H

#include <weft/weft.h>

#include <math.h>
#include <string.h>

typedef struct gau_layer {
    int64_t d, e, s;
    const char *norm; /* "softmax", "softmax_plus", "relu2" */
    float min_len, dropout;
    bool packed, causal;
    bool free_span;      /* of a packed layer: input "span" [time, 2] in place of the offsets' */
    int64_t batch, time; /* packed: sequences, tokens */
    bool show_weights;   /* outputs "z", "q", "s", "a": kept alive, so that nothing is fused */
    bool is_glu;         /* weights are the identity matrix, which leaves a gated linear unit */
    bool is_ungated;     /* u = 1, which leaves attention with one head */
    bool is_relu;        /* in place of SiLU */
    float shift;         /* of all positions */
    int64_t spare;       /* columns of the slab that nobody reads */
    bool twice;          /* u and v are the same columns */
    bool differentiate;  /* outputs "dx", "dwi", "dwo", "dgq", "dgk" of sum(y cos(1.3 column)) */
} gau_layer;

static wf_node *gau_weights(const gau_layer *l, wf_node *score, wf_node *span)
{
    if (!strcmp(l->norm, "relu2"))
        return wf_div(wf_mask_span(wf_relu2(score), span, 0), wf_span_length(span, 1));
    if (!strcmp(l->norm, "softmax_plus")) {
        wf_node *len = wf_span_length(span, l->min_len);
        score = wf_mul(score, wf_scale(wf_log(len), (float)(1 / log(512.0))));
    }
    return wf_softmax(wf_mask_span(score, span, -INFINITY));
}

static void gau_gradients(wf_node *y, wf_node *const leaf[], int n)
{
    static const char *const names[] = {"dx", "dwi", "dwo", "dgq", "dgk"};
    wf_graph *g = wf_graph_of(y);
    wf_node *column = wf_cast(wf_iota(g, wf_dim(y, -1)), WF_F32);
    wf_node *loss = wf_sum(wf_mul(y, wf_cos(wf_scale(column, 1.3f))), WF_ALL, false);
    for (int i = 0; i < n; i++) wf_output(wf_gradient(loss, leaf[i]), names[i]);
}

/* Inputs: "x" [time, d] or [batch, time, d], "offsets" [batch + 1] or "lengths" [batch]; parameters
 * wi, wo, gq, gk. Outputs "o" (before the residual) and "y" (after RMS). */
static void gau_layer_build(wf_graph *g, const gau_layer *l)
{
    int64_t n = l->time, b = l->batch, e = l->e, s = l->s, d = l->d;
    wf_role role = {.kind = WF_KERNEL};
    wf_init normal = {.kind = WF_INIT_NORMAL, .a = 0.3f}, one = {.kind = WF_INIT_CONSTANT, .a = 1};
    wf_node *x = wf_input(g, "x", WF_F32, l->packed ? WF_SHAPE(n, d) : WF_SHAPE(b, n, d));
    wf_node *ends =
        wf_input(g, l->packed ? "offsets" : "lengths", WF_I32, WF_SHAPE(l->packed ? b + 1 : b));
    wf_node *span =
        l->packed ? wf_span_packed(ends, n, l->causal) : wf_span_padded(ends, n, l->causal);
    if (l->free_span) span = wf_input(g, "span", WF_I32, WF_SHAPE(n, 2));
    wf_node *positions = l->packed ? wf_positions(ends, n) : wf_iota(g, n);
    positions = wf_cast(wf_shift(wf_cast(positions, WF_F32), l->shift), WF_I32);
    int64_t width = 2 * e + s + l->spare;
    wf_node *wi = wf_param(g, "wi", WF_SHAPE(d, width), role, normal);
    wf_node *wo = wf_param(g, "wo", WF_SHAPE(e, d), role, normal);
    wf_node *gq = wf_param(g, "gq", WF_SHAPE(s), role, one);
    wf_node *gk = wf_param(g, "gk", WF_SHAPE(s), role, one);

    wf_node *p = wf_matmul(x, wi), *h = l->is_relu ? wf_relu(p) : wf_silu(p), *part[3];
    part[0] = wf_slice(h, -1, 0, e);
    part[1] = wf_slice(h, -1, l->twice ? 0 : e, e);
    part[2] = wf_slice(h, -1, 2 * e, s);
    wf_node *q = wf_rope(wf_mul(part[2], gq), positions, 10000);
    wf_node *k = wf_rope(wf_mul(part[2], gk), positions, 10000);
    wf_node *score = wf_scale(wf_matmul_t(q, k), 1 / sqrtf((float)s));
    wf_node *a = gau_weights(l, score, span);
    wf_node *shown[] = {part[2], q, score, a};
    for (int i = 0; i < 4 && l->show_weights; i++)
        wf_output(shown[i], (const char *[]){"z", "q", "s", "a"}[i]);
    wf_node *read = l->is_glu ? part[1] : wf_matmul(wf_dropout(a, l->dropout), part[1]);
    wf_node *o = wf_matmul(l->is_ungated ? read : wf_mul(part[0], read), wo);
    wf_output(o, "o");
    wf_node *y = wf_output(wf_rms_norm(wf_add(x, o), 1e-12f), "y");
    if (l->differentiate) gau_gradients(y, (wf_node *[]){x, wi, wo, gq, gk}, l->is_glu ? 3 : 5);
}

#endif
