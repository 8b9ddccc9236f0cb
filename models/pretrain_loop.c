/* The steps of a pre-training run. */
#include "models/pretrain.h"

#include <math.h>

enum { EVALUATION_BATCHES = 32 };

static bool complain_of_loss(const wf_pretrain *p, double loss)
{
    return wf_pretrain_complain_of(p, isnan(loss) ? "the loss is not a number"
                                                  : "the loss is infinite");
}

/* JSON has no infinity: only finite numbers may be logged. */
static bool evaluate(wf_pretrain *p, wf_progress *progress)
{
    if (p->evaluated == p->step) return true;
    wf_mlm *m = &p->held_out;
    double loss = 0, hits = 0, labels = 0;
    wf_mlm_seek(m, 0, 0);
    for (int i = 0; i < EVALUATION_BATCHES && m->epoch == 0; i++) {
        wf_mlm_next(m);
        if (wf_run(p->evaluate) != WF_OK) return wf_pretrain_fail(p);
        loss += (double)wf_scalar(p->evaluate, "loss") * (double)m->n_labels;
        hits += (double)wf_scalar(p->evaluate, "hits");
        labels += (double)m->n_labels;
    }
    if (labels > 0) loss /= labels;
    if (!isfinite(loss)) return complain_of_loss(p, loss);
    double accuracy = labels > 0 ? hits / labels : 0;
    wf_progress_break(progress);
    printf("step %lld  held-out loss %.4f  accuracy %.2f %%\n", (long long)p->step, loss,
           100 * accuracy);
    fflush(stdout);
    wf_pretrain_log(p, "evaluation", "\"step\": %lld, \"loss\": %.6g, \"accuracy\": %.6g",
                    (long long)p->step, loss, accuracy);
    wf_curve_add(&p->held_out_losses, (double)p->step, loss);
    p->evaluated = p->step;
    return true;
}

static void show(const wf_pretrain *p, wf_progress *progress, const wf_progress_step *now,
                 double rate)
{
    wf_progress_step mean;
    if (!wf_progress_add(progress, now, &mean)) return;
    wf_pretrain_log(p, "step",
                    "\"step\": %lld, \"loss\": %.6g, \"accuracy\": %.6g, \"lr\": %.6g, "
                    "\"epoch\": %lld, \"tokens\": %.0f, \"tokens_per_second\": %.1f, "
                    "\"seconds\": %.3f",
                    (long long)mean.step, mean.loss, mean.labels > 0 ? mean.hits / mean.labels : 0,
                    rate, (long long)p->data.epoch, mean.tokens, mean.rate,
                    wf_seconds() - progress->began);
}

static bool step(wf_pretrain *p, wf_progress *progress)
{
    wf_mlm *m = &p->data;
    double rate = p->training.lr * wf_schedule_at(&p->schedule, p->step);
    wf_mlm_next(m);
    if (wf_set(p->train, "lr", (float)rate) != WF_OK || wf_run(p->train) != WF_OK)
        return wf_pretrain_fail(p);
    p->step++;
    double loss = (double)wf_scalar(p->train, "loss");
    if (!isfinite(loss)) {
        wf_progress_break(progress);
        return complain_of_loss(p, loss);
    }
    wf_curve_add(&p->losses, (double)p->step, loss);
    wf_progress_step now = {.step = p->step,
                            .tokens = (double)m->n_tokens,
                            .loss = loss,
                            .hits = (double)wf_scalar(p->train, "hits"),
                            .labels = (double)m->n_labels};
    show(p, progress, &now, rate);
    return true;
}

static bool save(wf_pretrain *p, wf_progress *progress)
{
    wf_progress_break(progress);
    return wf_pretrain_save(p);
}

bool wf_pretrain_loop(wf_pretrain *p)
{
    const wf_pretrain_options *o = p->o;
    double limit = isnan(o->minutes) ? 0 : 60 * o->minutes;
    wf_progress progress = wf_progress_new(p->step, o->steps, o->show_every, limit);
    if (p->saved < 0 && !evaluate(p, &progress)) return false; /* what there is to improve */
    while (p->step < o->steps && !wf_stop_asked()) {
        if (!step(p, &progress)) return false;
        if (p->step % o->eval_every == 0 && !evaluate(p, &progress)) return false;
        if (p->step % o->save_every == 0 && !save(p, &progress)) return false;
        if (limit > 0 && wf_seconds() - progress.began >= limit) break;
    }
    wf_progress_break(&progress);
    /* Who asks to stop wants it soon. */
    if (!wf_stop_asked() && !evaluate(p, &progress)) return false;
    return save(p, &progress);
}
