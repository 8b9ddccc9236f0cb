/* weft gau fill: a trained model fills the [MASK]s of a sentence. */
#define _GNU_SOURCE
#include "io/file.h"
#include "models/checkpoint.h"
#include "models/common.h"
#include "models/drivers.h"
#include "models/gau_options.h"
#include "models/guess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char command_name[] = "weft gau fill", mask_name[] = "[MASK]";

typedef struct options {
    const char *model;
    int64_t top, threads;
    int products;
    wf_arg_list words;
} options;

#define AT(field) offsetof(options, field)

static const wf_arg args[] = {
    {"model", WF_ARG_TEXT, AT(model), NULL, "DIR", 0, 0, 0, false,
     "Where pretrain has put model.safetensors and vocab.txt (its --out)"},
    {"top", WF_ARG_INT, AT(top), "5", "N", 1, 1000, 0, false, "Guesses shown for each [MASK]"},
    {"products", WF_ARG_CHOICE, AT(products), "f32", "f32|bf16", 0, 0, 0, false,
     "What products multiply; bf16: rounded operands, sums in float32; faster where the processor "
     "has it"},
    {"threads", WF_ARG_INT, AT(threads), "0", "N", 0, 1024, 0, false, "Threads; 0: one a core"},
};

static wf_command command(void)
{
    return (wf_command){
        .name = command_name,
        .usage = "SENTENCE",
        .doc = "Show what a trained model would put in place of each [MASK] of a sentence.",
        .groups = {{args, (int)(sizeof args / sizeof *args), 0}},
        .rest = "sentence", /* unquoted words are one sentence */
        .rest_offset = AT(words),
    };
}

typedef struct filler {
    const options *o;
    char *weights, *words; /* paths */
    wf_store *store;
    wf_vocab *vocab;
    wf_gau_config config;
    wf_runtime *rt;
    wf_program *program;
    char *sentence;
    wf_tokens tokens; /* [CLS] sentence [SEP] */
    int32_t *picks;
    int64_t n_picks;
    float *guess; /* [n_picks, vocab] */
} filler;

static bool fail(void)
{
    return wf_complain(command_name, "%s", wf_error());
}

static bool load(filler *f)
{
    f->weights = wf_path_join(f->o->model, "model.safetensors");
    f->words = wf_path_join(f->o->model, "vocab.txt");
    f->store = wf_store_new(0);
    if (!f->weights || !f->words || !f->store) return wf_complain(command_name, "out of memory");
    if (wf_store_load(f->store, f->weights) != WF_OK) return fail();
    if (wf_vocab_load(&f->vocab, f->words) != WF_OK) return fail();

    wf_gau_options model = {0};
    wf_arg_group group = wf_gau_arg_group(0);
    wf_shape shape = {0};
    if (!wf_config_load(&group, command_name, f->store, f->weights, &model)) return false;
    if (!wf_gau_config_make(&f->config, command_name, &model, wf_vocab_size(f->vocab)))
        return false;
    bool has_table = wf_store_data(f->store, "embeddings/word_embeddings", NULL, &shape) != NULL;
    if (has_table && shape.dim[0] != f->config.vocab)
        return wf_complain(command_name, "%s: expected %lld tokens, as the model has, got %lld",
                           f->words, (long long)shape.dim[0], (long long)f->config.vocab);
    return true;
}

/* The words with blanks between them; malloc'ed, NULL: out of memory. */
static char *join(const wf_arg_list *words)
{
    size_t size = 1;
    for (int i = 0; i < words->n; i++) size += strlen(words->item[i]) + 1;
    char *text = calloc(size, 1), *end = text;
    for (int i = 0; text && i < words->n; i++) {
        if (i > 0) *end++ = ' ';
        end = stpcpy(end, words->item[i]);
    }
    return text;
}

static bool append(wf_tokens *t, const wf_vocab *v, const char *token)
{
    return wf_tokenize(v, token, strlen(token), t) == WF_OK;
}

