/* Cores that this process may use: hwloc's cores, cut by affinity, cpuset and CPU quota. */
#ifndef WF_TOPO_H
#define WF_TOPO_H

#include <weft/weft.h>

typedef struct wf_topo wf_topo;

enum { WF_MOST_THREADS = 1024 }; /* of a runtime */

/* NULL with wf_error() if the machine cannot be read, or HWLOC_SYNTHETIC, which names another one
 * ("numa:2 core:4 pu:2"), is malformed. */
wf_topo *wf_topo_new(void);
/* As if the process were allowed these hardware threads alone ("0-3,8"; NULL: no change), and had a
 * quota of so many processors (0: the system's). */
wf_topo *wf_topo_new_within(const char *cpuset, int quota);
void wf_topo_free(wf_topo *t);
/* Physical cores, after affinity, cpuset and quota; 1 to WF_MOST_THREADS. */
int wf_topo_cores(const wf_topo *t);
bool wf_topo_is_here(const wf_topo *t); /* false: another machine, nothing can be bound */
/* Where wf_topo_bind would put a thread: the NUMA node (-1: i is no core) and, as a list like
 * "4-5", the hardware threads of the i-th core. */
int wf_topo_place(const wf_topo *t, int i, char *processors, size_t size);
/* Bind the calling thread to the i-th core, NUMA nodes filled one after the other. false: could
 * not (a warning for the caller to print, never a failure). */
bool wf_topo_bind(const wf_topo *t, int i);
/* Bring the calling thread to the i-th core if it runs elsewhere; its affinity stays what it is. */
void wf_topo_move(const wf_topo *t, int i);

/* Processors that the cgroup quotas of this process add up to, rounded up (v2 cpu.max, v1
 * cpu.cfs_quota_us; its own group and those around it); 0: no quota. Tests give another root than
 * "" to put before all paths. */
int wf_cpu_quota(const char *root);

#endif
