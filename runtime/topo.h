/* Cores that this process may use: hwloc's cores, cut by affinity, cpuset and CPU quota. */
#ifndef WF_TOPO_H
#define WF_TOPO_H

#include <weft/weft.h>

typedef struct wf_topo wf_topo;

/* NULL with wf_error() if the machine cannot be read. */
wf_topo *wf_topo_new(void);
void wf_topo_free(wf_topo *t);
int wf_topo_cores(const wf_topo *t); /* physical cores, after affinity, cpuset and quota; >= 1 */
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