static bool read_sentence(filler *f)
{
    if (!append(&f->tokens, f->vocab, "[CLS]") || !append(&f->tokens, f->vocab, f->sentence) ||
        !append(&f->tokens, f->vocab, "[SEP]"))
        return fail();
    f->picks = calloc((size_t)f->tokens.n, sizeof *f->picks);
    if (!f->picks) return wf_complain(command_name, "out of memory");
    int32_t mask = wf_vocab_special(f->vocab).mask;
    for (int64_t i = 0; i < f->tokens.n; i++)
        if (f->tokens.id[i] == mask) f->picks[f->n_picks++] = (int32_t)i;
    return true;
}

static bool guess(filler *f)
{
    const int32_t offsets[2] = {0, (int32_t)f->tokens.n};
    wf_question q = {f->tokens.id, offsets, f->picks, f->tokens.n, 1, f->n_picks};
    wf_products products = (wf_products)f->o->products;
    int known = wf_store_count(f->store);
    f->rt = wf_runtime_new(&(wf_runtime_options){.threads = (int)f->o->threads});
    if (!f->rt) return fail();
    wf_warn_of_products(command_name, products, f->rt);
    if (wf_guess_compile(&f->program, &q, &f->config, products, f->store, f->rt) != WF_OK)
        return wf_complain(command_name, "%s: %s", f->weights, wf_error());
    if (!wf_store_fits(f->store, known, f->program, command_name, f->weights)) return false;
    if (wf_guess_answer(&f->guess, f->program, &q, f->config.vocab) != WF_OK) return fail();
    for (int64_t i = 0; i < f->n_picks; i++)
        if (!isfinite(f->guess[i * f->config.vocab]))
            return wf_complain(command_name, "%s: its guesses are not numbers", f->weights);
    return true;
}

/* The sentence as it was typed, with guesses in place of its masks. */
static void print_filled(const filler *f, const int32_t *first)
{
    const char *text = f->sentence;
    for (int64_t i = 0; i < f->n_picks; i++) {
        const char *mask = strstr(text, mask_name);
        const char *token = first[i] >= 0 ? wf_vocab_token(f->vocab, first[i]) : mask_name;
        bool is_inner = !strncmp(token, "##", 2) && token[2];
        printf("%.*s[%s]", (int)(mask - text), text, is_inner ? token + 2 : token);
        text = mask + strlen(mask_name);
    }
    printf("%s\n", text);
}

static bool show(filler *f)
{
    int64_t top = f->o->top;
    int32_t *best = calloc((size_t)top, sizeof *best);
    int32_t *first = calloc((size_t)f->n_picks, sizeof *first);
    bool ok = best && first;
    for (int64_t i = 0; ok && i < f->n_picks; i++) {
        const float *p = f->guess + i * f->config.vocab;
        wf_guess_best(p, f->vocab, top, best);
        printf("%s %lld\n", mask_name, (long long)i + 1);
        for (int64_t k = 0; k < top && best[k] >= 0; k++)
            printf("  %6.2f %%  %s\n", 100 * (double)p[best[k]], wf_vocab_token(f->vocab, best[k]));
        first[i] = best[0];
    }
    if (ok) print_filled(f, first);
    free(best);
    free(first);
    return ok || wf_complain(command_name, "out of memory");
}

static void close_all(filler *f)
{
    free(f->guess);
    free(f->picks);
    free(f->tokens.id);
    free(f->tokens.starts);
    free(f->sentence);
    wf_program_free(f->program);
    wf_runtime_free(f->rt);
    wf_vocab_free(f->vocab);
    wf_store_free(f->store);
    free(f->words);
    free(f->weights);
}

int wf_gau_fill_main(int argc, char **argv)
{
    options o = {0};
    wf_command c = command();
    int code = wf_args_parse(&c, argc, argv, &o);
    if (code >= 0) return code;
    if (!o.model) {
        wf_complain(command_name, "--model is missing (see --help)");
        return WF_USAGE;
    }
    filler f = {.o = &o, .sentence = join(&o.words)};
    if (!f.sentence) {
        wf_complain(command_name, "out of memory");
        return WF_FAILED;
    }
    if (!strstr(f.sentence, mask_name)) {
        wf_complain(command_name, "expected a sentence with a %s (see --help)", mask_name);
        free(f.sentence);
        return WF_USAGE;
    }
    bool ok = load(&f) && read_sentence(&f) && guess(&f) && show(&f);
    close_all(&f);
    return ok ? WF_DONE : WF_FAILED;
}
