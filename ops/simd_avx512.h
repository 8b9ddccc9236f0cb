/* Sixteen floats with AVX-512 F, VL, DQ, BW; see simd.h and, for contracts, simd_avx2.h. */
#ifndef WF_SIMD_AVX512_H
#define WF_SIMD_AVX512_H

#define WF_ISA_NAME  "avx512"
#define WF_VEC_TABLE wf_vec_avx512
#define WF_GEMM_TILE wf_gemm_avx512

typedef __mmask16 vm;

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf v_sqrt(vf x)
{
    return _mm512_sqrt_ps(x);
}

static inline vf v_above(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf v_below(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vm v_lt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

static inline vm v_le(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}

static inline vm v_eq(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

static inline vm v_and(vm a, vm b)
{
    return (vm)(a & b);
}

static inline vm v_is_odd(vi x)
{
    return _mm512_test_epi32_mask((__m512i)x, _mm512_set1_epi32(1));
}

static inline vf v_pick(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

static inline unsigned v_bits(vm m)
{
    return m;
}

static inline vm v_first(int64_t k)
{
    return (vm)((1u << k) - 1u);
}

static inline vf v_load_part(const float *p, int64_t k)
{
    return _mm512_maskz_loadu_ps(v_first(k), p);
}

static inline void v_store_part(float *p, vf x, int64_t k)
{
    _mm512_mask_storeu_ps(p, v_first(k), x);
}

static inline vd v_low(vf x)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

static inline vd v_high(vf x)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}

static inline vf v_join(vd low, vd high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high),
                              1);
}

static inline vq v_mul32(vq a, vq b)
{
    return (vq)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}

/* Four floats each from p, p + 4 ld, p + 8 ld, p + 12 ld */
static inline vf v_load_quads(const float *p, int64_t ld)
{
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(p));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(p + 4 * ld), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(p + 8 * ld), 2);
    return _mm512_insertf32x4(x, _mm_loadu_ps(p + 12 * ld), 3);
}

static inline vf v_zip_low(vf a, vf b)
{
    return _mm512_unpacklo_ps(a, b);
}

static inline vf v_zip_high(vf a, vf b)
{
    return _mm512_unpackhi_ps(a, b);
}

static inline vf v_pair_low(vf a, vf b)
{
    return (vf)_mm512_unpacklo_pd((vd)a, (vd)b);
}

static inline vf v_pair_high(vf a, vf b)
{
    return (vf)_mm512_unpackhi_pd((vd)a, (vd)b);
}

static inline vf v_swap(vf x)
{
    return _mm512_permute_ps(x, 0xb1);
}

static inline vf v_twice_low(vf x)
{
    const __m512i order = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(order, x);
}

static inline vf v_twice_high(vf x)
{
    const __m512i order =
        _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
    return _mm512_permutexvar_ps(order, x);
}

#endif
