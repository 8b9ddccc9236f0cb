/* Bind, run, read. */
#include "runtime/program.h"

#include "runtime/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void wf_program_free(wf_program *p)
{
    if (!p) return;
    wf_graph_free(p->g);
    free(p->values);
    free(p->steps);
    free(p->tensors);
    free(p->tensor_value);
    free(p->inputs);
    free(p->life);
    free(p->slab);
    free(p->scratch);
    free(p);
}

static wf_bound *find_input(wf_program *p, const char *name)
{
    for (int i = 0; i < p->n_inputs; i++)
        if (!strcmp(p->inputs[i].name, name)) return &p->inputs[i];
    return NULL;
}

wf_status wf_bind(wf_program *p, const char *input, const void *data, size_t bytes)
{
    wf_bound *b = find_input(p, input);
    if (!b) return wf_error_set(WF_EMODEL, "the program has no input \"%s\"", input);
    if (bytes != b->bytes)
        return wf_error_set(WF_EMODEL, "input \"%s\" takes %zu bytes, got %zu", input, b->bytes,
                            bytes);
    if (b->data != data) p->is_stale = true;
    b->data = data;
    return WF_OK;
}

wf_status wf_set(wf_program *p, const char *input, float value)
{
    wf_bound *b = find_input(p, input);
    if (!b) return wf_error_set(WF_EMODEL, "the program has no input \"%s\"", input);
    if (!b->is_scalar)
        return wf_error_set(WF_EMODEL, "input \"%s\" is not one float32 but takes %zu bytes", input,
                            b->bytes);
    if (b->is_rate && !(value >= 0 && isfinite(value)))
        return wf_error_set(WF_EMODEL,
                            "input \"%s\" is a learning rate, finite and at least 0, got %g", input,
                            (double)value);
    b->scalar = value;
    if (b->data != &b->scalar) p->is_stale = true;
    b->data = &b->scalar;
    return WF_OK;
}

/* Values come in schedule order, so the origin of a view is found before the view. */
static void locate(wf_program *p, wf_value *v)
{
    const wf_value *x = &p->values[v->origin];
    switch (v->place) {
    case WF_IN_SLAB:
        v->tensor.data = p->slab + v->offset;
        break;
    case WF_IN_STORE:
    case WF_IN_GRAPH:
        v->tensor.data = v->base;
        break;
    case WF_IN_INPUT:
        v->tensor.data = (void *)p->inputs[v->input].data;
        break;
    case WF_IN_VIEW:
        v->node->op->view(v->node, &x->tensor, &v->tensor);
        break;
    }
}

wf_status wf_program_settle(wf_program *p)
{
    if (p->look_only) return wf_error_set(WF_EMODEL, "the program was compiled to look at only");
    if (!p->is_stale) return WF_OK;
    for (int i = 0; i < p->n_inputs; i++)
        if (!p->inputs[i].data)
            return wf_error_set(WF_EUNBOUND, "input \"%s\" is not bound", p->inputs[i].name);
    for (int i = 0; i < p->n_values; i++) locate(p, &p->values[i]);
    for (int t = 0; t < p->n_tensors; t++) p->tensors[t] = p->values[p->tensor_value[t]].tensor;
    for (int s = 0; s < p->n_steps; s++) p->steps[s].call.work = p->slab + p->steps[s].work;
    p->is_stale = false;
    return WF_OK;
}

struct launch {
    const wf_program *p;
    const wf_step *step;
    wf_call call;
};

static void run_part(void *ctx, int thread, int64_t lo, int64_t hi)
{
    const struct launch *l = ctx;
    wf_call c = l->call;
    c.scratch = l->p->scratch + (size_t)thread * l->p->scratch_bytes;
    l->step->node->op->run(&c, lo, hi);
}

void wf_program_step(const wf_program *p, const wf_step *s, int64_t count)
{
    struct launch l = {p, s, s->call};
    const wf_op *op = s->node->op;
    l.call.step = count;
    l.call.scratch = p->scratch;
    int threads = wf_pool_threads(p->rt->pool);
    for (l.call.phase = 0;; l.call.phase++) {
        int64_t n =
            op->units ? op->units(&l.call, l.call.phase) : (l.call.phase == 0 ? s->cost.units : -1);
        if (n < 0) return;
        if (n == 0) continue;
        if (s->alone || threads == 1)
            op->run(&l.call, 0, n);
        else
            wf_pool_for(p->rt->pool, n, wf_max_i64(1, n / (8 * threads)), run_part, &l);
    }
}

