/*
 * Schedules against optax, PyTorch and their formulas (golden/schedules.py), their borders, and
 * what they refuse.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include <weft/op.h>

enum { STEPS = 100 };

static const struct golden {
    const char *text;
    double value[STEPS];
} goldens[] = {
#include "golden/schedules.h"
};
enum { GOLDENS = sizeof goldens / sizeof *goldens };

static wf_schedule read(const char *text)
{
    wf_schedule s;
    cr_assert_eq(wf_schedule_read(&s, text, 0, 0), WF_OK, "%s", wf_error());
    return s;
}

Test(schedules, each_is_the_one_of_other_libraries)
{
    for (int i = 0; i < GOLDENS; i++) {
        wf_schedule s = read(goldens[i].text);
        for (int n = 0; n < STEPS; n++)
            cr_expect_float_eq(wf_schedule_at(&s, n), goldens[i].value[n], 1e-11,
                               "%s at %d: %.12g, not %.12g", goldens[i].text, n,
                               wf_schedule_at(&s, n), goldens[i].value[n]);
    }
}

Test(schedules, each_kind_has_a_golden_row)
{
    const wf_schedule_kind *k;
    for (int i = 0; (k = wf_schedule_kind_at(i)); i++) {
        bool is_tested = false;
        for (int j = 0; j < GOLDENS; j++) is_tested |= read(goldens[j].text).kind == k;
        cr_expect(is_tested, "%s", k->name);
    }
    cr_expect_null(wf_schedule_kind_at(-1));
}

typedef struct value {
    int64_t n;
    double value;
} value;

static void expect_values(const wf_schedule *s, const char *name, int count, const value v[])
{
    for (int i = 0; i < count; i++)
        cr_expect_float_eq(wf_schedule_at(s, v[i].n), v[i].value, 1e-12, "%s at %lld: %.15g", name,
                           (long long)v[i].n, wf_schedule_at(s, v[i].n));
}

#define EXPECT(s, name, ...)                                                                       \
    expect_values(s, name, (int)(sizeof(value[]){__VA_ARGS__} / sizeof(value)),                    \
                  (value[]){__VA_ARGS__})

/* The multipliers of Tiger's README, and what bert4keras makes of other knots. */
Test(schedules, piecewise_linear_goes_through_its_knots)
{
    wf_schedule s = read("40000:1,160000:0.5,640000:0.1,1280000:0.01");
    EXPECT(&s, "published", {0, 0}, {3, 7.5e-5}, {20000, 0.5}, {40000, 1}, {100000, 0.75},
           {160000, 0.5}, {400000, 0.3}, {960000, 0.055}, {1280000, 0.01}, {1280001, 0.01},
           {INT64_MAX, 0.01});
    s = read("0:0.5,10:1");
    EXPECT(&s, "from a half", {0, 0.5}, {5, 0.75}, {10, 1}, {11, 1});
    s = read("0:1");
    EXPECT(&s, "one knot", {0, 1}, {77, 1});
    s = read("5:1,16777217:0,33554433:1"); /* steps that float32 has not */
    EXPECT(&s, "long", {16777217, 0}, {16777218, 1.0 / 16777216}, {33554432, 1 - 1.0 / 16777216});

    const wf_knot knots[] = {{1000, 1}, {2000, 0.1}};
    cr_expect_eq(wf_schedule_piecewise(&s, 2, knots, false), WF_OK);
    EXPECT(&s, "held", {0, 1}, {500, 1}, {1000, 1}, {1500, 0.55}, {2000, 0.1}, {3000, 0.1});
    cr_expect_eq(wf_schedule_piecewise(&s, 2, knots, true), WF_OK);
    EXPECT(&s, "from zero", {0, 0}, {500, 0.5}, {1000, 1}, {1500, 0.55});
}

