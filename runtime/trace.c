/* Chrome trace (the Trace Event Format that Perfetto and chrome://tracing open): one event an op,
 * with its FLOPs, bytes and rates. Events are kept in memory and written at the end. */
#define _POSIX_C_SOURCE 200809L
#include "runtime/runtime.h"

#include "graph/base.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 4000000 };

struct wf_trace {
    pthread_mutex_t lock; /* programs of one runtime may run at the same time */
    wf_trace_event *events;
    size_t n, room;
    bool is_saved;
    int64_t start;
    char *part;  /* its name until it is whole; path itself where that is a pipe or a device */
    char path[]; /* and behind it the part */
};

int64_t wf_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct wf_trace *wf_trace_new(const char *path)
{
    struct stat st;
    size_t n = strlen(path) + 1, room = n + 32;
    struct wf_trace *t = calloc(1, sizeof *t + n + room);
    if (t) {
        t->part = memcpy(t->path, path, n);
        if (stat(path, &st) || S_ISREG(st.st_mode))
            snprintf(t->part += n, room, "%s.%ld.part", path, (long)getpid());
        t->start = wf_now();
        pthread_mutex_init(&t->lock, NULL);
    }
    FILE *f = t ? fopen(t->part, "w") : NULL; /* find out now, not after hours of training */
    if (f) {
        fclose(f);
        if (t->part != t->path) unlink(t->part);
        return t;
    }
    wf_error_set(WF_EIO, "%s: the trace cannot be written: %s", path, strerror(errno));
    free(t);
    return NULL;
}

static void add(struct wf_trace *t, const wf_trace_event *e)
{
    t->is_saved = false;
    if (t->n == MAX_EVENTS) return;
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 1024;
        wf_trace_event *grown = realloc(t->events, room * sizeof *grown);
        if (!grown) return; /* a shorter trace is still a trace */
        t->events = grown;
        t->room = room;
    }
    wf_trace_event copy = *e; /* the name lives in a program, which may go before the trace */
    copy.name = strdup(e->name);
    if (copy.name) t->events[t->n++] = copy;
}

void wf_trace_add(struct wf_trace *t, const wf_trace_event *e)
{
    pthread_mutex_lock(&t->lock);
    add(t, e);
    pthread_mutex_unlock(&t->lock);
}

static bool write_event(FILE *f, const struct wf_trace *t, const wf_trace_event *e, bool first)
{
    double ns = (double)(e->end - e->start > 0 ? e->end - e->start : 1);
    json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:{s:f, s:f, s:f, s:f, s:f}}",
                          "name", e->op, "cat", e->name, "ph", "X", "pid", 1, "tid", 1, "ts",
                          (double)(e->start - t->start) / 1e3, "dur", ns / 1e3, "args", "flops",
                          e->flops, "bytes", e->bytes, "GFLOP/s", e->flops / ns, "GB/s",
                          e->bytes / ns, "waiting us", (double)e->waiting / 1e3);
    if (!j) return false;
    fputs(first ? "[\n" : ",\n", f);
    int bad = json_dumpf(j, f, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(j);
    return bad == 0;
}

static wf_status save(struct wf_trace *t)
{
    if (t->is_saved) return WF_OK;
    errno = 0;
    FILE *f = fopen(t->part, "w");
    bool ok = f;
    for (size_t i = 0; ok && i < t->n; i++) ok = write_event(f, t, &t->events[i], i == 0);
    if (f) {
        ok = ok && fputs(t->n ? "\n]\n" : "[]\n", f) >= 0;
        ok = fclose(f) == 0 && ok;
    }
    if (f && t->part != t->path && !(ok && (ok = rename(t->part, t->path) == 0))) unlink(t->part);
    t->is_saved = true; /* a second try would fail like the first */
    return ok ? WF_OK
              : wf_error_set(WF_EIO, "%s: the trace could not be written whole: %s", t->path,
                             strerror(errno ? errno : ENOMEM));
}

wf_status wf_trace_save(struct wf_trace *t)
{
    pthread_mutex_lock(&t->lock);
    wf_status s = save(t);
    pthread_mutex_unlock(&t->lock);
    return s;
}

void wf_trace_free(struct wf_trace *t)
{
    if (!t) return;
    wf_trace_save(t);
    for (size_t i = 0; i < t->n; i++) free((char *)t->events[i].name);
    pthread_mutex_destroy(&t->lock);
    free(t->events);
    free(t);
}
