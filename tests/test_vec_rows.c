/*
 * The vector layer's sums, rotation, transposition, random numbers and choice of level, at every
 * level this processor has. What the random generator must give is published (Salmon et al. 2011:
 * the known answers of Philox 4x32-10).
 */
#include "ops/vec.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_N    4097

static const char *const levels[] = {"base", "avx2", "avx512"};
static const int64_t sizes[] = {0, 1, 7, 8, 9, 63, 1000, 1024, 1025, MAX_N};

/* for each level: v is its table */
#define EACH_LEVEL(v)                                                                              \
    for (size_t level = 0; level < COUNT(levels); level++)                                         \
        for (const wf_vec *v = wf_vec_select(levels[level]) ? wf_vec_get() : NULL; v; v = NULL)

/* Criterion reports every check, passed or not, to its parent: so one check a row. */
#define EXPECT_ALL(i, n, condition)                                                                \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        while (i < (n) && (condition)) i++;                                                        \
        cr_expect(i >= (n), "%s: " #condition " at %ld", v->isa, (long)i);                         \
    } while (0)

/* In [-1, 1), reproducible. */
static void fill_row(int64_t n, float *x, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 0x1p-31f;
    }
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void expect_sums(const wf_vec *v, int64_t n, const float *a, const float *b)
{
    double sum = 0, dot = 0, size = 0, dot_size = 0;
    float largest = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i];
        size += fabsf(a[i]);
        dot += (double)a[i] * b[i];
        dot_size += fabs((double)a[i] * b[i]);
        largest = fmaxf(largest, a[i]);
    }
    cr_expect(fabs(v->sum(n, a) - sum) <= 1e-6 * size, "%s sum of %ld", v->isa, (long)n);
    cr_expect(fabs(v->dot(n, a, b) - dot) <= 1e-6 * dot_size, "%s dot of %ld", v->isa, (long)n);
    cr_expect_eq(v->max_of(n, a), largest, "%s max of %ld", v->isa, (long)n);
}

Test(vec_rows, sums_and_largest)
{
    static float a[MAX_N + 3], b[MAX_N + 3];
    fill_row(MAX_N + 3, a, 1);
    fill_row(MAX_N + 3, b, 2);
    EACH_LEVEL(v) for (size_t s = 0; s < COUNT(sizes); s++)
    {
        int64_t n = sizes[s];
        expect_sums(v, n, a, b);
        expect_sums(v, n, a + 3, b + 1);
        memcpy(b, a + 2, (size_t)n * sizeof *b);
        cr_expect_eq(v->sum(n, b), v->sum(n, a + 2), "a sum depends on alignment");
        fill_row(MAX_N + 3, b, 2);
    }
}

Test(vec_rows, nan_is_the_largest_wherever_it_stands)
{
    static float a[100];
    EACH_LEVEL(v) for (int i = 0; i < 100; i++)
    {
        a[i] = NAN;
        if (!isnan(v->max_of(100, a)) || !isnan(v->sum(100, a)))
            cr_expect(false, "%s %d", v->isa, i);
        a[i] = (float)-i;
    }
}

Test(vec_rows, exponentials_and_their_sum)
{
    static float a[MAX_N], y[MAX_N];
    fill_row(MAX_N, a, 1);
    a[3] = -INFINITY;
    EACH_LEVEL(v) for (size_t s = 0; s < COUNT(sizes); s++)
    {
        double sum = 0;
        float got = v->exp_sum(sizes[s], y, a, 0.5f);
        EXPECT_ALL(i, sizes[s], fabs(y[i] - exp(a[i] - .5)) <= 1e-6);
        for (int64_t i = 0; i < sizes[s]; i++) sum += y[i];
        cr_expect(fabs(got - sum) <= 1e-6 * sum, "%s %ld", v->isa, (long)sizes[s]);
    }
}

/* ---- moves ----------------------------------------------------------------------------------- */

Test(vec_rows, rotate_turns_pairs)
{
    enum { PAIRS = 101 };
    float x[2 * PAIRS], c[PAIRS], s[PAIRS], y[2 * PAIRS + 1];
    fill_row(2 * PAIRS, x, 1);
    for (int i = 0; i < PAIRS; i++) c[i] = cosf((float)i), s[i] = sinf((float)i);
    EACH_LEVEL(v) for (int64_t n = 0; n <= PAIRS; n++)
    {
        y[2 * n] = 77;
        v->rotate(n, y, x, c, s);
        EXPECT_ALL(i, n, fabsf(y[2 * i] - (x[2 * i] * c[i] - x[2 * i + 1] * s[i])) < 3e-7f);
        EXPECT_ALL(i, n, fabsf(y[2 * i + 1] - (x[2 * i + 1] * c[i] + x[2 * i] * s[i])) < 3e-7f);
        cr_expect_eq(y[2 * n], 77);
    }
}

/* The error of a transposition of an exactly allocated matrix, -1 for none. */
static int64_t transposed_wrong(const wf_vec *v, int64_t rows, int64_t cols, int64_t pad)
{
    int64_t lds = cols + pad, ldd = rows + 2 * pad;
    size_t n = (size_t)(rows * lds - pad), m = (size_t)(cols * ldd - 2 * pad);
    float *src = malloc(n * sizeof *src), *dst = malloc(m * sizeof *dst);
    for (size_t i = 0; i < n; i++) src[i] = (float)i;
    for (size_t i = 0; i < m; i++) dst[i] = -1;
    v->transpose(rows, cols, dst, ldd, src, lds);
    int64_t wrong = -1;
    for (int64_t i = 0; i < (int64_t)m; i++) {
        int64_t c = i / ldd, r = i % ldd;
        if (dst[i] != (r < rows ? src[r * lds + c] : -1)) wrong = i;
    }
    free(src);
    free(dst);
    return wrong;
}

