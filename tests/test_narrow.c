/*
 * Numbers of 16 bits at every level this processor has: all of them there and back, rounding of
 * float32 against the naive one in double precision, rounding by chance, which must be unbiased and
 * the same wherever work is cut.
 */
#include "ops/narrow.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = 1 << 16, N = 40000 };

static const char *const levels[] = {"base", "avx2", "avx512"};
static const wf_dtype types[] = {WF_F16, WF_BF16};
static const wf_draws draws = {0x12345678u, 42};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* for each level and type */
#define EACH_LEVEL_AND_TYPE(t)                                                                     \
    for (size_t level = 0; level < COUNT(levels); level++)                                         \
        for (size_t k = 0; wf_vec_select(levels[level]) && k < COUNT(types); k++)                  \
            for (wf_dtype t = types[k], go = 1; go; go = 0)

static float from_bits(uint32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* Any bits, those of numbers that f16 can hold more often; then what lies at the edges. */
static float *many_floats(void)
{
    static const float edges[] = {0,        -0.0f,     INFINITY, -INFINITY, NAN,      65504,
                                  65519,    65519.99f, 65520,    65536,     1e6f,     FLT_MAX,
                                  FLT_MIN,  0x1p-14f,  0x1p-15f, 0x1p-24f,  0x1p-25f, 0x1.8p-25f,
                                  0x1p-26f, 0x1p-40f,  0x1p-60f, 1e-45f,    1,        -1};
    float *x = malloc(N * sizeof *x);
    unsigned seed = 7;
    for (int i = 0; i < N; i++) {
        uint32_t high = (seed = seed * 1664525u + 1013904223u) >> 16;
        uint32_t low = (seed = seed * 1664525u + 1013904223u) >> 16;
        uint32_t bits = high << 16 | (i % 5 ? low : low & 1 ? 0x8000 : 0x1000);
        if (i % 3) bits = (bits & 0x8fffffffu) | (uint32_t)(100 + i % 50) << 23;
        x[i] = i < (int)COUNT(edges) ? edges[i] : from_bits(bits);
    }
    return x;
}

static bool is_nan(wf_dtype t, uint16_t h)
{
    return (h & 0x7fff) > (t == WF_F16 ? 0x7c00 : 0x7f80);
}

Test(narrow, every_pattern_goes_there_and_back)
{
    uint16_t *h = malloc(ALL * sizeof *h), *back = malloc(ALL * sizeof *back);
    float *x = malloc(ALL * sizeof *x), *want = malloc(ALL * sizeof *want);
    for (int i = 0; i < ALL; i++) h[i] = (uint16_t)i;
    EACH_LEVEL_AND_TYPE(t)
    {
        wf_widen(t, ALL, x, h, false);
        wf_widen(t, ALL, want, h, true);
        int wrong = 0;
        for (int i = 0; i < ALL; i++)
            wrong += is_nan(t, h[i]) ? !isnan(x[i]) : memcmp(&x[i], &want[i], sizeof *x) != 0;
        for (int chance = 0; chance < 2; chance++) { /* nothing is lost, so nothing is drawn */
            wf_narrow(t, ALL, back, x, chance ? &draws : NULL, 3, false);
            for (int i = 0; i < ALL; i++)
                wrong += is_nan(t, h[i]) ? !is_nan(t, back[i]) : back[i] != h[i];
        }
        cr_expect_eq(wrong, 0, "%s, %s: %d", levels[level], wf_dtype_name(t), wrong);
    }
    free(h), free(back), free(x), free(want);
}

Test(narrow, some_patterns_are_these_numbers)
{
    static const struct {
        wf_dtype type;
        uint16_t bits;
        float x;
    } known[] = {{WF_F16, 0x3c00, 1},          {WF_F16, 0x3555, 0.333251953125f},
                 {WF_F16, 0x0001, 0x1p-24f},   {WF_F16, 0x03ff, 1023 * 0x1p-24f},
                 {WF_F16, 0x0400, 0x1p-14f},   {WF_F16, 0xfbff, -65504},
                 {WF_F16, 0x7c00, INFINITY},   {WF_BF16, 0x3f80, 1},
                 {WF_BF16, 0x4049, 3.140625f}, {WF_BF16, 0xff80, -INFINITY}};
    for (size_t i = 0; i < COUNT(known); i++)
        for (int reference = 0; reference < 2; reference++) {
            float x;
            uint16_t h;
            wf_widen(known[i].type, 1, &x, &known[i].bits, reference);
            wf_narrow(known[i].type, 1, &h, &known[i].x, NULL, 0, reference);
            cr_expect(x == known[i].x && h == known[i].bits, "%s %#x", wf_dtype_name(known[i].type),
                      known[i].bits);
        }
}

Test(narrow, rounding_is_what_the_naive_one_does)
{
    float *x = many_floats();
    uint16_t *y = malloc(N * sizeof *y), *want = malloc(N * sizeof *want);
    EACH_LEVEL_AND_TYPE(t)
    for (int chance = 0; chance < 2; chance++) {
        const wf_draws *d = chance ? &draws : NULL;
        wf_narrow(t, N, y, x, d, 5, false);
        wf_narrow(t, N, want, x, d, 5, true);
        int wrong = 0, first = -1;
        for (int i = 0; i < N; i++) {
            bool ok = isnan(x[i]) ? is_nan(t, y[i]) : y[i] == want[i];
            if (!ok && first < 0) first = i;
            wrong += !ok;
        }
        cr_expect_eq(wrong, 0, "%s, %s, chance %d: %d wrong, the first is %a", levels[level],
                     wf_dtype_name(t), chance, wrong, (double)x[first < 0 ? 0 : first]);
    }
    free(x), free(y), free(want);
}

Test(narrow, work_may_be_cut_anywhere_and_nothing_is_written_behind_it)
{
    float *x = many_floats(), wide[70];
    uint16_t *whole = malloc(N * sizeof *whole), part[70];
    EACH_LEVEL_AND_TYPE(t)
    {
        wf_narrow(t, N, whole, x, &draws, 0, false);
        for (int from = 0; from < 40; from++)
            for (int n = 0; n < 68; n++) {
                memset(part, 0x5a, sizeof part);
                wf_narrow(t, n, part, x + from, &draws, from, false);
                bool ok = !memcmp(part, whole + from, (size_t)n * sizeof *part);
                cr_assert(ok && part[n] == 0x5a5a, "%s: %d from %d", levels[level], n, from);
                wide[n] = 7;
                wf_widen(t, n, wide, part, false);
                cr_assert(wide[n] == 7, "%s: %d", levels[level], n);
            }
    }
    free(x), free(whole);
}

/* The mean of many roundings is the number, within 5 deviations of the mean; and only its two
 * neighbours appear. */
Test(narrow, rounding_by_chance_is_unbiased)
{
    static const float numbers[] = {1.001f,  -0.3f,         1e-3f,           3.1e-05f,
                                    2.3e-6f, 0x1.2345p-25f, -0x1.789abp-27f, 60001.5f};
    float x[1024], y[1024];
    uint16_t h[1024];
    EACH_LEVEL_AND_TYPE(t)
    for (size_t i = 0; i < COUNT(numbers); i++) {
        double sum = 0, square = 0, n = 0, a = (double)numbers[i];
        for (int run = 0; run < 200; run++) {
            for (int j = 0; j < 1024; j++) x[j] = numbers[i];
            wf_draws d = wf_draws_of(99, 5, run);
            wf_narrow(t, 1024, h, x, &d, 0, false);
            wf_widen(t, 1024, y, h, false);
            for (int j = 0; j < 1024; j++, n++)
                sum += (double)y[j] - a, square += ((double)y[j] - a) * ((double)y[j] - a);
        }
        double deviation = sqrt(square / n / n);
        cr_expect(fabs(sum / n) < 5 * deviation, "%s, %s: %g is off by %g of %g", levels[level],
                  wf_dtype_name(t), a, sum / n, deviation);
        cr_expect(deviation > 0, "%s: %g is never rounded", wf_dtype_name(t), a);
    }
}
