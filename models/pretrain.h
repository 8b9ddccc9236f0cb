/* Pre-training of a GAU as a masked language model: what the driver's files share. */
#ifndef WF_MODELS_PRETRAIN_H
#define WF_MODELS_PRETRAIN_H

#include "models/args.h"
#include "models/common.h"
#include "models/gau_options.h"
#include "models/loop.h"
#include "models/mlm.h"
#include "models/samples.h"

typedef struct wf_pretrain_options {
    wf_gau_options model;
    wf_train_options training;
    wf_loop_options loop;
    wf_arg_list text;
    const char *vocab, *words, *out, *trace, *explain, *init, *schedule;
    int64_t batch, max_len, warmup, held_out, seed, threads;
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

    wf_task task;
    wf_loop loop;
    int lock; /* on the folder; -1: none */
} wf_pretrain;

/* One line on stderr; returns false, as all of these do after one. */
bool wf_pretrain_fail(const wf_pretrain *p);

/* ---- pretrain_save.c ---- */

/* Take over a checkpoint, before compiling; after it, that nothing was missing. */
bool wf_pretrain_resume(wf_pretrain *p);
bool wf_pretrain_check_whole(const wf_pretrain *p, int tensors_before);
/* Take over the weights of --init, after compiling. */
bool wf_pretrain_init(wf_pretrain *p);
/* For the loop: save all files, nothing if the weights are not finite; the weights of the best
 * evaluation. */
bool wf_pretrain_save(void *driver);
bool wf_pretrain_save_best(void *driver);

/* ---- pretrain_task.c ---- */

/* What the loop is told of this run, but for the program. */
wf_task wf_pretrain_task(wf_pretrain *p);
/* The graph of a training step. */
wf_graph *wf_pretrain_declare(const wf_pretrain *p);
/* A program of it over the run's store, with the batches of m bound. */
wf_status wf_pretrain_compile(const wf_pretrain *p, wf_program **out, const wf_graph *g,
                              const wf_mlm *m, wf_compile_options how);

/* ---- pretrain_report.c ---- */

/* What will be trained, on what; what the compiler did, what the model learned, where it lies. */
void wf_pretrain_begin(const wf_pretrain *p);
bool wf_pretrain_end(wf_pretrain *p);

#endif
