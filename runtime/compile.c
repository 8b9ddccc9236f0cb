/* From a declared graph to a program: copy, optimize, schedule, place, plan. */
#include "runtime/program.h"

#include "graph/notes.h"
#include "ops/narrow.h"
#include "passes/passes.h"
#include "runtime/init.h"
#include "runtime/schedule.h"
#include "runtime/store.h"

#include <stdlib.h>
#include <string.h>

/* Below this much work (nanoseconds, by cost) a second thread costs more than it brings. */
enum { ALONE_NS = 6000, FLOPS_PER_NS = 20, BYTES_PER_NS = 10 };

static bool no_memory(void)
{
    wf_error_set(WF_ENOMEM, "out of memory while compiling");
    return false;
}

static bool add_input(wf_program *p, wf_value *v)
{
    wf_bound *grown = realloc(p->inputs, (size_t)(p->n_inputs + 1) * sizeof *grown);
    if (!grown) return no_memory();
    p->inputs = grown;
    v->place = WF_IN_INPUT;
    v->input = p->n_inputs;
    size_t bytes = (size_t)wf_elements(&v->node->shape) * wf_dtype_bytes(v->node->dtype);
    bool is_scalar = v->node->dtype == WF_F32 && bytes == sizeof(float);
    const wf_leaf_attr *a = v->node->attr;
    p->inputs[p->n_inputs++] = (wf_bound){
        .name = v->node->name, .bytes = bytes, .is_scalar = is_scalar, .is_rate = a->is_rate};
    return true;
}

/* Parameters and states, found in the store or made there. */
static bool take_stored(wf_program *p)
{
    int64_t start = wf_now();
    for (int i = 0; i < p->n_values; i++) {
        wf_value *v = &p->values[i];
        const wf_node *n = v->node;
        const wf_leaf_attr *a = n->attr;
        bool created;
        if (v->place != WF_IN_STORE) continue;
        v->base = wf_store_require(p->store, n->name, n->dtype, n->shape, &created);
        if (!v->base) return false;
        if (created && n->op == &wf_op_param)
            wf_init_fill(p->rt->pool, v->base, n->dtype, wf_elements(&n->shape), a->init,
                         wf_store_seed(p->store), n->name);
    }
    p->stats.init_seconds = (double)(wf_now() - start) * 1e-9;
    return true;
}

static bool add_value(wf_program *p, wf_value *v, wf_node *n, const int *index)
{
    *v = (wf_value){.node = n, .place = WF_IN_SLAB};
    if (!n->op->run && !(n->op->traits & (WF_LEAF | WF_VIEW))) {
        wf_error_set(WF_EMODEL, "%s: %s: the op has no kernel", n->scope, n->op->name);
        return false;
    }
    if (!wf_layout_of(n, &v->tensor)) {
        wf_error_set(WF_EMODEL, "%s: %s: the view has no layout", n->scope, n->op->name);
        return false;
    }
    if (n->op == &wf_op_input) return add_input(p, v);
    if (n->op == &wf_op_param || n->op == &wf_op_state) {
        v->place = WF_IN_STORE;
        p->stats.store_bytes += (size_t)wf_elements(&n->shape) * wf_dtype_bytes(n->dtype);
    }
    if (n->op == &wf_op_constant) {
        const wf_leaf_attr *a = n->attr;
        v->place = WF_IN_GRAPH;
        v->base = a->values ? (void *)a->values : (void *)&a->fill;
    }
    if (n->op->traits & WF_VIEW) {
        v->place = WF_IN_VIEW;
        v->origin = index[n->in[0]->id];
    }
    return true;
}

double wf_step_ns(const wf_step *s)
{
    return s->cost.flops / FLOPS_PER_NS + s->cost.bytes / BYTES_PER_NS;
}

