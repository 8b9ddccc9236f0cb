/*
 * weft gau pretrain: trains a GAU as a masked language model. All that can be wrong with options
 * and files is found before the first step and before anything is written.
 */
#define _GNU_SOURCE
#include "models/pretrain.h"

#include "models/drivers.h"
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool wf_pretrain_fail(const wf_pretrain *p)
{
    return wf_complain(p->command.name, "%s", wf_error());
}

/* ---- before the first step ---- */

/* All that is written, the checkpoint first; the vocabulary is a copy of --vocab. */
static const char *const outputs[] = {
    "checkpoint.safetensors", "model.safetensors",      "config.json", "loss.png",
    "best.safetensors",       "model_last.safetensors", "vocab.txt",   NULL};
enum { CHECKPOINT, MODEL, CONFIG, PLOT, BEST, LAST };

/* Nothing is replaced that was not asked for; one line says how to go on. */
static bool check_folder(const wf_pretrain *p)
{
    static const char *const ways[] = {
        [CHECKPOINT] = "continue it with --resume, or start anew with --overwrite",
        [MODEL] = "start from it with --init and another --out, or replace it with --overwrite",
        [CONFIG] = "choose another folder, or replace it with --overwrite",
        [PLOT] = "choose another folder, or replace it with --overwrite",
        [BEST] = "choose another folder, or replace it with --overwrite",
        [LAST] = "choose another folder, or replace it with --overwrite",
    };
    bool ok = true;
    for (int i = CHECKPOINT; i <= LAST && ok && !p->o->resume && !p->o->overwrite; i++) {
        char *path = wf_path_join(p->o->out, outputs[i]);
        if (!path) return wf_complain(p->command.name, "out of memory");
        if (!access(path, F_OK))
            ok = wf_complain(p->command.name, "--out: %s exists; %s", path, ways[i]);
        free(path);
    }
    return ok;
}

/* Before anything is read, so that no other run changes it meanwhile. */
static bool take_folder(wf_pretrain *p)
{
    p->checkpoint = wf_path_join(p->o->out, outputs[CHECKPOINT]);
    if (!p->checkpoint) return wf_complain(p->command.name, "out of memory");
    return wf_lock_folder(p->command.name, p->o->out, outputs, &p->lock) && check_folder(p);
}

/* A folder that was not there: another run may have made it just now, and be at work or done. */
static bool make_folder(wf_pretrain *p)
{
    return p->lock >= 0 ||
           (wf_make_folder(p->command.name, p->o->out) &&
            wf_lock_folder(p->command.name, p->o->out, outputs, &p->lock) && check_folder(p));
}

/* Would --out be the folder of this path? By its name: there may be no such folder yet. */
static bool is_in_out(const wf_pretrain *p, const char *path)
{
    char *folder = strdup(path), *out = strdup(p->o->out);
    bool is_same = folder && out && !strcmp(basename(dirname(folder)), basename(out));
    free(folder);
    free(out);
    return is_same;
}

/* Can this be written, as far as is known before --out is made, in which it may lie? */
static bool check_target(const wf_pretrain *p, const char *option, const char *path, bool is_folder)
{
    struct stat st;
    int error = 0;
    if (!path) return true;
    if (stat(path, &st) == 0) {
        error = S_ISDIR(st.st_mode) == is_folder ? 0 : is_folder ? ENOTDIR : EISDIR;
    } else if (errno != ENOENT) {
        error = errno;
    } else if (!is_folder && !is_in_out(p, path)) {
        char *copy = strdup(path);
        if (!copy || access(dirname(copy), W_OK | X_OK)) error = errno;
        free(copy);
    }
    return !error || wf_complain(p->command.name, "--%s: %s cannot be written: %s", option, path,
                                 strerror(error));
}

static bool check_targets(const wf_pretrain *p)
{
    return check_target(p, "log", p->o->loop.log, false) &&
           check_target(p, "explain", p->o->explain, false) &&
           check_target(p, "tensorboard", p->o->loop.tensorboard, true);
}

