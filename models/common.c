/* Complaints, signals, schedules: small things that every driver needs. */
#define _GNU_SOURCE
#include "models/common.h"

#include "io/file.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool wf_complain(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", command);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

double wf_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

wf_status wf_explain_to(const wf_program *p, const char *path)
{
    char *page = wf_program_explain(p, &(wf_explain_options){.html = true});
    wf_out out;
    wf_status s = page ? wf_out_open(&out, path) : WF_ENOMEM;
    if (s == WF_OK) {
        fputs(page, out.file); /* what fails here, commit finds */
        s = wf_out_commit(&out);
    }
    free(page);
    return s;
}

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

void wf_stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction old;
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool wf_stop_asked(void)
{
    return stop_asked != 0;
}

/* One "step:value" at *text, which moves behind it and its comma. */
static bool read_knot(const char **text, wf_knot *k)
{
    char *end;
    errno = 0;
    k->step = strtoll(*text, &end, 10);
    if (end == *text || *end != ':' || errno || k->step < 0) return false;
    const char *value = end + 1;
    k->value = strtod(value, &end);
    if (end == value || !isfinite(k->value) || k->value < 0) return false;
    if (*end == ',' && end[1])
        end++;
    else if (*end)
        return false;
    *text = end;
    return true;
}

bool wf_schedule_parse(wf_schedule *s, const char *command, const char *text)
{
    const int room = (int)(sizeof s->knots / sizeof *s->knots);
    *s = (wf_schedule){0};
    for (const char *p = text; *p;) {
        wf_knot *k = &s->knots[s->n_knots];
        if (s->n_knots == room || !read_knot(&p, k) || (s->n_knots > 0 && k->step <= k[-1].step)) {
            s->n_knots = 0;
            break;
        }
        s->n_knots++;
    }
    if (s->n_knots > 0) return true;
    return wf_complain(
        command,
        "--schedule: expected step:multiplier pairs with rising steps, at most %d, such as "
        "40000:1,160000:0.5, got '%s'",
        room, text);
}

wf_schedule wf_schedule_simple(int64_t warmup, bool cosine, int64_t total)
{
    if (cosine) return (wf_schedule){.cosine = true, .warmup = warmup, .total = total};
    return (wf_schedule){.n_knots = 1, .knots = {{warmup, 1.0}}};
}

double wf_schedule_at(const wf_schedule *s, int64_t t)
{
    if (s->cosine) return wf_warmup_cosine(t, s->warmup, s->total, 0);
    return wf_piecewise_linear(t, s->n_knots, s->knots);
}
