/* A model that is trained with what it stores in 16 bits: shared by tests of storage. */
#ifndef STORAGE_NET_H
#define STORAGE_NET_H

#include "ops/narrow.h"
#include "tests/scratch.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct net {
    wf_graph *g;
    wf_store *store;
    wf_runtime *rt;
    wf_program *p;
    float x[64 * 40], y[64 * 24]; /* inputs, of which a test uses what it needs */
    int32_t ids[24];
} net;

static inline wf_runtime *runtime_of(int threads)
{
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = threads});
    cr_assert(rt, "%s", wf_error());
    return rt;
}

static inline void run(net *n, int times)
{
    for (int i = 0; i < times; i++) cr_assert_eq(wf_run(n->p), WF_OK, "%s", wf_error());
}

static inline void end(net *n)
{
    wf_program_free(n->p);
    wf_store_free(n->store);
    wf_runtime_free(n->rt);
    wf_graph_free(n->g);
    free(n);
}

#endif
