/* Threads: every unit once, for any sizes; quotas and topologies read from made-up machines. */
#define _GNU_SOURCE
#include "runtime/pool.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

TestSuite(pool, .timeout = 60);

enum { MOST = 5000, THREADS_MOST = 64 };

typedef struct tally {
    wf_pool *pool;
    int threads;
    int64_t n, chunk;
    atomic_int times[MOST];
    atomic_int at_once[THREADS_MOST]; /* calls that run under this thread number */
    atomic_bool is_wrong;
} tally;

static void count(void *ctx, int thread, int64_t lo, int64_t hi)
{
    tally *t = ctx;
    bool ok = thread >= 0 && thread < t->threads && lo >= 0 && lo < hi && hi <= t->n;
    ok = ok && atomic_fetch_add(&t->at_once[thread], 1) == 0;
    if (!ok) {
        atomic_store(&t->is_wrong, true);
        return;
    }
    for (int64_t i = lo; i < hi; i++) atomic_fetch_add(&t->times[i], 1);
    atomic_fetch_sub(&t->at_once[thread], 1);
}

static void check_once(const tally *t)
{
    cr_assert(!t->is_wrong, "%d threads, n %d, chunk %d", t->threads, (int)t->n, (int)t->chunk);
    for (int i = 0; i < MOST; i++)
        cr_assert_eq(t->times[i], i < t->n, "%d threads, n %d, chunk %d: unit %d ran %d times",
                     t->threads, (int)t->n, (int)t->chunk, i, t->times[i]);
}

Test(pool, every_unit_runs_once)
{
    static tally t;
    const int threads[] = {1, 2, 3, 7, 64};
    const int64_t sizes[] = {0, 1, 2, 3, 5, 7, 63, 64, 65, 129, 1000, MOST};
    const int64_t chunks[] = {1, 2, 3, 64, 4999, INT64_MAX};
    for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
        t.threads = threads[k];
        t.pool = wf_pool_new(t.threads, NULL);
        cr_assert(t.pool, "%s", wf_error());
        cr_expect_eq(wf_pool_threads(t.pool), t.threads);
        for (size_t i = 0; i < 72 * 4; i++) {
            t.n = sizes[i % 12];
            t.chunk = chunks[i / 12 % 6];
            memset(t.times, 0, sizeof t.times);
            wf_pool_for(t.pool, t.n, t.chunk, count, &t);
            check_once(&t);
        }
        wf_pool_free(t.pool);
    }
    wf_pool_free(NULL);
}

static void far_ends(void *ctx, int thread, int64_t lo, int64_t hi)
{
    (void)thread;
    atomic_fetch_add((atomic_llong *)ctx, hi - lo);
}

Test(pool, huge_ranges_do_not_overflow)
{
    wf_pool *p = wf_pool_new(3, NULL);
    const int64_t chunks[] = {INT64_MAX / 2, INT64_MAX / 2 + 1, INT64_MAX / 1000, INT64_MAX - 1};
    for (int i = 0; i < 4; i++) {
        atomic_llong sum = 0;
        wf_pool_for(p, INT64_MAX, chunks[i], far_ends, &sum);
        cr_expect_eq(sum, INT64_MAX);
    }
    wf_pool_free(p);
}

/* A long chunk at the start and short ones behind it: nobody may wait for a share's owner. */
static void uneven(void *ctx, int thread, int64_t lo, int64_t hi)
{
    struct timespec pause = {.tv_nsec = 2000000};
    if (lo == 0) nanosleep(&pause, NULL);
    count(ctx, thread, lo, hi);
}

