/* The files of a pre-training run: what is saved, and how a run goes on from it. */
#define _GNU_SOURCE
#include "models/checkpoint.h"
#include "models/pretrain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <weft/op.h>

/* ---- resume ---- */

/* Digests among the texts of the checkpoint, by the option that they stand for. */
static const char *const inputs[] = {"data/vocab", "data/text", "data/words"};
enum { INPUTS = sizeof inputs / sizeof *inputs, DIGEST = 20 };

static void digest_text(const wf_pretrain *p, int input, char text[DIGEST])
{
    uint64_t digest = input == 0   ? wf_vocab_digest(p->vocab)
                      : input == 1 ? p->corpus.digest
                      : p->words   ? wf_vocab_digest(p->words)
                                   : 0; /* as in checkpoints that know of no --words */
    snprintf(text, DIGEST, "%016" PRIx64, digest);
}

static void compare_digests(const wf_pretrain *p, FILE *f)
{
    char text[DIGEST];
    for (int i = 0; i < INPUTS; i++) {
        const char *was = wf_store_text(p->store, inputs[i]);
        digest_text(p, i, text);
        if (strcmp(was ? was : "0000000000000000", text) != 0)
            fprintf(f, "; --%s has other content", strchr(inputs[i], '/') + 1);
    }
}

static wf_status save_digests(const wf_pretrain *p)
{
    char text[DIGEST];
    wf_status s = WF_OK;
    for (int i = 0; i < INPUTS && s == WF_OK; i++) {
        digest_text(p, i, text);
        s = wf_store_set_text(p->store, inputs[i], text);
    }
    return s;
}

/* Where a schedule ends with the run, --steps belong to the configuration. */
static int64_t course_of(const wf_pretrain *p)
{
    const wf_schedule_number *x = p->schedule.kind->numbers;
    for (int i = 0; x[i].name; i++)
        if (x[i].initial == WF_RUN_TOTAL) return (int64_t)p->schedule.number[i];
    return 0;
}

/* The run must be the one of the checkpoint; else one line names all that differs. */
static bool is_same_run(const wf_pretrain *p, int64_t course)
{
    wf_pretrain_options was = {0};
    char *text = NULL;
    size_t size = 0;
    if (!wf_config_read(&p->command, p->store, p->checkpoint, &was)) return false;
    wf_train_options_fill(&was.training);
    FILE *f = open_memstream(&text, &size);
    if (!f) return wf_complain(p->command.name, "out of memory");
    wf_config_differences(&p->command, &was, p->o, f);
    if (!strcmp(was.schedule, p->o->schedule) && course != course_of(p))
        fprintf(f, "; --steps was %lld, is %lld", (long long)course, (long long)p->o->loop.steps);
    compare_digests(p, f);
    bool is_same = fclose(f) == 0 && size == 0;
    if (!is_same)
        wf_complain(p->command.name, "%s is of another run: %s", p->checkpoint,
                    size > 2 ? text + 2 : "out of memory");
    free(text);
    return is_same;
}

bool wf_pretrain_resume(wf_pretrain *p)
{
    const wf_store *s = p->store;
    if (wf_store_load(p->store, p->checkpoint) != WF_OK) return wf_pretrain_fail(p);
    wf_loop_load(&p->loop, s);
    int64_t epoch = wf_number_load(s, "progress/epoch");
    int64_t position = wf_number_load(s, "progress/position");
    int64_t course = wf_number_load(s, "progress/course");
    if (p->loop.step < 0 || epoch < 0 || position < 0 || course < 0)
        return wf_complain(p->command.name, "%s: expected the progress of a run in its metadata",
                           p->checkpoint);
    if (!is_same_run(p, course)) return false;
    if (position > p->corpus.train.n)
        return wf_complain(p->command.name, "%s: expected a position of at most %lld, got %lld",
                           p->checkpoint, (long long)p->corpus.train.n, (long long)position);
    wf_mlm_seek(&p->data, epoch, position);
    return true;
}

