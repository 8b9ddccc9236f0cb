/* Picks the vector table: the best level of this processor, or the one asked for. */
#include "graph/base.h"
#include "ops/vec.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static _Atomic(const wf_vec *) chosen;

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

/* The best table, or the one named isa; NULL if there is none. */
static const wf_vec *find(const char *isa)
{
#if defined(__x86_64__)
    if ((!isa || !strcmp(isa, "avx512")) && has_avx512()) return &wf_vec_avx512;
    if ((!isa || !strcmp(isa, "avx2")) && has_avx2()) return &wf_vec_avx2;
#endif
    return !isa || !strcmp(isa, "base") ? &wf_vec_base : NULL;
}

const wf_vec *wf_vec_get(void)
{
    const wf_vec *v = atomic_load_explicit(&chosen, memory_order_acquire);
    if (v) return v;
    const wf_vec *best = find(NULL);
    /* a choice made meanwhile stands */
    return atomic_compare_exchange_strong(&chosen, &v, best) ? best : v;
}

bool wf_vec_select(const char *isa)
{
    const wf_vec *v = isa ? find(isa) : NULL;
    if (v)
        atomic_store_explicit(&chosen, v, memory_order_release);
    else
        wf_error_set(WF_EMODEL,
                     "WF_ISA=%s: expected avx512, avx2 or base; this processor has up to %s",
                     isa ? isa : "", find(NULL)->isa);
    return v != NULL;
}
