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
#define STEP(i)  x##i = FMA(x##i, va, vb);
#define END(i)   sum += x##i;
#define SPLAT4(a)                                                                                  \
    {                                                                                              \
        a, a, a, a                                                                                 \
    }

/* vec, its splat and FMA(a, b, c) are the level's. */
#define PROBE(NAME, VECTOR, SPLAT)                                                                 \
    static float NAME(int64_t rounds, float a, float b)                                            \
    {                                                                                              \
        typedef VECTOR vec;                                                                        \
        vec va = SPLAT(a), vb = SPLAT(b), sum = vb;                                                \
        CHAINS(BEGIN)                                                                              \
        for (int64_t i = 0; i < rounds; i++) {                                                     \
            CHAINS(STEP)                                                                           \
        }                                                                                          \
        CHAINS(END)                                                                                \
        return sum[0];                                                                             \
    }

#if defined(__x86_64__)
#include <immintrin.h>

#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
__attribute__((target("avx512f"))) PROBE(run_avx512, __m512, _mm512_set1_ps)
#undef FMA
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
    __attribute__((target("avx2,fma"))) PROBE(run_avx2, __m256, _mm256_set1_ps)
#undef FMA
#endif

        typedef float four __attribute__((vector_size(16)));
#define FMA(a, b, c) ((a) * (b) + (c))
PROBE(run_base, four, SPLAT4)

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
