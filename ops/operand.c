/* Operands of products, brought into the order that kernels read. */
#include "ops/operand.h"

#include <string.h>

enum { STRIP = WF_STRIP, DEPTH = WF_ROUND_ROOM / WF_ROUND_SIDE, TILE = 32 };

int64_t wf_own_items(const wf_shape *own)
{
    int64_t n = 1;
    for (int i = 0; i + 2 < own->rank; i++) n *= own->dim[i];
    return n;
}

int64_t wf_own_item(const wf_shape *own, const wf_shape *y, int64_t item)
{
    int64_t at = 0, step = 1;
    for (int i = y->rank - 3; i >= 0; i--) {
        int o = i - (y->rank - own->rank);
        if (o >= 0) {
            if (own->dim[o] != 1) at += item % y->dim[i] * step;
            step *= own->dim[o];
        }
        item /= y->dim[i];
    }
    return at;
}

wf_matrix wf_matrix_of(const wf_tensor *t, bool swap, int64_t own)
{
    int r = t->shape.rank;
    int64_t at = 0;
    for (int i = r - 3; i >= 0; i--) {
        at += own % t->shape.dim[i] * t->stride[i];
        own /= t->shape.dim[i];
    }
    wf_matrix m = {.data = (const char *)t->data + at * (int64_t)wf_dtype_bytes(t->dtype),
                   .row = t->stride[r - 2],
                   .col = t->stride[r - 1],
                   .type = t->dtype};
    if (t->shape.dim[r - 1] == 1) m.col = 1;
    if (t->shape.dim[r - 2] == 1) m.row = t->shape.dim[r - 1];
    return swap ? (wf_matrix){m.data, m.col, m.row, m.type} : m;
}

/* A tile of 16-bit numbers whose columns lie side by side. */
static void turn_narrow(float *y, int64_t ld, const wf_matrix *x, int64_t rows, int64_t cols)
{
    float tile[TILE * TILE];
    for (int64_t c = 0; c < cols; c++)
        wf_widen(x->type, rows, tile + c * TILE, (const uint16_t *)x->data + c * x->col, false);
    wf_vec_get()->transpose(cols, rows, y, ld, tile, TILE);
}

static void copy_narrow(float *y, int64_t ld, const wf_matrix *x, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; x->col == 1 && r < rows; r++)
        wf_widen(x->type, cols, y + r * ld, (const uint16_t *)x->data + r * x->row, false);
    int64_t step = x->row == 1 ? TILE : 1;
    for (int64_t r = 0; x->col != 1 && r < rows; r += step)
        for (int64_t c = 0; c < cols; c += step) {
            wf_matrix part = wf_matrix_part(x, r, c);
            if (step == 1)
                y[r * ld + c] = wf_read_number(x->type, part.data, 0);
            else
                turn_narrow(y + r * ld + c, ld, &part, wf_min_i64(TILE, rows - r),
                            wf_min_i64(TILE, cols - c));
        }
}

void wf_matrix_copy(float *y, int64_t ld, const wf_matrix *x, int64_t rows, int64_t cols)
{
    const float *from = x->data;
    if (x->type != WF_F32) {
        copy_narrow(y, ld, x, rows, cols);
    } else if (x->col == 1) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(y + r * ld, from + r * x->row, (size_t)cols * sizeof *y);
    } else if (x->row == 1) {
        wf_vec_get()->transpose(cols, rows, y, ld, from, x->col);
    } else {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < cols; c++) y[r * ld + c] = from[r * x->row + c * x->col];
    }
}

void wf_matrix_pack(float *y, int64_t step, const wf_matrix *x, int64_t rows, int64_t cols)
{
    if (x->col == 1 && x->type == WF_F32) {
        wf_vec_get()->pack(rows, cols, y, step, x->data, x->row);
        return;
    }
    for (int64_t c = 0; c < cols; c += STRIP) {
        wf_matrix strip = wf_matrix_part(x, 0, c);
        int64_t n = wf_min_i64(STRIP, cols - c);
        wf_matrix_copy(y + c / STRIP * step, n, &strip, rows, n);
    }
}

/* ---- rounded to bf16 ---- */

/* x itself if its rows lie side by side in float32, else a copy in room. */
static wf_matrix in_rows(const wf_matrix *x, int64_t rows, int64_t cols, float *room)
{
    if (x->col == 1 && x->type == WF_F32) return *x;
    wf_matrix_copy(room, cols, x, rows, cols);
    return (wf_matrix){.data = room, .row = cols, .col = 1};
}

void wf_matrix_round(uint16_t *y, int64_t ld, const wf_matrix *x, int64_t rows, int64_t cols,
                     float *room)
{
    for (int64_t c = 0; c < cols; c += DEPTH) {
        int64_t n = wf_min_i64(DEPTH, cols - c);
        wf_matrix from = wf_matrix_part(x, 0, c);
        from = in_rows(&from, rows, n, room);
        for (int64_t r = 0; r < rows; r++)
            wf_vec_get()->bf16(n, y + r * ld + c, (const float *)from.data + r * from.row);
    }
    for (int64_t r = 0; r < rows && cols % 2; r++) y[r * ld + cols] = 0;
}

void wf_matrix_pack_rounded(uint16_t *y, int64_t step, const wf_matrix *x, int64_t rows,
                            int64_t cols, float *room)
{
    for (int64_t r = 0; r < rows; r += DEPTH) {
        int64_t n = wf_min_i64(DEPTH, rows - r);
        wf_matrix from = wf_matrix_part(x, r, 0);
        from = in_rows(&from, n, cols, room);
        for (int64_t c = 0; c < cols; c += STRIP) {
            int64_t width = wf_min_i64(STRIP, cols - c);
            wf_vec_get()->bf16_pairs(n, width, y + c / STRIP * step + r * width,
                                     (const float *)from.data + c, from.row);
        }
    }
}
