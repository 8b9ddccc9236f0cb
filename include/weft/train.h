/*
 * weft/train.h - how a loss is minimized: groups of parameters, clipping, averages; the optimizers
 * and their numbers; schedules of the learning rate. Part of weft.h, which includes it.
 */
#ifndef WEFT_TRAIN_H
#define WEFT_TRAIN_H

#include <weft/weft.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters that are trained otherwise: those whose name and role both fit. A parameter that fits
 * two groups is a mistake, and so is a group that no trained parameter fits. */
typedef struct wf_param_group {
    const char *pattern; /* of names, as a shell's of files: "*norm*"; NULL: all */
    unsigned roles;      /* such as 1u << WF_BIAS | 1u << WF_SCALE; 0: all */
    float rate;          /* multiplies the learning rate; 0: 1 */
    float decay;         /* in place of the optimizer's; 0: that one */
    bool no_decay;
    /* Any of these, or no_clip: in place of the clipping of all; the norm is that of this group. */
    float clip_norm, clip_value, clip_tensor, clip_adaptive;
    bool no_clip, frozen; /* frozen: not trained at all, nothing is stored or changed */
    bool lazy; /* rows (of the last axis) whose gradient is 0 stay; their state goes on */
} wf_param_group;

/* e <- ema e + (1 - ema) w: from zeros, over the sum of the factors; or from the first weights. */
typedef enum wf_ema_form { WF_EMA_DEBIASED, WF_EMA_FROM_START } wf_ema_form;

typedef struct wf_minimize_options {
    /* Clipping of the gradients that make an update; of those that are not 0, in this order: */
    float clip_value;    /* elements to -x..x */
    float clip_adaptive; /* a unit's norm to x max(norm of its weights, 1e-3) (Brock et al. 2021) */
    float clip_tensor;   /* each gradient's norm to x */
    float clip_norm;     /* the norm of all gradients together to x */
    int accumulate;      /* runs whose gradients' mean makes one update; 0: 1 */
    wf_node *items;      /* how many items a run's loss is the mean of, its weight; NULL: equal */
    int lookahead;       /* updates, then back and the part alpha of the way (Zhang et al. 2019) */
    float lookahead_alpha; /* 0: 0.5 */
    float ema; /* keep averages of the weights, for wf_compile_options.averages; 0: no */
    wf_ema_form ema_form;
    bool ema_warmup;     /* in update t = 1, 2, ... at most (1 + t) / (10 + t) in place of ema */
    const char *lr_name; /* name of the learning-rate input; NULL: "lr" */
    const wf_param_group *groups; /* copied */
    int n_groups;
    /* Where the loss, a gradient or a parameter has a NaN or an infinity, the run changes neither
     * parameters nor states. The output "nonfinite" tells: 0, or NaN after such a run. A parameter
     * that the run itself makes infinite, such as one that f16 cannot hold, stops the next one. */
    bool skip_nonfinite;
} wf_minimize_options;

/* Train all parameters that loss depends on; each by one request only (add losses up). The learning
 * rate is an input of the program named "lr": wf_set it before each run. hyper NULL: the
 * optimizer's defaults; options NULL: none. */
WF_API void wf_minimize(wf_node *loss, const wf_optimizer *optimizer, const void *hyper,
                        const wf_minimize_options *options);

/* ---- optimizers ------------------------------------------------------------------------- */

/* The file of an optimizer has its formula; the number of the step in it goes on beyond 2^31, to
 * the digits of a float. decay of sgd, adam and rmsprop is added to the gradient (L2), that of the
 * others is decoupled. */
