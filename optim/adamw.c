/*
 * AdamW (Loshchilov, Hutter 2019) in PyTorch's form.
 *
 *   p <- p (1 - lr decay)
 *   m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
 *   p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps),  t = 1, 2, ...
 *
 * 1 - beta^t is computed as -expm1(t ln beta), which keeps its digits while it is small.
 */
#include <weft/op.h>

#include <math.h>

static wf_node *correction(wf_node *t, float beta)
{
    return wf_neg(wf_expm1(wf_scale(t, (float)log((double)beta))));
}

static wf_node *adamw_step(wf_node *p, wf_node *dp, wf_node *lr, const void *hyper)
{
    const wf_adamw_hyper *h = hyper;
    wf_node *count = wf_state_shaped(p, "step", WF_SCALAR);
    wf_node *m = wf_state(p, "m"), *v = wf_state(p, "v");
    wf_node *t = wf_shift(count, 1);
    wf_node *m1 = wf_lerp(dp, m, h->beta1);
    wf_node *v1 = wf_lerp(wf_square(dp), v, h->beta2);
    wf_assign(count, t);
    wf_assign(m, m1);
    wf_assign(v, v1);
    wf_node *root = wf_mul(wf_sqrt(v1), wf_rsqrt(correction(t, h->beta2)));
    wf_node *rate = wf_div(lr, correction(t, h->beta1));
    wf_node *kept = wf_sub(p, wf_mul(wf_scale(lr, h->decay), p));
    return wf_sub(kept, wf_mul(rate, wf_div(m1, wf_shift(root, h->eps))));
}

static const char *adamw_check(const void *hyper)
{
    const wf_adamw_hyper *h = hyper;
    if (!(h->beta1 > 0 && h->beta1 < 1)) return "beta1 must lie in (0, 1)";
    if (!(h->beta2 > 0 && h->beta2 < 1)) return "beta2 must lie in (0, 1)";
    if (!(h->eps > 0)) return "eps must be positive";
    return h->decay >= 0 ? NULL : "decay must not be negative";
}

const wf_optimizer wf_adamw = {
    .name = "adamw",
    .doc = "p -= lr (m^ / (sqrt(v^) + eps) + decay p) with bias-corrected moments m^, v^",
    .hyper_size = sizeof(wf_adamw_hyper),
    .defaults =
        &(const wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 0.01f},
    .step = adamw_step,
    .check = adamw_check,
};
