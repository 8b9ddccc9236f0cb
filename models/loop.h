/*
 * The loop of a training run, whatever it trains: steps, evaluations, what is kept and logged, when
 * it ends. A driver describes its run in a wf_task and gives the options of the loop to its users.
 */
#ifndef WF_MODELS_LOOP_H
#define WF_MODELS_LOOP_H

#include "io/events.h"
#include "models/args.h"
#include "models/common.h"
#include "models/curve.h"

typedef struct wf_loop_options {
    int64_t steps, show_every, eval_every, save_every, patience, nonfinite_limit;
    double minutes, min_delta, spike;
    const char *best, *log, *tensorboard;
    int nonfinite;
} wf_loop_options;

/* What happens to a step whose loss or gradients are not finite. */
typedef enum wf_nonfinite_step { WF_STEP_OFF, WF_STEP_SKIP, WF_STEP_STOP } wf_nonfinite_step;

/* A group for wf_command.groups; base is where the struct lies in the driver's options. */
wf_arg_group wf_loop_arg_group(size_t base);

/* What an evaluation measures; the first one of a task is the loss. */
typedef struct wf_metric {
    const char *name;
    bool rises;    /* more is better */
    bool is_share; /* shown in percent */
} wf_metric;

enum { WF_METRICS = 4 };

/* What the driver has put into the inputs of a step. */
typedef struct wf_batch {
    double items;            /* such as tokens, for the speed */
    double weight;           /* how many the loss is the mean of */
    int64_t epoch, position; /* where the batch begins in the data */
} wf_batch;

/* What a driver trains. Functions return false after one line on stderr. */
typedef struct wf_task {
    const wf_command *command;
    const void *options; /* of the command */
    const char *title;   /* of loss.png: "masked language model" */
    const char *items;   /* "tokens" */
    wf_metric metrics[WF_METRICS];
    int n_metrics;
    void *driver; /* what the functions are given */

    /* Has the input "lr" and the output "loss", and may have "hits": correct ones out of a batch's
     * weight. With --nonfinite it must have been compiled with .skip_nonfinite. */
    wf_program *train;
    int accumulate; /* batches of a step, 0: one; of several, the weights are the input "items" */
    double (*rate)(void *driver, int64_t step); /* of 0-based step */
    bool (*next)(void *driver, wf_batch *batch);
    bool (*evaluate)(void *driver, double value[]); /* a value a metric */
    bool (*save)(void *driver);                     /* all that a run goes on from */
    bool (*save_best)(void *driver);                /* the weights */
    wf_status (*check)(void *driver);               /* wf_program_check of the last step */
} wf_task;

enum { WF_SPIKE_WINDOW = 64 };

typedef struct wf_loop {
    const wf_task *task;
    const wf_loop_options *o;
    int64_t step, saved, evaluated; /* finished ones; of the last save and evaluation, or -1 */
    wf_curve losses, held_out;
    int64_t skipped, skipped_in_row;
    int monitored;        /* the metric that tells what is better */
    int64_t best_step;    /* -1: none yet. The evaluation before training does not count. */
    double best, to_beat; /* the best one, and the one that patience counts from */
    int64_t stale;        /* evaluations since then */
    float recent[WF_SPIKE_WINDOW]; /* losses, by step modulo their number */
    int64_t n_recent;
    wf_progress progress;
    FILE *log;
    wf_events events;
} wf_loop;

/* A loop at its beginning; fills in options that were not given. wf_loop_load takes it to where a
 * checkpoint was. False after one line on stderr. */
bool wf_loop_start(wf_loop *l, const wf_task *task, wf_loop_options *o);

/* False after one line on stderr, as all of these: open --log and --tensorboard, run, close them.
 */
bool wf_loop_open(wf_loop *l);
bool wf_loop_run(wf_loop *l);
bool wf_loop_close(wf_loop *l);

/* A run gone wild: what is wrong, at which step, and what is kept. */
bool wf_loop_complain(const wf_loop *l, const char *what);

/* ---- loop_state.c ---- */

/* Into and out of the texts and tensors of a store; the step is -1 where it holds no run. */
wf_status wf_loop_save(const wf_loop *l, wf_store *s);
void wf_loop_load(wf_loop *l, const wf_store *s);
/* The curves as a picture. */
wf_status wf_loop_plot(const wf_loop *l, const char *path);

/* ---- loop_log.c ---- */

/* One JSON object {"event": event, ...} in --log, if there is one. */
void wf_loop_log(const wf_loop *l, const char *event, const char *format, ...) WF_PRINTF(3, 4);
void wf_loop_tell_step(wf_loop *l, const wf_progress_step *mean, double rate, int64_t epoch);
void wf_loop_tell_evaluation(wf_loop *l, const double value[]);
/* How many deviations a loss lies above the recent ones, their median in *median; it becomes one of
 * them. 0 while there are too few. */
double wf_loop_deviations(wf_loop *l, double loss, double *median);

#endif
