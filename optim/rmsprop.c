/*
 * RMSprop (Tieleman, Hinton 2012) in PyTorch's form.
 *
 *   g <- g + decay p;  v <- beta v + (1 - beta) g^2
 *   centred: a <- beta a + (1 - beta) g, and v - a^2 in place of v below
 *   b <- momentum b + g / (sqrt(v) + eps);  p <- p - lr b
 */
#include "optim/optim.h"

static wf_node *rmsprop_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_rmsprop_hyper *h = hyper;
    wf_node *g = wf_l2(dp, p, h->decay);
    wf_node *v = wf_average(wf_state_square(p, "v"), wf_square(g), h->beta);
    if (h->is_centred) { /* the difference is a variance; rounding may leave it below 0 */
        wf_node *spread = wf_sub(v, wf_square(wf_average(wf_state(p, "mean"), g, h->beta)));
        v = wf_max(spread, wf_beside(p, 0));
    }
    wf_node *d = wf_div(g, wf_shift(wf_sqrt(v), h->eps));
    if (h->momentum != 0) {
        wf_node *b = wf_state(p, "momentum");
        d = wf_add(wf_scale(b, h->momentum), d);
        wf_assign(b, d);
    }
    return wf_sub(p, wf_mul(lr, d));
}

static const char *rmsprop_check(const void *hyper)
{
    const wf_rmsprop_hyper *h = hyper;
    if (!(h->beta >= 0 && h->beta < 1)) return "beta must lie in [0, 1)";
    if (!(h->momentum >= 0 && h->momentum < 1)) return "momentum must lie in [0, 1)";
    if (!(h->eps > 0)) return "eps must be positive";
    return wf_check_decay(h->decay);
}

static const wf_hyper rmsprop_hypers[] = {
    {"beta", WF_HYPER_REAL, offsetof(wf_rmsprop_hyper, beta), "share of the old second moment",
     NULL},
    {"eps", WF_HYPER_REAL, offsetof(wf_rmsprop_hyper, eps), "summand of the divisor", NULL},
    {"momentum", WF_HYPER_REAL, offsetof(wf_rmsprop_hyper, momentum),
     "share of the old step; 0: none", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_rmsprop_hyper, decay), "weight decay, in the gradient",
     NULL},
    {"centred", WF_HYPER_FLAG, offsetof(wf_rmsprop_hyper, is_centred),
     "divide by the deviation from the mean", NULL},
    {0},
};

const wf_optimizer wf_rmsprop = {
    .name = "rmsprop",
    .doc = "v = beta v + (1-beta) g^2; b = momentum b + g / (sqrt(v) + eps); p -= lr b",
    .hyper_size = sizeof(wf_rmsprop_hyper),
    .defaults = &(const wf_rmsprop_hyper){.beta = 0.99f, .eps = 1e-8f},
    .hypers = rmsprop_hypers,
    .lr = 1e-2f,
    .step = rmsprop_step,
    .check = rmsprop_check,
};