bool wf_pretrain_check_whole(const wf_pretrain *p, int tensors_before)
{
    return wf_store_fits(p->store, tensors_before, p->train, p->command.name, p->checkpoint);
}

/* ---- weights of another run ---- */

/* Every weight of the model must be in the file, in its shape, and no other. */
bool wf_pretrain_init(wf_pretrain *p)
{
    wf_store *from = wf_store_new(0);
    bool ok = from && wf_store_load(from, p->o->init) == WF_OK;
    if (!ok) wf_pretrain_fail(p);
    for (int i = 0; ok && i < wf_store_count(p->store); i++) {
        const char *name = wf_store_name(p->store, i);
        if (!wf_is_weight(name)) continue;
        wf_dtype dtype;
        wf_shape shape;
        const void *data = wf_store_data(from, name, &dtype, &shape);
        if (!data)
            ok = wf_complain(p->command.name, "%s: expected a tensor '%s'", p->o->init, name);
        else if (wf_store_put(p->store, name, dtype, shape, data) != WF_OK)
            ok = wf_complain(p->command.name, "%s: %s", p->o->init, wf_error());
    }
    for (int i = 0; ok && i < wf_store_count(from); i++) {
        const char *name = wf_store_name(from, i);
        if (wf_is_weight(name) && !wf_store_data(p->store, name, NULL, NULL))
            ok = wf_complain(p->command.name, "%s: unexpected tensor '%s'", p->o->init, name);
    }
    wf_store_free(from);
    return ok;
}

/* ---- save ---- */

static wf_status note_progress(wf_pretrain *p)
{
    wf_store *t = p->store;
    wf_status s = wf_config_save(&p->command, p->o, t);
    if (s == WF_OK) s = save_digests(p);
    if (s == WF_OK) s = wf_number_save(t, "progress/course", course_of(p));
    if (s == WF_OK) s = wf_loop_save(&p->loop, t);
    if (s == WF_OK) s = wf_number_save(t, "progress/epoch", p->data.epoch);
    if (s == WF_OK) s = wf_number_save(t, "progress/position", p->data.position);
    return s;
}

/* What is read from the checkpoint, for people and other programs. */
static bool save_beside(wf_pretrain *p)
{
    static const char *const names[] = {"model.safetensors", "config.json", "vocab.txt", "loss.png",
                                        "model_last.safetensors"};
    bool ok = true, averages = p->training.minimize.ema > 0;
    for (int i = 0; i < 4 + averages && ok; i++) {
        char *path = wf_path_join(p->o->out, names[i]);
        if (!path) return wf_complain(p->command.name, "out of memory");
        if (i == 0 || i == 4)
            ok = wf_weights_save(p->store, &p->command, p->o, i == 0, path) == WF_OK;
        if (i == 2) ok = wf_vocab_save(p->vocab, path) == WF_OK;
        if (i == 3) ok = wf_loop_plot(&p->loop, path) == WF_OK;
        if (!ok) wf_pretrain_fail(p);
        if (i == 1) ok = wf_config_write(&p->command, p->o, path);
        free(path);
    }
    return ok;
}

bool wf_pretrain_save(void *driver)
{
    wf_pretrain *p = driver;
    if (!wf_store_is_finite(p->store))
        return wf_loop_complain(&p->loop, "weights are no longer finite");
    if (note_progress(p) != WF_OK || wf_store_save(p->store, p->checkpoint, NULL) != WF_OK)
        return wf_pretrain_fail(p);
    return save_beside(p);
}

bool wf_pretrain_save_best(void *driver)
{
    const wf_pretrain *p = driver;
    char *path = wf_path_join(p->o->out, "best.safetensors");
    if (!path) return wf_complain(p->command.name, "out of memory");
    wf_status s = wf_weights_save(p->store, &p->command, p->o, true, path);
    free(path);
    return s == WF_OK || wf_pretrain_fail(p);
}
