/* The options of every driver that builds a GAU, and what they make. */
#ifndef WF_MODELS_GAU_OPTIONS_H
#define WF_MODELS_GAU_OPTIONS_H

#include "models/args.h"
#include "models/gau.h"
#include "models/groups.h"

typedef struct wf_gau_options {
    int64_t layers, width, expand, key;
    int norm;
    double min_len, eps, dropout;
} wf_gau_options;

/* A group for wf_command.groups; base is where the struct lies in the driver's options. */
wf_arg_group wf_gau_arg_group(size_t base);

/* False after one line on stderr. */
bool wf_gau_config_make(wf_gau_config *c, const char *command, const wf_gau_options *o,
                        int64_t vocab);

typedef struct wf_train_options {
    int optimizer, products;
    int weights, states, activations;     /* how they are stored */
    double lr, beta, beta1, beta2, decay; /* NAN: the optimizer's default */
    const char *hyper;                    /* more of them, "name=value,..." */
    const char *clip, *lookahead;
    wf_arg_list group;
    int64_t accumulate;
    double ema;
    int ema_form;
    bool ema_warmup;
    int64_t memory; /* bytes; 0: no limit */
} wf_train_options;

wf_arg_group wf_train_arg_group(size_t base);

/* What wf_minimize wants. */
typedef struct wf_training {
    const wf_optimizer *optimizer;
    union {
        wf_sgd_hyper sgd;
        wf_adamw_hyper adamw; /* and adam */
        wf_lion_hyper lion;
        wf_tiger_hyper tiger;
        wf_lamb_hyper lamb;
        wf_adafactor_hyper adafactor;
        wf_rmsprop_hyper rmsprop;
        wf_nadam_hyper nadam;
        wf_radam_hyper radam;
    } hyper;
    wf_minimize_options minimize; /* with groups of this struct: it must stay where it is */
    wf_param_group groups[WF_GROUPS];
    char patterns[WF_GROUPS][WF_PATTERN];
    double lr;
    wf_products products;                  /* for wf_compile, ... */
    wf_dtype weights, states, activations; /* ... these too */
} wf_training;

/* Put the optimizer's defaults where nothing was given; NAN stays where it has no such number. */
void wf_train_options_fill(wf_train_options *o);
/* Fills the options too. False after one line on stderr: one that this optimizer does not have. */
bool wf_training_make(wf_training *t, const char *command, wf_train_options *o);
/* What wf_compile is to know of it. */
void wf_training_compile(const wf_training *t, wf_compile_options *how);

#endif
