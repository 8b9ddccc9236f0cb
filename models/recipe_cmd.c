/*
 * weft recipe: what a learning rate and a weight decay become under another optimizer.
 *
 * A step of lion has size lr (Chen et al. 2023): that is AdamW's rate over a ratio of 3 to 10. A
 * step of tiger or lamb has size lr RMS(p). Between all of them the part lr decay (RMS), by which
 * weights shrink in a step, stays what it was.
 */
#include "models/common.h"
#include "models/drivers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char command_name[] = "weft recipe";

enum { ADAMW, LION, TIGER, LAMB };
static const char *const names[] = {"adamw", "lion", "tiger", "lamb"};
static const double least = 1e-3, most = 2e-3; /* published rates of tiger */

typedef struct options {
    int from, to, task;
    double lr, decay, ratio, rms;
    int64_t batch;
    const char *schedule;
} options;

#define AT(field) offsetof(options, field)

static const wf_arg args[] = {
    {"from", WF_ARG_CHOICE, AT(from), "adamw", "adamw|lion|tiger|lamb", 0, 0, 0, false,
     "Optimizer that the numbers are for"},
    {"to", WF_ARG_CHOICE, AT(to), "lion", "adamw|lion|tiger", 0, 0, 0, false,
     "Optimizer that they are wanted for"},
    {"lr", WF_ARG_REAL, AT(lr), NULL, "X", 0, 0, WF_ARG_ABOVE, false, "Learning rate"},
    {"decay", WF_ARG_REAL, AT(decay), NULL, "X", 0, 0, 0, false, "Weight decay, decoupled"},
    {"schedule", WF_ARG_TEXT, AT(schedule), NULL, "LIST", 0, 0, 0, false,
     "Schedule of the rate, as of weft gau pretrain"},
    {"batch", WF_ARG_INT, AT(batch), "0", "N", 0, 1e12, 0, false,
     "Examples of a step (sentences, images); 0: not known"},
    {"task", WF_ARG_CHOICE, AT(task), "language", "language|vision", 0, 0, 0, false,
     "What is learned: momenta depend on it"},
    {"ratio", WF_ARG_REAL, AT(ratio), "5", "X", 3, 10, 0, false,
     "Rate of adamw over that of lion; its authors mostly take 10"},
    {"rms", WF_ARG_REAL, AT(rms), "0.036", "X", 0, 0, WF_ARG_ABOVE, false,
     "RMS of the kernels, which rates of tiger and lamb are parts of; default: 1 / sqrt(768)"},
};

static wf_command command(void)
{
    return (wf_command){
        .name = command_name,
        .doc = "Convert the learning rate and the weight decay of one optimizer to another, as "
               "options of weft gau pretrain with their reasons.",
        .groups = {{args, (int)(sizeof args / sizeof *args), 0}},
    };
}

/* Three digits, as it is printed. */
static double rounded(double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.3g", x);
    return strtod(text, NULL);
}

static bool is_relative(int optimizer)
{
    return optimizer == TIGER || optimizer == LAMB;
}

/* The size of a step, which is lion's rate. */
static double step_size(const options *o)
{
    return is_relative(o->from) ? o->lr * o->rms : o->from == ADAMW ? o->lr / o->ratio : o->lr;
}

static double new_rate(const options *o)
{
    if (o->to == ADAMW) return step_size(o) * o->ratio;
    if (o->to == LION) return step_size(o);
    return o->from == LAMB ? o->lr : fmin(most, fmax(least, step_size(o) / o->rms));
}

/* By this, times decay, an optimizer shrinks weights in a step. */
static double shrink_rate(const options *o, int optimizer, double lr)
{
    return is_relative(optimizer) ? lr * o->rms : lr;
}

static void print_momenta(const options *o)
{
    static const char *const lion[] = {"--beta1 0.95 --beta2 0.98", "--beta1 0.9 --beta2 0.99"};
    static const char *const tiger[] = {"--beta 0.965", "--beta 0.945"};
    printf("%s", o->to == LION    ? lion[o->task]
                 : o->to == TIGER ? tiger[o->task]
                                  : "--beta1 0.9 --beta2 0.999");
}

