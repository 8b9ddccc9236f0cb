/* Options of the GAU model and of its training. */
#include "models/gau_options.h"

#include "models/common.h"
#include "models/hyper.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <weft/op.h>

#define AT(field) offsetof(wf_gau_options, field)

static const wf_arg gau_args[] = {
    {"layers", WF_ARG_INT, AT(layers), "4", "N", 1, 1000, 0, true, "Gated attention units"},
    {"width", WF_ARG_INT, AT(width), "256", "N", 1, 65536, 0, true, "Width of the hidden states"},
    {"expand", WF_ARG_INT, AT(expand), "512", "N", 1, 262144, 0, true,
     "Width of gate and value, usually twice the width"},
    {"key", WF_ARG_INT, AT(key), "64", "N", 2, 65536, 0, true,
     "Width of query and key, an even number"},
    {"norm", WF_ARG_CHOICE, AT(norm), "softmax_plus", "softmax_plus|softmax|relu2", 0, 0, 0, true,
     "Normalisation of the attention scores"},
    {"min-len", WF_ARG_REAL, AT(min_len), "1", "N", 1, 1e6, 0, true,
     "softmax_plus: shorter sequences are scaled as if they had this length"},
    {"eps", WF_ARG_REAL, AT(eps), "1e-12", "X", 0, 1, 0, true, "Summand inside the RMS norm"},
    {"dropout", WF_ARG_REAL, AT(dropout), "0.1", "X", 0, 1, WF_ARG_BELOW, true,
     "Dropout of embeddings, attention, layer outputs and logits"},
};

#undef AT
#define AT(field) offsetof(wf_train_options, field)

static const wf_arg train_args[] = {
    {"products", WF_ARG_CHOICE, AT(products), "f32", "f32|bf16", 0, 0, 0, true,
     "What products multiply; bf16: operands are rounded, all sums stay float32; faster where the "
     "processor has it"},
    {"optimizer", WF_ARG_CHOICE, AT(optimizer), "tiger",
     "tiger|lion|adamw|sgd|adam|lamb|adafactor|rmsprop|nadam|radam", 0, 0, 0, true,
     "Optimizer; weft optimizers tells their formulas and numbers"},
    {"lr", WF_ARG_REAL, AT(lr), NULL, "X", 0, 0, WF_ARG_ABOVE, true,
     "Learning rate (default: tiger 0.00176, lion 0.0003, adamw 0.001, sgd 0.1, ...)"},
    {"beta", WF_ARG_REAL, AT(beta), NULL, "X", 0, 1, WF_ARG_BELOW, true,
     "Momentum of tiger (default: 0.965), sgd and adafactor (default: 0); average of rmsprop "
     "(default: 0.99)"},
    {"beta1", WF_ARG_REAL, AT(beta1), NULL, "X", 0, 1, WF_ARG_BELOW, true,
     "First moment of lion and the family of adam (default: 0.9)"},
    {"beta2", WF_ARG_REAL, AT(beta2), NULL, "X", 0, 1, WF_ARG_BELOW, true,
     "Second moment of lion (default: 0.99) and the family of adam (default: 0.999)"},
    {"decay", WF_ARG_REAL, AT(decay), NULL, "X", 0, 0, 0, true,
     "Weight decay (default: tiger, adamw and lamb 0.01, others 0)"},
    {"hyper", WF_ARG_TEXT, AT(hyper), NULL, "LIST", 0, 0, 0, true,
     "More numbers of the optimizer, such as amsgrad=yes,eps=1e-6 or accumulate=4"},
    {"clip", WF_ARG_REAL, AT(clip), "0", "X", 0, 0, 0, true,
     "Scale gradients down to this global norm; 0: never"},
    {"memory", WF_ARG_BYTES, AT(memory), "0", "BYTES", 0, 0, 0, false,
     "Most memory for weights, optimizer and values, such as 2GiB or 500MiB; met by computing "
     "values again, with the same results; 0: no limit"},
};

wf_arg_group wf_gau_arg_group(size_t base)
{
    return (wf_arg_group){gau_args, (int)(sizeof gau_args / sizeof *gau_args), base};
}

