/* The memory plan: nothing alive overlaps, and the peak is close to the least possible. */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "runtime/plan.h"

enum { N = 200 };

static uint32_t random_state = 99;

static int next(int below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (int)((random_state >> 8) % (uint32_t)below);
}

static void check_plan(const wf_lifetime life[], const size_t offset[], size_t total)
{
    for (int i = 0; i < N; i++) {
        cr_expect_eq(offset[i] % 64, 0);
        cr_expect_leq(offset[i] + life[i].bytes, total);
        for (int j = 0; j < i; j++) {
            bool together = life[i].first <= life[j].last && life[j].first <= life[i].last;
            bool apart =
                offset[i] + life[i].bytes <= offset[j] || offset[j] + life[j].bytes <= offset[i];
            cr_expect(!together || apart || !life[i].bytes || !life[j].bytes, "%d and %d", i, j);
        }
    }
}

static size_t least(const wf_lifetime life[])
{
    size_t most = 0;
    for (int step = 0; step < 2 * N; step++) {
        size_t now = 0;
        for (int i = 0; i < N; i++)
            if (life[i].first <= step && step <= life[i].last)
                now += (life[i].bytes + 63) / 64 * 64;
        if (now > most) most = now;
    }
    return most;
}

Test(plan, random_schedules_never_overlap_and_stay_near_the_least)
{
    for (int round = 0; round < 50; round++) {
        wf_lifetime life[N];
        size_t offset[N] = {0};
        for (int i = 0; i < N; i++) {
            life[i].first = next(N);
            life[i].last = life[i].first + next(1 + next(40));
            life[i].bytes = (size_t)next(10) ? (size_t)next(100000) : 0;
        }
        size_t total = wf_plan(N, life, offset);
        check_plan(life, offset, total);
        cr_expect_lt((double)total, 1.35 * (double)least(life), "round %d", round);
    }
}

Test(plan, nothing_needs_nothing)
{
    size_t offset[1];
    wf_lifetime life = {0, 3, 0};
    cr_expect_eq(wf_plan(0, NULL, NULL), 0);
    cr_expect_eq(wf_plan(1, &life, offset), 0);
}
