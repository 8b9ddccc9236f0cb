/* Eight floats with AVX2 and FMA; see simd.h. */
#ifndef WF_SIMD_AVX2_H
#define WF_SIMD_AVX2_H

#define WF_ISA_NAME  "avx2"
#define WF_VEC_TABLE wf_vec_avx2
#define WF_GEMM_TILE wf_gemm_avx2

typedef vi vm;

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vf v_sqrt(vf x)
{
    return _mm256_sqrt_ps(x);
}

/* a > b ? a : b, so b if either is NaN */
static inline vf v_above(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

/* a < b ? a : b, so b if either is NaN */
static inline vf v_below(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

static inline vm v_lt(vf a, vf b)
{
    return (vm)_mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

static inline vm v_le(vf a, vf b)
{
    return (vm)_mm256_cmp_ps(a, b, _CMP_LE_OQ);
}

static inline vm v_eq(vf a, vf b)
{
    return (vm)_mm256_cmp_ps(a, b, _CMP_EQ_OQ);
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
    return _mm256_blendv_ps(b, a, (vf)m);
}

/* Lane i as bit i. */
static inline unsigned v_bits(vm m)
{
    return (unsigned)_mm256_movemask_ps((vf)m);
}

/* The first k < 8 lanes; zeros behind. */
static inline vf v_load_part(const float *p, int64_t k)
{
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const int32_t *m = window + 8 - k;
    return _mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i_u *)m));
}

/* By halves: a masked store is many times slower on some processors. */
static inline void v_store_part(float *p, vf x, int64_t k)
{
    __m128 half = _mm256_castps256_ps128(x);
    if (k & 4) {
        _mm_storeu_ps(p, half);
        half = _mm256_extractf128_ps(x, 1);
        p += 4;
    }
    if (k & 2) {
        _mm_storel_pi((__m64 *)p, half);
        half = _mm_movehl_ps(half, half);
        p += 2;
    }
    if (k & 1) _mm_store_ss(p, half);
}

static inline vd v_low(vf x)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}

static inline vd v_high(vf x)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}

/* The inverse of v_low and v_high. */
static inline vf v_join(vd low, vd high)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low));
}

/* Products of the low 32 bits of each lane. */
static inline vq v_mul32(vq a, vq b)
{
    return (vq)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}

/* Four floats each from p, p + 4 ld: lane group g is row 4 g. */
static inline vf v_load_quads(const float *p, int64_t ld)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * ld),
                                1);
}

/* Within each group of four lanes: a0 b0 a1 b1 and a2 b2 a3 b3. */
static inline vf v_zip_low(vf a, vf b)
{
    return _mm256_unpacklo_ps(a, b);
}

static inline vf v_zip_high(vf a, vf b)
{
    return _mm256_unpackhi_ps(a, b);
}

/* Within each group of four lanes: a0 a1 b0 b1 and a2 a3 b2 b3. */
static inline vf v_pair_low(vf a, vf b)
{
    return (vf)_mm256_unpacklo_pd((vd)a, (vd)b);
}

static inline vf v_pair_high(vf a, vf b)
{
    return (vf)_mm256_unpackhi_pd((vd)a, (vd)b);
}

/* x1 x0 x3 x2 ... */
static inline vf v_swap(vf x)
{
    return _mm256_permute_ps(x, 0xb1);
}

/* x0 x0 x1 x1 ..., of the lower and of the upper half */
static inline vf v_twice_low(vf x)
{
    return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}

static inline vf v_twice_high(vf x)
{
    return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
}

#endif
