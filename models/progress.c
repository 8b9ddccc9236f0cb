/* Progress of a training run: step, loss, accuracy, tokens a second, time left. */
#define _GNU_SOURCE
#include "models/common.h"

#include <math.h>
#include <unistd.h>

static const double redraw = 0.2; /* seconds between two drawings on a terminal */

wf_progress wf_progress_new(int64_t first, int64_t total, int64_t every, double seconds_limit)
{
    return (wf_progress){.to = stdout,
                         .items = "tokens",
                         .is_terminal = isatty(STDOUT_FILENO) == 1,
                         .total = total,
                         .every = every,
                         .first = first,
                         .began = wf_seconds(),
                         .shown = wf_seconds(),
                         .drawn = wf_seconds(),
                         .seconds_limit = seconds_limit};
}

static void time_text(double seconds, char *text, size_t size)
{
    long s = seconds > 0 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(text, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(text, size, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(text, size, "%lds", s);
}

static double seconds_left(const wf_progress *p, int64_t step, double now)
{
    double spent = now - p->began;
    double left = spent * (double)(p->total - step) / (double)(step - p->first);
    double limit = p->seconds_limit - spent;
    return p->seconds_limit > 0 && limit < left ? limit : left;
}

static void line_text(wf_progress *p, const wf_progress_step *mean, double now, char *text,
                      size_t size)
{
    char left[32], total[32] = "", hits[40] = "";
    double accuracy = mean->hits / (mean->labels > 0 ? mean->labels : 1);
    time_text(seconds_left(p, mean->step, now), left, sizeof left);
    if (p->total < INT64_MAX) snprintf(total, sizeof total, "/%lld", (long long)p->total);
    if (!isnan(accuracy)) snprintf(hits, sizeof hits, "  accuracy %.2f %%", 100 * accuracy);
    snprintf(text, size, "step %lld%s  loss %.4f%s  %.0f %s/s  %s left", (long long)mean->step,
             total, mean->loss, hits, mean->rate, p->items, left);
}

bool wf_progress_add(wf_progress *p, const wf_progress_step *now, wf_progress_step *mean)
{
    double t = wf_seconds();
    p->tokens += now->tokens;
    p->loss += now->loss * now->labels;
    p->hits += now->hits;
    p->labels += now->labels;
    bool is_due = now->step % p->every == 0 || now->step == p->total;
    if (!is_due && !(p->is_terminal && t - p->drawn >= redraw)) return false;

    *mean = (wf_progress_step){.step = now->step,
                               .tokens = p->tokens,
                               .loss = p->labels > 0 ? p->loss / p->labels : 0,
                               .hits = p->hits,
                               .labels = p->labels,
                               .rate = (p->tokens - p->tokens_shown) /
                                       (t > p->shown ? t - p->shown : 1e-9)};
    char text[200];
    line_text(p, mean, t, text, sizeof text);
    if (p->is_terminal)
        fprintf(p->to, "\r%s\033[K", text); /* clears what an older, longer line left */
    else
        fprintf(p->to, "%s\n", text);
    fflush(p->to);
    p->drawn = t;
    p->is_open = p->is_terminal;
    if (!is_due) return false;
    p->shown = t;
    p->tokens_shown = p->tokens;
    p->loss = p->hits = p->labels = 0;
    return true;
}

void wf_progress_break(wf_progress *p)
{
    if (p->is_open) fputc('\n', p->to);
    p->is_open = false;
}
