/*
 * Adam (Kingma, Ba 2015) in PyTorch's form.
 *
 *   g <- g + decay p
 *   m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
 *   p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps),  t = 1, 2, ...
 *
 * AMSGrad (Reddi et al. 2018): the largest v so far in place of v.
 */
#include "optim/optim.h"

wf_node *wf_adam_moved(wf_node *p, wf_node *g, wf_node *old, wf_node *lr, const wf_adamw_hyper *h)
{
    wf_node *t = wf_step_number(p);
    wf_node *m = wf_average(wf_state(p, "m"), g, h->beta1);
    wf_node *v = wf_average(wf_state_square(p, "v"), wf_square(g), h->beta2);
    if (h->amsgrad) {
        wf_node *top = wf_state_square(p, "v_max");
        v = wf_max(top, v);
        wf_assign(top, v);
    }
    wf_node *root = wf_mul(wf_sqrt(v), wf_rsqrt(wf_correction(t, h->beta2)));
    wf_node *rate = wf_div(lr, wf_correction(t, h->beta1));
    return wf_sub(old, wf_mul(rate, wf_div(m, wf_shift(root, h->eps))));
}

static wf_node *adam_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_adamw_hyper *h = hyper;
    return wf_adam_moved(p, wf_l2(dp, p, h->decay), p, lr, h);
}

static const char *adam_check(const void *hyper)
{
    const wf_adamw_hyper *h = hyper;
    return wf_check_moments(h->beta1, h->beta2, h->eps, h->decay);
}

static const wf_hyper adam_hypers[] = {
    {"beta1", WF_HYPER_REAL, offsetof(wf_adamw_hyper, beta1), "share of the old first moment",
     NULL},
    {"beta2", WF_HYPER_REAL, offsetof(wf_adamw_hyper, beta2), "share of the old second moment",
     NULL},
    {"eps", WF_HYPER_REAL, offsetof(wf_adamw_hyper, eps), "summand of the divisor", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_adamw_hyper, decay), "weight decay, in the gradient",
     NULL},
    {"amsgrad", WF_HYPER_FLAG, offsetof(wf_adamw_hyper, amsgrad),
     "divide by the largest second moment so far", NULL},
    {0},
};

const wf_optimizer wf_adam = {
    .name = "adam",
    .doc = "p -= lr m^ / (sqrt(v^) + eps) with bias-corrected moments m^, v^ of g + decay p",
    .hyper_size = sizeof(wf_adamw_hyper),
    .defaults = &(const wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f},
    .hypers = adam_hypers,
    .lr = 1e-3f,
    .step = adam_step,
    .check = adam_check,
};
