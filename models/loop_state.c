/* What a checkpoint remembers of a loop, so that a run goes on to the same bits and decisions. */
#include "models/loop.h"

#include "io/plot.h"
#include "models/checkpoint.h"
#include <weft/op.h>

#include <string.h>

/* The numbers that steps and evaluations decide by, and the metric that tells what is better. */
static const char numbers[] = "progress/loop";

wf_status wf_loop_save(const wf_loop *l, wf_store *s)
{
    char text[250];
    snprintf(text, sizeof text, "%lld %lld %lld %lld %lld %lld %.17g %.17g %s",
             (long long)l->evaluated, (long long)l->skipped, (long long)l->skipped_in_row,
             (long long)l->n_recent, (long long)l->best_step, (long long)l->stale, l->best,
             l->to_beat, l->task->metrics[l->monitored].name);
    wf_status status = wf_number_save(s, "progress/step", l->step);
    if (status == WF_OK) status = wf_store_set_text(s, numbers, text);
    if (status == WF_OK)
        status = wf_store_put(s, "run/recent", WF_F32, WF_SHAPE(WF_SPIKE_WINDOW), l->recent);
    if (status == WF_OK) status = wf_curve_save(&l->losses, s, "loss");
    return status == WF_OK ? wf_curve_save(&l->held_out, s, "held_out") : status;
}

/* A checkpoint of an older version has neither: then they are as at the beginning. */
static void load_numbers(wf_loop *l, const char *text, const float *recent)
{
    long long n[6];
    double best, to_beat;
    char metric[40];
    if (!text || !recent ||
        sscanf(text, "%lld %lld %lld %lld %lld %lld %lf %lf %39s", &n[0], &n[1], &n[2], &n[3],
               &n[4], &n[5], &best, &to_beat, metric) != 9 ||
        n[3] < 0)
        return;
    l->evaluated = n[0];
    l->skipped = n[1];
    l->skipped_in_row = n[2];
    l->n_recent = n[3];
    memcpy(l->recent, recent, sizeof l->recent);
    if (strcmp(metric, l->task->metrics[l->monitored].name) != 0) return; /* counted anew */
    l->best_step = n[4];
    l->stale = n[5];
    l->best = best;
    l->to_beat = to_beat;
}

void wf_loop_load(wf_loop *l, const wf_store *s)
{
    wf_dtype dtype;
    wf_shape shape;
    const float *recent = wf_store_data(s, "run/recent", &dtype, &shape);
    bool fits = recent && dtype == WF_F32 && wf_elements(&shape) == WF_SPIKE_WINDOW;
    l->step = l->saved = wf_number_load(s, "progress/step");
    load_numbers(l, wf_store_text(s, numbers), fits ? recent : NULL);
    wf_curve_load(&l->losses, s, "loss");
    wf_curve_load(&l->held_out, s, "held_out");
}

wf_status wf_loop_plot(const wf_loop *l, const char *path)
{
    const wf_curve *a = &l->losses, *b = &l->held_out;
    const wf_plot_line lines[] = {{"training", a->n, a->step, a->value},
                                  {"held out", b->n, b->step, b->value}};
    return wf_plot_save(&(wf_plot){.title = l->task->title,
                                   .x_name = "step",
                                   .y_name = "loss",
                                   .n_lines = 2,
                                   .lines = lines},
                        path);
}
