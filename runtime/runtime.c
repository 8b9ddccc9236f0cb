/* A runtime: threads, instruction set, and the only place that reads variables named WF_. */
#include "runtime/runtime.h"

#include "graph/base.h"
#include "ops/gemm.h"
#include "ops/vec.h"

#include <stdlib.h>
#include <string.h>

/* NULL: not set, or empty, which means the same. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool select_isa(const char *isa)
{
    if (isa && !wf_vec_select(isa)) return false;
    if (isa) wf_gemm_select(isa);
    return true;
}

static bool read_kernels(wf_runtime *rt)
{
    const char *kernels = variable("WF_KERNELS");
    rt->reference = kernels && !strcmp(kernels, "ref");
    if (kernels && !rt->reference) {
        wf_error_set(WF_EMODEL, "WF_KERNELS=%s: expected ref", kernels);
        return false;
    }
    return true;
}

static int count_threads(const wf_runtime *rt, int wanted)
{
    const char *text = variable("WF_THREADS");
    if (wanted == 0 && text) {
        char *end;
        long n = strtol(text, &end, 10);
        if (*end || n < 1 || n > WF_MOST_THREADS) {
            wf_error_set(WF_EMODEL, "WF_THREADS=%s: expected a number from 1 to 1024", text);
            return -1;
        }
        wanted = (int)n;
    }
    return wanted > 0 ? wanted : wf_topo_cores(rt->topo);
}

wf_runtime *wf_runtime_new(const wf_runtime_options *options)
{
    wf_runtime_options o = options ? *options : (wf_runtime_options){0};
    if (o.threads < 0 || o.threads > WF_MOST_THREADS) {
        wf_error_set(WF_EMODEL, "threads: expected 0 to 1024, got %d", o.threads);
        return NULL;
    }
    wf_runtime *rt = calloc(1, sizeof *rt);
    if (!rt) {
        wf_error_set(WF_ENOMEM, "out of memory for a runtime");
        return NULL;
    }
    rt->dump = variable("WF_DUMP");
    rt->without = variable("WF_PASSES");
    const char *trace = o.trace ? o.trace : variable("WF_TRACE");
    bool ok = select_isa(variable("WF_ISA")) && read_kernels(rt);
    ok = ok && (rt->topo = wf_topo_new());
    int threads = ok ? count_threads(rt, o.threads) : -1;
    bool pin = ok && !o.no_pinning && threads <= wf_topo_cores(rt->topo);
    ok = ok && threads > 0 && (rt->pool = wf_pool_new(threads, pin ? rt->topo : NULL));
    ok = ok && (!trace || !*trace || (rt->trace = wf_trace_new(trace)));
    if (ok) return rt;
    wf_runtime_free(rt);
    return NULL;
}

void wf_runtime_free(wf_runtime *rt)
{
    if (!rt) return;
    wf_trace_free(rt->trace);
    wf_pool_free(rt->pool);
    wf_topo_free(rt->topo);
    free(rt);
}

wf_status wf_runtime_save_trace(wf_runtime *rt)
{
    return rt->trace ? wf_trace_save(rt->trace) : WF_OK;
}

int wf_runtime_threads(const wf_runtime *rt)
{
    return wf_pool_threads(rt->pool);
}

bool wf_runtime_has_bf16(const wf_runtime *rt)
{
    (void)rt; /* as below */
    return wf_gemm_has_bf16();
}

const char *wf_runtime_isa(const wf_runtime *rt)
{
    (void)rt; /* one level a process */
    return wf_vec_get()->isa;
}
