/* Four floats in the compiler's vector types; see simd.h and, for contracts, simd_avx2.h. */
#ifndef WF_SIMD_BASE_H
#define WF_SIMD_BASE_H

#define WF_ISA_NAME  "base"
#define WF_VEC_TABLE wf_vec_base
#define WF_GEMM_TILE wf_gemm_base

typedef vi vm;
typedef float vf_half __attribute__((vector_size(WF_BYTES / 2)));

#if WF_HAS_FMA
static inline vf v_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

static inline vf v_sqrt(vf x)
{
    return vsqrtq_f32(x);
}
#else
static inline vf v_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

static inline vf v_sqrt(vf x)
{
    for (int i = 0; i < WF_WIDTH; i++) x[i] = sqrtf(x[i]);
    return x;
}
#endif

static inline vm v_lt(vf a, vf b)
{
    return a < b;
}

static inline vm v_le(vf a, vf b)
{
    return a <= b;
}

static inline vm v_eq(vf a, vf b)
{
    return a == b;
}

static inline vm v_and(vm a, vm b)
{
    return a & b;
}

static inline vm v_is_odd(vi x)
{
    return -(x & 1);
}

static inline vf v_pick(vm m, vf a, vf b)
{
    return (vf)((m & (vi)a) | (~m & (vi)b));
}

static inline vf v_above(vf a, vf b)
{
    return v_pick(a > b, a, b);
}

static inline vf v_below(vf a, vf b)
{
    return v_pick(a < b, a, b);
}

static inline unsigned v_bits(vm m)
{
    unsigned b = 0;
    for (int i = 0; i < WF_WIDTH; i++) b |= (unsigned)(m[i] & 1) << i;
    return b;
}

static inline vf v_load_part(const float *p, int64_t k)
{
    vf x = {0};
    memcpy(&x, p, (size_t)k * sizeof(float));
    return x;
}

static inline void v_store_part(float *p, vf x, int64_t k)
{
    memcpy(p, &x, (size_t)k * sizeof(float));
}

static inline vd v_low(vf x)
{
    return __builtin_convertvector(((vf_half){x[0], x[1]}), vd);
}

static inline vd v_high(vf x)
{
    return __builtin_convertvector(((vf_half){x[2], x[3]}), vd);
}

static inline vf v_join(vd low, vd high)
{
    return (vf){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
}

static inline vq v_mul32(vq a, vq b)
{
    return (a & UINT32_MAX) * (b & UINT32_MAX);
}

static inline vf v_load_quads(const float *p, int64_t ld)
{
    (void)ld;
    return v_load(p);
}

static inline vf v_zip_low(vf a, vf b)
{
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}

static inline vf v_zip_high(vf a, vf b)
{
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

static inline vf v_pair_low(vf a, vf b)
{
    return __builtin_shufflevector(a, b, 0, 1, 4, 5);
}

static inline vf v_pair_high(vf a, vf b)
{
    return __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

static inline vf v_swap(vf x)
{
    return __builtin_shufflevector(x, x, 1, 0, 3, 2);
}

static inline vf v_twice_low(vf x)
{
    return __builtin_shufflevector(x, x, 0, 0, 1, 1);
}

static inline vf v_twice_high(vf x)
{
    return __builtin_shufflevector(x, x, 2, 2, 3, 3);
}

#endif
