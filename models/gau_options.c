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
#define STORED    "f32|f16|bf16"

static const wf_arg train_args[] = {
    {"products", WF_ARG_CHOICE, AT(products), "f32", "f32|bf16", 0, 0, 0, true,
     "What products multiply; bf16: operands are rounded, all sums stay float32; faster where the "
     "processor has it"},
    {"weights", WF_ARG_CHOICE, AT(weights), "f32", STORED, 0, 0, 0, true,
     "How kernels and embeddings are stored; 16 bits are half the memory, updates are rounded by "
     "chance so that small steps count, arithmetic stays float32"},
    {"states", WF_ARG_CHOICE, AT(states), "f32", STORED, 0, 0, 0, true,
     "How what the optimizer keeps of these is stored; with f16, squares of gradients are bf16, "
     "for f16 has not their range"},
    {"activations", WF_ARG_CHOICE, AT(activations), "f32", STORED, 0, 0, 0, true,
     "How large values wait for the backward pass, if all must fit at that time"},
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
    {"clip", WF_ARG_TEXT, AT(clip), "0", "LIST", 0, 0, 0, true,
     "Scale gradients down to this norm of all together (0: never); or several of norm=X, value=X "
     "(elements to -X..X), tensor=X (each tensor's norm), adaptive=X (norm of a unit to X times "
     "that of its weights)"},
    {"accumulate", WF_ARG_INT, AT(accumulate), "1", "K", 1, 1 << 24, 0, true,
     "Batches of a step, whose mean gradient, a label as much as any other, makes its update; "
     "takes a sum for every parameter (tiger alone can do without: --hyper accumulate=K)"},
    {"group", WF_ARG_LIST, AT(group), NULL, "PATTERN:LIST", 0, 0, 0, true,
     "Parameters of such names (*/bias) or of such a role (role:kernel, embedding, bias, scale, "
     "custom) are trained otherwise: rate=X (times the rate), decay=X, clip=none, clip=value=X and "
     "such, frozen, lazy; may be repeated"},
    {"lookahead", WF_ARG_TEXT, AT(lookahead), NULL, "K:ALPHA", 0, 0, 0, true,
     "After every K steps go back to where they began, and from there the part ALPHA of the way, "
     "such as 5:0.5"},
    {"ema", WF_ARG_REAL, AT(ema), "0", "X", 0, 1, WF_ARG_BELOW, true,
     "Keep the average of the weights over steps, X of the old one and 1-X of the weights; "
     "evaluation and model.safetensors are of the average; 0: none"},
    {"ema-form", WF_ARG_CHOICE, AT(ema_form), "debiased", "debiased|start", 0, 0, 0, true,
     "The average begins with the first step, or with the weights before it"},
    {"ema-warmup", WF_ARG_FLAG, AT(ema_warmup), NULL, NULL, 0, 0, 0, true,
     "In step t the average keeps at most (1+t)/(10+t) of the old one"},
    {"memory", WF_ARG_BYTES, AT(memory), "0", "BYTES", 0, 0, 0, false,
     "Most memory of the program: weights, optimizer and values; not the text, and not the rest of "
     "the process. KiB, MiB, GiB or TiB, such as 1.5GiB; met by computing values again, with the "
     "same results; 0: no limit"},
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

static bool lookahead_parse(wf_minimize_options *m, const char *command, const char *text)
{
    int every = 0, end = 0;
    float alpha = 0;
    if (sscanf(text, "%d:%f%n", &every, &alpha, &end) < 2 || text[end] || every < 1 ||
        every > 1 << 24 || !(alpha > 0 && alpha <= 1))
        return wf_complain(command,
                           "--lookahead: expected steps and a part of 1, such as 5:0.5, "
                           "got '%s'",
                           text);
    m->lookahead = every;
    m->lookahead_alpha = alpha;
    return true;
}

/* Does any gradient get clipped? */
static bool clips(const wf_minimize_options *m)
{
    float sum = m->clip_norm + m->clip_value + m->clip_tensor + m->clip_adaptive;
    for (int i = 0; i < m->n_groups; i++) {
        const wf_param_group *k = &m->groups[i];
        sum += k->clip_norm + k->clip_value + k->clip_tensor + k->clip_adaptive;
    }
    return sum > 0;
}

static bool make_minimize(wf_training *t, const char *command, const wf_train_options *o)
{
    wf_minimize_options *m = &t->minimize;
    *m = (wf_minimize_options){.accumulate = (int)o->accumulate,
                               .ema = (float)o->ema,
                               .ema_form = (wf_ema_form)o->ema_form,
                               .ema_warmup = o->ema_warmup,
                               .groups = t->groups,
                               .n_groups = o->group.n};
    if (o->group.n > WF_GROUPS)
        return wf_complain(command, "--group: expected at most %d", (int)WF_GROUPS);
    for (int i = 0; i < o->group.n; i++)
        if (!wf_group_parse(&t->groups[i], t->patterns[i], command, o->group.item[i])) return false;
    if (!wf_clip_parse(m, command, o->clip)) return false;
    if (o->lookahead && !lookahead_parse(m, command, o->lookahead)) return false;
    if (o->ema == 0 && (o->ema_form || o->ema_warmup))
        return wf_complain(command, "--ema-%s: needs --ema", o->ema_form ? "form" : "warmup");
    if (t->optimizer != &wf_tiger || t->hyper.tiger.accumulate <= 1) return true;
    if (o->accumulate > 1)
        return wf_complain(command, "--accumulate: not together with --hyper accumulate");
    return !clips(m) ||
           wf_complain(command, "--clip: not together with --hyper accumulate: it would act on the "
                                "gradient of each run, not on their mean (--accumulate keeps one)");
}

/* Of a choice among STORED. */
static wf_dtype stored(int choice)
{
    static const wf_dtype types[] = {WF_F32, WF_F16, WF_BF16};
    return types[choice];
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
    *t = (wf_training){.optimizer = optimizer, .lr = o->lr};
    t->products = (wf_products)o->products;
    t->weights = stored(o->weights);
    t->states = stored(o->states);
    t->activations = stored(o->activations);
    memcpy(&t->hyper, optimizer->defaults, optimizer->hyper_size);
    for (int i = 0; i < NUMBERS; i++) {
        const wf_hyper *h = wf_hyper_find(optimizer, n[i].name);
        if (h) *field(h, &t->hyper) = (float)*n[i].value;
    }
    if (o->hyper && !wf_hyper_set(optimizer, &t->hyper, command, o->hyper)) return false;
    return make_minimize(t, command, o);
}

void wf_training_compile(const wf_training *t, wf_compile_options *how)
{
    how->products = t->products;
    how->weights = t->weights;
    how->states = t->states;
    how->activations = t->activations;
}
