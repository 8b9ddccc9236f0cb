/* What the machine can do at most, measured in a fraction of a second. */
#include "runtime/explain.h"

#include "ops/gemm.h"
#include "ops/vec.h"

#include <stdlib.h>

enum { PASSES = 7, M = 48, N = 32, K = 64, TILES = M * K + K * N + M * N, ROUNDS = 2000 };
enum { BLOCK = 1 << 16, BLOCKS = 256 }; /* arrays of 64 MiB */

struct probe {
    wf_gemm gemm;
    float *tiles; /* TILES for every thread, and room behind them */
    float *x, *y, *z;
};

static void multiply(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const struct probe *p = ctx;
    float *a = p->tiles + (int64_t)thread * TILES, *b = a + M * K, *c = b + K * N;
    for (int64_t i = lo * ROUNDS; i < hi * ROUNDS; i++) wf_gemm_run(&p->gemm, a, b, c, 1);
}

static void add(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const struct probe *p = ctx;
    int64_t at = lo * BLOCK;
    (void)thread;
    wf_vec_get()->add((hi - lo) * BLOCK, p->z + at, p->x + at, p->y + at);
}

double wf_best_of(wf_pool *pool, int64_t n,
                  void (*fn)(void *ctx, int thread, int64_t lo, int64_t hi), void *ctx)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < PASSES; i++) {
        int64_t start = wf_now();
        wf_pool_for(pool, n, 1, fn, ctx);
        best = wf_min_i64(best, wf_now() - start);
    }
    return (double)best;
}

wf_limits wf_probe(wf_pool *pool)
{
    wf_gemm_shape shape = {
        .m = M, .n = N, .k = K, .lda = K, .ldb = N, .ldc = N, .accumulate = true};
    int threads = wf_pool_threads(pool);
    size_t array = (size_t)BLOCK * BLOCKS * sizeof(float);
    struct probe p = {.gemm = wf_gemm_get(&shape),
                      .tiles = wf_aligned_alloc((size_t)threads * TILES * sizeof(float)),
                      .x = wf_aligned_alloc(3 * array)};
    wf_limits l = {0};
    int64_t units = 4 * (int64_t)threads;
    if (p.tiles && p.x) {
        p.y = p.x + (int64_t)BLOCK * BLOCKS;
        p.z = p.y + (int64_t)BLOCK * BLOCKS;
        l.gflops = 2.0 * M * N * K * ROUNDS * (double)units / wf_best_of(pool, units, multiply, &p);
        l.gbs = 3 * (double)array / wf_best_of(pool, BLOCKS, add, &p);
    }
    free(p.tiles);
    free(p.x);
    return l;
}