static void explain_rate(const options *o, double lr)
{
    printf("--lr %g: ", lr);
    if (o->from == LAMB && o->to == TIGER) {
        printf("unchanged, since both take it as a part of the size of a parameter.\n");
        return;
    }
    if (o->from == ADAMW)
        printf("%g / %g, since every step of a sign has size 1, more than one of adamw", o->lr,
               o->ratio);
    else if (is_relative(o->from))
        printf("%g times the RMS %g of kernels, which %s takes it as a part of", o->lr, o->rms,
               names[o->from]);
    else
        printf("%g as it is", o->lr);
    if (o->to == ADAMW)
        printf("; times %g, since a step of adamw is smaller than one of a sign", o->ratio);
    if (o->to == TIGER)
        printf("; over the RMS %g of kernels, which tiger takes it as a part of: %.3g, held in "
               "%g to %g, as published for models of all sizes",
               o->rms, step_size(o) / o->rms, least, most);
    printf(".\n");
}

static void explain(const options *o, double lr, double decay)
{
    explain_rate(o, lr);
    printf(
        "--decay %g: weights still shrink by %.3g of themselves in a step, rate times decay%s.\n",
        decay, shrink_rate(o, o->from, o->lr) * o->decay,
        is_relative(o->from) || is_relative(o->to) ? " (times RMS)" : "");
    print_momenta(o);
    printf(": %s.\n", o->to == ADAMW ? "its usual ones"
                      : o->task      ? "published for vision; --task language has others"
                                     : "published for language; --task vision has others");
    if (o->schedule)
        printf("--schedule %s: unchanged, it multiplies the rate, so that start, peak and end are "
               "scaled alike.\n",
               o->schedule);
    printf("Clipping and warm-up stay; lengthen the warm-up if the loss grows.\n");
    if (o->batch >= 64 && o->to != ADAMW)
        printf("A batch of %lld is fine: with 64 examples lion and adamw tie, with more lion gains "
               "(ViT-B/16: best at 4096, adamw at 256).\n",
               (long long)o->batch);
}

static void warn(const options *o, const wf_schedule *s)
{
    if (o->to == ADAMW)
        wf_complain(command_name,
                    "warning: rates are not interchangeable: runs that went back to adamw at the "
                    "rate of a sign became NaN; this one is a guess, begin with a warm-up");
    else if (o->schedule && wf_schedule_at(s, 0) > 0.1)
        wf_complain(command_name,
                    "warning: the schedule begins at %g: the first step moves every weight by the "
                    "full rate; begin with a warm-up",
                    wf_schedule_at(s, 0));
    if (o->batch > 0 && o->batch < 64 && o->to != ADAMW)
        wf_complain(command_name, "warning: with less than 64 examples a step %s is behind adamw",
                    names[o->to]);
}

int wf_recipe_main(int argc, char **argv)
{
    options o = {0};
    wf_schedule s;
    wf_command c = command();
    int code = wf_args_parse(&c, argc, argv, &o);
    if (code >= 0) return code;
    const char *missing = isnan(o.lr) ? "lr" : isnan(o.decay) ? "decay" : NULL;
    if (missing)
        wf_complain(command_name, "--%s is missing (see --help)", missing);
    else if (o.from == o.to)
        wf_complain(command_name, "--to: expected another optimizer than --from, got %s",
                    names[o.to]);
    if (missing || o.from == o.to ||
        (o.schedule && !wf_schedule_option(&s, command_name, o.schedule, 100, 1000000)))
        return WF_USAGE;
    double lr = rounded(new_rate(&o));
    double decay = rounded(shrink_rate(&o, o.from, o.lr) * o.decay / shrink_rate(&o, o.to, lr));
    printf("--optimizer %s --lr %g --decay %g ", names[o.to], lr, decay);
    print_momenta(&o);
    printf("%s%s\n\n", o.schedule ? " --schedule " : "", o.schedule ? o.schedule : "");
    explain(&o, lr, decay);
    warn(&o, &s);
    return WF_DONE;
}
