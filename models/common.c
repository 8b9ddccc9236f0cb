/* Complaints, signals: small things that every driver needs. */
#define _GNU_SOURCE
#include "models/common.h"

#include "io/file.h"
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

void wf_warn_of_products(const char *command, wf_products products, const wf_runtime *rt)
{
    if (products == WF_PRODUCTS_BF16 && !wf_runtime_has_bf16(rt))
        wf_complain(command, "warning: --products bf16 is not faster on this processor");
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