Test(pool, sleeping_callers_and_workers_are_woken)
{
    static tally t;
    struct timespec pause = {.tv_nsec = 1500000};
    for (int threads = 2; threads <= 4; threads++) {
        t.threads = threads;
        t.pool = wf_pool_new(threads, NULL);
        for (int i = 0; i < 40; i++) {
            t.n = 20 + i;
            t.chunk = 1;
            memset(t.times, 0, sizeof t.times);
            wf_pool_for(t.pool, t.n, t.chunk, uneven, &t);
            check_once(&t);
            if (i % 2) nanosleep(&pause, NULL); /* long enough for workers to fall asleep */
        }
        wf_pool_free(t.pool);
    }
}

static void meet(void *ctx, int thread, int64_t lo, int64_t hi)
{
    (void)thread;
    (void)lo;
    (void)hi;
    atomic_int *here = ctx;
    atomic_fetch_add(here, 1);
    while (atomic_load(here) < 3) sched_yield();
}

Test(pool, all_threads_take_part)
{
    wf_pool *p = wf_pool_new(3, NULL);
    for (int i = 0; i < 200; i++) {
        atomic_int here = 0;
        wf_pool_for(p, 3, 1, meet, &here); /* would hang, were one of three missing */
        cr_assert_eq(here, 3);
    }
    wf_pool_free(p);
}

typedef struct nest {
    wf_pool *pool, *other;
    atomic_int units;
    atomic_bool is_wrong;
} nest;

typedef struct inner {
    nest *of;
    int thread;
} inner;

static void inner_same(void *ctx, int thread, int64_t lo, int64_t hi)
{
    inner *i = ctx;
    if (thread != i->thread || lo != 0 || hi != 50) atomic_store(&i->of->is_wrong, true);
    atomic_fetch_add(&i->of->units, (int)(hi - lo));
}

static void outer(void *ctx, int thread, int64_t lo, int64_t hi)
{
    nest *n = ctx;
    for (int64_t i = lo; i < hi; i++) {
        inner same = {n, thread}, other = {n, 0};
        wf_pool_for(n->pool, 50, 1, inner_same, &same);
        wf_pool_for(n->other, 50, 1, inner_same, &other);
    }
}

Test(pool, loops_inside_loops_run_in_their_thread)
{
    nest n = {.pool = wf_pool_new(3, NULL), .other = wf_pool_new(2, NULL)};
    wf_pool_for(n.pool, 100, 1, outer, &n);
    cr_expect(!n.is_wrong);
    cr_expect_eq(n.units, 100 * 100);
    static tally t;
    t = (tally){.pool = n.pool, .threads = 3, .n = 1000, .chunk = 3};
    wf_pool_for(n.pool, t.n, t.chunk, count, &t); /* and the pool is as good as before */
    check_once(&t);
    wf_pool_free(n.pool);
    wf_pool_free(n.other);
}

static void *second_caller(void *pool)
{
    for (int i = 0; i < 300; i++) {
        atomic_llong sum = 0;
        wf_pool_for(pool, 1000 + i, 7, far_ends, &sum);
        if (sum != 1000 + i) return pool;
    }
    return NULL;
}

Test(pool, several_callers_share_a_pool)
{
    wf_pool *p = wf_pool_new(3, NULL);
    pthread_t caller[3];
    for (int i = 0; i < 3; i++) cr_assert(!pthread_create(&caller[i], NULL, second_caller, p));
    for (int i = 0; i < 3; i++) {
        void *wrong;
        pthread_join(caller[i], &wrong);
        cr_expect_null(wrong);
    }
    wf_pool_free(p);
}

/* Sums by blocks that shape alone decides, combined in fixed order. */
static void block_sums(void *ctx, int thread, int64_t lo, int64_t hi)
{
    (void)thread;
    float *sum = ctx;
    for (int64_t b = lo; b < hi; b++) {
        sum[b] = 0;
        for (int i = 0; i < 256; i++) sum[b] += 1.0f / (float)(b * 256 + i + 1);
    }
}

