/* The options that every training run has. */
#include "models/loop.h"

#include <math.h>
#include <string.h>

#define AT(field) offsetof(wf_loop_options, field)

static const wf_arg args[] = {
    {"steps", WF_ARG_INT, AT(steps), NULL, "N", 1, 1e12, 0, false,
     "Updates (default: 1000, or no limit with --minutes)"},
    {"minutes", WF_ARG_REAL, AT(minutes), NULL, "X", 0, 0, WF_ARG_ABOVE, false,
     "Stop early after this time; nothing else depends on it"},
    {"show-every", WF_ARG_INT, AT(show_every), "0", "N", 0, 1e12, 0, false,
     "Steps between lines of progress; 0: a hundredth of the run, at least 10"},
    {"eval-every", WF_ARG_INT, AT(eval_every), "200", "N", 1, 1e12, 0, false,
     "Steps between evaluations on held-out documents"},
    {"save-every", WF_ARG_INT, AT(save_every), "1000", "N", 1, 1e12, 0, false,
     "Steps between checkpoints; the last step is always saved"},
    {"best", WF_ARG_TEXT, AT(best), "loss", "METRIC", 0, 0, 0, false,
     "Keep the weights of the evaluation with the best held-out loss or accuracy as "
     "best.safetensors; none: do not"},
    {"patience", WF_ARG_INT, AT(patience), "0", "N", 0, 1e12, 0, false,
     "End after N evaluations in a row that do not better --best (none: the loss); 0: never"},
    {"min-delta", WF_ARG_REAL, AT(min_delta), "0", "X", 0, 0, 0, false,
     "By how much an evaluation must be better to count for --patience"},
    {"nonfinite", WF_ARG_CHOICE, AT(nonfinite), "off", "off|skip|stop", 0, 0, 0, false,
     "When the loss, a gradient or a weight is NaN or infinite; skip: leave weights and optimizer "
     "as they were; stop: end and tell which op it came from; off: end when the loss is"},
    {"nonfinite-limit", WF_ARG_INT, AT(nonfinite_limit), "10", "N", 1, 1e12, 0, false,
     "Steps in a row that --nonfinite skip leaves out; the last one stops"},
    {"spike", WF_ARG_REAL, AT(spike), "10", "X", 0, 0, 0, false,
     "Report a step whose loss is more than X deviations above the median of the 64 losses before; "
     "a deviation is 1.4826 times their median distance from it, at least 1 % of it; 0: never"},
    {"log", WF_ARG_TEXT, AT(log), NULL, "FILE", 0, 0, 0, false,
     "Write one JSON object a line; --resume drops the lines behind the checkpoint and appends"},
    {"tensorboard", WF_ARG_TEXT, AT(tensorboard), NULL, "DIR", 0, 0, 0, false,
     "Write losses, accuracy, rate and speed for TensorBoard"},
};

wf_arg_group wf_loop_arg_group(size_t base)
{
    return (wf_arg_group){args, (int)(sizeof args / sizeof *args), base};
}

static int find_metric(const wf_task *task, const char *name)
{
    for (int i = 0; i < task->n_metrics; i++)
        if (!strcmp(task->metrics[i].name, name)) return i;
    return -1;
}

static bool choose_best(wf_loop *l, wf_loop_options *o)
{
    char names[100] = "";
    if (o->best && !strcmp(o->best, "none")) o->best = NULL;
    if (o->best) l->monitored = find_metric(l->task, o->best);
    if (l->monitored >= 0) return true;
    for (size_t i = 0, n = 0; i < (size_t)l->task->n_metrics && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s, ", l->task->metrics[i].name);
    return wf_complain(l->task->command->name, "--best: expected %snone, got '%s'", names, o->best);
}

bool wf_loop_start(wf_loop *l, const wf_task *task, wf_loop_options *o)
{
    *l = (wf_loop){.task = task, .o = o, .saved = -1, .evaluated = -1, .best_step = -1};
    if (o->steps == 0) o->steps = isnan(o->minutes) ? 1000 : INT64_MAX;
    if (o->show_every == 0) {
        o->show_every = isnan(o->minutes) ? o->steps / 100 : 10;
        if (o->show_every < 10) o->show_every = 10;
    }
    return choose_best(l, o);
}