static void run_timed(const wf_program *p, wf_step *s, int64_t count)
{
    const wf_node *n = s->node;
    wf_timing *t = &s->last;
    int threads = wf_pool_threads(p->rt->pool);
    int64_t busy = wf_pool_busy(p->rt->pool);
    t->start = wf_now();
    wf_program_step(p, s, count);
    t->end = wf_now();
    bool is_alone = s->alone || threads == 1;
    t->busy = is_alone ? t->end - t->start : wf_pool_busy(p->rt->pool) - busy;
    wf_trace_event e = {.name = n->name ? n->name : n->scope,
                        .op = n->op->name,
                        .flops = t->flops,
                        .bytes = s->cost.bytes,
                        .start = t->start,
                        .end = t->end,
                        .waiting = threads * (t->end - t->start) - t->busy};
    if (p->rt->trace) wf_trace_add(p->rt->trace, &e);
}

/* Before it runs: its inputs may be gone afterwards. */
static void count_flops(wf_program *p, wf_step *s)
{
    const wf_op *op = s->node->op;
    double flops = s->cost.flops * (op->share ? op->share(&s->call) : 1);
    s->last.flops = flops;
    p->stats.flops += flops;
    if (s->node->repeats) p->stats.recompute_flops += flops;
}

void wf_program_keep_fastest(wf_program *p)
{
    if (p->n_steps == 0) return;
    const wf_step *from = p->steps, *to = from + p->n_steps - 1;
    /* data may decide how many FLOPs a run has: one of little work is none that was fast */
    double pace = (double)(to->last.end - from->last.start) / (1 + p->stats.flops);
    if (p->timed++ > 0 && pace >= p->least_pace) return;
    p->least_pace = pace;
    for (int s = 0; s < p->n_steps; s++) p->steps[s].fastest = p->steps[s].last;
}

wf_status wf_run(wf_program *p)
{
    wf_status ready = wf_program_settle(p);
    if (ready != WF_OK) return ready;
    int64_t *count = wf_store_step(p->store);
    p->stats.flops = p->stats.recompute_flops = 0;
    for (int s = 0; s < p->n_steps; s++) {
        count_flops(p, &p->steps[s]);
        if (p->is_timed)
            run_timed(p, &p->steps[s], *count + p->runs);
        else
            wf_program_step(p, &p->steps[s], *count + p->runs);
    }
    if (p->is_timed) wf_program_keep_fastest(p);
    ++*(p->has_effects ? count : &p->runs);
    return WF_OK;
}

static const wf_value *find_output(const wf_program *p, const char *name)
{
    for (int o = 0; o < p->g->n_outputs; o++)
        for (int v = 0; v < p->n_values && !strcmp(p->g->outputs[o].name, name); v++)
            if (p->values[v].node == p->g->outputs[o].node) return &p->values[v];
    return NULL;
}

const void *wf_read(const wf_program *p, const char *output, wf_shape *shape)
{
    const wf_value *v = find_output(p, output);
    if (!v) return NULL;
    if (shape) *shape = v->tensor.shape;
    return v->tensor.data;
}

float wf_scalar(const wf_program *p, const char *output)
{
    const wf_value *v = find_output(p, output);
    if (!v || !v->tensor.data || wf_elements(&v->tensor.shape) < 1) return NAN;
    if (v->tensor.dtype == WF_I32) return (float)*(const int32_t *)v->tensor.data;
    return v->tensor.dtype == WF_F32 ? *(const float *)v->tensor.data : NAN;
}

char *wf_program_text(const wf_program *p)
{
    return wf_graph_text(p->g);
}

const char *wf_program_tensor(const wf_program *p, int i)
{
    for (int v = 0; v < p->n_values; v++)
        if (p->values[v].place == WF_IN_STORE && i-- == 0) return p->values[v].node->name;
    return NULL;
}

wf_program_stats wf_program_get_stats(const wf_program *p)
{
    return p->stats;
}
