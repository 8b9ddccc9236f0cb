/*
 * minimize(loss) -> gradient requests, their mean over a window of runs, clipping, one optimizer
 * step a parameter, and what wraps it.
 *
 * The requests are met by the pass "backward" that follows.
 *
 * With skip_nonfinite every assignment of the request becomes leaf <- where(all finite, new, old).
 * The condition looks at the loss, at the parameters, which an update may have made too large for
 * how they are stored, and at the run's gradients, before they are summed or clipped, so all
 * tensors of a run are left as they were together, counters too (apply_if_finite of optax).
 */
#include "autograd/autograd.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static const wf_param_group no_group;

/* ---- groups ---- */

static bool fits(const wf_param_group *k, const wf_node *p)
{
    bool has_role = !k->roles || (k->roles & 1u << wf_param_role(p).kind);
    return has_role && (!k->pattern || !fnmatch(k->pattern, p->name, 0));
}

/* Give each of x its group and drop those of frozen groups; returns how many are left. */
static int find_groups(wf_node *request, int n, wf_trained x[])
{
    const wf_minimize_options *o = &((const wf_minimize_attr *)request->attr)->options;
    for (int k = 0; k < o->n_groups; k++) {
        bool is_used = false;
        for (int i = 0; i < n; i++) {
            if (!fits(&o->groups[k], x[i].p)) continue;
            if (x[i].group != &no_group)
                wf_refuse(request->graph, request->op, "%s fits groups %d and %d", x[i].p->name,
                          (int)(x[i].group - o->groups), k);
            x[i].group = &o->groups[k];
            is_used = true;
        }
        const char *pattern = o->groups[k].pattern;
        if (!is_used)
            wf_refuse(request->graph, request->op, "no trained parameter fits group %d%s%s", k,
                      pattern ? ", " : "", pattern ? pattern : "");
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
static const void *hyper_of(wf_node *request, const wf_trained *x)
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

static wf_node *rate_of(wf_node *lr, const wf_trained *x)
{
    wf_role role = wf_param_role(x->p);
    float factor = x->group->rate > 0 ? x->group->rate : 1;
    if (role.kind == WF_CUSTOM) factor *= role.rate;
    return factor == 1 ? lr : wf_scale(lr, factor);
}

/* ---- runs that are not finite ---- */

/* 0 if loss, gradients and parameters are finite, else NaN, as 0 x is. It becomes an output. */
static wf_node *find_nonfinite(const wf_update *u)
{
    static const char name[] = "nonfinite";
    wf_graph *g = u->g;
    wf_node *bad = wf_sum(wf_scale(u->request->in[0], 0), WF_ALL, false);
    for (int i = 0; i < u->n; i++) {
        wf_node *none = wf_add(wf_scale(u->x[i].dp, 0), wf_scale(u->x[i].p, 0));
        bad = wf_add(bad, wf_sum(none, WF_ALL, false));
    }
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
static wf_node *lazy(const wf_trained *x, wf_node *next)
{
    wf_node *most = wf_max_over(wf_abs(x->dp), WF_AXES(-1), true);
    return wf_where(wf_equal(most, wf_constant(x->p->graph, 0)), x->p, next);
}

static void update_one(const wf_update *u, const wf_wrapping *w, wf_trained *x, wf_node *own)
{
    const wf_minimize_attr *a = u->request->attr;
    wf_node *due = u->g->due, *lr = rate_of(u->request->in[1], x);
    if (own) u->g->due = NULL; /* it knows of its windows, and has to see every run */
    wf_node *next = a->optimizer->step(x->p, x->dp, lr, hyper_of(u->request, x));
    if (x->group->lazy) next = lazy(x, next);
    u->g->due = due;
    next = wf_wrap(u, w, x, next);
    if (own) u->g->due = NULL;
    wf_assign(x->p, next);
    u->g->due = due;
}

static void update_all(const wf_update *u)
{
    wf_graph *g = u->g;
    const wf_minimize_attr *a = u->request->attr;
    g->owner = u->owner;
    for (int i = 0; i < u->n; i++) /* known to exist */
        u->x[i].dp = wf_apply2(&wf_op_gradient, NULL, u->request->in[0], u->x[i].p);
    int first = g->n_effects;
    wf_node *bad = u->o->skip_nonfinite ? find_nonfinite(u) : NULL;
    wf_node *due = wf_accumulate(u), *own = wf_own_window(a) > 1 ? due : NULL;
    wf_clip(u);
    g->due = due;
    wf_wrapping w = wf_wrapping_make(u);
    g->optimizer = a->optimizer->name;
    for (int i = 0; i < u->n; i++) {
        g->scope = wf_arena_text(&g->arena, "update/%s", u->x[i].p->name);
        if (!g->scope) g->scope = "";
        update_one(u, &w, &u->x[i], own);
    }
    g->optimizer = NULL;
    g->due = g->owner = NULL;
    if (bad) skip_where(g, first, bad);
    g->scope = "";
}

/* Parameters that gradients of loss flow to. */
static int reached(wf_node **order, int n, wf_trained *x, char *reach, const wf_node *loss)
{
    int found = 0;
    wf_mark_flow(n, order, loss, reach);
    for (int i = n - 1; i >= 0; i--)
        if (reach[order[i]->id] && order[i]->op == &wf_op_param)
            x[found++] = (wf_trained){.p = order[i], .group = &no_group};
    return found;
}

/* What all parameters share belongs to the one whose name is first, so that two requests over one
 * store do not meet. */
static wf_node *first_by_name(const wf_update *u)
{
    wf_node *p = u->n ? u->x[0].p : NULL;
    for (int i = 1; i < u->n; i++)
        if (strcmp(u->x[i].p->name, p->name) < 0) p = u->x[i].p;
    return p;
}

bool wf_find_trained(wf_graph *g, wf_node *request, wf_update *u)
{
    int n;
    wf_node **order = wf_walk(g, &n);
    char *reach = calloc((size_t)g->n_nodes + 1, 1);
    *u = (wf_update){.g = g, .request = request, .x = malloc(((size_t)n + 1) * sizeof *u->x)};
    u->o = &((const wf_minimize_attr *)request->attr)->options;
    if (order && reach && u->x) {
        u->n = reached(order, n, u->x, reach, request->in[0]);
        if (u->n == 0) wf_fail(request, "the loss depends on no parameter");
        u->n = find_groups(request, u->n, u->x);
        u->owner = first_by_name(u);
    } else {
        wf_graph_fail(g, WF_ENOMEM, "out of memory while making updates");
    }
    free(order);
    free(reach);
    if (g->status == WF_OK) return true;
    free(u->x);
    u->x = NULL;
    return false;
}

static bool run_update(wf_graph *g)
{
    wf_node *request = NULL;
    for (int i = 0; i < g->n_effects && !request; i++)
        if (g->effects[i]->op == &wf_op_minimize) request = g->effects[i];
    wf_update u;
    if (!request || !wf_find_trained(g, request, &u)) return false;
    wf_remove_effect(request);
    update_all(&u);
    free(u.x);
    return true;
}

const wf_pass wf_pass_update = {
    .name = "update",
    .doc = "minimize(loss) -> gradients, clipping and an optimizer step for every parameter",
    .run = run_update,
};
