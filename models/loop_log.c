/* What a loop tells: --log for machines, --tensorboard, and losses that jump. */
#define _GNU_SOURCE
#include "models/loop.h"

#include "models/checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the log ---- */

static bool complain_of_log(const wf_loop *l, const char *why)
{
    return wf_complain(l->task->command->name, "--log: %s cannot be written: %s", l->o->log, why);
}

void wf_loop_log(const wf_loop *l, const char *event, const char *format, ...)
{
    if (!l->log) return;
    va_list args;
    va_start(args, format);
    fprintf(l->log, "{\"event\": \"%s\", ", event);
    vfprintf(l->log, format, args);
    va_end(args);
    fputs("}\n", l->log);
    fflush(l->log);
}

/* Where the lines begin that a resumed run will write again: behind its step, or half written. */
static off_t end_of_past(FILE *f, int64_t step)
{
    char *line = NULL;
    size_t room = 0;
    off_t end = 0;
    for (ssize_t n; (n = getline(&line, &room, f)) > 0 && line[n - 1] == '\n'; end += n) {
        const char *at = strstr(line, "\"step\": ");
        if (at && strtoll(at + 8, NULL, 10) > step) break;
    }
    free(line);
    return end;
}

/* A pipe or a device has no past. */
static bool cut_log(const wf_loop *l)
{
    struct stat st;
    if (l->saved < 0 || stat(l->o->log, &st) != 0 || !S_ISREG(st.st_mode)) return true;
    FILE *f = fopen(l->o->log, "rb");
    bool ok = f && truncate(l->o->log, end_of_past(f, l->step)) == 0;
    if (!ok) complain_of_log(l, strerror(errno));
    if (f) fclose(f);
    return ok;
}

static bool open_log(wf_loop *l)
{
    const wf_task *t = l->task;
    if (!l->o->log) return true;
    if (!cut_log(l)) return false;
    l->log = fopen(l->o->log, l->saved < 0 ? "w" : "a");
    if (!l->log) return complain_of_log(l, strerror(errno));
    fprintf(l->log, "{\"event\": \"configuration\", \"command\": \"%s\", \"options\": {",
            t->command->name);
    wf_config_print(t->command, t->options, " ", l->log);
    fputs("}}\n", l->log);
    return true;
}

bool wf_loop_open(wf_loop *l)
{
    const char *name = l->task->command->name, *folder = l->o->tensorboard;
    int64_t first = l->step > 0 ? l->step + 1 : 0;
    if (!open_log(l) || (folder && !wf_make_folder(name, folder))) return false;
    return !folder || wf_events_open(&l->events, folder, first, NULL) == WF_OK ||
           wf_complain(name, "--tensorboard: %s", wf_error());
}

bool wf_loop_close(wf_loop *l)
{
    bool is_whole = !l->log || !ferror(l->log);
    if (l->log && fclose(l->log)) is_whole = false;
    if (!is_whole) complain_of_log(l, errno ? strerror(errno) : "a line is missing");
    l->log = NULL;
    return (wf_events_close(&l->events) == WF_OK ||
            wf_complain(l->task->command->name, "--tensorboard: %s", wf_error())) &&
           is_whole;
}

/* ---- steps and evaluations ---- */

static void add_scalar(wf_loop *l, int64_t step, const char *kind, const char *name, double value)
{
    char tag[80];
    snprintf(tag, sizeof tag, "%s/%s", kind, name);
    if (l->events.file) wf_events_add(&l->events, step, tag, value);
}

void wf_loop_tell_step(wf_loop *l, const wf_progress_step *mean, double rate, int64_t epoch)
{
    double accuracy = mean->hits / (mean->labels > 0 ? mean->labels : 1);
    char hits[40] = "", speed[40];
    if (!isnan(accuracy)) snprintf(hits, sizeof hits, "\"accuracy\": %.6g, ", accuracy);
    snprintf(speed, sizeof speed, "%s_per_second", l->task->items);
    wf_loop_log(l, "step",
                "\"step\": %lld, \"loss\": %.6g, %s\"lr\": %.6g, \"epoch\": %lld, \"%s\": %.0f, "
                "\"%s\": %.1f, \"seconds\": %.3f",
                (long long)mean->step, mean->loss, hits, rate, (long long)epoch, l->task->items,
                mean->tokens, speed, mean->rate, wf_seconds() - l->progress.began);
    add_scalar(l, mean->step, "train", "loss", mean->loss);
    if (!isnan(accuracy)) add_scalar(l, mean->step, "train", "accuracy", accuracy);
    add_scalar(l, mean->step, "train", "lr", rate);
    add_scalar(l, mean->step, "train", speed, mean->rate);
}

/* JSON has no infinity: the loop has seen that all values are finite. */
void wf_loop_tell_evaluation(wf_loop *l, const double value[])
{
    char json[200] = "";
    printf("step %lld  held-out", (long long)l->step);
    for (int i = 0; i < l->task->n_metrics; i++) {
        const wf_metric *m = &l->task->metrics[i];
        size_t n = strlen(json);
        snprintf(json + n, sizeof json - n, ", \"%s\": %.6g", m->name, value[i]);
        printf("%s%s ", i ? "  " : " ", m->name);
        if (m->is_share)
            printf("%.2f %%", 100 * value[i]);
        else
            printf("%.4f", value[i]);
        add_scalar(l, l->step, "held_out", m->name, value[i]);
    }
    printf("\n");
    fflush(stdout);
    wf_loop_log(l, "evaluation", "\"step\": %lld%s", (long long)l->step, json);
}

/* ---- losses that jump ---- */

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Of n > 0 numbers, which are sorted. */
static double median_of(float *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return ((double)x[(n - 1) / 2] + (double)x[n / 2]) / 2;
}

double wf_loop_deviations(wf_loop *l, double loss, double *median)
{
    const bool is_full = l->n_recent >= WF_SPIKE_WINDOW;
    float x[WF_SPIKE_WINDOW];
    double deviations = 0;
    *median = loss;
    if (is_full) {
        memcpy(x, l->recent, sizeof x);
        *median = median_of(x, WF_SPIKE_WINDOW);
        for (int i = 0; i < WF_SPIKE_WINDOW; i++) x[i] = fabsf(x[i] - (float)*median);
        double spread = fmax(1.4826 * median_of(x, WF_SPIKE_WINDOW), 0.01 * fabs(*median));
        deviations = (loss - *median) / fmax(spread, 1e-12);
    }
    l->recent[l->n_recent++ % WF_SPIKE_WINDOW] = (float)loss;
    return deviations;
}