wf_arg_group wf_train_arg_group(size_t base)
{
    return (wf_arg_group){train_args, (int)(sizeof train_args / sizeof *train_args), base};
}

bool wf_gau_config_make(wf_gau_config *c, const char *command, const wf_gau_options *o,
                        int64_t vocab)
{
    float drop = (float)o->dropout;
    *c = (wf_gau_config){.layers = o->layers,
                         .width = o->width,
                         .expand = o->expand,
                         .key = o->key,
                         .vocab = vocab,
                         .norm = (wf_gau_norm)o->norm,
                         .min_len = (float)o->min_len,
                         .eps = (float)o->eps,
                         .dropout = {drop, drop, drop, drop}};
    if (o->key % 2)
        return wf_complain(command, "--key: expected an even number, got %lld", (long long)o->key);
    const char *wrong = wf_gau_check(c);
    return !wrong || wf_complain(command, "%s", wrong);
}

static const wf_optimizer *chosen(const wf_train_options *o)
{
    static const wf_optimizer *const choices[] = {&wf_tiger, &wf_lion, &wf_adamw,     &wf_sgd,
                                                  &wf_adam,  &wf_lamb, &wf_adafactor, &wf_rmsprop,
                                                  &wf_nadam, &wf_radam};
    return choices[o->optimizer];
}

typedef struct number {
    const char *name;
    double *value;
} number;

enum { NUMBERS = 4 };

/* The numbers that have options of their own. */
static void numbers_of(wf_train_options *o, number n[NUMBERS])
{
    const bool has_beta = wf_hyper_find(chosen(o), "beta") != NULL;
    n[0] = (number){has_beta ? "beta" : "momentum", &o->beta};
    n[1] = (number){"beta1", &o->beta1};
    n[2] = (number){"beta2", &o->beta2};
    n[3] = (number){"decay", &o->decay};
}

/* 0.01 for 0.01f, so that what is shown and kept is what was meant */
static double short_double(float x)
{
    char text[32];
    snprintf(text, sizeof text, "%g", (double)x);
    return strtod(text, NULL);
}

static float *field(const wf_hyper *h, void *hyper)
{
    return (float *)(void *)((char *)hyper + h->offset);
}

void wf_train_options_fill(wf_train_options *o)
{
    const wf_optimizer *optimizer = chosen(o);
    number n[NUMBERS];
    numbers_of(o, n);
    if (isnan(o->lr)) o->lr = short_double(optimizer->lr);
    for (int i = 0; i < NUMBERS; i++) {
        const wf_hyper *h = wf_hyper_find(optimizer, n[i].name);
        if (!h || !isnan(*n[i].value)) continue;
        *n[i].value = short_double(
            *(const float *)(const void *)((const char *)optimizer->defaults + h->offset));
    }
}

bool wf_training_make(wf_training *t, const char *command, wf_train_options *o)
{
    static const char *const options[NUMBERS] = {"beta", "beta1", "beta2", "decay"};
    const wf_optimizer *optimizer = chosen(o);
    number n[NUMBERS];
    numbers_of(o, n);
    for (int i = 0; i < NUMBERS; i++)
        if (!isnan(*n[i].value) && !wf_hyper_find(optimizer, n[i].name))
            return wf_complain(command, "--%s: %s has none (see weft optimizers)", options[i],
                               optimizer->name);
    wf_train_options_fill(o);
    *t = (wf_training){
        .optimizer = optimizer, .minimize = {.clip_norm = (float)o->clip}, .lr = o->lr};
    t->products = (wf_products)o->products;
    memcpy(&t->hyper, optimizer->defaults, optimizer->hyper_size);
    for (int i = 0; i < NUMBERS; i++) {
        const wf_hyper *h = wf_hyper_find(optimizer, n[i].name);
        if (h) *field(h, &t->hyper) = (float)*n[i].value;
    }
    if (o->hyper && !wf_hyper_set(optimizer, &t->hyper, command, o->hyper)) return false;
    if (optimizer == &wf_tiger && t->hyper.tiger.accumulate > 1 && o->clip > 0)
        return wf_complain(command, "--clip: not together with accumulate: it would act on the "
                                    "gradient of each run, not on their mean");
    return true;
}