typedef struct wf_sgd_hyper {
    float momentum, decay;
    float dampening;  /* of the gradient in the momentum, from the second step on */
    bool is_nesterov; /* needs a momentum and no dampening */
    bool is_average;  /* b = momentum b + (1 - momentum) g */
} wf_sgd_hyper;
typedef struct wf_adamw_hyper { /* also of wf_adam */
    float beta1, beta2, eps, decay;
    bool amsgrad; /* divide by the largest second moment so far */
} wf_adamw_hyper;
typedef struct wf_lion_hyper {
    float beta1, beta2, decay;
    float caution; /* 1: steps against the gradient are left out; 0: as published */
} wf_lion_hyper;
/* Which gradients Tiger skips, tensor by tensor; it counts them in the state "skipped". */
typedef enum wf_nonfinite { WF_SKIP_NONE, WF_SKIP_NAN, WF_SKIP_NAN_OR_INF } wf_nonfinite;
typedef struct wf_tiger_hyper {
    float beta, decay;
    float rms_floor;        /* least RMS(parameter) in the rate; 0 as published */
    int accumulate;         /* as that of wf_minimize_options but without a buffer: runs count the
                               same, and nothing can be clipped, since no mean is ever there */
    wf_nonfinite nonfinite; /* default: NAN_OR_INF, a pass over the gradient; published: NAN */
    float shrink;           /* what a skipped tensor is shrunk by; 0: 0.99 */
    float peak;             /* sign(m) |m|^(1 - lr / peak) in place of sign(m); 0: sign(m) */
} wf_tiger_hyper;

typedef enum wf_lamb_form { WF_LAMB_OPTAX, WF_LAMB_RAW, WF_LAMB_BERT4KERAS } wf_lamb_form;
typedef struct wf_lamb_hyper {
    float beta1, beta2, eps, decay;
    float max_ratio; /* of the norms of parameter and step; 0: no limit */
    wf_lamb_form form;
} wf_lamb_hyper;
typedef enum wf_adafactor_form {
    WF_ADAFACTOR_OPTAX,
    WF_ADAFACTOR_HF,
    WF_ADAFACTOR_BERT4KERAS,
    WF_ADAFACTOR_TORCH,
} wf_adafactor_form;
typedef struct wf_adafactor_hyper {
    float momentum, decay; /* optax: the decay is not multiplied by the rate */
    float eps;             /* least RMS(parameter) in the rate */
    bool is_unscaled;      /* RMS(parameter) is no factor of the rate */
    int min_dim;           /* optax, bert4keras: smaller matrices are not factored */
    wf_adafactor_form form;
} wf_adafactor_hyper;
typedef struct wf_rmsprop_hyper {
    float beta, eps, momentum, decay;
    bool is_centred;
} wf_rmsprop_hyper;
typedef struct wf_nadam_hyper {
    float beta1, beta2, eps, decay, momentum_decay;
} wf_nadam_hyper;
typedef struct wf_radam_hyper {
    float beta1, beta2, eps, decay;
} wf_radam_hyper;

WF_API extern const wf_optimizer wf_sgd, wf_adam, wf_adamw, wf_lion, wf_tiger, wf_lamb,
    wf_adafactor, wf_rmsprop, wf_nadam, wf_radam;
WF_API const wf_optimizer *wf_optimizer_find(const char *name); /* NULL if there is none */
WF_API const wf_optimizer *wf_optimizer_at(int i);              /* NULL behind the last */

/* ---- schedules -------------------------------------------------------------------------- */

/* Learning-rate schedules: what lr is multiplied by at step n = 0, 1, ..., before it; a function of
 * n alone, so that a stopped run goes on from its n. A step is what the caller counts. In the
 * drivers that is an update; but where tiger accumulates by itself it is a run (a micro-step of
 * bert4keras). */
typedef struct wf_knot {
    int64_t step;
    double value;
} wf_knot;
enum { WF_SCHEDULE_NUMBERS = 8, WF_SCHEDULE_KNOTS = 17 };
typedef struct wf_schedule {
    const struct wf_schedule_kind *kind; /* optim/schedules.c has the formulas */
    double number[WF_SCHEDULE_NUMBERS];  /* in the order of the kind's table */
    wf_knot knot[WF_SCHEDULE_KNOTS];
    int n_knots;
} wf_schedule;
/* From "cosine,warmup=100,end=0.1" or, piecewise linear from 0 at step 0, "40000:1,160000:0.5".
 * warmup, total: these numbers where the text does not give them; total 0: then it must. */
WF_API wf_status wf_schedule_read(wf_schedule *s, const char *text, int64_t warmup, int64_t total);
/* Linear between up to 16 knots of rising steps, constant behind the last. Before a first one that
 * is not at step 0: from (0, 0), else as the first. */
WF_API wf_status wf_schedule_piecewise(wf_schedule *s, int n, const wf_knot knots[],
                                       bool from_zero);
WF_API double wf_schedule_at(const wf_schedule *s, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
