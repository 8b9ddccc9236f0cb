/*
 * The fused gated attention unit (Hua et al. 2022, "Transformer Quality in Linear Time"), shared by
 * gau.c (forward) and gau_grad.c.
 *
 * P is the slab of pre-activations [..., n, 2e+s] whose columns are u | v | z; U, V, Z are SiLU of
 * them and never exist as a whole. One item is one sequence of a padded batch, or a whole packed
 * batch. Rows and keys are taken in blocks of WF_GAU_BLOCK inside an item.
 */
#ifndef WF_GAU_H
#define WF_GAU_H

#include "ops/ops.h"

enum { WF_GAU_BLOCK = 64 };

typedef enum wf_gau_kind {
    WF_GAU_KIND_SOFTMAX, /* softmax(f_i S), f_i = scale (log_scale ln(len_i) with softmax_plus) */
    WF_GAU_KIND_RELU2,   /* max(S, 0)^2 / len_i */
} wf_gau_kind;

typedef struct wf_gau_attr {
    int64_t e, s;
    int64_t u, v, z; /* first columns of the three parts in P */
    wf_gau_kind kind;
    float scale;     /* of the scores */
    float log_scale; /* softmax_plus: 1 / ln 512; 0: none */
    float min_len;   /* least length */
    float rate;      /* dropout of the attention weights */
    uint64_t salt;   /* that dropout's */
} wf_gau_attr;

/* Inputs of all three ops begin so: P, gamma_q, gamma_k, span, angles. */
typedef struct wf_gau_shape {
    int64_t items, n, rows, blocks; /* rows = items * n; blocks of one item */
    int64_t e, s, width;            /* width of P */
    int64_t panels;                 /* of 64 columns in e */
} wf_gau_shape;

wf_gau_shape wf_gau_shape_of(const wf_shape *slab, const wf_gau_attr *a);

/* A block of rows of one item and the key blocks that some row of it sees. */
typedef struct wf_gau_rows {
    int64_t item, first, n; /* rows first..first+n-1 of the item */
    int64_t lo, hi;         /* key blocks lo..hi-1 */
} wf_gau_rows;

wf_gau_rows wf_gau_rows_of(const wf_gau_shape *g, const int32_t *span, int64_t block);

/* What row i (of all rows) sees, cut to the item: from..to-1; its factor f_i and 1 / len_i. */
typedef struct wf_gau_row {
    int64_t from, to;
    float factor, inverse;
} wf_gau_row;

wf_gau_row wf_gau_row_of(const wf_gau_shape *g, const wf_gau_attr *a, const int32_t *span,
                         int64_t i);

/* Rotated query or key of one row: rope(SiLU(P_z) * gamma) * factor into y[s]; angle: this row of
 * rope_angles; temp: s floats. */
void wf_gau_turn(const wf_gau_attr *a, const float *p_row, const float *gamma, const float *angle,
                 float factor, float *y, float *temp);

/* SiLU of n rows of columns from..from+e-1 of P, as panels of 64 columns: [panel][row][64] with
 * room for all padded rows of an item; rows n..64 of the block become zero. */
void wf_gau_panels(const wf_gau_shape *g, const float *p, int64_t n, int64_t from, float *y);

/* Naive references (gau_reference.c): one row of the forward pass, x: n doubles; one item of the
 * backward pass, room: 3 n + e doubles, dk: n s floats. */
void wf_gau_reference_attend(const wf_call *c, const wf_gau_shape *g, int64_t row, double *x);
void wf_gau_reference_grad(const wf_call *c, const wf_gau_shape *g, int64_t item, double *room,
                           float *dk);

/* Of all pairs of rows and keys, those that see each other: what costs go by. */
double wf_gau_share(const wf_call *c);

#endif