Test(vec_rows, transpose_any_size)
{
    static const int64_t big[][2] = {{63, 127}, {100, 300}, {257, 64},
                                     {1, 500},  {500, 1},   {16, 129}};
    EACH_LEVEL(v)
    {
        for (int64_t k = 0; k < 35 * 35; k++) {
            int64_t rows = k / 35 + 1, cols = k % 35 + 1;
            if (transposed_wrong(v, rows, cols, k % 4) >= 0)
                cr_expect(false, "%s %ld x %ld", v->isa, (long)rows, (long)cols);
        }
        for (size_t k = 0; k < COUNT(big); k++)
            cr_expect_eq(transposed_wrong(v, big[k][0], big[k][1], (int64_t)k % 3), -1);
        v->transpose(0, 5, NULL, 0, NULL, 5);
        v->transpose(5, 0, NULL, 5, NULL, 0);
    }
}

/* ---- random numbers ---- */

/* One block, as the paper defines it. */
static void philox_block(uint32_t c[4], uint64_t key)
{
    uint32_t a = (uint32_t)key, b = (uint32_t)(key >> 32);
    for (int r = 0; r < 10; r++) {
        uint64_t p = (uint64_t)0xd2511f53u * c[0], q = (uint64_t)0xcd9e8d57u * c[2];
        c[0] = (uint32_t)(q >> 32) ^ c[1] ^ a;
        c[1] = (uint32_t)q;
        c[2] = (uint32_t)(p >> 32) ^ c[3] ^ b;
        c[3] = (uint32_t)p;
        a += 0x9e3779b9u;
        b += 0xbb67ae85u;
    }
}

/* Element i of a stream. */
static uint32_t philox(uint64_t key, uint64_t stream, uint64_t i)
{
    uint32_t c[4] = {(uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), (uint32_t)stream,
                     (uint32_t)(stream >> 32)};
    philox_block(c, key);
    return c[i % 4];
}

Test(vec_rows, random_bits_are_the_published_ones)
{
    uint32_t zeros[4] = {0}, ones[4] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    uint32_t digits[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}; /* of pi */
    static const uint32_t from_zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    static const uint32_t from_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    static const uint32_t from_digits[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    philox_block(zeros, 0);
    philox_block(ones, UINT64_MAX);
    philox_block(digits, 0x299f31d0a4093822);
    cr_expect_arr_eq(zeros, from_zeros, sizeof zeros);
    cr_expect_arr_eq(ones, from_ones, sizeof ones);
    cr_expect_arr_eq(digits, from_digits, sizeof digits);

    uint32_t y[40];
    EACH_LEVEL(v)
    {
        v->random_bits(40, y, 0, 0, 0);
        cr_expect_arr_eq(y, from_zeros, sizeof from_zeros, "%s", v->isa);
        v->random_bits(40, y, UINT64_MAX, UINT64_MAX, UINT64_MAX - 39);
        EXPECT_ALL(i, 40, y[i] == philox(UINT64_MAX, UINT64_MAX, UINT64_MAX - 39 + (uint64_t)i));
    }
}

Test(vec_rows, random_bits_from_any_place_are_the_same)
{
    static uint32_t y[300];
    static const uint64_t first[] = {0, 1, 2, 3, 5, 127, 0xfffffffeu * 4ull + 3, 1ull << 62};
    const uint64_t key = 0x123456789abcdef0, stream = 0xfedcba9876543210;
    EACH_LEVEL(v) for (size_t f = 0; f < COUNT(first); f++) for (int64_t n = 0; n < 300; n += 7)
    {
        if (n) y[n] = 99;
        v->random_bits(n, y, key, stream, first[f]);
        EXPECT_ALL(i, n, y[i] == philox(key, stream, first[f] + (uint64_t)i));
        if (n) cr_expect_eq(y[n], 99);
    }
}

Test(vec_rows, uniform_and_dropout_follow_the_bits)
{
    enum { N = 3001 };
    static float x[N], y[N];
    fill_row(N, x, 3);
    x[7] = INFINITY;
    EACH_LEVEL(v)
    {
        v->uniform(N, y, 1, 2, 3);
        EXPECT_ALL(i, N, y[i] == (float)(philox(1, 2, 3 + (uint64_t)i) >> 8) * 0x1p-24f);
        double mean = v->sum(N, y) / N;
        cr_expect(fabs(mean - .5) < .02, "mean %g", mean);
        const float rates[] = {0, .1f, .5f, 1};
        for (size_t r = 0; r < COUNT(rates); r++) {
            float rate = rates[r];
            float *u = y;
            v->uniform(N, u, 1, 2, 3);
            static float d[N];
            v->dropout(N, d, x, rate, 1, 2, 3);
            EXPECT_ALL(i, N, d[i] == (u[i] >= rate ? x[i] * (1 / (1 - rate)) : 0));
        }
    }
}

/* ---- choice ---- */

Test(vec_rows, a_level_is_chosen_by_name)
{
    const wf_vec *best = wf_vec_get();
    cr_assert(best);
    cr_expect(wf_vec_select(best->isa));
    cr_expect_eq(wf_vec_get(), best);
    cr_expect(!wf_vec_select("mmx") && !wf_vec_select("") && !wf_vec_select(NULL));
    cr_expect_eq(wf_vec_get(), best, "a refused name changes nothing");
    cr_expect(wf_vec_select("base"));
    cr_expect_str_eq(wf_vec_get()->isa, "base");
}
