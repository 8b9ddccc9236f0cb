/*
 * Every optimizer in the forms that are held against golden numbers, each under the name that these
 * have in golden/optimizers.h and, with neither shape nor options of its own, golden/recipes.h.
 */
#ifndef WF_TEST_OPTIM_CASES_H
#define WF_TEST_OPTIM_CASES_H

#include <weft/weft.h>

#define ADAM  .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f
#define TIGER .beta = 0.965f, .decay = 0.01f
#define LAMB  .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-6f, .decay = 0.01f

typedef struct optim_case {
    const char *name;
    const wf_optimizer *optimizer;
    const void *hyper;
    float lr;
    wf_shape shape; /* rank 0: [2,3] */
    wf_role role;
    const wf_minimize_options *options;
    const char *tensor; /* NULL: w */
} optim_case;

#define SGD(label, ...)                                                                            \
    {                                                                                              \
        (label), &wf_sgd, .lr = .1f, __VA_ARGS__                                                   \
    }
#define EMA(label, rank, form_, dims)                                                              \
    SGD(label " " #rank, .tensor = "opt/ema/w/average", .shape = dims,                             \
        .options = &(wf_minimize_options){.ema = .9f, .ema_form = (form_)})
#define LOOKAHEAD(rank, dims)                                                                      \
    SGD("lookahead " #rank, .shape = dims, .options = &(wf_minimize_options){.lookahead = 2})
#define CLIP(label, ...) SGD("clip " label, .options = &(wf_minimize_options){__VA_ARGS__})
#define ADAPTIVE(rank, dims)                                                                       \
    SGD("clip adaptive " #rank, .shape = dims,                                                     \
        .options = &(wf_minimize_options){.clip_adaptive = .3f})
#define ONE                                                                                        \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            6                                                                                      \
        }                                                                                          \
    }
#define TWO                                                                                        \
    {                                                                                              \
        2,                                                                                         \
        {                                                                                          \
            2, 3                                                                                   \
        }                                                                                          \
    }
#define THREE                                                                                      \
    {                                                                                              \
        3,                                                                                         \
        {                                                                                          \
            3, 1, 2                                                                                \
        }                                                                                          \
    }
#define FOUR                                                                                       \
    {                                                                                              \
        4,                                                                                         \
        {                                                                                          \
            1, 3, 1, 2                                                                             \
        }                                                                                          \
    }

