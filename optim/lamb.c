/*
 * LAMB (You et al. 2020, "Large Batch Optimization for Deep Learning"): Adam's step, scaled tensor
 * by tensor to the length of the parameter.
 *
 *   u = m^ / (sqrt(v^) + eps) + decay p
 *   p <- p - lr r u,  r = |p| / |u|, at most max_ratio if that is not 0; 1 where a norm is 0
 *
 * optax       m^, v^ are the bias-corrected moments of Adam
 * raw         they are m and v themselves
 * bert4keras  raw; biases and scales have no decay and r = 1, as its pre-training excludes them
 */
#include "optim/optim.h"

static wf_node *ratio(wf_node *p, wf_node *u, float most)
{
    wf_node *a = wf_norm(p, WF_ALL, false), *b = wf_norm(u, WF_ALL, false);
    wf_node *zero = wf_beside(p, 0), *one = wf_beside(p, 1);
    wf_node *is_any = wf_mul(wf_less(zero, a), wf_less(zero, b));
    wf_node *r = wf_where(is_any, wf_div(a, b), one);
    return most > 0 ? wf_min(r, wf_beside(p, most)) : r;
}

static wf_node *lamb_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_lamb_hyper *h = hyper;
    wf_role_kind kind = wf_param_role(p).kind;
    bool is_plain = h->form == WF_LAMB_BERT4KERAS && (kind == WF_BIAS || kind == WF_SCALE);
    wf_node *m = wf_average(wf_state(p, "m"), dp, h->beta1);
    wf_node *v = wf_average(wf_state_square(p, "v"), wf_square(dp), h->beta2);
    if (h->form == WF_LAMB_OPTAX) {
        wf_node *t = wf_step_number(p);
        m = wf_div(m, wf_correction(t, h->beta1));
        v = wf_div(v, wf_correction(t, h->beta2));
    }
    wf_node *u = wf_div(m, wf_shift(wf_sqrt(v), h->eps));
    if (is_plain) return wf_sub(p, wf_mul(lr, u));
    u = wf_l2(u, p, h->decay);
    return wf_sub(p, wf_mul(wf_mul(lr, ratio(p, u, h->max_ratio)), u));
}

static const char *lamb_check(const void *hyper)
{
    const wf_lamb_hyper *h = hyper;
    if (!(h->max_ratio >= 0)) return "max_ratio must not be negative";
    return wf_check_moments(h->beta1, h->beta2, h->eps, h->decay);
}

static const wf_hyper lamb_hypers[] = {
    {"beta1", WF_HYPER_REAL, offsetof(wf_lamb_hyper, beta1), "share of the old first moment", NULL},
    {"beta2", WF_HYPER_REAL, offsetof(wf_lamb_hyper, beta2), "share of the old second moment",
     NULL},
    {"eps", WF_HYPER_REAL, offsetof(wf_lamb_hyper, eps), "summand of the divisor", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_lamb_hyper, decay), "weight decay", NULL},
    {"max_ratio", WF_HYPER_REAL, offsetof(wf_lamb_hyper, max_ratio),
     "of the norms of parameter and step; 0: any", NULL},
    {"form", WF_HYPER_CHOICE, offsetof(wf_lamb_hyper, form),
     "how moments are corrected, what is excluded", "optax|raw|bert4keras"},
    {0},
};

const wf_optimizer wf_lamb = {
    .name = "lamb",
    .doc = "u = m^ / (sqrt(v^) + eps) + decay p; p -= lr norm(p) / norm(u) u",
    .hyper_size = sizeof(wf_lamb_hyper),
    .defaults =
        &(const wf_lamb_hyper){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-6f, .decay = 0.01f},
    .hypers = lamb_hypers,
    .lr = 1.76e-3f,
    .step = lamb_step,
    .check = lamb_check,
};
