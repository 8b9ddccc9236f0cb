/*
 * Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms"): the sign of an
 * interpolated momentum; one state tensor a parameter.
 *
 *   c  = beta1 m + (1 - beta1) g
 *   p <- p - lr (sign(c) + decay p)
 *   m <- beta2 m + (1 - beta2) g
 *
 * Cautious (Liang et al. 2024): where sign(c) g <= 0 the sign counts 1 - caution, elsewhere 1;
 * all are divided by the mean of these factors, at least 1e-5. The decay stays as it is.
 */
#include "optim/optim.h"

static wf_node *cautious(wf_node *sign, wf_node *dp, float caution)
{
    wf_node *agrees = wf_less(wf_beside(dp, 0), wf_mul(sign, dp));
    wf_node *factor = wf_lerp(wf_beside(dp, 1), agrees, caution);
    wf_node *mean = wf_max(wf_mean(factor, WF_ALL, false), wf_beside(dp, 1e-5f));
    return wf_mul(sign, wf_div(factor, mean));
}

static wf_node *lion_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_lion_hyper *h = hyper;
    wf_node *m = wf_state(p, "momentum");
    wf_node *c = wf_sign(wf_lerp(dp, m, h->beta1));
    wf_assign(m, wf_lerp(dp, m, h->beta2));
    if (h->caution > 0) c = cautious(c, dp, h->caution);
    if (h->decay != 0) c = wf_add(c, wf_scale(p, h->decay));
    return wf_sub(p, wf_mul(lr, c));
}

static const char *lion_check(const void *hyper)
{
    const wf_lion_hyper *h = hyper;
    if (!(h->beta1 >= 0 && h->beta1 < 1)) return "beta1 must lie in [0, 1)";
    if (!(h->beta2 >= 0 && h->beta2 < 1)) return "beta2 must lie in [0, 1)";
    if (!(h->caution >= 0 && h->caution <= 1)) return "caution must lie in [0, 1]";
    return wf_check_decay(h->decay);
}

static const wf_hyper lion_hypers[] = {
    {"beta1", WF_HYPER_REAL, offsetof(wf_lion_hyper, beta1), "share of the momentum in the step",
     NULL},
    {"beta2", WF_HYPER_REAL, offsetof(wf_lion_hyper, beta2), "share of the old momentum in the new",
     NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_lion_hyper, decay), "weight decay", NULL},
    {"caution", WF_HYPER_REAL, offsetof(wf_lion_hyper, caution),
     "1: leave out steps against the gradient", NULL},
    {0},
};

const wf_optimizer wf_lion = {
    .name = "lion",
    .doc = "p -= lr (sign(beta1 m + (1-beta1) g) + decay p); m = beta2 m + (1-beta2) g",
    .hyper_size = sizeof(wf_lion_hyper),
    .defaults = &(const wf_lion_hyper){.beta1 = 0.9f, .beta2 = 0.99f},
    .hypers = lion_hypers,
    .lr = 3e-4f,
    .step = lion_step,
    .check = lion_check,
};
