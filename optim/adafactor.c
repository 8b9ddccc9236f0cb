/*
 * Adafactor (Shazeer, Stern 2018): second moments of a matrix kept as those of its rows and
 * columns.
 *
 *   w = t^-0.8, t = 1, 2, ...;  G = g^2 + 1e-30
 *   R <- (1 - w) R + w mean over columns of G;  C likewise over rows;  V = R C / mean(R)
 *   unfactored: V <- (1 - w) V + w G
 *   u = g / sqrt(V);  u <- u / max(1, RMS(u));  a = max(RMS(p), eps)
 *
 * optax       d = lr a u, averaged if there is a momentum;  p <- p - d - decay p
 * hf          d likewise;  p <- p - d - lr a decay p
 * bert4keras  u averaged if there is a momentum;  p <- p - lr (a u + decay p)
 * torch       rate = min(lr, 1 / sqrt(t));  p <- p - rate a u - lr decay p;  mean(R) is at
 *             least e and V at least e^2, e the machine epsilon (which makes the 1e-30 nothing);
 *             no momentum
 *
 * optax and bert4keras factor over the two largest axes (of equals, the later is larger) if both
 * have min_dim elements; hf and torch over the last two axes of every tensor that has two.
 */
#include "optim/optim.h"

#include <float.h>

/* The largest and the second largest axis into major, minor; false: p is not factored. */
static bool factored_axes(const wf_node *p, const wf_adafactor_hyper *h, int *major, int *minor)
{
    int rank = wf_rank(p);
    *major = rank - 1, *minor = rank - 2;
    if (rank < 2) return false;
    if (h->form == WF_ADAFACTOR_HF || h->form == WF_ADAFACTOR_TORCH) return true;
    for (int i = rank - 1; i >= 0; i--)
        if (wf_dim(p, i) > wf_dim(p, *major)) *major = i;
    if (*minor == *major) *minor = rank - 1;
    for (int i = rank - 1; i >= 0; i--)
        if (i != *major && (*minor == *major || wf_dim(p, i) > wf_dim(p, *minor))) *minor = i;
    return wf_dim(p, *minor) >= h->min_dim;
}

/* (1 - w) x + w g, where x is the state of this name and becomes the result */
static wf_node *average(wf_node *p, const char *name, wf_node *g, wf_node *w)
{
    wf_node *x = wf_state_shaped(p, name, wf_shape_of(g));
    wf_node *fresh = wf_add(wf_mul(wf_shift(wf_neg(w), 1), x), wf_mul(w, g));
    wf_assign(x, fresh);
    return fresh;
}

static wf_node *second_moment(wf_node *p, wf_node *dp, wf_node *t, const wf_adafactor_hyper *h)
{
    bool is_torch = h->form == WF_ADAFACTOR_TORCH;
    int major, minor;
    wf_node *w = wf_pow(t, wf_beside(p, -0.8f));
    wf_node *g = wf_shift(wf_square(dp), 1e-30f), *v;
    if (factored_axes(p, h, &major, &minor)) {
        wf_node *rows = average(p, "rows", wf_mean(g, WF_AXES(major), true), w);
        wf_node *columns = average(p, "columns", wf_mean(g, WF_AXES(minor), true), w);
        wf_node *mean = wf_mean(rows, WF_AXES(minor), true);
        if (is_torch) mean = wf_max(mean, wf_beside(p, FLT_EPSILON));
        v = wf_mul(wf_div(rows, mean), columns); /* rows times columns may fall below all floats */
    } else {
        v = average(p, "v", g, w);
    }
    return is_torch ? wf_max(v, wf_beside(p, FLT_EPSILON * FLT_EPSILON)) : v;
}

/* Torch's rate is at most 1 / sqrt(t). */
static wf_node *rate_of(wf_node *lr, wf_node *t, const wf_adafactor_hyper *h)
{
    return h->form == WF_ADAFACTOR_TORCH ? wf_min(lr, wf_rsqrt(t)) : lr;
}

static wf_node *adafactor_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_adafactor_hyper *h = hyper;
    wf_node *t = wf_step_number(p), *one = wf_beside(p, 1);
    wf_node *u = wf_mul(dp, wf_rsqrt(second_moment(p, dp, t, h)));
    wf_node *rate = rate_of(lr, t, h), *decay_rate = lr;
    u = wf_div(u, wf_max(one, wf_rms(u, WF_ALL, 0)));
    if (!h->is_unscaled) rate = wf_mul(rate, wf_rms(p, WF_ALL, h->eps));
    if (h->form == WF_ADAFACTOR_OPTAX) decay_rate = one;
    if (h->form == WF_ADAFACTOR_HF) decay_rate = rate;
    wf_node *d;
    if (h->momentum != 0 && h->form == WF_ADAFACTOR_BERT4KERAS)
        d = wf_mul(rate, wf_average(wf_state(p, "momentum"), u, h->momentum));
    else if (h->momentum != 0)
        d = wf_average(wf_state(p, "momentum"), wf_mul(rate, u), h->momentum);
    else
        d = wf_mul(rate, u);
    return wf_sub(wf_decayed(p, decay_rate, h->decay), d);
}

static const char *adafactor_check(const void *hyper)
{
    const wf_adafactor_hyper *h = hyper;
    if (!(h->momentum >= 0 && h->momentum < 1)) return "momentum must lie in [0, 1)";
    if (h->momentum != 0 && h->form == WF_ADAFACTOR_TORCH) return "torch's form has no momentum";
    if (!(h->eps >= 0)) return "eps must not be negative";
    return wf_check_decay(h->decay);
}

static const wf_hyper adafactor_hypers[] = {
    {"momentum", WF_HYPER_REAL, offsetof(wf_adafactor_hyper, momentum),
     "share of the old step; 0: none", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_adafactor_hyper, decay), "weight decay", NULL},
    {"eps", WF_HYPER_REAL, offsetof(wf_adafactor_hyper, eps), "least RMS(parameter) in the rate",
     NULL},
    {"unscaled", WF_HYPER_FLAG, offsetof(wf_adafactor_hyper, is_unscaled),
     "RMS(parameter) is no factor of the rate", NULL},
    {"min_dim", WF_HYPER_COUNT, offsetof(wf_adafactor_hyper, min_dim),
     "smaller matrices are not factored", NULL},
    {"form", WF_HYPER_CHOICE, offsetof(wf_adafactor_hyper, form), "of decay, momentum and factors",
     "optax|hf|bert4keras|torch"},
    {0},
};

const wf_optimizer wf_adafactor = {
    .name = "adafactor",
    .doc = "p -= lr RMS(p) u / max(1, RMS(u)), u = g / sqrt(V), V of rows and columns",
    .hyper_size = sizeof(wf_adafactor_hyper),
    .defaults = &(const wf_adafactor_hyper){.eps = 1e-3f, .min_dim = 128},
    .hypers = adafactor_hypers,
    .lr = 1e-2f,
    .step = adafactor_step,
    .check = adafactor_check,
};
