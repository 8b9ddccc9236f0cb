/*
 * RAdam (Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond") in PyTorch's
 * form, its decay decoupled: Adam whose adaptive part waits until its variance is bounded.
 *
 *   R = 2 / (1 - beta2) - 1;  r = R - 2 t beta2^t / (1 - beta2^t)
 *   r > 5: p <- p - lr m^ sqrt(((r-4) (r-2) R) / ((R-4) r)) sqrt(1 - beta2^t) / (sqrt(v) +
 * eps) else:  p <- p - lr m^
 *
 * r is small and R large while t is small, so that their difference would have few digits. With
 * s = -t ln beta2 the subtrahend is 2 / -ln beta2 times s / (e^s - 1) = 1 - s/2 + tail(s), and
 *
 *   r = (R - 2 / -ln beta2) + t - 2 / -ln beta2 tail(s)     where s < 1
 *   r = R - 2 t / (e^s - 1)                                 elsewhere: r nears R, and t grows
 */
#include "optim/optim.h"

#include <math.h>

/* s / (e^s - 1) - 1 + s / 2 by its series, s^2/12 - s^4/720 + s^6/30240 - ... */
static wf_node *tail(wf_node *s)
{
    wf_node *z = wf_square(s);
    wf_node *sum = wf_shift(wf_scale(z, -1.0f / 1209600), 1.0f / 30240);
    sum = wf_shift(wf_mul(z, sum), -1.0f / 720);
    return wf_mul(z, wf_shift(wf_mul(z, sum), 1.0f / 12));
}

/* The factor of sqrt(1 - beta2^t) / (sqrt(v) + eps); *is_bounded: whether it holds */
static wf_node *rectification(wf_node *t, float beta2, wf_node **is_bounded)
{
    double x = -log((double)beta2), all = 2 / (1 - (double)beta2) - 1;
    wf_node *s = wf_scale(t, (float)x);
    wf_node *few = wf_sub(wf_shift(t, (float)(all - 2 / x)), wf_scale(tail(s), (float)(2 / x)));
    wf_node *many = wf_shift(wf_scale(wf_div(t, wf_expm1(s)), -2), (float)all);
    wf_node *r = wf_where(wf_less(s, wf_beside(s, 1)), few, many);
    *is_bounded = wf_less(wf_beside(t, 5), r);
    wf_node *top = wf_mul(wf_shift(r, -4), wf_shift(r, -2));
    return wf_sqrt(wf_div(wf_scale(top, (float)(all / ((all - 4) * (all - 2)))), r));
}

static wf_node *radam_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_radam_hyper *h = hyper;
    wf_node *t = wf_step_number(p), *is_bounded;
    wf_node *m = wf_average(wf_state(p, "m"), dp, h->beta1);
    wf_node *v = wf_average(wf_state_square(p, "v"), wf_square(dp), h->beta2);
    wf_node *factor =
        wf_mul(rectification(t, h->beta2, &is_bounded), wf_sqrt(wf_correction(t, h->beta2)));
    wf_node *adaptive = wf_div(factor, wf_shift(wf_sqrt(v), h->eps));
    wf_node *rate = wf_div(lr, wf_correction(t, h->beta1));
    wf_node *step = wf_mul(wf_mul(rate, m), wf_where(is_bounded, adaptive, wf_beside(p, 1)));
    return wf_sub(wf_decayed(p, lr, h->decay), step);
}

static const char *radam_check(const void *hyper)
{
    const wf_radam_hyper *h = hyper;
    return wf_check_moments(h->beta1, h->beta2, h->eps, h->decay);
}

static const wf_hyper radam_hypers[] = {
    {"beta1", WF_HYPER_REAL, offsetof(wf_radam_hyper, beta1), "share of the old first moment",
     NULL},
    {"beta2", WF_HYPER_REAL, offsetof(wf_radam_hyper, beta2), "share of the old second moment",
     NULL},
    {"eps", WF_HYPER_REAL, offsetof(wf_radam_hyper, eps), "summand of the divisor", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_radam_hyper, decay), "weight decay", NULL},
    {0},
};

const wf_optimizer wf_radam = {
    .name = "radam",
    .doc = "adamw whose adaptive rates wait until their variance is bounded",
    .hyper_size = sizeof(wf_radam_hyper),
    .defaults = &(const wf_radam_hyper){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f},
    .hypers = radam_hypers,
    .lr = 1e-3f,
    .step = radam_step,
    .check = radam_check,
};
