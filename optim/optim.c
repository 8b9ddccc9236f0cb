/* Pieces of graph that optimizers share. */
#include "optim/optim.h"

#include <math.h>

wf_node *wf_beside(wf_node *x, float value)
{
    return wf_constant(wf_graph_of(x), value);
}

wf_node *wf_rms(wf_node *x, wf_axes axes, float floor)
{
    wf_node *r = wf_sqrt(wf_mean(wf_square(x), axes, axes.n > 0));
    return floor > 0 ? wf_max(r, wf_beside(x, floor)) : r;
}

wf_node *wf_l2(wf_node *g, wf_node *p, float decay)
{
    return decay != 0 ? wf_add(g, wf_scale(p, decay)) : g;
}

wf_node *wf_decayed(wf_node *p, wf_node *lr, float decay)
{
    return decay != 0 ? wf_sub(p, wf_mul(wf_scale(lr, decay), p)) : p;
}

wf_node *wf_step_number(wf_node *p)
{
    bool is_new;
    wf_node *count = wf_state_shared(p, "step", &is_new);
    wf_node *part = wf_state_shared(p, "step_part", &is_new);
    wf_node *more = wf_shift(part, 1), *t = wf_add(count, more);
    if (!is_new) return t;
    wf_assign(count, t);
    wf_assign(part, wf_sub(more, wf_sub(t, count)));
    return t;
}

wf_node *wf_average(wf_node *x, wf_node *g, float beta)
{
    wf_node *fresh = wf_lerp(g, x, beta);
    wf_assign(x, fresh);
    return fresh;
}

wf_node *wf_correction(wf_node *t, float beta)
{
    return wf_neg(wf_expm1(wf_scale(t, (float)log((double)beta))));
}

const char *wf_check_decay(float decay)
{
    return decay >= 0 && isfinite(decay) ? NULL : "decay must be finite and at least 0";
}

const char *wf_check_moments(float beta1, float beta2, float eps, float decay)
{
    if (!(beta1 > 0 && beta1 < 1)) return "beta1 must lie in (0, 1)";
    if (!(beta2 > 0 && beta2 < 1)) return "beta2 must lie in (0, 1)";
    if (!(eps > 0)) return "eps must be positive";
    return wf_check_decay(decay);
}
