/* Pre-training of a GAU as a masked language model: what the driver's files share. */
#ifndef WF_MODELS_PRETRAIN_H
#define WF_MODELS_PRETRAIN_H

#include "models/args.h"
#include "models/common.h"
#include "models/curve.h"
#include "models/gau_options.h"
#include "models/mlm.h"
#include "models/samples.h"

typedef struct wf_pretrain_options {
    wf_gau_options model;
    wf_train_options training;
    wf_arg_list text;
    const char *vocab, *words, *out, *log, *trace, *explain, *init, *schedule;
    int64_t steps, batch, max_len, warmup, held_out, seed, threads;
    int64_t show_every, eval_every, save_every;
    double minutes;
    int masking;
    bool resume, overwrite;
} wf_pretrain_options;

typedef enum wf_masking { WF_MASK_CHARS, WF_MASK_WORDS, WF_MASK_SEGMENTED } wf_masking;

wf_command wf_pretrain_command(void);
/* What the table cannot check: what belongs together. False after one line on stderr. */
bool wf_pretrain_check(wf_pretrain_options *o);

/* A run: two programs, to train and to evaluate, over one store. */
typedef struct wf_pretrain {
    wf_command command;
    const wf_pretrain_options *o;
    wf_gau_config config;
    wf_training training;
    wf_schedule schedule;
    char *checkpoint; /* its path */

    wf_vocab *vocab, *words; /* words: NULL without --words */
    wf_corpus corpus;
    wf_mlm data, held_out;
    wf_samples samples;

    wf_runtime *rt;
    wf_store *store;
    wf_program *train, *evaluate;

    int64_t step, saved,
        evaluated; /* finished steps; those of the last save and evaluation, or -1 */
    wf_curve losses, held_out_losses;
    FILE *log;
    int lock; /* on the folder; -1: none */
} wf_pretrain;

/* One line on stderr; returns false, as all of these do after one. */
bool wf_pretrain_fail(const wf_pretrain *p);
/* A run gone wild: what is wrong, at which step, and what is kept. */
bool wf_pretrain_complain_of(const wf_pretrain *p, const char *what);

/* ---- pretrain_save.c ---- */

/* Take over a checkpoint, before compiling; after it, that nothing was missing. */
bool wf_pretrain_resume(wf_pretrain *p);
bool wf_pretrain_check_whole(const wf_pretrain *p, int tensors_before);
/* Take over the weights of --init, after compiling. */
bool wf_pretrain_init(wf_pretrain *p);
/* Save all files; nothing is written if the weights are not finite. */
bool wf_pretrain_save(wf_pretrain *p);

/* ---- pretrain_loop.c ---- */

bool wf_pretrain_loop(wf_pretrain *p);

/* ---- pretrain_report.c ---- */

/* What will be trained, on what; what the compiler did, what the model learned, where it lies. */
void wf_pretrain_begin(const wf_pretrain *p);
bool wf_pretrain_end(wf_pretrain *p);
/* One JSON object {"event": event, ...} in --log, if there is one. */
void wf_pretrain_log(const wf_pretrain *p, const char *event, const char *format, ...)
    WF_PRINTF(3, 4);

#endif
