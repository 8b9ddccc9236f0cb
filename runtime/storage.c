/*
 * Weights and states in 16 bits: where a program reads them they are widened, where it assigns
 * them they are rounded.
 *
 *   f(leaf)          ->  f(cast(leaf16))
 *   assign(leaf, v)  ->  assign(leaf16, cast(v)), by chance
 *
 * To nearest, a step of less than half the distance between neighbours would be lost in every run;
 * by chance it is made with the probability that keeps the mean (Gupta et al. 2015, "Deep Learning
 * with Limited Numerical Precision"). Draws belong to the tensor's name, the store's seed and the
 * number of the run: fused or not, on any number of threads, they are the same.
 *
 * The fusions that follow make the casts part of the kernels that read and write.
 */
#include "runtime/program.h"

#include "ops/narrow.h"
#include "runtime/store.h"

#include <stdlib.h>

/* What was asked for, else what the store has: a tensor of another type is a mistake, found when
 * the program takes it. */
static wf_dtype type_of(const wf_program *p, const wf_node *leaf)
{
    const wf_leaf_attr *a = leaf->attr;
    wf_dtype asked = leaf->op == &wf_op_param ? p->weights : p->states;
    int i = wf_store_find(p->store, leaf->name);
    if (a->may_narrow && asked != WF_F32) return a->is_square ? WF_BF16 : asked;
    return i >= 0 && wf_is_real(p->store->tensors[i].dtype) ? p->store->tensors[i].dtype : WF_F32;
}

/* assign: the effect that assigns x, or NULL. */
static void narrow_leaf(wf_graph *g, wf_node *x, wf_node *assign, wf_dtype type)
{
    wf_leaf_attr a = *(const wf_leaf_attr *)x->attr;
    a.dtype = type;
    wf_node *leaf = wf_leaf_new(g, x->op, &a, x->name);
    if (assign) {
        g->scope = assign->scope;
        assign->dtype = type;
        wf_set_input(assign, 0, leaf);
        wf_set_input(assign, 1, wf_narrowed(assign->in[1], type, (uint32_t)wf_hash(x->name) | 1));
    }
    g->scope = x->scope;
    wf_replace(x, wf_widened(leaf));
    g->scope = "";
}

bool wf_waits_narrow(const wf_node *n)
{
    bool is_narrow = n->op == &wf_op_cast && wf_is_narrow(n->dtype);
    return is_narrow && !((const wf_cast_attr *)n->attr)->salt;
}

static bool store_narrow(wf_graph *g)
{
    int n;
    bool changed = false;
    wf_node **order = wf_walk(g, &n);
    wf_node **assign =
        calloc((size_t)g->n_nodes + 1, sizeof *assign); /* by id of what it assigns */
    if (!assign) wf_graph_fail(g, WF_ENOMEM, "out of memory while storing in 16 bits");
    for (int i = 0; assign && i < g->n_effects; i++)
        if (g->effects[i]->op == &wf_op_assign) assign[g->effects[i]->in[0]->id] = g->effects[i];
    for (int i = 0; order && i < n && g->status == WF_OK; i++) {
        wf_node *x = order[i];
        bool is_stored = x->op == &wf_op_param || x->op == &wf_op_state;
        if (!is_stored || x->dtype != WF_F32) continue;
        wf_dtype type = type_of(g->program, x);
        if (type == WF_F32) continue;
        narrow_leaf(g, x, assign[x->id], type);
        changed = true;
    }
    free(order);
    free(assign);
    return changed;
}

const wf_pass wf_pass_store_narrow = {
    .name = "store_narrow",
    .doc = "stored tensors in 16 bits: widened where they are read, rounded where assigned",
    .run = store_narrow,
};