static const optim_case optim_cases[] = {
    {"sgd", &wf_sgd, .lr = .1f},
    {"sgd decay", &wf_sgd, &(wf_sgd_hyper){.decay = 0.01f}, .lr = .1f},
    {"sgd momentum", &wf_sgd, &(wf_sgd_hyper){.momentum = 0.9f}, .lr = .1f},
    {"sgd dampened", &wf_sgd, &(wf_sgd_hyper){.momentum = 0.9f, .dampening = 0.5f, .decay = 0.01f},
     .lr = .1f},
    {"sgd nesterov", &wf_sgd,
     &(wf_sgd_hyper){.momentum = 0.9f, .is_nesterov = true, .decay = 0.01f}, .lr = .1f},
    {"sgd average", &wf_sgd, &(wf_sgd_hyper){.momentum = 0.9f, .is_average = true}, .lr = .1f},
    {"adam", &wf_adam, &(wf_adamw_hyper){ADAM}, .lr = .01f},
    {"adam l2", &wf_adam, &(wf_adamw_hyper){ADAM, .decay = 0.1f}, .lr = .01f},
    {"adam amsgrad", &wf_adam,
     &(wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 0.5f, .eps = 1e-8f, .amsgrad = true}, .lr = .01f},
    {"adamw", &wf_adamw, &(wf_adamw_hyper){ADAM, .decay = 0.1f}, .lr = .01f},
    {"adamw amsgrad", &wf_adamw,
     &(wf_adamw_hyper){.beta1 = 0.9f, .beta2 = 0.5f, .eps = 1e-8f, .decay = 0.1f, .amsgrad = true},
     .lr = .01f},
    {"lion", &wf_lion, &(wf_lion_hyper){.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.1f}, .lr = .01f},
    {"lion cautious", &wf_lion,
     &(wf_lion_hyper){.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.1f, .caution = 1}, .lr = .01f},
    {"lion half cautious", &wf_lion,
     &(wf_lion_hyper){.beta1 = 0.9f, .beta2 = 0.99f, .decay = 0.1f, .caution = 0.5f}, .lr = .01f},
    {"tiger basic", &wf_tiger, &(wf_tiger_hyper){TIGER}, .lr = .01f,
     .role = {WF_CUSTOM, .rate = 1, .decay = 1}},
    {"tiger kernel", &wf_tiger, &(wf_tiger_hyper){TIGER}, .lr = .01f},
    {"tiger embedding", &wf_tiger, &(wf_tiger_hyper){TIGER}, .lr = .01f,
     .role = {.kind = WF_EMBEDDING}},
    {"tiger bias or scale", &wf_tiger, &(wf_tiger_hyper){TIGER}, .lr = .01f,
     .role = {.kind = WF_BIAS}},
    {"tiger bias or scale", &wf_tiger, &(wf_tiger_hyper){TIGER}, .lr = .01f,
     .role = {.kind = WF_SCALE}},
    {"lamb", &wf_lamb, &(wf_lamb_hyper){LAMB}, .lr = .01f},
    {"lamb raw", &wf_lamb, &(wf_lamb_hyper){LAMB, .form = WF_LAMB_RAW}, .lr = .01f},
    {"lamb raw", &wf_lamb, &(wf_lamb_hyper){LAMB, .form = WF_LAMB_BERT4KERAS}, .lr = .01f},
    {"lamb raw", &wf_lamb, &(wf_lamb_hyper){LAMB, .form = WF_LAMB_RAW}, .lr = .01f,
     .role = {.kind = WF_BIAS}},
    {"lamb excluded", &wf_lamb, &(wf_lamb_hyper){LAMB, .form = WF_LAMB_BERT4KERAS}, .lr = .01f,
     .role = {.kind = WF_BIAS}},
    {"lamb excluded", &wf_lamb, &(wf_lamb_hyper){LAMB, .form = WF_LAMB_BERT4KERAS}, .lr = .01f,
     .role = {.kind = WF_SCALE}},
    {"lamb limited", &wf_lamb, &(wf_lamb_hyper){LAMB, .max_ratio = 0.75f, .form = WF_LAMB_RAW},
     .lr = .01f},
    {"adafactor", &wf_adafactor, &(wf_adafactor_hyper){.eps = 1e-3f}, .lr = .01f},
    {"adafactor unfactored", &wf_adafactor, &(wf_adafactor_hyper){.eps = 1e-3f, .min_dim = 3},
     .lr = .01f},
    {"adafactor momentum", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .momentum = 0.9f, .decay = 1e-3f}, .lr = .01f},
    {"adafactor momentum, no decay", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .momentum = 0.9f}, .lr = .01f},
    {"adafactor momentum, no decay", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .momentum = 0.9f, .form = WF_ADAFACTOR_HF}, .lr = .01f},
    {"adafactor bert4keras, no decay", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .momentum = 0.9f, .form = WF_ADAFACTOR_BERT4KERAS},
     .lr = .01f},
    {"adafactor unscaled", &wf_adafactor, &(wf_adafactor_hyper){.eps = 1e-3f, .is_unscaled = true},
     .lr = .01f},
    {"adafactor of three axes", &wf_adafactor, &(wf_adafactor_hyper){.eps = 1e-3f}, .lr = .01f,
     .shape = {3, {3, 1, 2}}},
    {"adafactor of two equal axes", &wf_adafactor, &(wf_adafactor_hyper){.eps = 1e-3f}, .lr = .01f,
     .shape = {3, {1, 6, 1}}},
    {"adafactor of a vector", &wf_adafactor, &(wf_adafactor_hyper){.eps = 1e-3f}, .lr = .01f,
     .shape = {1, {6}}},
    {"adafactor hf", &wf_adafactor,
     &(wf_adafactor_hyper){
         .eps = 1e-3f, .momentum = 0.9f, .decay = 0.1f, .min_dim = 128, .form = WF_ADAFACTOR_HF},
     .lr = .01f},
    {"adafactor hf of three axes", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .form = WF_ADAFACTOR_HF}, .lr = .01f,
     .shape = {3, {3, 1, 2}}},
    {"adafactor bert4keras", &wf_adafactor,
     &(wf_adafactor_hyper){
         .eps = 1e-3f, .momentum = 0.9f, .decay = 0.1f, .form = WF_ADAFACTOR_BERT4KERAS},
     .lr = .01f},
    {"adafactor torch", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .decay = 0.1f, .form = WF_ADAFACTOR_TORCH}, .lr = .01f},
    {"adafactor torch, fast", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .form = WF_ADAFACTOR_TORCH}, .lr = .3f},
    {"adafactor torch, vector", &wf_adafactor,
     &(wf_adafactor_hyper){.eps = 1e-3f, .form = WF_ADAFACTOR_TORCH}, .lr = .01f,
     .shape = {1, {6}}},
    {"rmsprop", &wf_rmsprop, &(wf_rmsprop_hyper){.beta = 0.99f, .eps = 1e-8f, .decay = 0.1f},
     .lr = .01f},
    {"rmsprop momentum", &wf_rmsprop,
     &(wf_rmsprop_hyper){.beta = 0.9f, .eps = 1e-8f, .momentum = 0.9f}, .lr = .01f},
    {"rmsprop centred", &wf_rmsprop,
     &(wf_rmsprop_hyper){.beta = 0.9f, .eps = 1e-4f, .is_centred = true}, .lr = .001f},
    {"nadam", &wf_nadam, &(wf_nadam_hyper){ADAM, .decay = 0.1f, .momentum_decay = 4e-3f},
     .lr = .01f},
    {"radam", &wf_radam, &(wf_radam_hyper){ADAM, .decay = 0.1f}, .lr = .01f},
    {"nadam, fast", &wf_nadam, &(wf_nadam_hyper){ADAM, .momentum_decay = 0.5f}, .lr = .01f},
    {"radam, short memory", &wf_radam,
     &(wf_radam_hyper){.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f}, .lr = 1},
    {"radam, long memory", &wf_radam,
     &(wf_radam_hyper){.beta1 = 0.9f, .beta2 = 1 - 0x1p-17f, .eps = 1e-8f}, .lr = .1f},
    CLIP("norm", .clip_norm = 1.5f),
    CLIP("value", .clip_value = .5f),
    CLIP("tensor", .clip_tensor = 1.5f),
    SGD("clip rows", .role = {.kind = WF_EMBEDDING},
        .options = &(wf_minimize_options){.clip_adaptive = .3f}),
    ADAPTIVE(1, ONE),
    ADAPTIVE(2, TWO),
    ADAPTIVE(3, THREE),
    ADAPTIVE(4, FOUR),
    LOOKAHEAD(1, ONE),
    LOOKAHEAD(2, TWO),
    LOOKAHEAD(4, FOUR),
    {"lookahead adam", &wf_adam, .lr = .01f,
     .options = &(wf_minimize_options){.lookahead = 5, .lookahead_alpha = .8f}},
    EMA("ema", 1, WF_EMA_DEBIASED, ONE),
    EMA("ema", 2, WF_EMA_DEBIASED, TWO),
    EMA("ema", 4, WF_EMA_DEBIASED, FOUR),
    EMA("ema from start", 1, WF_EMA_FROM_START, ONE),
    EMA("ema from start", 2, WF_EMA_FROM_START, TWO),
    EMA("ema from start", 4, WF_EMA_FROM_START, FOUR),
    SGD("ema long", .tensor = "opt/ema/w/average", .options = &(wf_minimize_options){.ema = .999f}),
    SGD("ema warm", .tensor = "opt/ema/w/average",
        .options = &(wf_minimize_options){.ema = .9f, .ema_warmup = true}),
    SGD("ema warm from start", .tensor = "opt/ema/w/average",
        .options =
            &(wf_minimize_options){.ema = .9f, .ema_form = WF_EMA_FROM_START, .ema_warmup = true}),
};

enum { OPTIM_CASES = sizeof optim_cases / sizeof *optim_cases };

#endif
