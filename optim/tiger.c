/*
 * Tiger (Su 2023, "Tiger: A Tight-fisted Optimizer"): the sign of the refreshed momentum, with a
 * rate and a decay for each kind of parameter.
 *
 *   m <- beta m + (1 - beta) g
 *   p <- p - rate (sign(m) + decay p)
 *
 *   kernel     rate = lr RMS(p)            decay
 *   embedding  rate = lr RMS(row of p)     decay
 *   bias       rate = lr / 2               none
 *   scale      rate = lr / 2               none
 *   custom     rate = lr role.rate         decay role.decay
 *
 * RMS is that of p before the step, at least rms_floor: with a floor of 0, as published, a tensor
 * or row that is all zero never moves.
 */
#include <weft/op.h>

static wf_node *rms(wf_node *p, wf_axes axes, float floor)
{
    wf_node *r = wf_sqrt(wf_mean(wf_square(p), axes, axes.n > 0));
    return floor > 0 ? wf_max(r, wf_constant(wf_graph_of(p), floor)) : r;
}

static wf_node *rate(wf_node *p, wf_node *lr, wf_role role, float floor)
{
    switch (role.kind) {
    case WF_KERNEL:
        return wf_mul(lr, rms(p, WF_ALL, floor));
    case WF_EMBEDDING:
        return wf_mul(lr, rms(p, WF_AXES(-1), floor));
    case WF_BIAS:
    case WF_SCALE:
        return wf_scale(lr, 0.5f);
    case WF_CUSTOM:
        return wf_scale(lr, role.rate);
    }
    return lr;
}

static float decay(float decay_of_kernels, wf_role role)
{
    if (role.kind == WF_BIAS || role.kind == WF_SCALE) return 0;
    return role.kind == WF_CUSTOM ? decay_of_kernels * role.decay : decay_of_kernels;
}

static wf_node *tiger_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_tiger_hyper *h = hyper;
    wf_role role = wf_param_role(p);
    wf_node *m = wf_state(p, "momentum");
    wf_node *fresh = wf_lerp(dp, m, h->beta);
    wf_assign(m, fresh);
    wf_node *step = wf_sign(fresh);
    float d = decay(h->decay, role);
    if (d != 0) step = wf_add(step, wf_scale(p, d));
    return wf_sub(p, wf_mul(rate(p, lr, role, h->rms_floor), step));
}

static const char *tiger_check(const void *hyper)
{
    const wf_tiger_hyper *h = hyper;
    if (!(h->beta >= 0 && h->beta < 1)) return "beta must lie in [0, 1)";
    if (!(h->rms_floor >= 0)) return "rms_floor must not be negative";
    return h->decay >= 0 ? NULL : "decay must not be negative";
}

const wf_optimizer wf_tiger = {
    .name = "tiger",
    .doc = "m = beta m + (1-beta) g; p -= lr RMS(p) (sign(m) + decay p); biases lr/2, no decay",
    .hyper_size = sizeof(wf_tiger_hyper),
    .defaults = &(const wf_tiger_hyper){.beta = 0.965f, .decay = 0.01f},
    .step = tiger_step,
    .check = tiger_check,
};
