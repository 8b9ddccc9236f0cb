/*
 * The most multiply-adds that one core can do: twelve chains in registers, enough for two units of
 * four cycles' latency. Plain processors multiply and add apart; that counts as much.
 */
#include "bench/fma.h"

#include <string.h>

/* Twelve named variables, since compilers keep an array in memory; three vector types. */
#define CHAINS(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)

enum { N_CHAINS = 12 };

#define BEGIN(i) vec x##i = va + (float)i;
#define END(i)   sum += x##i;

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static float run_avx512(int64_t rounds, float a, float b)
{
    typedef __m512 vec;
    vec va = _mm512_set1_ps(a), vb = _mm512_set1_ps(b), sum = vb;
    CHAINS(BEGIN)
    for (int64_t i = 0; i < rounds; i++) {
#define STEP(i) x##i = _mm512_fmadd_ps(x##i, va, vb);
        CHAINS(STEP)
#undef STEP
    }
    CHAINS(END)
    return sum[0];
}

__attribute__((target("avx2,fma"))) static float run_avx2(int64_t rounds, float a, float b)
{
    typedef __m256 vec;
    vec va = _mm256_set1_ps(a), vb = _mm256_set1_ps(b), sum = vb;
    CHAINS(BEGIN)
    for (int64_t i = 0; i < rounds; i++) {
#define STEP(i) x##i = _mm256_fmadd_ps(x##i, va, vb);
        CHAINS(STEP)
#undef STEP
    }
    CHAINS(END)
    return sum[0];
}
#endif

static float run_base(int64_t rounds, float a, float b)
{
    typedef float vec __attribute__((vector_size(16)));
    vec va = {a, a, a, a}, vb = {b, b, b, b}, sum = vb;
    CHAINS(BEGIN)
    for (int64_t i = 0; i < rounds; i++) {
#define STEP(i) x##i = x##i * va + vb;
        CHAINS(STEP)
#undef STEP
    }
    CHAINS(END)
    return sum[0];
}

const wf_fma *wf_fma_find(const char *isa)
{
    static const wf_fma all[] = {
#if defined(__x86_64__)
        {"avx512", 2 * 16 * N_CHAINS, run_avx512},
        {"avx2", 2 * 8 * N_CHAINS, run_avx2},
#endif
        {"base", 2 * 4 * N_CHAINS, run_base},
    };
    const wf_fma *f = all;
    while (strcmp(f->isa, isa) != 0 && strcmp(f->isa, "base") != 0) f++;
    return f;
}
