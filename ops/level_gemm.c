/*
 * The portable tile product (gemm.h), compiled once for each level: where libxsmm has no kernel.
 *
 * A tile of ROWS x 2 vectors of C stays in registers while all of k streams by; the rest at the
 * right and bottom edges goes through tiles of fewer rows and a partly filled vector.
 */
#include "ops/gemm.h"
#include "ops/simd.h"

#define ROWS 6

typedef struct operands {
    const float *a, *b;
    float *c;
    int64_t count, step_row, step_k; /* of a, in elements */
    int64_t last;                    /* lanes of the last vector */
} operands;

static inline __attribute__((always_inline)) vf load(const float *p, bool whole, int64_t lanes)
{
    return whole ? v_load(p) : v_load_part(p, lanes);
}

/* rows and vectors are constants where this is expanded. */
static inline __attribute__((always_inline)) void tile(const wf_gemm_shape *s, const operands *o,
                                                       int rows, int vectors, bool whole)
{
    vf c[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            bool full = whole || v + 1 < vectors;
            const float *from = o->c + r * s->ldc + v * WF_WIDTH;
            c[r][v] = s->accumulate ? load(from, full, o->last) : (vf){0};
        }
    for (int64_t i = 0; i < o->count; i++) {
        const float *a = o->a + i * s->step_a, *b = o->b + i * s->step_b;
        for (int64_t k = 0; k < s->k; k++, a += o->step_k, b += s->ldb) {
            vf x[2];
            for (int v = 0; v < vectors; v++)
                x[v] = load(b + v * WF_WIDTH, whole || v + 1 < vectors, o->last);
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++)
                    c[r][v] = v_fma(v_splat(a[r * o->step_row]), x[v], c[r][v]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            float *to = o->c + r * s->ldc + v * WF_WIDTH;
            if (whole || v + 1 < vectors)
                v_store(to, c[r][v]);
            else
                v_store_part(to, c[r][v], o->last);
        }
}

#define TILES(NAME, VECTORS, WHOLE)                                                                \
    static void NAME(const wf_gemm_shape *s, const operands *o, int64_t rows)                      \
    {                                                                                              \
        switch (rows) {                                                                            \
        case 1:                                                                                    \
            tile(s, o, 1, VECTORS, WHOLE);                                                         \
            break;                                                                                 \
        case 2:                                                                                    \
            tile(s, o, 2, VECTORS, WHOLE);                                                         \
            break;                                                                                 \
        case 3:                                                                                    \
            tile(s, o, 3, VECTORS, WHOLE);                                                         \
            break;                                                                                 \
        case 4:                                                                                    \
            tile(s, o, 4, VECTORS, WHOLE);                                                         \
            break;                                                                                 \
        case 5:                                                                                    \
            tile(s, o, 5, VECTORS, WHOLE);                                                         \
            break;                                                                                 \
        default:                                                                                   \
            tile(s, o, ROWS, VECTORS, WHOLE);                                                      \
            break;                                                                                 \
        }                                                                                          \
    }

TILES(two_whole, 2, true)
TILES(two_part, 2, false)
TILES(one_whole, 1, true)
TILES(one_part, 1, false)

void WF_GEMM_TILE(const wf_gemm_shape *s, const float *a, const float *b, float *c, int64_t count)
{
    operands o = {
        .count = count, .step_row = s->trans_a ? 1 : s->lda, .step_k = s->trans_a ? s->lda : 1};
    for (int64_t j = 0; j < s->n; j += 2 * WF_WIDTH) {
        int64_t left = s->n - j;
        bool two = left > WF_WIDTH;
        o.last = v_least(two ? left - WF_WIDTH : left);
        void (*run)(const wf_gemm_shape *, const operands *, int64_t) =
            o.last == WF_WIDTH ? (two ? two_whole : one_whole) : (two ? two_part : one_part);
        for (int64_t i = 0; i < s->m; i += ROWS) {
            o.a = a + i * o.step_row;
            o.b = b + j;
            o.c = c + i * s->ldc + j;
            run(s, &o, s->m - i < ROWS ? s->m - i : ROWS);
        }
    }
}
