/*
 * The kinds of schedules: what lr is multiplied by at update n = 0, 1, ...; their formulas are in
 * the table below. n < warmup gives n / warmup for those that have a warm-up. linear is
 * transformers' (end 0); cosine, polynomial and exponential are optax's; restarts (Loshchilov and
 * Hutter 2017), one-cycle (Smith 2018) and step are PyTorch's; inverse-sqrt is that of Vaswani et
 * al. 2017 with a peak of 1; piecewise is bert4keras' piecewise_linear (Su).
 */
#include <math.h>
#include <weft/op.h>

static const double pi = 3.14159265358979323846;

/* From 1 down to end, of which a share of 1 to 0 is left. */
static double fallen(double end, double share)
{
    return end + (1 - end) * share;
}

static double half_cosine(double p)
{
    return 0.5 * (1 + cos(pi * p));
}

/* ---- behind a warm-up, which is always number[0] ---- */

enum { WARMUP, TOTAL, END, POWER };

/* The part of the way from the warm-up to total that is still to go. */
static double left(const wf_schedule *s, double n)
{
    return fmax(0, (s->number[TOTAL] - n) / (s->number[TOTAL] - s->number[WARMUP]));
}

static const char *check_total(const wf_schedule *s)
{
    return s->number[WARMUP] < s->number[TOTAL] ? NULL : "warmup must be less than total";
}

static double constant_at(const wf_schedule *s, double n)
{
    (void)s;
    (void)n;
    return 1;
}

static double linear_at(const wf_schedule *s, double n)
{
    return fallen(s->number[END], left(s, n));
}

static double cosine_at(const wf_schedule *s, double n)
{
    return fallen(s->number[END], half_cosine(1 - left(s, n)));
}

static double polynomial_at(const wf_schedule *s, double n)
{
    return fallen(s->number[END], pow(left(s, n), s->number[POWER]));
}

static double inverse_sqrt_at(const wf_schedule *s, double n)
{
    return sqrt(fmax(1, s->number[WARMUP]) / fmax(1, n));
}

enum { PERIOD = 1, GROWTH, BOTTOM };

static double restarts_at(const wf_schedule *s, double n)
{
    double t = n - s->number[WARMUP], period = s->number[PERIOD], growth = s->number[GROWTH];
    if (growth == 1) t = fmod(t, period);
    while (t >= period) { /* logarithms would round at the borders */
        t -= period;
        period *= growth;
    }
    return fallen(s->number[BOTTOM], half_cosine(t / period));
}

enum { FACTOR = 1, EVERY };

static double exponential_at(const wf_schedule *s, double n)
{
    return pow(s->number[FACTOR], (n - s->number[WARMUP]) / s->number[EVERY]);
}

static double step_at(const wf_schedule *s, double n)
{
    return pow(s->number[FACTOR], floor((n - s->number[WARMUP]) / s->number[EVERY]));
}

/* ---- without ---- */

enum { CYCLE_TOTAL, CYCLE_PEAK, CYCLE_START, CYCLE_END };

static double one_cycle_at(const wf_schedule *s, double n)
{
    const double *x = s->number, last = x[CYCLE_TOTAL] - 1;
    double top = fmax(0, x[CYCLE_PEAK] * x[CYCLE_TOTAL] - 1);
    if (n < top) return fallen(x[CYCLE_START], half_cosine(1 - n / top));
    return n < last ? fallen(x[CYCLE_END], half_cosine((n - top) / (last - top))) : x[CYCLE_END];
}

static const char *check_peak(const wf_schedule *s)
{
    return s->number[CYCLE_PEAK] <= 1 ? NULL : "peak must be at most 1";
}

static double piecewise_at(const wf_schedule *s, double n)
{
    const wf_knot *k = s->knot, *end = k + s->n_knots - 1;
    while (k < end && n >= (double)k[1].step) k++;
    if (k == end) return k->value;
    return k->value +
           (k[1].value - k->value) * (n - (double)k->step) / (double)(k[1].step - k->step);
}

static const char *check_knots(const wf_schedule *s)
{
    if (s->n_knots == 0) return "expected step:factor pairs";
    for (int i = 0; i < s->n_knots; i++) {
        if (s->knot[i].step < 0 || (i > 0 && s->knot[i].step <= s->knot[i - 1].step))
            return "steps must rise, from 0 on";
        if (!(s->knot[i].value >= 0 && isfinite(s->knot[i].value)))
            return "factors must be finite and not negative";
    }
    return NULL;
}

#define WARMUP_ROW "warmup", WF_RUN_WARMUP, 0, "steps over which it rises from 0"
#define TOTAL_ROW  "total", WF_RUN_TOTAL, 1, "steps of the run"
#define END_ROW    "end", 0, 0, "what is left at the end, of 1"

static const wf_schedule_number none[] = {{0}}, warmup[] = {{WARMUP_ROW}, {0}};
static const wf_schedule_number to_total[] = {{WARMUP_ROW}, {TOTAL_ROW}, {END_ROW}, {0}};
static const wf_schedule_number powers[] = {
    {WARMUP_ROW}, {TOTAL_ROW}, {END_ROW}, {"power", 2, 0, "1: as linear"}, {0}};
static const wf_schedule_number periods[] = {{WARMUP_ROW},
                                             {"period", 1000, 1, "steps of the first one"},
                                             {"growth", 1, 1, "of the next one's length"},
                                             {END_ROW},
                                             {0}};
static const wf_schedule_number factors[] = {
    {WARMUP_ROW}, {"factor", 0.5, 0, "of every so many steps"}, {"every", 1000, 1, "steps"}, {0}};
static const wf_schedule_number cycle[] = {
    {TOTAL_ROW},
    {"peak", 0.3, 0, "where 1 is reached, as a part of total"},
    {"start", 0.04, 0, "of 1"},
    {"end", 4e-6, 0, "of 1"},
    {0}};

/* t is n - warmup; p is at most 1 */
static const wf_schedule_kind kinds[] = {
    {"constant", "1", constant_at, NULL, warmup},
    {"linear", "end + (1 - end) (1 - p), p = t / (total - warmup)", linear_at, check_total,
     to_total},
    {"cosine", "end + (1 - end) (1 + cos(pi p)) / 2, p = t / (total - warmup)", cosine_at,
     check_total, to_total},
    {"restarts", "end + (1 - end) (1 + cos(pi p)) / 2, p = t / period, again and again",
     restarts_at, NULL, periods},
    {"polynomial", "end + (1 - end) (1 - p)^power, p = t / (total - warmup)", polynomial_at,
     check_total, powers},
    {"inverse-sqrt", "sqrt(warmup / n)", inverse_sqrt_at, NULL, warmup},
    {"exponential", "factor^(t / every)", exponential_at, NULL, factors},
    {"step", "factor^floor(t / every)", step_at, NULL, factors},
    {"one-cycle", "half a cosine up from start to 1, then one down to end", one_cycle_at,
     check_peak, cycle},
    {"piecewise", "STEP:FACTOR,...: straight lines between these pairs, from 0:0 on", piecewise_at,
     check_knots, none},
};

const wf_schedule_kind *wf_schedule_kind_at(int i)
{
    return i >= 0 && i < (int)(sizeof kinds / sizeof *kinds) ? &kinds[i] : NULL;
}
