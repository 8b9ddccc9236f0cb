/*
 * THE table of op cases: what the tests of ops and their benchmark run. A row names an op, its
 * attributes, its arguments (shape, layout, how numbers are drawn) and what may be asked of it.
 */
#ifndef OP_CASES_H
#define OP_CASES_H

#include "ops/ops.h"

enum { OP_ARGS = 7 };

/* How the numbers of an argument are drawn. Kinks are kept 0.05 away. */
typedef enum op_draw {
    OP_NONE,     /* there is no such argument */
    OP_ANY,      /* -1.5 to 1.5 */
    OP_POSITIVE, /* 0.3 to 2 */
    OP_NONZERO,  /* 0.3 to 1.5 with a random sign */
    OP_SPACED,   /* all different: multiples of 0.2, beside those of other arguments */
    OP_TIES,     /* -2, -1, ..., 2: equal ones are frequent; not differentiated */
    OP_BITS,     /* 0 or 1; not differentiated */
    OP_IDS,      /* int32: -1 to limit, so both ends lie outside 0..limit-1 */
    OP_OFFSETS,  /* int32: 0 first, never falling, up to limit */
    OP_LENGTHS,  /* int32: 0 to limit */
    OP_SPANS,    /* int32: pairs from <= to in 0..limit */
    OP_BYTES,    /* uint8 */
} op_draw;

/* How an argument lies in memory. */
typedef enum op_layout {
    OP_PLAIN,
    OP_SLICED,   /* the inside of a larger input */
    OP_TURNED,   /* axes in reverse order */
    OP_REPEATED, /* one index of axis 0, broadcast along it */
} op_layout;

typedef struct op_arg {
    op_draw draw;
    int64_t dim[WF_MAX_RANK + 1]; /* ends with 0 */
    op_layout layout;
    int32_t limit;
} op_arg;

enum {
    OP_GRADIENT = 1, /* the gradient by every OP_ANY to OP_SPACED argument exists */
    OP_SECOND = 3,   /* and can be differentiated again */
    OP_LARGE = 4,    /* of a size for the benchmark; not differentiated by the tests */
    OP_DATA = 8,     /* moves, counts or compares: exact on all kernels */
};

typedef wf_node *op_build(wf_graph *g, wf_node *const x[], const void *attr);

typedef struct op_case {
    const wf_op *op;
    const char *name; /* what is special about the row */
    op_arg in[OP_ARGS];
    const void *attr;
    unsigned flags;
    op_build *build;  /* NULL: wf_apply(op, attr, ...) */
    op_build *plain;  /* the same value in other ops, where the kernel has no naive reference */
    double tolerance; /* relative to 1 + |y|; 0: 4e-6 */
} op_case;

extern const op_case op_cases[]; /* ends with op NULL */

int op_case_args(const op_case *c);
bool op_case_has_gradient(const op_case *c, int i); /* by argument i */

/* Declare inputs "x0", "x1", ... and the row's value, as output "y". x[] receives the inputs (as
 * they are declared: op_layout changes their shape). An effect's value is the tensor it writes.
 * fixed: not inputs but constants of these numbers, and parameters "x0", ... of zeros added to
 * those that have a gradient: for wf_gradcheck, which draws inputs by itself. */
wf_node *op_case_build(const op_case *c, wf_graph *g, void *const fixed[], wf_node *x[OP_ARGS]);

/* The numbers of input i: free() them. A function of the row, i and seed. */
void *op_case_draw(const op_case *c, int i, uint64_t seed, size_t *bytes);

/* What larger rows are made of (op_gau.c): the gated attention unit's ops, from P, gamma_q,
 * gamma_k, span, positions [, gradient of G]; of picked queries ids [, gradient of Y] follow. */
op_build op_gau, op_gau_gated, op_gau_grad, op_gau_picked, op_gau_grad_picked;
op_build op_gau_plain, op_gau_gated_plain, op_gau_grad_plain, op_gau_picked_plain,
    op_gau_grad_picked_plain;

/* Longer ways to the values of kernels that have no naive reference (op_plain.c). */
op_build op_one_hot_plain, op_gather_plain, op_scatter_plain, op_scatter_into_plain, op_slice_plain,
    op_pad_plain, op_transpose_plain, op_broadcast_plain, op_concat_plain, op_cumsum_plain,
    op_span_packed_plain, op_positions_plain, op_span_padded_plain, op_mask_span_plain,
    op_span_length_plain, op_rope_angles_plain, op_rope_plain, op_label_mask_plain,
    op_cross_entropy_plain, op_cross_entropy_grad_plain, op_hits_plain;

#endif