Test(pool, results_do_not_depend_on_threads)
{
    enum { BLOCKS = 333 };
    float first[BLOCKS], sum[BLOCKS];
    for (int threads = 1; threads <= 9; threads++) {
        wf_pool *p = wf_pool_new(threads, NULL);
        wf_pool_for(p, BLOCKS, 1 + threads % 4, block_sums, threads == 1 ? first : sum);
        cr_expect(threads == 1 || !memcmp(first, sum, sizeof sum), "%d threads", threads);
        wf_pool_free(p);
    }
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Test(pool, an_idle_pool_burns_nothing)
{
    static tally t;
    t = (tally){.pool = wf_pool_new(2, NULL), .threads = 2, .n = 100, .chunk = 1};
    wf_pool_for(t.pool, t.n, t.chunk, count, &t);
    double before = cpu_seconds();
    struct timespec pause = {.tv_nsec = 100000000};
    nanosleep(&pause, NULL);
    cr_expect_lt(cpu_seconds() - before, 0.02);
    wf_pool_free(t.pool);
}

/* ---- topology ---------------------------------------------------------------------------- */

Test(topo, cores_of_this_machine_fit_into_the_affinity)
{
    cpu_set_t set, one, now;
    sched_getaffinity(0, sizeof set, &set);
    wf_topo *t = wf_topo_new();
    cr_assert(t, "%s", wf_error());
    cr_expect(wf_topo_cores(t) >= 1 && wf_topo_cores(t) <= CPU_COUNT(&set));
    cr_expect(!wf_topo_bind(t, -1) && !wf_topo_bind(t, 100000));
    wf_topo_move(t, 0);
    wf_topo_move(t, wf_topo_cores(t) - 1);
    sched_getaffinity(0, sizeof now, &now);
    cr_expect(CPU_EQUAL(&now, &set), "moving must not bind");
    wf_topo_free(t);

    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    t = wf_topo_new();
    cr_assert(t, "%s", wf_error());
    cr_expect_eq(wf_topo_cores(t), 1);
    wf_topo_free(t);
    wf_topo_free(NULL);
}

Test(topo, workers_are_bound_and_the_caller_is_not)
{
    static tally t;
    cpu_set_t before, after;
    sched_getaffinity(0, sizeof before, &before);
    wf_topo *topo = wf_topo_new();
    int threads = wf_topo_cores(topo);
    t = (tally){.pool = wf_pool_new(threads, topo), .threads = threads, .n = 999, .chunk = 10};
    for (int i = 0; i < 100; i++) wf_pool_for(t.pool, t.n, t.chunk, far_ends, t.times);
    sched_getaffinity(0, sizeof after, &after);
    cr_expect(CPU_EQUAL(&before, &after));
    wf_pool_free(t.pool);
    wf_topo_free(topo);
}

Test(topo, another_machine_is_counted_but_never_bound)
{
    const struct {
        const char *machine;
        int cores;
    } cases[] = {{"numa:2 core:4 pu:2", 8},
                 {"core:3 pu:1", 3},
                 {"pack:2 numa:2 core:2 pu:4", 8},
                 {"numa:2 core:600 pu:1", WF_MOST_THREADS}};
    for (int i = 0; i < 4; i++) {
        setenv("HWLOC_SYNTHETIC", cases[i].machine, 1);
        wf_topo *t = wf_topo_new();
        cr_assert(t, "%s", wf_error());
        cr_expect_eq(wf_topo_cores(t), cases[i].cores, "%s: %d", cases[i].machine,
                     wf_topo_cores(t));
        cr_expect(!wf_topo_bind(t, 0));
        wf_topo_free(t);
    }
}

Test(topo, workers_of_another_machine_are_no_failure)
{
    setenv("HWLOC_SYNTHETIC", "numa:2 core:4 pu:2", 1);
    wf_topo *t = wf_topo_new();
    cr_assert(t, "%s", wf_error());
    int before = dup(STDERR_FILENO), pipes[2];
    cr_assert(!pipe(pipes) && dup2(pipes[1], STDERR_FILENO) >= 0);
    wf_pool *p = wf_pool_new(4, t);
    dup2(before, STDERR_FILENO);
    close(pipes[1]);
    char said[200] = "";
    cr_expect_eq(read(pipes[0], said, sizeof said - 1), 0, "%s", said);
    wf_pool_free(p);
    wf_topo_free(t);
}

Test(topo, a_malformed_machine_is_refused)
{
    setenv("HWLOC_SYNTHETIC", "numa:2 kernel:4", 1);
    cr_expect_null(wf_topo_new());
    cr_expect_str_eq(wf_error(), "HWLOC_SYNTHETIC=numa:2 kernel:4: expected levels like "
                                 "\"numa:2 core:4 pu:2\"");
    setenv("HWLOC_SYNTHETIC", "core:4 pu:1", 1);
    static const char *const sets[] = {"x", "", "9"};
    for (int i = 0; i < 3; i++) {
        cr_expect_null(wf_topo_new_within(sets[i], 0), "%s", sets[i]);
        cr_expect(strstr(wf_error(), "expected hardware threads"), "%s", wf_error());
    }
}

Test(topo, a_thread_has_a_core_and_nodes_are_filled_one_after_the_other)
{
    const struct {
        const char *machine, *cpuset;
        int quota;
        const char *places; /* node:processors of each thread */
    } cases[] = {
        {"pack:1 core:2 pu:2", NULL, 0, "0:0-1 0:2-3 "},
        {"numa:2 core:2 pu:2", NULL, 0, "0:0-1 0:2-3 1:4-5 1:6-7 "},
        {"numa:2 core:2 pu:2", "1,4-6", 0, "0:1 1:4-5 1:6 "},
        {"numa:2 core:2 pu:2", NULL, 3, "0:0-1 0:2-3 1:4-5 "},
        {"numa:2 core:2 pu:2", "2-7", 2, "0:2-3 1:4-5 "},
        {"core:2(indexes=0,1) pu:2(indexes=0,2,1,3)", NULL, 0, "0:0,2 0:1,3 "},
    };
    for (int i = 0; i < 6; i++) {
        setenv("HWLOC_SYNTHETIC", cases[i].machine, 1);
        wf_topo *t = wf_topo_new_within(cases[i].cpuset, cases[i].quota);
        cr_assert(t, "case %d: %s", i, wf_error());
        char places[200] = "", on[50];
        for (int k = 0; k < wf_topo_cores(t); k++) {
            int node = wf_topo_place(t, k, on, sizeof on);
            size_t n = strlen(places);
            snprintf(places + n, sizeof places - n, "%d:%s ", node, on);
        }
        cr_expect_str_eq(places, cases[i].places, "case %d: %s", i, places);
        cr_expect_eq(wf_topo_place(t, 100, on, sizeof on), -1);
        wf_topo_free(t);
    }
}

/* ---- quotas ------------------------------------------------------------------------------ */

static char root[] = "/tmp/weft_quota_XXXXXX";

static void write_file(const char *path, const char *text)
{
    char whole[300];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *c = whole + strlen(root); (c = strchr(c, '/')); c++) {
        *c = 0;
        mkdir(whole, 0700);
        *c = '/';
    }
    FILE *f = fopen(whole, "w");
    cr_assert(f, "%s", whole);
    fputs(text, f);
    fclose(f);
}

