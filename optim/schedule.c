/* Learning-rate multipliers for 0-based update t. */
#include <weft/weft.h>

#include <math.h>

/* Su's piecewise_linear (bert4keras): a first knot behind step 0 is led to from (0, 0). */
double wf_piecewise_linear(int64_t t, int n, const wf_knot knots[])
{
    wf_knot left = {0, 0.0};
    if (n == 0) return 1.0;
    if (knots[0].step == 0) left = knots[0];
    for (int i = 0; i < n; i++) {
        wf_knot right = knots[i];
        if (t < right.step)
            return left.value + (right.value - left.value) * (double)(t - left.step) /
                                    (double)(right.step - left.step);
        left = right;
    }
    return left.value;
}

double wf_warmup_cosine(int64_t t, int64_t warmup, int64_t total, double floor)
{
    if (t < warmup) return (double)t / (double)warmup;
    double p = (double)(t - warmup) / (double)(total > warmup ? total - warmup : 1);
    if (p > 1) p = 1;
    return floor + (1 - floor) * 0.5 * (1 + cos(3.14159265358979323846 * p));
}