static bool read_text(wf_pretrain *p)
{
    const wf_pretrain_options *o = p->o;
    if (o->words && wf_words_load(&p->words, o->words) != WF_OK) return wf_pretrain_fail(p);
    wf_corpus_options how = {.max_len = o->max_len,
                             .held_out = o->held_out,
                             .has_words = p->words || o->masking == WF_MASK_SEGMENTED,
                             .words = p->words};
    wf_mlm_options batches = {
        .batch = o->batch, .words = o->masking != WF_MASK_CHARS, .seed = (uint64_t)o->seed};
    if (wf_corpus_read(&p->corpus, p->vocab, o->text.n, o->text.item, &how) != WF_OK ||
        wf_mlm_open(&p->data, &p->corpus, &p->corpus.train, p->vocab, &batches) != WF_OK)
        return wf_pretrain_fail(p);
    batches.fixed = true;
    if (wf_mlm_open(&p->held_out, &p->corpus, &p->corpus.held_out, p->vocab, &batches) != WF_OK)
        return wf_pretrain_fail(p);
    wf_samples_choose(&p->samples, &p->corpus, p->vocab);
    return true;
}

/* What evaluation takes beside the weights, it takes while training keeps its own. */
static bool find_besides(const wf_pretrain *p, const wf_graph *g, wf_compile_options evaluate,
                         size_t *bytes)
{
    wf_program *program;
    evaluate.look_only = true;
    if (wf_pretrain_compile(p, &program, g, &p->held_out, evaluate) != WF_OK) return false;
    wf_program_stats s = wf_program_get_stats(program);
    *bytes = s.memory_bytes - s.store_bytes;
    wf_program_free(program);
    return true;
}

static bool compile(wf_pretrain *p)
{
    wf_compile_options train = {.explain = p->o->explain};
    wf_compile_options evaluate = {.forward_only = true, .averages = p->training.minimize.ema > 0};
    wf_graph *g = wf_pretrain_declare(p);
    train.memory_limit = (size_t)p->o->training.memory;
    bool ok = (!train.memory_limit || find_besides(p, g, evaluate, &train.memory_besides)) &&
              wf_pretrain_compile(p, &p->train, g, &p->data, train) == WF_OK &&
              wf_pretrain_compile(p, &p->evaluate, g, &p->held_out, evaluate) == WF_OK;
    wf_graph_free(g);
    if (!ok && p->o->resume)
        return wf_complain(p->command.name, "%s: %s", p->checkpoint, wf_error());
    return ok || wf_pretrain_fail(p);
}

/* First weights of such a run, in a store of their own. NULL: wf_error(). */
static wf_store *make_first_weights(wf_pretrain *p)
{
    wf_store *own = p->store, *first = wf_store_new((uint64_t)p->o->seed);
    if (!first) return NULL;
    wf_program *program = NULL;
    wf_graph *g = wf_pretrain_declare(p);
    p->store = first;
    wf_status s = wf_pretrain_compile(p, &program, g, &p->held_out,
                                      (wf_compile_options){.forward_only = true});
    p->store = own;
    wf_graph_free(g);
    wf_program_free(program);
    if (s != WF_OK) wf_store_free(first);
    return s == WF_OK ? first : NULL;
}

/* A resumed run makes its weights anew to see what they guessed before training. */
static bool guess_before(wf_pretrain *p)
{
    wf_store *fresh = p->o->resume ? make_first_weights(p) : NULL;
    wf_status s = p->o->resume && !fresh
                      ? WF_ENOMEM
                      : wf_samples_guess(&p->samples, p->samples.before, &p->config, p->vocab,
                                         fresh ? fresh : p->store, p->rt);
    wf_store_free(fresh);
    return s == WF_OK || wf_pretrain_fail(p);
}

