/*
 * NAdam (Dozat 2016): Adam with Nesterov's look ahead, in PyTorch's form, its decay decoupled.
 *
 *   mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2);  M_t = mu_1 ... mu_t
 *   m, v, v^ = v / (1 - beta2^t) as Adam has them
 *   p <- p - lr ((1 - mu_t) / (1 - M_t) g + mu_t+1 / (1 - M_t+1) m) / (sqrt(v^) + eps)
 *
 * The state is 1 - M, which is zero at birth as all states are.
 */
#include "optim/optim.h"

#include <math.h>

static wf_node *mu(wf_node *t, const wf_nadam_hyper *h)
{
    float rate = (float)(log(0.96) * (double)h->momentum_decay);
    return wf_scale(wf_shift(wf_scale(wf_exp(wf_scale(t, rate)), -0.5f), 1), h->beta1);
}

/* 1 - (1 - rest) mu */
static wf_node *rest_after(wf_node *rest, wf_node *mu)
{
    return wf_add(wf_mul(rest, mu), wf_shift(wf_neg(mu), 1));
}

static wf_node *nadam_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_nadam_hyper *h = hyper;
    wf_node *t = wf_step_number(p), *old = wf_state_shaped(p, "rest", WF_SCALAR);
    wf_node *now = mu(t, h), *next = mu(wf_shift(t, 1), h);
    wf_node *rest = rest_after(old, now);
    wf_assign(old, rest);
    wf_node *m = wf_average(wf_state(p, "m"), dp, h->beta1);
    wf_node *v = wf_average(wf_state_square(p, "v"), wf_square(dp), h->beta2);
    wf_node *root = wf_mul(wf_sqrt(v), wf_rsqrt(wf_correction(t, h->beta2)));
    wf_node *of_g = wf_div(wf_shift(wf_neg(now), 1), rest);
    wf_node *of_m = wf_div(next, rest_after(rest, next));
    wf_node *d = wf_add(wf_mul(of_g, dp), wf_mul(of_m, m));
    wf_node *step = wf_mul(lr, wf_div(d, wf_shift(root, h->eps)));
    return wf_sub(wf_decayed(p, lr, h->decay), step);
}

static const char *nadam_check(const void *hyper)
{
    const wf_nadam_hyper *h = hyper;
    if (!(h->momentum_decay >= 0)) return "momentum_decay must not be negative";
    return wf_check_moments(h->beta1, h->beta2, h->eps, h->decay);
}

static const wf_hyper nadam_hypers[] = {
    {"beta1", WF_HYPER_REAL, offsetof(wf_nadam_hyper, beta1), "share of the old first moment",
     NULL},
    {"beta2", WF_HYPER_REAL, offsetof(wf_nadam_hyper, beta2), "share of the old second moment",
     NULL},
    {"eps", WF_HYPER_REAL, offsetof(wf_nadam_hyper, eps), "summand of the divisor", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_nadam_hyper, decay), "weight decay", NULL},
    {"momentum_decay", WF_HYPER_REAL, offsetof(wf_nadam_hyper, momentum_decay),
     "how fast beta1 warms up", NULL},
    {0},
};

const wf_optimizer wf_nadam = {
    .name = "nadam",
    .doc = "adamw that looks ahead along its momentum, whose beta1 warms up",
    .hyper_size = sizeof(wf_nadam_hyper),
    .defaults =
        &(const wf_nadam_hyper){
            .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .momentum_decay = 4e-3f},
    .hypers = nadam_hypers,
    .lr = 2e-3f,
    .step = nadam_step,
    .check = nadam_check,
};
