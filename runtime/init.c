/*
 * First values of parameters: counter-based, so the same for any number of threads and any order of
 * declaration. A truncated normal takes, for each element, the first of a sequence of normal
 * numbers that lies within 2.
 */
#include "runtime/init.h"

#include "ops/narrow.h"

#include <math.h>

enum { BLOCK = 1024, MAX_TRIES = 64 };

struct job {
    void *y;
    wf_dtype type;
    int64_t n;
    wf_init init;
    uint64_t seed, stream;
};

/* Normal numbers of one try for elements first..first+n-1. */
static void normals(const struct job *j, int attempt, int64_t first, int64_t n, float *y)
{
    float angle[BLOCK];
    wf_normal_row(n, y, angle, j->seed, j->stream + 2 * (uint64_t)attempt, first);
}

static void truncated(const struct job *j, int64_t first, int64_t n, float *y)
{
    float again[BLOCK];
    int64_t outside = 1;
    normals(j, 0, first, n, y);
    for (int attempt = 1; outside > 0 && attempt < MAX_TRIES; attempt++) {
        outside = 0;
        for (int64_t i = 0; i < n; i++) outside += fabsf(y[i]) > 2;
        if (outside == 0) return;
        normals(j, attempt, first, n, again);
        for (int64_t i = 0; i < n; i++)
            if (fabsf(y[i]) > 2) y[i] = again[i];
    }
    wf_vec_get()->clamp(n, y, y, -2, 2); /* never seen: probability 0.046^64 */
}

static void fill_blocks(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const struct job *j = ctx;
    const wf_vec *v = wf_vec_get();
    float room[BLOCK];
    bool is_narrow = wf_is_narrow(j->type);
    float a = j->init.a, b = j->init.b;
    (void)thread;
    for (int64_t block = lo; block < hi; block++) {
        int64_t first = block * BLOCK, n = wf_min_i64(BLOCK, j->n - first);
        float *y = is_narrow ? room : (float *)j->y + first;
        switch (j->init.kind) {
        case WF_INIT_ZEROS:
            v->fill(n, y, 0);
            break;
        case WF_INIT_CONSTANT:
            v->fill(n, y, a);
            break;
        case WF_INIT_NORMAL:
            normals(j, 0, first, n, y);
            break;
        case WF_INIT_TRUNCATED:
            truncated(j, first, n, y);
            break;
        case WF_INIT_UNIFORM:
            v->uniform(n, y, j->seed, j->stream, (uint64_t)first);
            v->scale(n, y, y, b - a);
            v->shift(n, y, y, a);
            break;
        }
        if (j->init.kind == WF_INIT_NORMAL || j->init.kind == WF_INIT_TRUNCATED)
            v->scale(n, y, y, a);
        if (is_narrow) wf_narrow(j->type, n, (uint16_t *)j->y + first, y, NULL, 0, false);
    }
}

void wf_init_fill(wf_pool *pool, void *y, wf_dtype type, int64_t n, wf_init init, uint64_t seed,
                  const char *name)
{
    struct job j = {y, type, n, init, seed, wf_hash(name)};
    wf_pool_for(pool, wf_ceil_div(n, BLOCK), 16, fill_blocks, &j);
}
