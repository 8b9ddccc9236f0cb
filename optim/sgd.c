/*
 * Stochastic gradient descent with heavy-ball momentum (Polyak 1964) in PyTorch's form.
 *
 *   g <- g + decay p;  b <- momentum b + g;  p <- p - lr b
 *
 * Without either, the update of an embedding moves only the rows that were read (simplify.c).
 */
#include <weft/op.h>

static wf_node *sgd_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_sgd_hyper *h = hyper;
    wf_node *d = h->decay != 0 ? wf_add(dp, wf_scale(p, h->decay)) : dp;
    if (h->momentum != 0) {
        wf_node *b = wf_state(p, "momentum");
        d = wf_add(wf_scale(b, h->momentum), d);
        wf_assign(b, d);
    }
    return wf_sub(p, wf_mul(lr, d));
}

static const char *sgd_check(const void *hyper)
{
    const wf_sgd_hyper *h = hyper;
    if (!(h->momentum >= 0 && h->momentum < 1)) return "momentum must lie in [0, 1)";
    return h->decay >= 0 ? NULL : "decay must not be negative";
}

const wf_optimizer wf_sgd = {
    .name = "sgd",
    .doc = "b = momentum b + g + decay p; p -= lr b",
    .hyper_size = sizeof(wf_sgd_hyper),
    .defaults = &(const wf_sgd_hyper){0},
    .step = sgd_step,
    .check = sgd_check,
};
