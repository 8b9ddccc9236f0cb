/*
 * For programs that only compute outputs: minimize and assign are dropped, dropout is the identity.
 */
#include "passes/passes.h"

#include "ops/ops.h"

static wf_node *evaluate(wf_node *n)
{
    return n->op == &wf_op_dropout ? n->in[0] : NULL;
}

static bool drop_effects(wf_graph *g)
{
    bool changed = g->n_effects > 0;
    while (g->n_effects > 0) wf_remove_effect(g->effects[0]);
    return changed;
}

const wf_pass wf_pass_inference = {
    .name = "inference",
    .doc = "dropout(x) -> x; effects -> nothing",
    .rewrite = evaluate,
    .run = drop_effects,
};
