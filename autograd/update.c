/*
 * minimize(loss) -> gradient requests, clipping by norm, one optimizer step a parameter.
 *
 * The requests are met by the pass "backward" that follows. Clipping: with N the Euclidean norm of
 * all gradients of a group together, each is multiplied by min(1, clip / (N + 1e-6)) (Pascanu et
 * al. 2013, in the form of PyTorch's clip_grad_norm_). Parameters without a group, and those of
 * groups without a clip_norm, are one such group.
 *
 * With skip_nonfinite every assignment of the request becomes leaf <- where(all finite, new, old).
 * The condition looks at the loss and at the gradients before clipping, so all tensors of a step
 * are left as they were together, counters too (apply_if_finite of optax).
 */
#include "autograd/autograd.h"

#include "ops/ops.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* A parameter that is trained. */
typedef struct trained {
    wf_node *p, *dp;
    const wf_param_group *group;
} trained;

static const wf_param_group no_group;

/* ---- groups ---- */

static bool fits(const wf_param_group *k, const wf_node *p)
{
    bool has_role = !k->roles || (k->roles & 1u << wf_param_role(p).kind);
    return has_role && (!k->pattern || !fnmatch(k->pattern, p->name, 0));
}

/* Give each of x its group and drop those of frozen groups; returns how many are left. */
static int find_groups(wf_node *request, int n, trained x[])
{
    const wf_minimize_options *o = &((const wf_minimize_attr *)request->attr)->options;
    for (int k = 0; k < o->n_groups; k++) {
        bool is_used = false;
        for (int i = 0; i < n; i++) {
            if (!fits(&o->groups[k], x[i].p)) continue;
            if (x[i].group != &no_group)
                wf_fail(request, "%s fits groups %d and %d", x[i].p->name,
                        (int)(x[i].group - o->groups), k);
            x[i].group = &o->groups[k];
            is_used = true;
        }
        if (!is_used) wf_fail(request, "no trained parameter fits group %d", k);
    }
    int left = 0;
    for (int i = 0; i < n; i++)
        if (!x[i].group->frozen) x[left++] = x[i];
    return left;
}

const wf_hyper *wf_hyper_find(const wf_optimizer *o, const char *name)
{
    for (const wf_hyper *h = o->hypers; h && h->name; h++)
        if (!strcmp(h->name, name)) return h;
    return NULL;
}

/* The optimizer's numbers with the decay of this parameter. */
static const void *hyper_of(wf_node *request, const trained *x)
{
    const wf_minimize_attr *a = request->attr;
    const wf_hyper *h = wf_hyper_find(a->optimizer, "decay");
    wf_role role = wf_param_role(x->p);
    bool is_told = x->group->no_decay || x->group->decay > 0;
    if (!h && is_told) wf_fail(request, "%s has no decay that groups change", a->optimizer->name);
    if (!h || (!is_told && role.kind != WF_CUSTOM)) return a->hyper;
    char *copy = wf_graph_alloc(request->graph, a->optimizer->hyper_size);
    if (!copy) return a->hyper;
    memcpy(copy, a->hyper, a->optimizer->hyper_size);
    float decay;
    memcpy(&decay, copy + h->offset, sizeof decay);
    if (x->group->decay > 0) decay = x->group->decay;
    if (x->group->no_decay) decay = 0;
    if (role.kind == WF_CUSTOM) decay *= role.decay;
    memcpy(copy + h->offset, &decay, sizeof decay);
    return copy;
}

static wf_node *rate_of(wf_node *lr, const trained *x)
{
    wf_role role = wf_param_role(x->p);
    float factor = x->group->rate > 0 ? x->group->rate : 1;
    if (role.kind == WF_CUSTOM) factor *= role.rate;
    return factor == 1 ? lr : wf_scale(lr, factor);
}

/* ---- clipping ---- */

static bool is_clipped_by(const trained *x, const wf_param_group *group)
{
    return (x->group->clip_norm > 0 ? x->group : &no_group) == group;
}

/* Clip the gradients whose norm this group has. */
static void clip(wf_graph *g, int n, trained x[], const wf_param_group *group, float most)
{
    wf_node *total = NULL;
    for (int i = 0; i < n; i++) {
        if (!is_clipped_by(&x[i], group)) continue;
        wf_node *sum = wf_sum(wf_square(x[i].dp), WF_ALL, false);
        total = total ? wf_add(total, sum) : sum;
    }
    if (!total) return;
    wf_node *norm = wf_shift(wf_sqrt(total), 1e-6f);
    wf_node *factor = wf_min(wf_constant(g, 1.0f), wf_div(wf_constant(g, most), norm));
    for (int i = 0; i < n; i++)
        if (is_clipped_by(&x[i], group)) x[i].dp = wf_mul(x[i].dp, factor);
}

