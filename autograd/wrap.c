/*
 * What wraps any optimizer: accumulation of gradients, Lookahead, averages of weights.
 *
 * Accumulation over k runs, each with a loss that is the mean of n items:
 *
 *   s <- s + n g;  N <- N + n;  in the k-th run the optimizer gets s / N, and s, N become 0
 *
 * In other runs all that it assigns keeps its value (wf_graph.due), counters too: it counts
 * updates.
 *
 * Lookahead (Zhang et al. 2019): update t = 0, 1, ... of a cycle of k
 *
 *   t = 0: slow <- w before the update;  t = k - 1: w <- slow + alpha (w - slow) after it
 *
 * so slow needs no first value: it is what w was when the cycle began.
 *
 * Averages, with mu_t = ema or min(ema, (1 + t) / (10 + t)), t = 1, 2, ..., after an update:
 *
 *   c <- mu_t c + 1 - mu_t, c = 0 at first
 *   debiased    e <- e + (1 - mu_t) / c (w - e)   the average from zeros, divided by c
 *   from start  e <- e + (1 - mu_t) (w - e), e = w before the first update
 */
#include "autograd/autograd.h"

#include <stdlib.h>

/* A state of a wrapper: of x, or (NULL) one that all parameters of the request share. Of x, it has
 * its shape, but is no wf_state: sums and averages take steps too small for 16 bits. */
static wf_node *state(const wf_update *u, const wf_trained *x, const char *wrapper,
                      const char *name)
{
    const char *before = u->g->optimizer;
    u->g->optimizer = wrapper;
    wf_node *p = x ? x->p : u->owner;
    wf_node *y = wf_state_shaped(p, name, x ? wf_shape_of(p) : WF_SCALAR);
    u->g->optimizer = before;
    return y;
}

static wf_node *number(const wf_update *u, float value)
{
    return wf_constant(u->g, value);
}

/* Counts what is due: 0, 1, ..., k - 1, 0, ...; *is_end: 1 where something is and the count is
 * k - 1, or more after k became less. */
static wf_node *count(const wf_update *u, const char *wrapper, int k, wf_node **is_end)
{
    wf_node *phase = state(u, NULL, wrapper, "phase");
    *is_end = wf_less_equal(number(u, (float)(k - 1)), phase);
    if (u->g->due) *is_end = wf_mul(*is_end, u->g->due);
    wf_assign(phase, wf_where(*is_end, number(u, 0), wf_shift(phase, 1)));
    return phase;
}

wf_node *wf_accumulate(const wf_update *u)
{
    int own = wf_own_window(u->request->attr);
    bool is_own = own > 1; /* the optimizer does it: wrappers ask when its windows end, no more */
    bool is_wanted = is_own ? u->o->lookahead > 0 || u->o->ema > 0 : u->o->accumulate > 1;
    if (u->n == 0 || !is_wanted) return NULL;
    wf_node *due, *zero = number(u, 0);
    count(u, "accumulate", is_own ? own : u->o->accumulate, &due);
    if (is_own) return due;
    wf_node *n = u->request->n_in > 2 ? wf_reshape(u->request->in[2], WF_SCALAR) : number(u, 1);
    wf_node *seen = state(u, NULL, "accumulate", "items"), *total = wf_add(seen, n);
    wf_assign(seen, wf_where(due, zero, total));
    wf_node *is_none = wf_equal(total, zero);
    wf_node *part = wf_reciprocal(wf_where(is_none, number(u, 1), total));
    for (int i = 0; i < u->n; i++) {
        wf_node *s = state(u, &u->x[i], "accumulate", "sum");
        wf_node *sum = wf_add(s, wf_mul(u->x[i].dp, n));
        wf_assign(s, wf_where(due, zero, sum));
        u->x[i].dp = wf_mul(sum, part);
    }
    return due;
}

/* Of the new weight in the average. */
static wf_node *part_of(const wf_update *u, wf_node *c)
{
    wf_node *mu = number(u, u->o->ema);
    if (u->o->ema_warmup) {
        wf_node *updates = state(u, NULL, "ema", "updates"), *t = wf_shift(updates, 1);
        wf_assign(updates, t);
        mu = wf_min(mu, wf_div(wf_shift(t, 1), wf_shift(t, 10)));
    }
    wf_node *rest = wf_shift(wf_neg(mu), 1), *next = wf_add(wf_mul(mu, c), rest);
    wf_assign(c, next);
    return u->o->ema_form == WF_EMA_FROM_START ? rest : wf_div(rest, next);
}

wf_wrapping wf_wrapping_make(const wf_update *u)
{
    wf_wrapping w = {0};
    if (u->n > 0 && u->o->lookahead > 0) {
        wf_node *phase = count(u, "lookahead", u->o->lookahead, &w.is_end);
        w.is_start = wf_equal(phase, number(u, 0));
    }
    if (u->n > 0 && u->o->ema > 0) {
        wf_node *c = state(u, NULL, "ema", "share");
        w.is_first = wf_equal(c, number(u, 0));
        w.part = part_of(u, c);
    }
    return w;
}

wf_node *wf_wrap(const wf_update *u, const wf_wrapping *w, wf_trained *x, wf_node *next)
{
    const wf_minimize_options *o = u->o;
    if (w->is_end) {
        wf_node *at = state(u, x, "lookahead", "slow"), *slow = wf_where(w->is_start, x->p, at);
        float alpha = o->lookahead_alpha > 0 ? o->lookahead_alpha : 0.5f;
        wf_assign(at, slow);
        next = wf_where(w->is_end, wf_lerp(slow, next, alpha), next);
    }
    if (w->part) {
        wf_node *at = state(u, x, "ema", "average"), *e = at;
        if (o->ema_form == WF_EMA_FROM_START) e = wf_where(w->is_first, x->p, at);
        wf_assign(at, wf_add(e, wf_mul(w->part, wf_sub(next, e))));
    }
    return next;
}

/* ---- evaluation with averages ---- */

static wf_node *find_averaged(const wf_graph *g)
{
    for (int i = 0; i < g->n_effects; i++) {
        const wf_minimize_attr *a = g->effects[i]->attr;
        if (g->effects[i]->op == &wf_op_minimize && a->options.ema > 0) return g->effects[i];
    }
    return NULL;
}

static void take_averages(const wf_update *u)
{
    wf_node *c = u->n > 0 ? state(u, NULL, "ema", "share") : NULL;
    for (int i = 0; i < u->n; i++) {
        wf_node *p = u->x[i].p; /* it goes, so that what replaces it may hold it inside */
        wf_node *w = wf_leaf_new(u->g, p->op, p->attr, p->name);
        wf_node *e = state(u, &u->x[i], "ema", "average");
        wf_replace(p, wf_where(wf_equal(c, number(u, 0)), w, e));
    }
}

/* All at once: a second look would find none. */
static bool run_averages(wf_graph *g)
{
    wf_node *request = find_averaged(g);
    if (!request) wf_graph_fail(g, WF_EMODEL, "averages: no wf_minimize of the graph keeps any");
    for (; request && g->status == WF_OK; request = find_averaged(g)) {
        wf_update u;
        if (!wf_find_trained(g, request, &u)) break;
        take_averages(&u);
        wf_remove_effect(request);
        free(u.x);
    }
    return false;
}

const wf_pass wf_pass_averages = {
    .name = "averages",
    .doc = "parameters that minimize(loss) keeps averages of -> those, once there was an update",
    .run = run_averages,
};
