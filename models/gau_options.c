/* Options of the GAU model and of its training. */
#include "models/gau_options.h"

#include "models/common.h"
#include <math.h>
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
    {"optimizer", WF_ARG_CHOICE, AT(optimizer), "tiger", "tiger|lion|adamw|sgd", 0, 0, 0, true,
     "Optimizer"},
    {"lr", WF_ARG_REAL, AT(lr), NULL, "X", 0, 0, WF_ARG_ABOVE, true,
     "Learning rate (default: tiger 0.00176, lion 0.0003, adamw 0.001, sgd 0.1)"},
    {"beta", WF_ARG_REAL, AT(beta), NULL, "X", 0, 1, WF_ARG_BELOW, true,
     "Momentum of tiger (default: 0.965) and sgd (default: 0)"},
    {"beta1", WF_ARG_REAL, AT(beta1), NULL, "X", 0, 1, WF_ARG_BELOW, true,
     "First moment of lion and adamw (default: 0.9)"},
    {"beta2", WF_ARG_REAL, AT(beta2), NULL, "X", 0, 1, WF_ARG_BELOW, true,
     "Second moment of lion (default: 0.99) and adamw (default: 0.999)"},
    {"decay", WF_ARG_REAL, AT(decay), NULL, "X", 0, 0, 0, true,
     "Weight decay (default: tiger and adamw 0.01, lion and sgd 0)"},
    {"clip", WF_ARG_REAL, AT(clip), "0", "X", 0, 0, 0, true,
     "Scale gradients down to this global norm; 0: never"},
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

/* What each optimizer has, and what it is when it is not given; in the order of the choices. */
static const struct {
    const wf_optimizer *optimizer;
    double lr, beta, beta1, beta2, decay; /* NAN: it has none */
} optimizers[] = {
    {&wf_tiger, 1.76e-3, 0.965, NAN, NAN, 0.01},
    {&wf_lion, 3e-4, NAN, 0.9, 0.99, 0},
    {&wf_adamw, 1e-3, NAN, 0.9, 0.999, 0.01},
    {&wf_sgd, 0.1, 0, NAN, NAN, 0},
};

static void fill(double *given, double otherwise)
{
    if (isnan(*given)) *given = otherwise;
}

void wf_train_options_fill(wf_train_options *o)
{
    fill(&o->lr, optimizers[o->optimizer].lr);
    fill(&o->beta, optimizers[o->optimizer].beta);
    fill(&o->beta1, optimizers[o->optimizer].beta1);
    fill(&o->beta2, optimizers[o->optimizer].beta2);
    fill(&o->decay, optimizers[o->optimizer].decay);
}

bool wf_training_make(wf_training *t, const char *command, wf_train_options *o)
{
    enum { TIGER, LION, ADAMW, SGD };
    const wf_optimizer *optimizer = optimizers[o->optimizer].optimizer;
    bool has_pair = o->optimizer == LION || o->optimizer == ADAMW;
    const char *unused = has_pair && !isnan(o->beta)     ? "beta"
                         : !has_pair && !isnan(o->beta1) ? "beta1"
                         : !has_pair && !isnan(o->beta2) ? "beta2"
                                                         : NULL;
    if (unused)
        return wf_complain(command, "--%s: of %s only, not of %s", unused,
                           has_pair ? "tiger and sgd" : "lion and adamw", optimizer->name);
    wf_train_options_fill(o);
    *t = (wf_training){.optimizer = optimizer,
                       .minimize = {.clip_norm = (float)o->clip},
                       .lr = o->lr,
                       .products = (wf_products)o->products};
    float beta = (float)o->beta, beta1 = (float)o->beta1, beta2 = (float)o->beta2;
    float decay = (float)o->decay;
    switch (o->optimizer) {
    case TIGER:
        t->hyper.tiger = (wf_tiger_hyper){.beta = beta, .decay = decay};
        break;
    case LION:
        t->hyper.lion = (wf_lion_hyper){beta1, beta2, decay};
        break;
    case ADAMW:
        t->hyper.adamw = (wf_adamw_hyper){beta1, beta2, 1e-8f, decay};
        break;
    case SGD:
        t->hyper.sgd = (wf_sgd_hyper){beta, decay};
        break;
    }
    return true;
}
