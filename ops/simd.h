/*
 * Vectors of the level being compiled: WF_LEVEL_AVX512 has 16 floats, WF_LEVEL_AVX2 has 8, and
 * WF_LEVEL_BASE 4 in the compiler's own vector types, for any processor: SSE2 on x86-64, NEON on
 * AArch64. Included only by files that are compiled once for each level.
 *
 * Arithmetic and bit operations are written as operators; what operators cannot say is below. vm is
 * a mask, one truth value a lane: what a comparison gives and v_pick takes.
 */
#ifndef WF_SIMD_H
#define WF_SIMD_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(WF_LEVEL_AVX512)
#define WF_WIDTH   16
#define WF_HAS_FMA 1
#elif defined(WF_LEVEL_AVX2)
#define WF_WIDTH   8
#define WF_HAS_FMA 1
#elif defined(WF_LEVEL_BASE)
#define WF_WIDTH 4
#if defined(__aarch64__)
#define WF_HAS_FMA 1 /* all of them have vectors that do it */
#else
#define WF_HAS_FMA 0
#endif
#else
#error "define WF_LEVEL_AVX512, WF_LEVEL_AVX2 or WF_LEVEL_BASE"
#endif

#if defined(WF_LEVEL_AVX512) || defined(WF_LEVEL_AVX2)
#include <immintrin.h>
#elif WF_HAS_FMA
#include <arm_neon.h>
#endif

#define WF_BYTES (4 * WF_WIDTH)

typedef float vf __attribute__((vector_size(WF_BYTES)));
typedef int32_t vi __attribute__((vector_size(WF_BYTES)));
typedef uint32_t vu __attribute__((vector_size(WF_BYTES)));
typedef double vd __attribute__((vector_size(WF_BYTES)));   /* half as many lanes */
typedef uint64_t vq __attribute__((vector_size(WF_BYTES))); /* half as many lanes */
typedef float vf_memory __attribute__((vector_size(WF_BYTES), aligned(4), may_alias));

static inline vf v_load(const void *p)
{
    return *(const vf_memory *)p;
}

static inline void v_store(void *p, vf x)
{
    *(vf_memory *)p = x;
}

static inline vf v_splat(float x)
{
    return x - (vf){0}; /* x + 0 would lose the sign of -0 */
}

static inline vf v_float(vi x)
{
    return __builtin_convertvector(x, vf);
}

#if defined(WF_LEVEL_AVX512)
#include "ops/simd_avx512.h"
#elif defined(WF_LEVEL_AVX2)
#include "ops/simd_avx2.h"
#else
#include "ops/simd_base.h"
#endif

/* What follows is the same at every level. */

static inline vf v_abs(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

/* The sign bits of x added to y >= 0: for odd functions, so that -0 gives -0. */
static inline vf v_signed(vf y, vf x)
{
    return (vf)((vi)y | ((vi)x & INT32_MIN));
}

/* 2^k for -126 <= k <= 127; 0 for k = -127 */
static inline vf v_power2(vi k)
{
    return (vf)((vu)(k + 127) << 23);
}

/* NaN where either is NaN */
static inline vf v_max(vf a, vf b)
{
    return v_pick(v_eq(a, a), v_above(a, b), a);
}

static inline vf v_min(vf a, vf b)
{
    return v_pick(v_eq(a, a), v_below(a, b), a);
}

/* a b - p without rounding, where p is a b rounded. */
static inline vf v_residue(vf a, vf b, vf p)
{
#if WF_HAS_FMA
    return v_fma(a, b, -p);
#else
    vf ah = (vf)((vi)a & -4096), bh = (vf)((vi)b & -4096); /* 12 bits each (Dekker 1971) */
    vf al = a - ah, bl = b - bh;
    return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
}

static inline int64_t v_least(int64_t n)
{
    return n < WF_WIDTH ? n : WF_WIDTH;
}

/* The sum of the lanes in double precision. */
static inline double v_sum(vf x)
{
    vd d = v_low(x) + v_high(x);
    double s = 0;
    for (int i = 0; i < WF_WIDTH / 2; i++) s += d[i];
    return s;
}

#endif
