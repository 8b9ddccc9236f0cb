/*
 * Operands of products: an item of a tensor as a matrix of any strides, and how it comes into the
 * order that kernels read, as float32 (what is stored in 16 bits is widened) or rounded to bf16
 * (gemm.h).
 */
#ifndef WF_OPERAND_H
#define WF_OPERAND_H

#include "ops/narrow.h"

/* Element (i, j) at data[i * row + j * col]; of 16 bits too. */
typedef struct wf_matrix {
    const void *data;
    int64_t row, col;
    wf_dtype type;
} wf_matrix;

/* How many an operand has; the number of the one that item of the result y reads. */
int64_t wf_own_items(const wf_shape *own);
int64_t wf_own_item(const wf_shape *own, const wf_shape *y, int64_t item);
/* Matrix number own of t, its axes swapped if asked for. */
wf_matrix wf_matrix_of(const wf_tensor *t, bool swap, int64_t own);

/* What begins at (row, col). */
static inline wf_matrix wf_matrix_part(const wf_matrix *x, int64_t row, int64_t col)
{
    int64_t at = (row * x->row + col * x->col) * (int64_t)wf_dtype_bytes(x->type);
    return (wf_matrix){(const char *)x->data + at, x->row, x->col, x->type};
}

/* y[r * ld + c] = x(r, c) */
void wf_matrix_copy(float *y, int64_t ld, const wf_matrix *x, int64_t rows, int64_t cols);
/* In strips of WF_STRIP columns, step floats from one to the next. */
void wf_matrix_pack(float *y, int64_t step, const wf_matrix *x, int64_t rows, int64_t cols);

enum { WF_ROUND_SIDE = 64, WF_ROUND_ROOM = 1 << 14 };

/* The same rounded to bf16, as a kernel wants its first operand: an odd number of columns is
 * followed by a zero; and its second one: strips of pairs of rows, a missing last row is zero.
 * room: WF_ROUND_ROOM floats; at most WF_ROUND_SIDE rows here, columns there. */
void wf_matrix_round(uint16_t *y, int64_t ld, const wf_matrix *x, int64_t rows, int64_t cols,
                     float *room);
void wf_matrix_pack_rounded(uint16_t *y, int64_t step, const wf_matrix *x, int64_t rows,
                            int64_t cols, float *room);

#endif