static bool prepare_model(wf_pretrain *p)
{
    const wf_pretrain_options *o = p->o;
    wf_runtime_options how = {.threads = (int)o->threads, .trace = o->trace};
    p->store = wf_store_new((uint64_t)o->seed);
    if (!p->store) return wf_pretrain_fail(p);
    if (o->resume && !wf_pretrain_resume(p)) return false;
    int tensors = wf_store_count(p->store);
    p->rt = wf_runtime_new(&how);
    if (!p->rt) return wf_pretrain_fail(p);
    if (!compile(p)) return false;
    if (o->resume && !wf_pretrain_check_whole(p, tensors)) return false;
    if (o->init && !wf_pretrain_init(p)) return false;
    return guess_before(p);
}

static bool end_log(wf_pretrain *p)
{
    errno = 0; /* why a write failed long ago is not known any more; mostly this one fails too */
    wf_loop_log(&p->loop, "end", "\"step\": %lld, \"dropped\": %lld, \"skipped\": %lld",
                (long long)p->loop.step, (long long)p->data.dropped, (long long)p->loop.skipped);
    return wf_loop_close(&p->loop);
}

/* Before the first step it is a page without times, and tells that the file can be written. */
static bool explain(const wf_pretrain *p)
{
    return !p->o->explain || wf_explain_to(p->train, p->o->explain) == WF_OK || wf_pretrain_fail(p);
}

/* What not every run writes would stay as another run's. */
static void remove_others(const wf_pretrain *p)
{
    unlinkat(p->lock, outputs[BEST], 0);
    unlinkat(p->lock, outputs[LAST], 0);
}

static bool train(wf_pretrain *p)
{
    if (!take_folder(p) || !check_targets(p) || !read_text(p) || !prepare_model(p) ||
        !make_folder(p) || !wf_loop_open(&p->loop) || !explain(p))
        return false;
    if (!p->o->resume) remove_others(p);
    wf_stop_on_signals();
    p->task.train = p->train;
    p->task.accumulate = p->training.minimize.accumulate;
    wf_pretrain_begin(p);
    if (!wf_loop_run(&p->loop) || !wf_pretrain_end(p) || !end_log(p) || !explain(p)) return false;
    return wf_runtime_save_trace(p->rt) == WF_OK || wf_pretrain_fail(p);
}

static void close_all(wf_pretrain *p)
{
    wf_loop_close(&p->loop);
    wf_program_free(p->evaluate);
    wf_program_free(p->train);
    wf_runtime_free(p->rt);
    wf_store_free(p->store);
    wf_mlm_close(&p->held_out);
    wf_mlm_close(&p->data);
    wf_corpus_free(&p->corpus);
    wf_vocab_free(p->words);
    wf_vocab_free(p->vocab);
    free(p->checkpoint);
    if (p->lock >= 0) close(p->lock);
}

int wf_gau_pretrain_main(int argc, char **argv)
{
    wf_pretrain_options o = {0};
    static wf_pretrain p; /* its curves are large for a stack */
    p = (wf_pretrain){.command = wf_pretrain_command(), .o = &o, .lock = -1};
    p.task = wf_pretrain_task(&p);
    int code = wf_args_parse(&p.command, argc, argv, &o);
    if (code >= 0) return code;
    if (!wf_pretrain_check(&o) || !wf_loop_start(&p.loop, &p.task, &o.loop) ||
        !wf_schedule_option(&p.schedule, p.command.name, o.schedule, o.warmup, o.loop.steps) ||
        !wf_training_make(&p.training, p.command.name, &o.training))
        return WF_USAGE;
    p.training.minimize.skip_nonfinite = o.loop.nonfinite != WF_STEP_OFF;
    if (wf_vocab_load(&p.vocab, o.vocab) != WF_OK) {
        wf_pretrain_fail(&p);
        return WF_FAILED;
    }
    code = WF_USAGE;
    if (wf_gau_config_make(&p.config, p.command.name, &o.model, wf_vocab_size(p.vocab)))
        code = train(&p) ? WF_DONE : WF_FAILED;
    close_all(&p);
    return code;
}
