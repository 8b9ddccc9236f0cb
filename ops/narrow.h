/* Tensors of 16-bit numbers: what is stored so, while all arithmetic is float32. */
#ifndef WF_NARROW_H
#define WF_NARROW_H

#include "ops/ops.h"

static inline bool wf_is_narrow(wf_dtype t)
{
    return t == WF_F16 || t == WF_BF16;
}

static inline bool wf_is_real(wf_dtype t)
{
    return t == WF_F32 || wf_is_narrow(t);
}

/* A stream of draws for rounding by chance; in its place NULL: to nearest, ties to even. */
typedef struct wf_draws {
    uint32_t a, b;
} wf_draws;

/* That of a tensor (its salt) in the run of this number, by the store's seed. */
wf_draws wf_draws_of(uint64_t seed, uint32_t salt, int64_t step);

/* n numbers of 16 bits to float32; reference: without the vector layer, to the same bits. */
void wf_widen(wf_dtype from, int64_t n, float *y, const uint16_t *x, bool reference);
/* And from float32; the first of them is number first of a tensor. */
void wf_narrow(wf_dtype to, int64_t n, uint16_t *y, const float *x, const wf_draws *d,
               int64_t first, bool reference);
/* Among float32 and 16 bits, to nearest; equal types copy. */
void wf_convert(wf_dtype to, void *y, wf_dtype from, const void *x, int64_t n);
/* One float32, int32, uint8 or 16-bit number. */
float wf_read_number(wf_dtype type, const void *data, int64_t i);

/* x, of 16 bits, as float32; x, float32, as 16 bits, to nearest (salt 0) or by chance. */
wf_node *wf_widened(wf_node *x);
wf_node *wf_narrowed(wf_node *x, wf_dtype to, uint32_t salt);

#endif
