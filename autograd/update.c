/*
 * minimize(loss) -> gradient requests, clipping by global norm, one optimizer step a parameter.
 *
 * The requests are met by the pass "backward" that follows. Clipping: with N the Euclidean norm of
 * all gradients together, each is multiplied by min(1, clip / (N + 1e-6)) (Pascanu et al. 2013, in
 * the form of PyTorch's clip_grad_norm_).
 */
#include "autograd/autograd.h"

#include "ops/ops.h"

#include <stdlib.h>

static wf_node *clip_factor(wf_graph *g, int n, wf_node *const dp[], float clip)
{
    wf_node *total = wf_sum(wf_square(dp[0]), WF_ALL, false);
    for (int i = 1; i < n; i++) total = wf_add(total, wf_sum(wf_square(dp[i]), WF_ALL, false));
    wf_node *norm = wf_shift(wf_sqrt(total), 1e-6f);
    return wf_min(wf_constant(g, 1.0f), wf_div(wf_constant(g, clip), norm));
}

static void update_all(wf_graph *g, wf_node *request, int n, wf_node *const p[], wf_node *dp[])
{
    const wf_minimize_attr *a = request->attr;
    wf_node *lr = request->in[1];
    for (int i = 0; i < n; i++)
        dp[i] = wf_apply2(&wf_op_gradient, NULL, request->in[0], p[i]); /* known to exist */
    if (a->options.clip_norm > 0 && n > 0) {
        wf_node *f = clip_factor(g, n, dp, a->options.clip_norm);
        for (int i = 0; i < n; i++) dp[i] = wf_mul(dp[i], f);
    }
    g->optimizer = a->optimizer->name;
    for (int i = 0; i < n; i++) {
        g->scope = wf_arena_text(&g->arena, "update/%s", p[i]->name);
        if (!g->scope) g->scope = "";
        wf_assign(p[i], a->optimizer->step(p[i], dp[i], lr, a->hyper));
    }
    g->optimizer = NULL;
    g->scope = "";
}

/* Parameters that gradients of loss flow to. */
static int trained(wf_node **order, int n, wf_node **p, char *reach, const wf_node *loss)
{
    int found = 0;
    wf_mark_flow(n, order, loss, reach);
    for (int i = n - 1; i >= 0; i--)
        if (reach[order[i]->id] && order[i]->op == &wf_op_param) p[found++] = order[i];
    return found;
}

static bool run_update(wf_graph *g)
{
    wf_node *request = NULL;
    for (int i = 0; i < g->n_effects && !request; i++)
        if (g->effects[i]->op == &wf_op_minimize) request = g->effects[i];
    if (!request) return false;
    int n;
    wf_node **order = wf_walk(g, &n);
    wf_node **p = malloc(((size_t)n * 2 + 1) * sizeof *p);
    char *reach = calloc((size_t)g->n_nodes + 1, 1);
    if (order && p && reach) {
        int found = trained(order, n, p, reach, request->in[0]);
        if (found == 0) wf_fail(request, "the loss depends on no parameter");
        wf_remove_effect(request);
        update_all(g, request, found, p, p + found);
    } else {
        wf_graph_fail(g, WF_ENOMEM, "out of memory while making updates");
    }
    free(order);
    free(p);
    free(reach);
    return true;
}

const wf_pass wf_pass_update = {
    .name = "update",
    .doc = "minimize(loss) -> gradients, clipping and an optimizer step for every parameter",
    .run = run_update,
};
