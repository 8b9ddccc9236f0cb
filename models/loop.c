/* The steps of a training run. */
#include "models/loop.h"

#include <math.h>
#include <string.h>

static bool fail(const wf_loop *l)
{
    return wf_complain(l->task->command->name, "%s", wf_error());
}

bool wf_loop_complain(const wf_loop *l, const char *what)
{
    char kept[80] = "nothing was saved";
    if (l->saved >= 0)
        snprintf(kept, sizeof kept, "the checkpoint of step %lld stays", (long long)l->saved);
    return wf_complain(l->task->command->name,
                       "step %lld: %s; %s (try a smaller --lr, or --clip 1)", (long long)l->step,
                       what, kept);
}

static bool complain_of_loss(wf_loop *l, double loss)
{
    wf_progress_break(&l->progress);
    return wf_loop_complain(l, isnan(loss) ? "the loss is not a number" : "the loss is infinite");
}

/* ---- evaluation ---- */

/* Is x better than y by more than delta? */
static bool is_better(const wf_loop *l, double x, double y, double delta)
{
    return l->task->metrics[l->monitored].rises ? x - y > delta : y - x > delta;
}

static bool judge(wf_loop *l, double value)
{
    bool is_first = l->best_step < 0;
    if (is_first || is_better(l, value, l->to_beat, l->o->min_delta)) {
        l->to_beat = value;
        l->stale = 0;
    } else {
        l->stale++;
    }
    if (!is_first && !is_better(l, value, l->best, 0)) return true;
    l->best = value;
    l->best_step = l->step;
    return !l->o->best || l->task->save_best(l->task->driver);
}

static bool evaluate(wf_loop *l)
{
    double value[WF_METRICS];
    if (l->evaluated == l->step) return true;
    if (!l->task->evaluate(l->task->driver, value)) return false;
    for (int i = 0; i < l->task->n_metrics; i++)
        if (!isfinite(value[i])) return complain_of_loss(l, value[i]);
    wf_progress_break(&l->progress);
    wf_loop_tell_evaluation(l, value);
    wf_curve_add(&l->held_out, (double)l->step, value[0]);
    l->evaluated = l->step;
    return l->step == 0 || judge(l, value[l->monitored]);
}

static bool is_stale(const wf_loop *l)
{
    return l->o->patience > 0 && l->stale >= l->o->patience;
}

static void tell_stale(const wf_loop *l)
{
    const wf_metric *m = &l->task->metrics[l->monitored];
    printf("ends early: %lld evaluations without a better %s; the best was %.4f after step %lld\n",
           (long long)l->stale, m->name, l->best, (long long)l->best_step);
    wf_loop_log(l, "early_stop", "\"step\": %lld, \"best\": %.6g, \"best_step\": %lld",
                (long long)l->step, l->best, (long long)l->best_step);
}

/* ---- steps ---- */

/* Something is odd about a batch: for people a text that ends with it, for the log an event with
 * these members. */
static void tell_of_batch(wf_loop *l, const wf_batch *b, const char *event, const char *text,
                          const char *members)
{
    wf_progress_break(&l->progress);
    printf("step %lld  %s is at epoch %lld, position %lld of the data\n", (long long)l->step, text,
           (long long)b->epoch, (long long)b->position);
    wf_loop_log(l, event, "\"step\": %lld, %s, \"epoch\": %lld, \"position\": %lld",
                (long long)l->step, members, (long long)b->epoch, (long long)b->position);
}

/* The program has left all weights as they were. */
static bool skip(wf_loop *l, const wf_batch *b, double loss)
{
    char text[120], members[40];
    long long n = ++l->skipped_in_row, most = l->o->nonfinite_limit;
    l->skipped++;
    if (l->o->nonfinite == WF_STEP_STOP || n >= most) {
        bool is_found = l->task->check(l->task->driver) == WF_ENONFINITE;
        wf_progress_break(&l->progress);
        return wf_loop_complain(l, is_found ? wf_error()
                                            : "something is not finite, but was when repeated");
    }
    snprintf(text, sizeof text,
             "%s is not finite: no update, %lld of at most %lld in a row; the batch",
             isfinite(loss) ? "a gradient or weight" : "the loss", n, most);
    snprintf(members, sizeof members, "\"in_row\": %lld", n);
    tell_of_batch(l, b, "skip", text, members);
    return true;
}