static void forget_files(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

typedef struct made_file {
    const char *path, *text;
} made_file;

#define CGROUP "/proc/self/cgroup"
#define MOUNTS "/proc/self/mountinfo"
#define OTHER  "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,cpu\n"
#define V2     OTHER "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1                                                                                         \
    OTHER "31 22 0:27 / /cg/set rw - cgroup cgroup rw,cpuset\n"                                    \
          "32 22 0:28 / /cg/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"                      \
          "33 22 0:29 / /cg/unified rw - cgroup2 cgroup2 rw\n"
#define V1_GROUPS "9:cpuset:/other\n4:cpu,cpuacct:/a/b\n0::/u\n"

static const struct {
    int quota;
    const char *what;
    made_file file[6];
} quotas[] = {
    {0, "nothing to read", {{"/x", ""}}},
    {0, "v2 without quota", {{MOUNTS, V2}, {CGROUP, "0::/\n"}}},
    {0,
     "v2 max",
     {{MOUNTS, V2}, {CGROUP, "0::/a\n"}, {"/sys/fs/cgroup/a/cpu.max", "max 100000\n"}}},
    {2,
     "v2 own",
     {{MOUNTS, V2}, {CGROUP, "0::/a\n"}, {"/sys/fs/cgroup/a/cpu.max", "150000 100000"}}},
    {1, "v2 tiny", {{MOUNTS, V2}, {CGROUP, "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "1000 100000\n"}}},
    {3,
     "v2 a parent's is smaller",
     {{MOUNTS, V2},
      {CGROUP, "0::/a/b/c\n"},
      {"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"},
      {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n"}}},
    {4,
     "v2 in a container: the mount shows a part",
     {{MOUNTS, OTHER "30 22 0:26 /pod/x /sys/fs/cgroup ro - cgroup2 cgroup ro\n"},
      {CGROUP, "0::/pod/x/job\n"},
      {"/sys/fs/cgroup/cpu.max", "800000 100000\n"},
      {"/sys/fs/cgroup/job/cpu.max", "400000 100000\n"}}},
    {8,
     "v2 the group lies outside of the mount",
     {{MOUNTS, V2}, {CGROUP, "0::/../../x\n"}, {"/sys/fs/cgroup/cpu.max", "80000 10000\n"}}},
    {0, "v2 nonsense", {{MOUNTS, V2}, {CGROUP, "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "7 pigs\n"}}},
    {0, "v2 below zero", {{MOUNTS, V2}, {CGROUP, "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "-5 10\n"}}},
    {0, "v2 by zero", {{MOUNTS, V2}, {CGROUP, "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "5 0\n"}}},
    {3,
     "v1",
     {{MOUNTS, V1},
      {CGROUP, V1_GROUPS},
      {"/cg/cpu/a/b/cpu.cfs_quota_us", "250000\n"},
      {"/cg/cpu/a/b/cpu.cfs_period_us", "100000\n"}}},
    {2,
     "v1 a parent's",
     {{MOUNTS, V1},
      {CGROUP, V1_GROUPS},
      {"/cg/cpu/a/b/cpu.cfs_quota_us", "-1\n"},
      {"/cg/cpu/a/b/cpu.cfs_period_us", "100000\n"},
      {"/cg/cpu/a/cpu.cfs_quota_us", "100000\n"},
      {"/cg/cpu/a/cpu.cfs_period_us", "50000\n"}}},
    {0,
     "v1 of another hierarchy",
     {{MOUNTS, V1},
      {CGROUP, V1_GROUPS},
      {"/cg/set/other/cpu.cfs_quota_us", "100000\n"},
      {"/cg/set/other/cpu.cfs_period_us", "100000\n"}}},
    {0, "broken lines", {{MOUNTS, " - \n - cgroup2\nx - cgroup2 y z\n"}, {CGROUP, "0\n::\n\n"}}},
};

Test(topo, quotas_are_read_from_control_groups)
{
    cr_assert(mkdtemp(root));
    for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++) {
        for (int k = 0; k < 6 && quotas[i].file[k].path; k++)
            write_file(quotas[i].file[k].path, quotas[i].file[k].text);
        cr_expect_eq(wf_cpu_quota(root), quotas[i].quota, "%s: %d", quotas[i].what,
                     wf_cpu_quota(root));
        forget_files();
    }
    cr_expect_geq(wf_cpu_quota(""), 0);
}
