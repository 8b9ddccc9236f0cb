/*
 * Row functions: loops over whole vectors. each() cuts the tail off a row and sends a padded copy
 * of it through the same machine code, so that the bits of an element do not depend on where a row
 * ends.
 */
#ifndef WF_SIMD_ROW_H
#define WF_SIMD_ROW_H

#include "ops/simd.h"

#if defined(__clang__)
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noipa)) /* neither inlined nor cloned for a constant size */
#endif

/* Up to three inputs (others NULL), a second result (or NULL) and two parameters. */
typedef struct row {
    float *y, *z;
    const float *a, *b, *c;
    float s, t;
} row;

typedef void row_fn(int64_t n, const row *r); /* n is a multiple of WF_WIDTH */

static const float *padded(float *buffer, const float *x, int64_t k)
{
    if (!x) return NULL;
    v_store(buffer, v_load_part(x, k));
    return buffer;
}

APART static void tail(row_fn *f, int64_t from, int64_t k, const row *r)
{
    float y[WF_WIDTH], z[WF_WIDTH], a[WF_WIDTH], b[WF_WIDTH], c[WF_WIDTH];
    row t = {.y = y, .z = z, .s = r->s, .t = r->t};
    t.a = padded(a, r->a ? r->a + from : NULL, k);
    t.b = padded(b, r->b ? r->b + from : NULL, k);
    t.c = padded(c, r->c ? r->c + from : NULL, k);
    f(WF_WIDTH, &t);
    v_store_part(r->y + from, v_load(y), k);
    if (r->z) v_store_part(r->z + from, v_load(z), k);
}

APART static void ragged(row_fn *f, int64_t n, const row *r)
{
    int64_t whole = n / WF_WIDTH * WF_WIDTH;
    if (whole) f(whole, r);
    tail(f, whole, n - whole, r);
}

static inline void each(row_fn *f, int64_t n, const row *r)
{
    if (n % WF_WIDTH)
        ragged(f, n, r);
    else
        f(n, r);
}

/* A row function of vectors a, b, c and parameters s, t. */
#define ROW(name, load, expression)                                                                \
    APART static void name##_row(int64_t n, const row *r)                                          \
    {                                                                                              \
        const float *pa = r->a, *pb = r->b, *pc = r->c;                                            \
        float *y = r->y;                                                                           \
        vf s = v_splat(r->s), t = v_splat(r->t);                                                   \
        (void)pa, (void)pb, (void)pc, (void)s, (void)t;                                            \
        _Pragma("GCC unroll 2") for (int64_t i = 0; i < n; i += WF_WIDTH)                          \
        {                                                                                          \
            load;                                                                                  \
            v_store(y + i, expression);                                                            \
        }                                                                                          \
    }

#define LOAD_1 vf a = v_load(pa + i)
#define LOAD_2 vf a = v_load(pa + i), b = v_load(pb + i)
#define LOAD_3 vf a = v_load(pa + i), b = v_load(pb + i), c = v_load(pc + i)

#endif
