/*
 * The fused gated attention unit (Hua et al. 2022, "Transformer Quality in Linear Time"), shared by
 * its forward pass (gau.c) and its backward pass (gau_grad.c, gau_panels.c, gau_rows.c).
 *
 * P is the slab of pre-activations [..., n, 2e+s] whose columns are u | v | z; U, V, Z are SiLU of
 * them and never exist as a whole. One item is one sequence of a padded batch, or a whole packed
 * batch.
 *
 * Where only some rows are asked for, as passes/pull_gather.c finds, gau takes their ids as a sixth
 * input: Y has these rows, those of P are keys and values still. Then the gate is elsewhere and the
 * slab has the columns v | z alone (attr.u is -1), and gau carries its own gradient.
 */
#ifndef WF_GAU_H
#define WF_GAU_H

#include "ops/ops.h"

typedef enum wf_gau_kind {
    WF_GAU_KIND_SOFTMAX, /* softmax(f_i S), f_i = scale (log_scale ln(len_i) with softmax_plus) */
    WF_GAU_KIND_RELU2,   /* max(S, 0)^2 / len_i */
} wf_gau_kind;

typedef struct wf_gau_attr {
    int64_t e, s;
    int64_t u, v, z; /* first columns of the three parts in P; u = -1: queries are picked */
    wf_gau_kind kind;
    float scale;     /* of the scores */
    float log_scale; /* softmax_plus: 1 / ln 512; 0: none */
    float min_len;   /* least length */
    float rate;      /* dropout of the attention weights */
    uint64_t salt;   /* that dropout's */
} wf_gau_attr;

/* Inputs of all ops begin so: P, gamma_q, gamma_k, span, angles. Those of picked queries end with
 * ids, int32 [queries], each one of 0..rows-1, in any order, also twice. */
typedef struct wf_gau_shape {
    int64_t items, n, rows; /* rows = items * n */
    int64_t queries;        /* as many as rows, unless they are picked */
    int64_t e, s, width;    /* width of P */
    int64_t panels;         /* of 64 columns in e */
    int64_t padded;         /* rows after padding, at most: of one item, ... */
    int64_t all_padded;     /* ... of all */
    int64_t queries_padded; /* queries after padding, at most */
} wf_gau_shape;

/* ids: of the queries that are picked, else ignored. */
wf_gau_shape wf_gau_shape_of(const wf_shape *slab, const wf_shape *ids, const wf_gau_attr *a);

static inline bool wf_gau_is_picked(const wf_gau_attr *a)
{
    return a->u < 0;
}

static inline wf_gau_shape wf_gau_node_shape(const wf_node *y)
{
    return wf_gau_shape_of(&y->in[0]->shape, &y->in[y->n_in - 1]->shape, y->attr);
}

static inline wf_gau_shape wf_gau_call_shape(const wf_call *c)
{
    return wf_gau_shape_of(&c->in[0].shape, &c->in[c->n_in - 1].shape, c->attr);
}

/* The row of P (of all rows) that a query of a call is made of. */
static inline int64_t wf_gau_query_row(const wf_call *c, int64_t query)
{
    return wf_gau_is_picked(c->attr) ? ((const int32_t *)c->in[c->n_in - 1].data)[query] : query;
}

/* What row i (of all rows) sees, cut to the item: from..to-1; len_i. */
typedef struct wf_gau_row {
    int64_t from, to;
    float length;
} wf_gau_row;

wf_gau_row wf_gau_row_of(const wf_gau_shape *g, const wf_gau_attr *a, const int32_t *span,
                         int64_t i);
/* f_i of a row of this length. */
float wf_gau_factor(const wf_gau_attr *a, float length);

/* ---- naive references (gau_reference.c) ---- */

/* One query of the forward pass, x: n doubles; one item of the backward pass, room: 3 n + e
 * doubles, dk: n s floats. */
void wf_gau_reference_attend(const wf_call *c, const wf_gau_shape *g, int64_t query, double *x);
void wf_gau_reference_grad(const wf_call *c, const wf_gau_shape *g, int64_t item, double *room,
                           float *dk);

/* Of all pairs of queries and keys of an item, those that see each other: what costs go by. */
double wf_gau_share(const wf_call *c);

#endif
