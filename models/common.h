/* What drivers share: stopping on a signal, learning-rate schedules, progress, folders. */
#ifndef WF_MODELS_COMMON_H
#define WF_MODELS_COMMON_H

#include "models/args.h"
#include <stdio.h>
#include <weft/weft.h>

/* One line on stderr, "command: text". Returns false. */
bool wf_complain(const char *command, const char *format, ...) WF_PRINTF(2, 3);

double wf_seconds(void); /* of a clock that never jumps */

/* From now on the first SIGINT, SIGTERM or SIGHUP only asks to stop; the second one kills. A reader
 * of our output that goes away does not stop us (no SIGPIPE). nohup keeps its meaning. */
void wf_stop_on_signals(void);
bool wf_stop_asked(void);

/* wf_schedule_read of --schedule; total INT64_MAX: there is none. False after one line on stderr.
 */
bool wf_schedule_option(wf_schedule *s, const char *command, const char *text, int64_t warmup,
                        int64_t total);

/* Progress: one line that rewrites itself on a terminal, else a plain line every now and then. */
typedef struct wf_progress {
    FILE *to;
    const char *items;         /* what is counted in a second, such as "tokens" */
    bool is_terminal, is_open; /* open: the cursor stands behind an unfinished line */
    int64_t total, every;      /* steps of the run (INT64_MAX: no limit) and between plain lines */
    int64_t first;             /* step at which this process began */
    double began, shown, drawn, tokens, tokens_shown;
    double seconds_limit;      /* 0: none */
    double loss, hits, labels; /* summed since the last line */
} wf_progress;

typedef struct wf_progress_step {
    int64_t step;                      /* finished steps */
    double tokens, loss, hits, labels; /* of this step; loss is the mean over labels; hits are NAN
                                          where there is no accuracy */
    double rate;                       /* of a mean: tokens a second */
} wf_progress_step;

wf_progress wf_progress_new(int64_t first, int64_t total, int64_t every, double seconds_limit);
/* True if a line was due: *mean is then the mean since the last one. */
bool wf_progress_add(wf_progress *p, const wf_progress_step *now, wf_progress_step *mean);
/* End an unfinished line, so that something else can be printed. */
void wf_progress_break(wf_progress *p);

/* Make a folder and those above it. False after one line on stderr. */
bool wf_make_folder(const char *command, const char *path);
/* Lock a folder against other runs in it, until *lock is closed or the process ends, and remove
 * what a killed run has left half written of these files (the list ends with NULL). *lock is -1 if
 * there is no such folder. False after one line on stderr. */
bool wf_lock_folder(const char *command, const char *path, const char *const *files, int *lock);
/* One line of warning where products in bf16 are asked for and are no faster. */
void wf_warn_of_products(const char *command, wf_products products, const wf_runtime *rt);
/* wf_program_explain as a page in a file. */
wf_status wf_explain_to(const wf_program *p, const char *path);
/* "folder/name", malloc'ed; NULL: out of memory. */
char *wf_path_join(const char *folder, const char *name);

#endif