/* Of a step of several batches, the first one tells where they lie. */
static void watch_spikes(wf_loop *l, const wf_batch *b, double loss)
{
    char text[250], members[120];
    double median, deviations = wf_loop_deviations(l, loss, &median);
    if (l->o->spike <= 0 || deviations <= l->o->spike) return;
    snprintf(text, sizeof text,
             "loss %.4f is %.1f deviations above the median %.4f of late; %s batch", loss,
             deviations, median, l->task->accumulate > 1 ? "its first" : "the");
    snprintf(members, sizeof members, "\"loss\": %.6g, \"median\": %.6g, \"deviations\": %.4g",
             loss, median, deviations);
    tell_of_batch(l, b, "spike", text, members);
}

/* One batch of a step; what it brought is added to *now, the loss as a sum by weight. */
static bool run(wf_loop *l, wf_batch *b, wf_progress_step *now)
{
    const wf_task *t = l->task;
    if (!t->next(t->driver, b)) return false;
    if (t->accumulate > 1 && wf_set(t->train, "items", (float)b->weight) != WF_OK) return fail(l);
    if (wf_run(t->train) != WF_OK) return fail(l);
    l->step = now->step;
    double loss = (double)wf_scalar(t->train, "loss");
    if (l->o->nonfinite != WF_STEP_OFF && isnan(wf_scalar(t->train, "nonfinite")))
        return skip(l, b, loss);
    l->skipped_in_row = 0;
    if (!isfinite(loss)) return complain_of_loss(l, loss);
    now->tokens += b->items;
    now->loss += loss * (t->accumulate > 1 ? b->weight : 1);
    now->hits += (double)wf_scalar(t->train, "hits");
    now->labels += b->weight;
    return true;
}

/* Among several batches, another one takes the place of one that is skipped. */
static bool step(wf_loop *l)
{
    const wf_task *t = l->task;
    wf_batch b = {0}, first = {0};
    wf_progress_step mean, now = {.step = l->step + 1};
    double rate = t->rate(t->driver, l->step);
    if (wf_set(t->train, "lr", (float)rate) != WF_OK) return fail(l);
    int done = 0, runs = 0;
    do {
        int64_t skipped = l->skipped;
        if (!run(l, &b, &now)) return false;
        if (runs++ == 0) first = b;
        if (l->skipped > skipped && t->accumulate <= 1) return true;
        done += l->skipped == skipped;
    } while (done < t->accumulate);
    if (t->accumulate > 1 && now.labels > 0) now.loss /= now.labels;
    wf_curve_add(&l->losses, (double)l->step, now.loss);
    watch_spikes(l, &first, now.loss);
    if (wf_progress_add(&l->progress, &now, &mean)) wf_loop_tell_step(l, &mean, rate, b.epoch);
    return true;
}

static bool save(wf_loop *l)
{
    wf_progress_break(&l->progress);
    if (!l->task->save(l->task->driver)) return false;
    l->saved = l->step;
    wf_loop_log(l, "save", "\"step\": %lld", (long long)l->step);
    return true;
}

bool wf_loop_run(wf_loop *l)
{
    const wf_loop_options *o = l->o;
    double limit = isnan(o->minutes) ? 0 : 60 * o->minutes;
    l->progress = wf_progress_new(l->step, o->steps, o->show_every, limit);
    l->progress.items = l->task->items;
    if (l->saved < 0 && !evaluate(l)) return false; /* what there is to improve */
    while (l->step < o->steps && !wf_stop_asked() && !is_stale(l)) {
        if (!step(l)) return false;
        if (l->step % o->eval_every == 0 && !evaluate(l)) return false;
        if (l->step % o->save_every == 0 && !save(l)) return false;
        if (limit > 0 && wf_seconds() - l->progress.began >= limit) break;
    }
    wf_progress_break(&l->progress);
    if (is_stale(l)) tell_stale(l);
    /* Who asks to stop wants it soon. */
    if (!wf_stop_asked() && !evaluate(l)) return false;
    return save(l);
}
