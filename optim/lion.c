/*
 * Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms"): the sign of an
 * interpolated momentum; one state tensor a parameter.
 *
 *   c  = beta1 m + (1 - beta1) g
 *   p <- p - lr (sign(c) + decay p)
 *   m <- beta2 m + (1 - beta2) g
 */
#include <weft/op.h>

static wf_node *lion_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_lion_hyper *h = hyper;
    wf_node *m = wf_state(p, "momentum");
    wf_node *c = wf_sign(wf_lerp(dp, m, h->beta1));
    wf_assign(m, wf_lerp(dp, m, h->beta2));
    if (h->decay != 0) c = wf_add(c, wf_scale(p, h->decay));
    return wf_sub(p, wf_mul(lr, c));
}

static const char *lion_check(const void *hyper)
{
    const wf_lion_hyper *h = hyper;
    if (!(h->beta1 >= 0 && h->beta1 < 1)) return "beta1 must lie in [0, 1)";
    if (!(h->beta2 >= 0 && h->beta2 < 1)) return "beta2 must lie in [0, 1)";
    return h->decay >= 0 ? NULL : "decay must not be negative";
}

const wf_optimizer wf_lion = {
    .name = "lion",
    .doc = "p -= lr (sign(beta1 m + (1-beta1) g) + decay p); m = beta2 m + (1-beta2) g",
    .hyper_size = sizeof(wf_lion_hyper),
    .defaults = &(const wf_lion_hyper){.beta1 = 0.9f, .beta2 = 0.99f},
    .step = lion_step,
    .check = lion_check,
};
