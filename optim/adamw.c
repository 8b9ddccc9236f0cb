/*
 * AdamW (Loshchilov, Hutter 2019) in PyTorch's form: Adam with decoupled decay.
 *
 *   p <- p (1 - lr decay), then the step of Adam (adam.c)
 */
#include "optim/optim.h"

static wf_node *adamw_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_adamw_hyper *h = hyper;
    return wf_adam_moved(p, dp, wf_decayed(p, lr, h->decay), lr, h);
}

static const char *adamw_check(const void *hyper)
{
    const wf_adamw_hyper *h = hyper;
    return wf_check_moments(h->beta1, h->beta2, h->eps, h->decay);
}

static const wf_hyper adamw_hypers[] = {
    {"beta1", WF_HYPER_REAL, offsetof(wf_adamw_hyper, beta1), "share of the old first moment",
     NULL},
    {"beta2", WF_HYPER_REAL, offsetof(wf_adamw_hyper, beta2), "share of the old second moment",
     NULL},
    {"eps", WF_HYPER_REAL, offsetof(wf_adamw_hyper, eps), "summand of the divisor", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_adamw_hyper, decay), "weight decay", NULL},
    {"amsgrad", WF_HYPER_FLAG, offsetof(wf_adamw_hyper, amsgrad),
     "divide by the largest second moment so far", NULL},
    {0},
};

const wf_optimizer wf_adamw = {
    .name = "adamw",
    .doc = "p -= lr (m^ / (sqrt(v^) + eps) + decay p) with bias-corrected moments m^, v^",
    .hyper_size = sizeof(wf_adamw_hyper),
    .defaults =
        &(const wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 0.01f},
    .hypers = adamw_hypers,
    .lr = 1e-3f,
    .step = adamw_step,
    .check = adamw_check,
};