/* ---- runs that are not finite ---- */

/* 0 if loss and all gradients are finite, else NaN, as 0 x is. It becomes an output. */
static wf_node *find_nonfinite(wf_graph *g, wf_node *loss, int n, const trained x[])
{
    static const char name[] = "nonfinite";
    wf_node *bad = wf_sum(wf_scale(loss, 0), WF_ALL, false);
    for (int i = 0; i < n; i++) bad = wf_add(bad, wf_sum(wf_scale(x[i].dp, 0), WF_ALL, false));
    for (int i = 0; i < g->n_outputs; i++) {
        if (strcmp(g->outputs[i].name, name) != 0) continue;
        g->outputs[i].node = wf_add(g->outputs[i].node, bad); /* of another request */
        return bad;
    }
    return wf_output(bad, name);
}

/* What the effects from this one on assign, they assign where bad is 0 only. */
static void skip_where(wf_graph *g, int first, wf_node *bad)
{
    wf_node *is_good = wf_equal(bad, wf_constant(g, 0));
    for (int i = first; i < g->n_effects; i++) {
        wf_node *e = g->effects[i];
        g->scope = e->scope;
        if (e->op == &wf_op_assign) e->in[1] = wf_where(is_good, e->in[1], e->in[0]);
    }
}

/* ---- the pass ---- */

/* Where all of a row's gradient is 0, the old row; NaN is not 0. */
static wf_node *lazy(const trained *x, wf_node *next)
{
    wf_node *most = wf_max_over(wf_abs(x->dp), WF_AXES(-1), true);
    return wf_where(wf_equal(most, wf_constant(x->p->graph, 0)), x->p, next);
}

static void update_all(wf_graph *g, wf_node *request, int n, trained x[])
{
    const wf_minimize_attr *a = request->attr;
    const wf_minimize_options *o = &a->options;
    for (int i = 0; i < n; i++)
        x[i].dp = wf_apply2(&wf_op_gradient, NULL, request->in[0], x[i].p); /* known to exist */
    int first = g->n_effects;
    wf_node *bad = o->skip_nonfinite ? find_nonfinite(g, request->in[0], n, x) : NULL;
    if (o->clip_norm > 0) clip(g, n, x, &no_group, o->clip_norm);
    for (int k = 0; k < o->n_groups; k++)
        if (o->groups[k].clip_norm > 0) clip(g, n, x, &o->groups[k], o->groups[k].clip_norm);
    g->optimizer = a->optimizer->name;
    for (int i = 0; i < n; i++) {
        wf_node *p = x[i].p;
        g->scope = wf_arena_text(&g->arena, "update/%s", p->name);
        if (!g->scope) g->scope = "";
        wf_node *lr = rate_of(request->in[1], &x[i]);
        wf_node *next = a->optimizer->step(p, x[i].dp, lr, hyper_of(request, &x[i]));
        wf_assign(p, x[i].group->lazy ? lazy(&x[i], next) : next);
    }
    g->optimizer = NULL;
    if (bad) skip_where(g, first, bad);
    g->scope = "";
}

/* Parameters that gradients of loss flow to. */
static int find_trained(wf_node **order, int n, trained *x, char *reach, const wf_node *loss)
{
    int found = 0;
    wf_mark_flow(n, order, loss, reach);
    for (int i = n - 1; i >= 0; i--)
        if (reach[order[i]->id] && order[i]->op == &wf_op_param)
            x[found++] = (trained){.p = order[i], .group = &no_group};
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
    trained *x = malloc(((size_t)n + 1) * sizeof *x);
    char *reach = calloc((size_t)g->n_nodes + 1, 1);
    if (order && x && reach) {
        int found = find_trained(order, n, x, reach, request->in[0]);
        if (found == 0) wf_fail(request, "the loss depends on no parameter");
        found = find_groups(request, found, x);
        wf_remove_effect(request);
        update_all(g, request, found, x);
    } else {
        wf_graph_fail(g, WF_ENOMEM, "out of memory while making updates");
    }
    free(order);
    free(x);
    free(reach);
    return true;
}

const wf_pass wf_pass_update = {
    .name = "update",
    .doc = "minimize(loss) -> gradients, clipping and an optimizer step for every parameter",
    .run = run_update,
};