Test(schedules, knots_fill_the_room)
{
    wf_knot knots[WF_SCHEDULE_KNOTS];
    wf_schedule s;
    for (int i = 0; i < WF_SCHEDULE_KNOTS; i++) knots[i] = (wf_knot){i + 1, i + 1};
    cr_expect_eq(wf_schedule_piecewise(&s, WF_SCHEDULE_KNOTS - 1, knots, true), WF_OK);
    EXPECT(&s, "16 knots", {0, 0}, {8, 8}, {16, 16}, {17, 16});
    cr_expect_eq(wf_schedule_piecewise(&s, WF_SCHEDULE_KNOTS, knots, true), WF_EMODEL);
    cr_expect_str_eq(wf_error(), "piecewise: expected at most 16 pairs, got 17");
}

/* Behind its end none rises again; at its borders none leaves [0, 1]. */
Test(schedules, borders)
{
    static const char *const texts[] = {"linear,total=10,end=0.1", "cosine,total=10,end=0.1",
                                        "polynomial,total=10,end=0.1",
                                        "one-cycle,total=10,end=0.1"};
    for (int i = 0; i < 4; i++) {
        wf_schedule s = read(texts[i]);
        EXPECT(&s, texts[i], {10, 0.1}, {11, 0.1}, {1000000000000, 0.1});
    }
    wf_schedule s = read("cosine,total=10,end=0.1"); /* PyTorch's, but for step 11 */
    static const double cosine[] = {1,       .977975, .914058, .814503, .689058, .55,
                                    .410942, .285497, .185942, .122025, .1,      .1};
    for (int n = 0; n < 12; n++) cr_expect_float_eq(wf_schedule_at(&s, n), cosine[n], 1e-6);
    s = read("cosine,warmup=4,total=5");
    EXPECT(&s, "short", {0, 0}, {1, 0.25}, {4, 1}, {5, 0});
    s = read("inverse-sqrt");
    EXPECT(&s, "no warm-up", {0, 1}, {1, 1}, {4, 0.5});
    s = read("inverse-sqrt,warmup=1");
    EXPECT(&s, "warm-up of 1", {0, 0}, {1, 1}, {4, 0.5});
    s = read("one-cycle,total=2");
    EXPECT(&s, "two steps", {0, 1}, {1, 4e-6});
    s = read("one-cycle,total=1");
    EXPECT(&s, "one step", {0, 4e-6});
    s = read("restarts,warmup=5,period=3,growth=3");
    EXPECT(&s, "restarts", {4, 0.8}, {5, 1}, {8, 1}, {17, 1}, {44, 1}, {125, 1});
    s = read("restarts,period=1000,growth=1");
    EXPECT(&s, "periods", {1000000000000, 1}, {1000000000500, 0.5});
    s = read("step,every=10,factor=0.1");
    EXPECT(&s, "step", {9, 1}, {10, 0.1}, {19, 0.1}, {20, 0.01});
}

Test(schedules, the_run_gives_what_the_text_does_not)
{
    wf_schedule s;
    cr_assert_eq(wf_schedule_read(&s, "linear", 10, 20), WF_OK, "%s", wf_error());
    EXPECT(&s, "of the run", {5, 0.5}, {10, 1}, {15, 0.5}, {20, 0});
    cr_assert_eq(wf_schedule_read(&s, "linear,total=30,warmup=20", 10, 20), WF_OK, "%s",
                 wf_error());
    EXPECT(&s, "of the text", {5, 0.25}, {20, 1}, {25, 0.5}, {30, 0});
    cr_assert_eq(wf_schedule_read(&s, "10:1", 50, 20), WF_OK, "%s", wf_error());
    EXPECT(&s, "pairs", {5, 0.5}, {20, 1});
}

