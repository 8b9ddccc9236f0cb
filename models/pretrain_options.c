/* The options of weft gau pretrain. */
#include "models/pretrain.h"

#define AT(field) offsetof(wf_pretrain_options, field)

static const char name[] = "weft gau pretrain";

static const wf_arg files[] = {
    {"text", WF_ARG_LIST, AT(text), NULL, "FILE", 0, 0, 0, false,
     "Text to learn from, UTF-8: plain (a document a line) or JSON lines; may be repeated"},
    {"vocab", WF_ARG_TEXT, AT(vocab), NULL, "FILE", 0, 0, 0, false,
     "Vocabulary, a token a line, with [PAD] [UNK] [CLS] [SEP] [MASK]"},
    {"out", WF_ARG_TEXT, AT(out), NULL, "DIR", 0, 0, 0, false,
     "Where checkpoint.safetensors, model.safetensors, config.json, vocab.txt, loss.png go, and "
     "best.safetensors"},
    {"resume", WF_ARG_FLAG, AT(resume), NULL, NULL, 0, 0, 0, false,
     "Continue DIR/checkpoint.safetensors, to the bits of a run without a break"},
    {"overwrite", WF_ARG_FLAG, AT(overwrite), NULL, NULL, 0, 0, 0, false,
     "Start anew although DIR holds a checkpoint or a model"},
    {"init", WF_ARG_TEXT, AT(init), NULL, "FILE", 0, 0, 0, false,
     "Start from the weights of this model.safetensors"},
    {"trace", WF_ARG_TEXT, AT(trace), NULL, "FILE", 0, 0, 0, false,
     "Write a Chrome trace of all kernels"},
    {"explain", WF_ARG_TEXT, AT(explain), NULL, "FILE", 0, 0, 0, false,
     "Write a page for a browser: what the compiler did with the training step, where time goes"},
};

static const wf_arg course[] = {
    {"batch", WF_ARG_INT, AT(batch), "2048", "N", 8, 10000000, 0, true, "Tokens of a batch"},
    {"max-len", WF_ARG_INT, AT(max_len), "128", "N", 3, 1000000, 0, true,
     "Longest sequence in tokens, [CLS] and [SEP] included"},
    {"masking", WF_ARG_CHOICE, AT(masking), "char", "char|word|segmented", 0, 0, 0, true,
     "Mask single tokens, or words as wholes; a Chinese character is a word unless --words has "
     "longer ones; segmented: what blanks part is a word, in Chinese too"},
    {"words", WF_ARG_TEXT, AT(words), NULL, "FILE", 0, 0, 0, false,
     "Chinese words for --masking word, one a line; from left to right, the longest that fits"},
    {"schedule", WF_ARG_TEXT, AT(schedule), "constant", "LIST", 0, 0, 0, true,
     "Multiplier of the learning rate by steps: a name and numbers, such as cosine,end=0.1 (weft "
     "schedule tells them), or step:multiplier pairs, such as 40000:1,160000:0.5"},
    {"warmup", WF_ARG_INT, AT(warmup), "100", "N", 0, 1e12, 0, true,
     "Steps over which the rate rises from zero, for schedules that have a warmup"},
    {"held-out", WF_ARG_INT, AT(held_out), "50", "N", 2, 1000000, 0, true,
     "Every N-th document is kept for evaluation, which reads at most 32 batches of them"},
    {"seed", WF_ARG_INT, AT(seed), "1", "N", 0, 1e15, 0, true,
     "Of initial weights, dropout, order and masks"},
    {"threads", WF_ARG_INT, AT(threads), "0", "N", 0, 1024, 0, false,
     "Threads; 0: one a core; results do not depend on it"},
};

wf_command wf_pretrain_command(void)
{
    return (wf_command){
        .name = name,
        .doc = "Train a masked language model of gated attention units on text files.",
        .groups = {{files, (int)(sizeof files / sizeof *files), 0},
                   {course, (int)(sizeof course / sizeof *course), 0},
                   wf_loop_arg_group(AT(loop)),
                   wf_gau_arg_group(AT(model)),
                   wf_train_arg_group(AT(training))},
        .rest = "text", /* --text a b c */
        .rest_offset = AT(text),
    };
}

bool wf_pretrain_check(wf_pretrain_options *o)
{
    const char *missing = o->text.n == 0          ? "text"
                          : !o->vocab             ? "vocab"
                          : !o->out || !o->out[0] ? "out"
                                                  : NULL;
    if (missing) return wf_complain(name, "--%s is missing (see --help)", missing);
    if (o->max_len > o->batch)
        return wf_complain(name, "--max-len: expected at most --batch (%lld), got %lld",
                           (long long)o->batch, (long long)o->max_len);
    if (o->resume && (o->init || o->overwrite))
        return wf_complain(name, "--resume: not together with --%s",
                           o->init ? "init" : "overwrite");
    if (o->words && o->masking != WF_MASK_WORDS)
        return wf_complain(name, "--words: needs --masking word");
    return true;
}
