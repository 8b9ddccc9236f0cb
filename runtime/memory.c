/*
 * What lives when: values in the slab from the step that makes them to their last reader, work
 * buffers during their step. A step may take over the bytes of an input that dies with it when its
 * op says so (WF_INPLACE) and both are contiguous and of equal size.
 */
#include "runtime/program.h"

#include <stdlib.h>

struct memory {
    wf_program *p;
    wf_lifetime *life; /* values, then the work of steps */
    int *owner;        /* whose bytes a value uses: itself, or what it took over, or looks into */
    size_t *offset;
};

static size_t tensor_bytes(const wf_tensor *t)
{
    return (size_t)wf_elements(&t->shape) * wf_dtype_bytes(t->dtype);
}

static int owner_of(const struct memory *m, int v)
{
    while (m->owner[v] != v) v = m->owner[v];
    return v;
}

static void live_until(struct memory *m, int v, int step)
{
    int o = owner_of(m, v);
    if (m->life[o].last < step) m->life[o].last = step;
}

/* Last step that reads value v's bytes, with all views and takers of them. */
static void find_lifetimes(struct memory *m)
{
    wf_program *p = m->p;
    for (int v = 0; v < p->n_values; v++) {
        m->owner[v] = p->values[v].place == WF_IN_VIEW ? p->values[v].origin : v;
        m->life[v] = (wf_lifetime){-1, -1, 0};
    }
    int t = 0;
    for (int s = 0; s < p->n_steps; s++) {
        int out = p->steps[s].value;
        m->life[out] = (wf_lifetime){s, s, tensor_bytes(&p->values[out].tensor)};
        if (p->values[out].place != WF_IN_SLAB || (p->steps[s].node->op->traits & WF_EFFECT))
            m->life[out].bytes = 0;
        for (int i = 0; i < p->steps[s].node->n_in; i++) live_until(m, p->tensor_value[t++], s);
        size_t work = p->steps[s].node->op->work ? p->steps[s].node->op->work(p->steps[s].node) : 0;
        m->life[p->n_values + s] = (wf_lifetime){s, s, work};
    }
    for (int v = 0; v < p->n_values; v++)
        for (int o = 0; o < p->g->n_outputs; o++)
            if (p->g->outputs[o].node == p->values[v].node) live_until(m, v, p->n_steps);
}

static bool can_take(const struct memory *m, int step, int out, int v)
{
    const wf_value *x = &m->p->values[v], *y = &m->p->values[out];
    int o = owner_of(m, v);
    if (m->p->values[o].place != WF_IN_SLAB || m->life[o].bytes == 0) return false;
    if (m->life[o].last != step || m->life[o].bytes != m->life[out].bytes) return false;
    return x->tensor.dtype == y->tensor.dtype && wf_is_contiguous(&x->tensor) &&
           wf_shape_equal(&x->tensor.shape, &y->tensor.shape);
}

/* Other inputs of the step that look into the same bytes differently forbid taking them over. */
static bool is_shared(const struct memory *m, int first, int n, int me)
{
    int o = owner_of(m, m->p->tensor_value[me]);
    for (int t = first; t < first + n; t++)
        if (m->p->tensor_value[t] != m->p->tensor_value[me] &&
            owner_of(m, m->p->tensor_value[t]) == o)
            return true;
    return false;
}

static void take_over(struct memory *m)
{
    int t = 0;
    for (int s = 0; s < m->p->n_steps; s++) {
        const wf_node *n = m->p->steps[s].node;
        int out = m->p->steps[s].value, first = t;
        t += n->n_in;
        if (!(n->op->traits & WF_INPLACE)) continue;
        for (int i = first + n->op->inplace_from; i < t; i++) {
            int v = m->p->tensor_value[i];
            if (!can_take(m, s, out, v) || is_shared(m, first, n->n_in, i)) continue;
            int o = owner_of(m, v);
            m->life[o].last = m->life[out].last; /* the bytes live on as the output */
            m->life[out].bytes = 0;
            m->owner[out] = o;
            break;
        }
    }
}

/* The step during which the most bytes are alive. */
static bool find_peak(const struct memory *m)
{
    wf_program *p = m->p;
    size_t *change = calloc((size_t)p->n_steps + 2, sizeof *change), now = 0;
    for (int i = 0; change && i < p->n_values + p->n_steps; i++) {
        const wf_lifetime *l = &m->life[i];
        if (l->bytes == 0) continue;
        change[l->first] += l->bytes;
        change[l->last + 1] -= l->bytes;
    }
    for (int s = 0; change && s < p->n_steps; s++) {
        now += change[s];
        if (now <= p->peak_bytes) continue;
        p->peak_bytes = now;
        p->peak = s;
    }
    free(change);
    return change != NULL;
}

static bool allocate(struct memory *m)
{
    wf_program *p = m->p;
    int n = p->n_values + p->n_steps;
    for (int i = 0; i < n; i++) p->stats.plan_bytes_naive += m->life[i].bytes;
    take_over(m);
    if (!find_peak(m)) return false;
    p->stats.plan_bytes = wf_plan(n, m->life, m->offset);
    if (p->stats.plan_bytes == SIZE_MAX) return false;
    for (int v = 0; v < p->n_values; v++) p->values[v].offset = m->offset[owner_of(m, v)];
    for (int s = 0; s < p->n_steps; s++) p->steps[s].work = m->offset[p->n_values + s];
    return true;
}

bool wf_program_plan(wf_program *p)
{
    size_t n = (size_t)(p->n_values + p->n_steps) + 1;
    struct memory m = {.p = p,
                       .life = malloc(n * sizeof(wf_lifetime)),
                       .owner = malloc(n * sizeof(int)),
                       .offset = calloc(n, sizeof(size_t))};
    bool ok = m.life && m.owner && m.offset;
    if (ok) {
        find_lifetimes(&m);
        ok = allocate(&m);
    }
    if (!ok) wf_error_set(WF_ENOMEM, "out of memory while planning");
    p->life = m.life;
    free(m.owner);
    free(m.offset);
    return ok;
}
