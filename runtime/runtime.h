/* A runtime's parts, for the other files of this folder. */
#ifndef WF_RUNTIME_H
#define WF_RUNTIME_H

#include "runtime/pool.h"

struct wf_trace;

struct wf_runtime {
    wf_topo *topo;
    wf_pool *pool;
    bool reference;      /* WF_KERNELS=ref */
    const char *dump;    /* WF_DUMP */
    const char *without; /* WF_PASSES */
    struct wf_trace *trace;
};

/* Trace of runs (trace.c): NULL when off. Times are nanoseconds of the monotonic clock. */
struct wf_trace *wf_trace_new(const char *path);
wf_status wf_trace_save(struct wf_trace *t);
void wf_trace_free(struct wf_trace *t); /* saves what was added since */
typedef struct wf_trace_event {
    const char *name, *op;
    int64_t start, end;
    int64_t waiting; /* of all threads together, for units that others work on */
    double flops, bytes;
} wf_trace_event;
void wf_trace_add(struct wf_trace *t, const wf_trace_event *e);
int64_t wf_now(void);

#endif
