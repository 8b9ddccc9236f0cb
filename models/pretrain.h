/* Pre-training of a GAU as a masked language model: what the driver's files share. */
#ifndef WF_MODELS_PRETRAIN_H
#define WF_MODELS_PRETRAIN_H

#include "models/args.h"
#include "models/common.h"
#include "models/gau_options.h"

typedef struct wf_pretrain_options {
    wf_gau_options model;
    wf_train_options training;
    wf_arg_list text;
    const char *vocab, *out, *log, *trace, *init, *schedule;
    int64_t steps, batch, max_len, warmup, held_out, seed, threads;
    int64_t show_every, eval_every, save_every;
    double minutes;
    int masking, anneal;
    bool resume, overwrite;
} wf_pretrain_options;

wf_command wf_pretrain_command(void);
/* What the table cannot check: what belongs together. False after one line on stderr. */
bool wf_pretrain_check(wf_pretrain_options *o);
/* False after one line on stderr. */
bool wf_pretrain_schedule(wf_schedule *s, const wf_pretrain_options *o);

#endif
