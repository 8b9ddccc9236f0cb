/*
 * Tiger (Su 2023, "Tiger: A Tight-fisted Optimizer"): the sign of the refreshed momentum, with a
 * rate and a decay for each kind of parameter.
 *
 *   m <- beta m + (1 - beta) g
 *   p <- p - rate (sign(m) + decay p)
 *
 *   kernel     rate = lr RMS(p)            decay
 *   embedding  rate = lr RMS(row of p)     decay
 *   bias       rate = lr / 2               none
 *   scale      rate = lr / 2               none
 *   custom     rate = lr role.rate         decay role.decay
 *
 * RMS is that of p before the step, at least rms_floor: with a floor of 0, as published, a tensor
 * or row that is all zero never moves.
 *
 * Accumulation over k runs needs no buffer, since g enters m linearly: run t = 0, 1, ... does
 *
 *   m <- (t mod k = 0 ? beta : 1) m + (1 - beta) / k g;  p moves where (t + 1) mod k = 0
 *
 * A gradient that is not finite (as published: NaN alone), in a run of any phase: m stays and
 * p <- (p - c) shrink + c, where the centre c is 1 for a scale, role.centre for custom, else 0.
 */
#include "optim/optim.h"

#include <float.h>
#include <math.h>

static wf_node *rate(wf_node *p, wf_node *lr, wf_role role, float floor)
{
    switch (role.kind) {
    case WF_KERNEL:
        return wf_mul(lr, wf_rms(p, WF_ALL, floor));
    case WF_EMBEDDING:
        return wf_mul(lr, wf_rms(p, WF_AXES(-1), floor));
    case WF_BIAS:
    case WF_SCALE:
        return wf_scale(lr, 0.5f);
    case WF_CUSTOM:
        break; /* its rate is in lr already, as its decay is in the hyper */
    }
    return lr;
}

static float decay(float decay, wf_role role)
{
    return role.kind == WF_BIAS || role.kind == WF_SCALE ? 0 : decay;
}

static float centre(wf_role role)
{
    return role.kind == WF_SCALE ? 1 : role.kind == WF_CUSTOM ? role.centre : 0;
}

/* What is below the normal numbers becomes 0: beta m rounds back to m there, so that a row which is
 * not read any more would move by the sign of its momentum for ever. NaN stays NaN. */
static wf_node *flush(wf_node *m)
{
    return wf_mul(m, wf_less_equal(wf_beside(m, FLT_MIN), wf_abs(m)));
}

/* *is_last: 1 in the run of k that moves p; NULL if every run does. */
static wf_node *momentum(wf_node *p, wf_node *dp, wf_node *m, const wf_tiger_hyper *h,
                         wf_node **is_last)
{
    *is_last = NULL;
    if (h->accumulate <= 1) return flush(wf_lerp(dp, m, h->beta));
    int k = h->accumulate;
    wf_node *phase = wf_state_shaped(p, "phase", WF_SCALAR), *zero = wf_beside(p, 0);
    *is_last = wf_less_equal(wf_beside(p, (float)(k - 1)), phase);
    wf_assign(phase, wf_where(*is_last, zero, wf_shift(phase, 1)));
    wf_node *kept = wf_where(wf_equal(phase, zero), wf_beside(p, h->beta), wf_beside(p, 1));
    float part = (float)((1 - (double)h->beta) / k);
    return flush(wf_add(wf_mul(kept, m), wf_scale(dp, part)));
}

/* sign(m), or sign(m) |m|^(1 - lr / peak) */
static wf_node *direction(wf_node *m, wf_node *lr, float peak)
{
    if (peak == 0) return wf_sign(m);
    wf_node *power = wf_shift(wf_neg(wf_clamp(wf_scale(lr, 1 / peak), 0, 1)), 1);
    return wf_mul(wf_sign(m), wf_pow(wf_abs(m), power));
}

/* 1 if any element of dp is NaN (or, in the stricter mode, infinite), else 0. A sum is finite if
 * all elements are, unless it overflows, and needs no tensor in between; but inf - inf is NaN. */