Test(schedules, what_is_wrong_is_one_line)
{
    static const struct wrong {
        const char *text, *says;
    } cases[] = {
        {"", "there is no schedule '' (see weft schedule)"},
        {"cosin", "there is no schedule 'cosin' (see weft schedule)"},
        {"cosine", "cosine: total is missing: steps of the run"},
        {"cosine,total=10,warmup=10", "cosine: warmup must be less than total"},
        {"cosine,total=10,tail=1", "cosine has no tail (see weft schedule)"},
        {"cosine,total=10,", "cosine has no  (see weft schedule)"},
        {"cosine,total=10,end", "cosine: end: expected a number >= 0, got ''"},
        {"cosine,total=10,end=", "cosine: end: expected a number >= 0, got ''"},
        {"cosine,total=10,end=x", "cosine: end: expected a number >= 0, got 'x'"},
        {"cosine,total=10,end=0.1x,warmup=1", "cosine: end: expected a number >= 0, got '0.1x'"},
        {"cosine,total=nan", "cosine: total: expected a number >= 1, got 'nan'"},
        {"cosine,total=inf", "cosine: total: expected a number >= 1, got 'inf'"},
        {"cosine,total=-5", "cosine: total: expected a number >= 1, got '-5'"},
        {"cosine,total=0", "cosine: total: expected a number >= 1, got '0'"},
        {"restarts,period=0", "restarts: period: expected a number >= 1, got '0'"},
        {"restarts,growth=0.5", "restarts: growth: expected a number >= 1, got '0.5'"},
        {"step,every=0", "step: every: expected a number >= 1, got '0'"},
        {"one-cycle,total=10,peak=1.5", "one-cycle: peak must be at most 1"},
        {"piecewise", "piecewise: expected step:factor pairs"},
        {":", "piecewise: expected step:factor pairs such as 40000:1,160000:0.5, got ':'"},
        {"10:1,", "piecewise: expected step:factor pairs such as 40000:1,160000:0.5, got '10:1,'"},
        {"10:1;20:2",
         "piecewise: expected step:factor pairs such as 40000:1,160000:0.5, got '10:1;20:2'"},
        {"1.5:1", "piecewise: expected step:factor pairs such as 40000:1,160000:0.5, got '1.5:1'"},
        {"99999999999999999999:1", "piecewise: expected step:factor pairs such as "
                                   "40000:1,160000:0.5, got '99999999999999999999:1'"},
        {"10:1,10:2", "piecewise: steps must rise, from 0 on"},
        {"20:1,10:2", "piecewise: steps must rise, from 0 on"},
        {"0:1,0:2", "piecewise: steps must rise, from 0 on"},
        {"-10:1,10:2", "piecewise: steps must rise, from 0 on"},
        {"10:nan", "piecewise: factors must be finite and not negative"},
        {"10:inf", "piecewise: factors must be finite and not negative"},
        {"10:-1", "piecewise: factors must be finite and not negative"},
    };
    wf_schedule s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(wf_schedule_read(&s, cases[i].text, 0, 0), WF_EMODEL, "%s", cases[i].text);
        cr_expect_str_eq(wf_error(), cases[i].says, "%s: %s", cases[i].text, wf_error());
    }
    const wf_knot unsorted[] = {{20, 1}, {10, 1}};
    cr_expect_eq(wf_schedule_piecewise(&s, 2, unsorted, true), WF_EMODEL);
    cr_expect_eq(wf_schedule_piecewise(&s, 0, NULL, true), WF_EMODEL);
    cr_expect_str_eq(wf_error(), "piecewise: expected step:factor pairs");
}

static double saw_at(const wf_schedule *s, double n)
{
    return fmod(n - s->number[0], s->number[1]) / s->number[1];
}

Test(schedules, a_program_may_bring_its_own)
{
    static const wf_schedule_number numbers[] = {
        {"warmup", WF_RUN_WARMUP, 0, "steps"}, {"teeth", 4, 1, "steps"}, {0}};
    static const wf_schedule_kind saw = {"saw", "a saw", saw_at, NULL, numbers};
    const wf_schedule s = {.kind = &saw, .number = {10, 4}};
    EXPECT(&s, "saw", {0, 0}, {5, 0.5}, {10, 0}, {11, 0.25}, {14, 0});
}
