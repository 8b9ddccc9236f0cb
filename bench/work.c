/* The table of workloads, and numbers for their inputs. */
#include "bench/work.h"

#include "graph/base.h"

#include <stdlib.h>
#include <string.h>

#include "models/common.h"

static const wf_work works[] = {
    {"gau_base_128", &wf_work_gau, &wf_lion, 8, 128, 24, 768, 1536, 128, 12000},
    {"gau_base_512", &wf_work_gau, &wf_lion, 8, 512, 24, 768, 1536, 128, 12000},
    {"gau_base_4", &wf_work_gau, &wf_lion, 8, 128, 4, 768, 1536, 128, 12000},
    {"gau_small_256", &wf_work_gau, &wf_lion, 8, 256, 6, 256, 512, 64, 8000},
    {"gau_long_2048", &wf_work_gau, &wf_lion, 1, 2048, 6, 256, 512, 64, 8000},
    {"gau_long_16384", &wf_work_gau, &wf_lion, 1, 16384, 6, 256, 512, 64, 8000},
    {"gau_tiny_32", &wf_work_gau, &wf_lion, 4, 32, 2, 64, 128, 32, 1000},
    {"mlp_64", &wf_work_mlp, &wf_lion, 32, 64, 0, 0, 32, 0, 10},
    {"mlp_784", &wf_work_mlp, &wf_lion, 64, 784, 0, 0, 256, 0, 10},
    {"gpt2_64", &wf_work_gpt2, &wf_adamw, 4, 64, 12, 768, 3072, 64, 50257},
    {"tnews", &wf_work_tnews, &wf_lion, 1480, 128, 6, 256, 512, 64, 8000},
    {"optim_lion", &wf_work_optim, &wf_lion, 1, 1, 14, 512, 2048, 0, 12000},
    {"optim_tiger", &wf_work_optim, &wf_tiger, 1, 1, 14, 512, 2048, 0, 12000},
    {"optim_adamw", &wf_work_optim, &wf_adamw, 1, 1, 14, 512, 2048, 0, 12000},
};

const wf_work *wf_work_at(int i)
{
    return i < (int)(sizeof works / sizeof *works) ? &works[i] : NULL;
}

const wf_work *wf_work_find(const char *name)
{
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        if (!strcmp(works[i].name, name)) return &works[i];
    wf_complain("bench_step", "%s: no such workload; --list names them", name);
    return NULL;
}

void wf_work_minimize(wf_node *loss, const wf_work *w)
{
    static const wf_lion_hyper lion = {.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.01f};
    static const wf_adamw_hyper adamw = {
        .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 0.01f};
    const void *hyper = w->optimizer == &wf_lion    ? (const void *)&lion
                        : w->optimizer == &wf_adamw ? &adamw
                                                    : NULL;
    wf_minimize(loss, w->optimizer, hyper, NULL);
}

void wf_work_check(wf_status s)
{
    if (s == WF_OK) return;
    wf_complain("bench_step", "%s", wf_error());
    exit(WF_FAILED);
}

uint32_t wf_work_draw(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* Room for n numbers of 4 bytes, or given's tensor of that name. */
static void *find_or_make(wf_store *given, const char *name, int64_t n, bool *is_new)
{
    void *y = given ? wf_store_data(given, name, NULL, NULL) : NULL;
    *is_new = !y;
    if (!y) y = wf_aligned_alloc((size_t)n * 4); /* as the library would */
    if (!y) wf_work_check(WF_ENOMEM);
    return y;
}

int32_t *wf_work_ints(wf_store *given, const char *name, int64_t n, uint32_t below)
{
    bool is_new;
    int32_t *y = find_or_make(given, name, n, &is_new);
    for (int64_t i = 0; is_new && i < n; i++) y[i] = (int32_t)(wf_work_draw() % below);
    return y;
}

float *wf_work_floats(wf_store *given, const char *name, int64_t n)
{
    bool is_new;
    float *y = find_or_make(given, name, n, &is_new);
    for (int64_t i = 0; is_new && i < n; i++) y[i] = (float)wf_work_draw() * 0x1p-31f - 0.5f;
    return y;
}

void wf_work_bind_ints(wf_program *p, wf_store *given, const char *name, int64_t n, uint32_t below)
{
    wf_work_check(wf_bind(p, name, wf_work_ints(given, name, n, below), (size_t)n * 4));
}

void wf_work_bind_floats(wf_program *p, wf_store *given, const char *name, int64_t n)
{
    wf_work_check(wf_bind(p, name, wf_work_floats(given, name, n), (size_t)n * 4));
}
