/*
 * Clipping of gradients.
 *
 *   value     g <- min(max(g, -c), c)
 *   adaptive  g <- g min(1, c max(|w|, 1e-3) / |g|), norms of a unit (Brock et al. 2021, "High-
 *             Performance Large-Scale Image Recognition Without Normalization")
 *   tensor    g <- g c / max(|g|, c), the norm of this gradient (Keras' clipnorm)
 *   norm      g <- g min(1, c / (N + 1e-6)), N the norm of all gradients of a group together
 *             (Pascanu et al. 2013, in the form of PyTorch's clip_grad_norm_)
 *
 * NaN in a norm makes NaN of all that it scales. Infinity in a norm makes zeros of what is finite
 * and NaN of what is not. Only values that are clamped stay what they are beside NaN.
 *
 * A unit is what feeds one output: a column of a kernel [in, out], or all but the last axis of one
 * with four and more axes; a row of an embedding; the whole of a vector. (Of optax, with which
 * three axes go by the first one too, the rows of embeddings are not.)
 */
#include "autograd/autograd.h"

static wf_axes unit_axes(const wf_node *p)
{
    wf_axes axes = {0};
    int rank = p->shape.rank;
    if (rank < 2) return WF_ALL;
    if (wf_param_role(p).kind == WF_EMBEDDING) return WF_AXES(-1);
    axes.n = rank < 4 ? 1 : rank - 1;
    for (int i = 0; i < axes.n; i++) axes.axis[i] = i;
    return axes;
}

static wf_node *adaptive(const wf_trained *x, float most)
{
    wf_graph *g = x->p->graph;
    wf_axes axes = unit_axes(x->p);
    wf_node *w = wf_max(wf_norm(x->p, axes, true), wf_constant(g, 1e-3f));
    wf_node *ratio = wf_div(wf_scale(w, most), wf_norm(x->dp, axes, true)); /* infinite at 0 */
    return wf_mul(x->dp, wf_min(wf_constant(g, 1), ratio));
}

static wf_node *of_tensor(wf_node *dp, float most)
{
    wf_node *c = wf_constant(dp->graph, most);
    return wf_mul(dp, wf_div(c, wf_max(wf_norm(dp, WF_ALL, false), c)));
}

static bool has_own(const wf_param_group *k)
{
    return k->no_clip || k->clip_norm > 0 || k->clip_value > 0 || k->clip_tensor > 0 ||
           k->clip_adaptive > 0;
}

/* Clip together the gradients of this group; NULL: of all that no group of its own clips. */
static void by_norm(const wf_update *u, const wf_param_group *group, float most)
{
    wf_node *total = NULL;
    for (int i = 0; i < u->n; i++) {
        const wf_param_group *k = u->x[i].group;
        if (group ? k != group : has_own(k)) continue;
        wf_node *sum = wf_sum(wf_square(u->x[i].dp), WF_ALL, false);
        total = total ? wf_add(total, sum) : sum;
    }
    if (!total) return;
    wf_node *norm = wf_shift(wf_sqrt(total), 1e-6f);
    wf_node *factor = wf_min(wf_constant(u->g, 1), wf_div(wf_constant(u->g, most), norm));
    for (int i = 0; i < u->n; i++) {
        const wf_param_group *k = u->x[i].group;
        if (group ? k == group : !has_own(k)) u->x[i].dp = wf_mul(u->x[i].dp, factor);
    }
}

void wf_clip(const wf_update *u)
{
    const wf_minimize_options *o = u->o;
    for (int i = 0; i < u->n; i++) {
        wf_trained *x = &u->x[i];
        const wf_param_group *k = x->group;
        bool own = has_own(k);
        float value = own ? k->clip_value : o->clip_value;
        float unit = own ? k->clip_adaptive : o->clip_adaptive;
        float tensor = own ? k->clip_tensor : o->clip_tensor;
        if (value > 0) x->dp = wf_clamp(x->dp, -value, value);
        if (unit > 0) x->dp = adaptive(x, unit);
        if (tensor > 0) x->dp = of_tensor(x->dp, tensor);
    }
    if (o->clip_norm > 0) by_norm(u, NULL, o->clip_norm);
    for (int k = 0; k < o->n_groups; k++)
        if (o->groups[k].clip_norm > 0) by_norm(u, &o->groups[k], o->groups[k].clip_norm);
}
