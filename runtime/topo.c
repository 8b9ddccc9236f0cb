/*
 * Cores through hwloc, the only file that includes it.
 *
 * hwloc honours cpusets; the affinity mask of the calling thread is applied here, and so is the CPU
 * quota, which hwloc does not read. With HWLOC_SYNTHETIC and the like the topology is another
 * machine's: neither mask nor quota count then, and nothing is ever bound.
 */
#define _GNU_SOURCE
#include "runtime/topo.h"

#include "graph/base.h"

#include <hwloc.h>
#include <sched.h>
#include <stdlib.h>

struct wf_topo {
    hwloc_topology_t machine;
    hwloc_const_cpuset_t *core; /* node after node; one set of hardware threads a core */
    int n_cores;
    int usable; /* n_cores cut by the quota */
    bool is_here;
};

static bool read_machine(wf_topo *t)
{
    if (hwloc_topology_init(&t->machine)) {
        t->machine = NULL;
        wf_error_set(WF_ENOMEM, "out of memory for the machine's topology");
        return false;
    }
    hwloc_topology_set_all_types_filter(t->machine, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
    hwloc_topology_set_cache_types_filter(t->machine, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_io_types_filter(t->machine, HWLOC_TYPE_FILTER_KEEP_NONE);
#if HWLOC_API_VERSION >= 0x00020500
    hwloc_topology_set_flags(t->machine, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
#endif
    const char *synthetic = getenv("HWLOC_SYNTHETIC"); /* hwloc passes over what it cannot parse */
    if (synthetic && *synthetic && hwloc_topology_set_synthetic(t->machine, synthetic)) {
        wf_error_set(WF_EMODEL, "HWLOC_SYNTHETIC=%s: expected levels like \"numa:2 core:4 pu:2\"",
                     synthetic);
        return false;
    }
    if (hwloc_topology_load(t->machine) == 0) return true;
    wf_error_set(WF_EIO, "the machine's topology cannot be read");
    return false;
}

/* Leave out what the caller may not run on. HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING does the
 * same, but only together with a flag that would take a synthetic machine for this one. */
static void restrict_to_affinity(wf_topo *t)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (set && hwloc_get_cpubind(t->machine, set, HWLOC_CPUBIND_THREAD) == 0)
        hwloc_topology_restrict(t->machine, set, 0);
    hwloc_bitmap_free(set);
}

static bool restrict_to(wf_topo *t, const char *cpuset)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    bool ok = set && hwloc_bitmap_list_sscanf(set, cpuset) == 0 && !hwloc_bitmap_iszero(set) &&
              hwloc_topology_restrict(t->machine, set, 0) == 0;
    hwloc_bitmap_free(set);
    if (!ok) wf_error_set(WF_EMODEL, "cpuset %s: expected hardware threads such as 0-3,8", cpuset);
    return ok;
}

static void list_cores(wf_topo *t, hwloc_obj_type_t type)
{
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t taken = hwloc_bitmap_alloc();
    while (taken && (node = hwloc_get_next_obj_by_type(t->machine, HWLOC_OBJ_NUMANODE, node))) {
        hwloc_obj_t core = NULL;
        while ((core = hwloc_get_next_obj_by_type(t->machine, type, core))) {
            if (!hwloc_bitmap_intersects(core->cpuset, node->cpuset)) continue;
            if (hwloc_bitmap_intersects(core->cpuset, taken)) continue; /* two nodes share it */
            hwloc_bitmap_or(taken, taken, core->cpuset);
            t->core[t->n_cores++] = core->cpuset;
        }
    }
    hwloc_bitmap_free(taken);
}

static bool find_cores(wf_topo *t)
{
    hwloc_obj_type_t type = HWLOC_OBJ_CORE;
    int n = hwloc_get_nbobjs_by_type(t->machine, type);
    if (n < 1) { /* some virtual machines hide their cores */
        type = HWLOC_OBJ_PU;
        n = hwloc_get_nbobjs_by_type(t->machine, type);
    }
    t->core = n > 0 ? calloc((size_t)n, sizeof *t->core) : NULL;
    if (t->core) list_cores(t, type);
    if (t->n_cores == 0)
        wf_error_set(WF_EIO, "the machine's topology has no cores, or there is no memory for it");
    return t->n_cores > 0;
}

wf_topo *wf_topo_new_within(const char *cpuset, int quota)
{
    wf_topo *t = calloc(1, sizeof *t);
    if (!t) {
        wf_error_set(WF_ENOMEM, "out of memory for the machine's topology");
        return NULL;
    }
    bool ok = read_machine(t);
    t->is_here = ok && hwloc_topology_is_thissystem(t->machine);
    if (t->is_here) restrict_to_affinity(t);
    ok = ok && (!cpuset || restrict_to(t, cpuset)) && find_cores(t);
    if (!ok) {
        wf_topo_free(t);
        return NULL;
    }
    if (quota == 0 && t->is_here) quota = wf_cpu_quota("");
    if (quota < 1 || quota > WF_MOST_THREADS) quota = WF_MOST_THREADS;
    t->usable = t->n_cores < quota ? t->n_cores : quota;
    return t;
}

wf_topo *wf_topo_new(void)
{
    return wf_topo_new_within(NULL, 0);
}

void wf_topo_free(wf_topo *t)
{
    if (!t) return;
    if (t->machine) hwloc_topology_destroy(t->machine);
    free(t->core);
    free(t);
}

int wf_topo_cores(const wf_topo *t)
{
    return t->usable;
}

bool wf_topo_is_here(const wf_topo *t)
{
    return t->is_here;
}

int wf_topo_place(const wf_topo *t, int i, char *processors, size_t size)
{
    if (i < 0 || i >= t->n_cores) return -1;
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(t->machine, HWLOC_OBJ_NUMANODE, node)))
        if (hwloc_bitmap_intersects(t->core[i], node->cpuset)) break;
    hwloc_bitmap_list_snprintf(processors, size, t->core[i]);
    return node ? (int)node->os_index : -1;
}

bool wf_topo_bind(const wf_topo *t, int i)
{
    if (!t->is_here || i < 0 || i >= t->n_cores) return false;
    return hwloc_set_cpubind(t->machine, t->core[i], HWLOC_CPUBIND_THREAD) == 0;
}

void wf_topo_move(const wf_topo *t, int i)
{
    if (!t->is_here || i < 0 || i >= t->n_cores) return;
    int here = sched_getcpu();
    if (here < 0 || hwloc_bitmap_isset(t->core[i], (unsigned)here)) return;
    hwloc_bitmap_t before = hwloc_bitmap_alloc();
    if (before && hwloc_get_cpubind(t->machine, before, HWLOC_CPUBIND_THREAD) == 0 &&
        hwloc_bitmap_isincluded(t->core[i], before)) {
        hwloc_set_cpubind(t->machine, t->core[i], HWLOC_CPUBIND_THREAD);
        hwloc_set_cpubind(t->machine, before, HWLOC_CPUBIND_THREAD);
    }
    hwloc_bitmap_free(before);
}