static void add_step(wf_program *p, int value, const int *index)
{
    const wf_node *n = p->values[value].node;
    wf_step *s = &p->steps[p->n_steps++];
    *s = (wf_step){.node = n, .value = value};
    s->cost = wf_node_cost(n);
    s->alone = wf_step_ns(s) < ALONE_NS;
    s->call = (wf_call){.n_in = n->n_in,
                        .in = p->tensors + p->n_tensors,
                        .out = &p->values[value].tensor,
                        .attr = n->attr,
                        .reference = p->rt->reference,
                        .seed = wf_store_seed(p->store),
                        .salt = n->salt};
    for (int i = 0; i < n->n_in; i++) p->tensor_value[p->n_tensors++] = index[n->in[i]->id];
    size_t scratch = n->op->scratch ? n->op->scratch(n) : 0;
    if (scratch > p->scratch_bytes) p->scratch_bytes = (scratch + 63) / 64 * 64;
    p->stats.flops += s->cost.flops;
    p->stats.kernels++;
    if (n->op->traits & WF_EFFECT) p->has_effects = true;
    if (wf_waits_narrow(n)) {
        p->stats.narrowed++;
        p->stats.narrowed_bytes += 2 * (size_t)wf_elements(&n->shape);
    }
    if (!n->repeats || n->op == &wf_op_cast) return;
    p->stats.recomputed++;
    p->stats.recompute_flops += s->cost.flops;
}

static bool add_all(wf_program *p, wf_node **order, int n)
{
    size_t inputs = 1, all = (size_t)n + 1;
    for (int i = 0; i < n; i++) inputs += (size_t)order[i]->n_in;
    int *index = malloc(((size_t)p->g->n_nodes + 1) * sizeof *index);
    p->values = calloc(all, sizeof *p->values);
    p->steps = calloc(all, sizeof *p->steps);
    p->tensors = calloc(inputs, sizeof *p->tensors);
    p->tensor_value = calloc(inputs, sizeof *p->tensor_value);
    bool ok = index && p->values && p->steps && p->tensors && p->tensor_value;
    if (!ok) no_memory();
    for (int i = 0; ok && i < n; i++) {
        index[order[i]->id] = i;
        ok = add_value(p, &p->values[i], order[i], index);
        p->n_values++;
    }
    for (int i = 0; ok && i < n; i++)
        if (!(order[i]->op->traits & (WF_LEAF | WF_VIEW))) add_step(p, i, index);
    free(index);
    return ok;
}

static size_t all_scratch(const wf_program *p)
{
    size_t bytes = p->scratch_bytes * (size_t)wf_pool_threads(p->rt->pool);
    if (bytes > WF_HUGE_PAGE / 4) /* kernels walk over it all the time */
        bytes = (bytes + WF_HUGE_PAGE - 1) / WF_HUGE_PAGE * WF_HUGE_PAGE;
    return bytes;
}

bool wf_program_lay_out(wf_program *p)
{
    int n;
    wf_node **order = wf_graph_schedule(p->g, &n);
    if (!order) return wf_graph_check(p->g) == WF_OK;
    p->stats.nodes_after = n;
    bool ok = add_all(p, order, n) && wf_program_plan(p);
    p->stats.memory_bytes = p->stats.plan_bytes + p->stats.store_bytes + all_scratch(p);
    if (p->plan_bytes_before > p->stats.plan_bytes)
        p->stats.recompute_bytes = p->plan_bytes_before - p->stats.plan_bytes;
    free(order);
    return ok;
}

wf_program *wf_program_look(const wf_program *p)
{
    wf_program *q = calloc(1, sizeof *q);
    if (!q) {
        wf_graph_fail(p->g, WF_ENOMEM, "out of memory while compiling");
        return NULL;
    }
    *q = (wf_program){.g = p->g, .rt = p->rt, .store = p->store, .look_only = true};
    if (wf_program_lay_out(q)) return q;
    wf_graph_fail(p->g, wf_error_status(), "%s", wf_error());
    q->g = NULL;
    wf_program_free(q);
    return NULL;
}

