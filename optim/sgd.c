/*
 * Stochastic gradient descent with heavy-ball momentum (Polyak 1964) in PyTorch's form.
 *
 *   g <- g + decay p
 *   b <- momentum b + (1 - dampening) g;  the first step takes b = g
 *   p <- p - lr b;  Nesterov (Sutskever et al. 2013): p <- p - lr (g + momentum b)
 *
 * The averaging form has b <- momentum b + (1 - momentum) g from the first step on.
 *
 * Without momentum and decay, the update of an embedding moves only the rows that were read
 * (simplify.c).
 */
#include "optim/optim.h"

static wf_node *buffer(wf_node *p, wf_node *g, const wf_sgd_hyper *h)
{
    if (h->is_average) return wf_average(wf_state(p, "momentum"), g, h->momentum);
    wf_node *b = wf_state(p, "momentum"), *part = g;
    if (h->dampening != 0) {
        wf_node *is_first = wf_equal(wf_step_number(p), wf_beside(p, 1));
        part = wf_where(is_first, g, wf_scale(g, 1 - h->dampening));
    }
    wf_node *fresh = wf_add(wf_scale(b, h->momentum), part);
    wf_assign(b, fresh);
    return fresh;
}

static wf_node *sgd_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_sgd_hyper *h = hyper;
    wf_node *g = wf_l2(dp, p, h->decay), *d = g;
    if (h->momentum != 0) d = buffer(p, g, h);
    if (h->is_nesterov) d = wf_add(g, wf_scale(d, h->momentum));
    return wf_sub(p, wf_mul(lr, d));
}

static const char *sgd_check(const void *hyper)
{
    const wf_sgd_hyper *h = hyper;
    if (!(h->momentum >= 0 && h->momentum < 1)) return "momentum must lie in [0, 1)";
    if (!(h->dampening >= 0 && h->dampening <= 1)) return "dampening must lie in [0, 1]";
    if (h->is_nesterov && (h->momentum == 0 || h->dampening != 0))
        return "nesterov needs a momentum and no dampening";
    if (h->is_average && (h->is_nesterov || h->dampening != 0))
        return "the averaging form has neither nesterov nor dampening";
    return wf_check_decay(h->decay);
}

static const wf_hyper sgd_hypers[] = {
    {"momentum", WF_HYPER_REAL, offsetof(wf_sgd_hyper, momentum), "share of the old step; 0: none",
     NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_sgd_hyper, decay), "weight decay, in the gradient", NULL},
    {"dampening", WF_HYPER_REAL, offsetof(wf_sgd_hyper, dampening),
     "of the gradient in the momentum", NULL},
    {"nesterov", WF_HYPER_FLAG, offsetof(wf_sgd_hyper, is_nesterov),
     "look ahead along the momentum", NULL},
    {"average", WF_HYPER_FLAG, offsetof(wf_sgd_hyper, is_average), "momentum b + (1 - momentum) g",
     NULL},
    {0},
};

const wf_optimizer wf_sgd = {
    .name = "sgd",
    .doc = "b = momentum b + g + decay p; p -= lr b",
    .hyper_size = sizeof(wf_sgd_hyper),
    .defaults = &(const wf_sgd_hyper){0},
    .hypers = sgd_hypers,
    .lr = 0.1f,
    .step = sgd_step,
    .check = sgd_check,
};