static wf_node *is_bad(wf_node *dp, wf_nonfinite mode)
{
    if (mode == WF_SKIP_NAN)
        return wf_max_over(wf_shift(wf_neg(wf_equal(dp, dp)), 1), WF_ALL, false);
    wf_node *sum = wf_sum(dp, WF_ALL, false);
    return wf_shift(wf_neg(wf_less(wf_abs(sum), wf_beside(dp, INFINITY))), 1);
}

static wf_node *tiger_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_tiger_hyper *h = hyper;
    wf_role role = wf_param_role(p);
    wf_node *m = wf_state(p, "momentum"), *is_last;
    wf_node *fresh = momentum(p, dp, m, h, &is_last);
    wf_node *step = direction(fresh, lr, h->peak);
    float d = decay(h->decay, role);
    if (d != 0) step = wf_add(step, wf_scale(p, d));
    wf_node *next = wf_sub(p, wf_mul(rate(p, lr, role, h->rms_floor), step));
    if (is_last) next = wf_where(is_last, next, p);
    if (h->nonfinite != WF_SKIP_NONE) {
        wf_node *bad = is_bad(dp, h->nonfinite),
                *skipped = wf_state_shaped(p, "skipped", WF_SCALAR);
        float c = centre(role), shrink = h->shrink > 0 ? h->shrink : 0.99f;
        wf_assign(skipped, wf_add(skipped, bad));
        fresh = wf_where(bad, m, fresh);
        next = wf_where(bad, wf_shift(wf_scale(wf_shift(p, -c), shrink), c), next);
    }
    wf_assign(m, fresh);
    return next;
}

static const char *tiger_check(const void *hyper)
{
    const wf_tiger_hyper *h = hyper;
    if (!(h->beta >= 0 && h->beta < 1)) return "beta must lie in [0, 1)";
    if (!(h->rms_floor >= 0)) return "rms_floor must not be negative";
    if (!(h->accumulate >= 0 && h->accumulate <= 1 << 24))
        return "accumulate must lie in 0..16777216"; /* its count is a float */
    if (!(h->shrink >= 0 && h->shrink <= 1)) return "shrink must lie in [0, 1]";
    if (!(h->peak >= 0)) return "peak must not be negative";
    return wf_check_decay(h->decay);
}

static const wf_hyper tiger_hypers[] = {
    {"beta", WF_HYPER_REAL, offsetof(wf_tiger_hyper, beta), "share of the old momentum", NULL},
    {"decay", WF_HYPER_REAL, offsetof(wf_tiger_hyper, decay),
     "weight decay of kernels and embeddings", NULL},
    {"rms_floor", WF_HYPER_REAL, offsetof(wf_tiger_hyper, rms_floor),
     "least RMS(parameter) in the rate", NULL},
    {"accumulate", WF_HYPER_COUNT, offsetof(wf_tiger_hyper, accumulate),
     "runs that make one step; 0: 1", NULL},
    {"nonfinite", WF_HYPER_CHOICE, offsetof(wf_tiger_hyper, nonfinite),
     "gradients that are skipped", "none|nan|nan_or_inf"},
    {"shrink", WF_HYPER_REAL, offsetof(wf_tiger_hyper, shrink),
     "of a tensor that is skipped; 0: 0.99", NULL},
    {"peak", WF_HYPER_REAL, offsetof(wf_tiger_hyper, peak),
     "sign(m) |m|^(1 - lr / peak); 0: sign(m)", NULL},
    {0},
};

const wf_optimizer wf_tiger = {
    .name = "tiger",
    .doc = "m = beta m + (1-beta) g; p -= lr RMS(p) (sign(m) + decay p); biases lr/2, no decay",
    .hyper_size = sizeof(wf_tiger_hyper),
    .defaults =
        &(const wf_tiger_hyper){.beta = 0.965f, .decay = 0.01f, .nonfinite = WF_SKIP_NAN_OR_INF},
    .hypers = tiger_hypers,
    .lr = 1.76e-3f,
    .step = tiger_step,
    .check = tiger_check,
};
