/*
 * The step of an optimizer alone, on 50 M parameters in tensors of the usual shapes: a table, and
 * layers of a Transformer. The gradients are inputs.
 */
#include "bench/work.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/common.h"

enum { TENSORS = 8, NAME = 64 }; /* tensors of a layer */

typedef struct tensor {
    char name[NAME];
    wf_shape shape;
    wf_role_kind kind;
} tensor;

static int64_t count(const wf_work *w)
{
    return 1 + w->layers * TENSORS;
}

static tensor tensor_at(const wf_work *w, int64_t i)
{
    int64_t d = w->width, e = w->expand;
    const struct {
        const char *name;
        wf_shape shape;
        wf_role_kind kind;
    } of_layer[TENSORS] = {
        {"norm1", WF_SHAPE(d), WF_SCALE},    {"qkv/w", WF_SHAPE(d, 3 * d), WF_KERNEL},
        {"qkv/b", WF_SHAPE(3 * d), WF_BIAS}, {"proj/w", WF_SHAPE(d, d), WF_KERNEL},
        {"norm2", WF_SHAPE(d), WF_SCALE},    {"fc/w", WF_SHAPE(d, e), WF_KERNEL},
        {"fc/b", WF_SHAPE(e), WF_BIAS},      {"out/w", WF_SHAPE(e, d), WF_KERNEL},
    };
    tensor t = {.name = "table", .shape = WF_SHAPE(w->vocab, d), .kind = WF_EMBEDDING};
    if (i == 0) return t;
    int64_t k = (i - 1) % TENSORS;
    snprintf(t.name, NAME, "h%lld/%s", (long long)((i - 1) / TENSORS), of_layer[k].name);
    t.shape = of_layer[k].shape;
    t.kind = of_layer[k].kind;
    return t;
}

static int64_t elements(const wf_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) n *= s->dim[i];
    return n;
}

static wf_graph *declare(const wf_work *w)
{
    wf_graph *g = wf_graph_new();
    wf_node *loss = wf_constant(g, 0);
    for (int64_t i = 0; i < count(w); i++) {
        char name[NAME + 16];
        tensor t = tensor_at(w, i);
        wf_init init = {.kind = WF_INIT_NORMAL, .a = 0.02f};
        wf_node *p = wf_param(g, t.name, t.shape, (wf_role){.kind = t.kind}, init);
        snprintf(name, sizeof name, "gradient/%s", t.name);
        wf_node *dp = wf_input(g, name, WF_F32, t.shape);
        loss = wf_add(loss, wf_sum(wf_mul(p, dp), WF_ALL, false)); /* nobody reads its value */
    }
    wf_work_minimize(loss, w);
    return g;
}

static void bind(wf_program *p, const wf_work *w, wf_store *given)
{
    for (int64_t i = 0; i < count(w); i++) {
        char name[NAME + 16];
        tensor t = tensor_at(w, i);
        snprintf(name, sizeof name, "gradient/%s", t.name);
        wf_work_bind_floats(p, given, name, elements(&t.shape));
    }
}

/* The mean of |p|. Where the start has "want/p", what a peer made of it in three steps, each
 * element must be within 1e-5 of it. */
static double after3(const wf_work *w, wf_store *store)
{
    double sum = 0, n = 0, off = 0;
    for (int64_t i = 0; i < count(w); i++) {
        char name[NAME + 16];
        tensor t = tensor_at(w, i);
        snprintf(name, sizeof name, "want/%s", t.name);
        wf_dtype type;
        const float *p = wf_store_data(store, t.name, &type, NULL);
        if (type != WF_F32) continue; /* stored in 16 bits */
        const float *want = wf_store_data(store, name, NULL, NULL);
        for (int64_t k = 0; k < elements(&t.shape); k++, n++) {
            sum += fabs((double)p[k]);
            if (want && !(fabs((double)p[k] - (double)want[k]) <= off))
                off = fabs((double)p[k] - (double)want[k]);
        }
    }
    if (off <= 1e-5) return sum / n;
    wf_complain("bench_step", "%s: parameters differ by %g after three steps", w->name, off);
    exit(WF_FAILED);
}

static double items(const wf_work *w)
{
    double n = 0;
    for (int64_t i = 0; i < count(w); i++) {
        tensor t = tensor_at(w, i);
        n += (double)elements(&t.shape);
    }
    return n;
}

static double flops(const wf_work *w)
{
    (void)w;
    return 0;
}

const wf_work_model wf_work_optim = {
    .declare = declare, .bind = bind, .after3 = after3, .items = items, .flops = flops};