static bool check_limit(const wf_program *p)
{
    size_t least = p->stats.memory_bytes;
    if (!p->limit || least + p->besides <= p->limit) return true;
    least = p->besides + (p->least && p->least < least ? p->least : least);
    wf_error_set(WF_ELIMIT,
                 "memory: the limit is %zu bytes, the least that was found is %zu (%.1f MiB)",
                 p->limit, least, (double)least / 1048576);
    return false;
}

static bool build(wf_program *p)
{
    if (!wf_program_lay_out(p) || !check_limit(p)) return false;
    if (p->look_only) return true;
    p->slab = wf_aligned_room(p->stats.plan_bytes);
    p->scratch = wf_aligned_room(all_scratch(p));
    p->is_stale = true;
    if (!p->slab || !p->scratch) {
        wf_error_set(WF_ENOMEM, "out of memory: the program needs %zu MiB besides its weights",
                     p->stats.plan_bytes >> 20);
        return false;
    }
    for (int i = 0; i < p->n_steps; i++) {
        const wf_node *n = p->steps[i].node;
        if (n->op->prepare) n->op->prepare(n);
    }
    return take_stored(p);
}

static bool listen(wf_program *p, const wf_compile_options *o)
{
    return !o->explain || wf_notes_listen(p->g) || wf_graph_check(p->g) == WF_OK;
}

static bool optimize(wf_program *p, const wf_compile_options *o)
{
    static const wf_pass *const stored[] = {&wf_pass_store_narrow, NULL};
    static const wf_pass *const last[] = {&wf_pass_recompute, NULL};
    wf_pass_options passes = {.forward_only = o->forward_only,
                              .averages = o->forward_only && o->averages,
                              .rounds_products = o->products == WF_PRODUCTS_BF16,
                              .dump = p->rt->dump,
                              .without = o->plain ? "-fuse_pointwise,-fuse_linear" : p->rt->without,
                              .extra = o->passes,
                              .stored = stored,
                              .last = last};
    p->g->program = p;
    bool ok = wf_optimize(p->g, &passes);
    p->stats.nodes_before = passes.nodes_differentiated;
    return ok || wf_graph_check(p->g) == WF_OK;
}

static bool check_types(const wf_compile_options *o)
{
    wf_dtype asked[] = {o->weights, o->states, o->activations};
    for (int i = 0; i < 3; i++) {
        if (wf_is_real(asked[i])) continue;
        wf_error_set(WF_EMODEL, "weights, states and activations are f32, f16 or bf16, not %s",
                     wf_dtype_name(asked[i]));
        return false;
    }
    return true;
}

static wf_status last_status(const wf_program *p)
{
    wf_status s = p && p->g ? p->g->status : WF_OK;
    if (s == WF_OK) s = wf_error_status();
    return s != WF_OK ? s : WF_EMODEL;
}

wf_status wf_compile(wf_program **out, const wf_graph *g, wf_store *s, wf_runtime *rt,
                     const wf_compile_options *options)
{
    const wf_compile_options o = options ? *options : (wf_compile_options){0};
    int64_t start = wf_now();
    *out = NULL;
    if (!check_types(&o)) return WF_EMODEL;
    wf_program *p = calloc(1, sizeof *p);
    if (!p) return wf_error_set(WF_ENOMEM, "out of memory while compiling");
    p->rt = rt;
    p->store = s;
    p->look_only = o.look_only;
    p->limit = o.memory_limit;
    p->besides = o.memory_besides;
    p->weights = o.weights;
    p->states = o.states;
    p->activations = o.activations;
    p->g = wf_graph_copy(g, o.sizes);
    if (p->g) p->stats.nodes_declared = wf_graph_size(p->g);
    if (p->g) p->n_outputs = p->g->n_outputs;
    p->is_timed = o.explain || rt->trace;
    if (p->is_timed) wf_pool_measure(rt->pool);
    if (!p->g || !listen(p, &o) || !optimize(p, &o) || !build(p)) {
        wf_status status = last_status(p);
        wf_program_free(p);
        return status;
    }
    p->stats.compile_seconds = (double)(wf_now() - start) * 1e-9 - p->stats.init_seconds;
    *out = p;
    return WF_OK;
}
