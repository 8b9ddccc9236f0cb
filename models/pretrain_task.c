/* Pre-training as a task of the loop: its graph, its batches, its evaluation. */
#include "models/pretrain.h"

enum { EVALUATION_BATCHES = 32 };

wf_graph *wf_pretrain_declare(const wf_pretrain *p)
{
    wf_graph *g = wf_graph_new();
    wf_node *loss = wf_gau_mlm(g, &p->config);
    wf_minimize_options o = p->training.minimize;
    if (o.accumulate > 1) o.items = wf_input(g, "items", WF_F32, WF_SCALAR);
    wf_minimize(loss, p->training.optimizer, &p->training.hyper, &o);
    return g;
}

wf_status wf_pretrain_compile(const wf_pretrain *p, wf_program **out, const wf_graph *g,
                              const wf_mlm *m, wf_compile_options how)
{
    const size_t bytes = sizeof(int32_t), picks = (size_t)m->picks * bytes;
    const wf_size_value sizes[] = {
        {"tokens", m->options.batch}, {"rows", m->rows}, {"picks", m->picks}, {0}};
    how.sizes = sizes;
    wf_training_compile(&p->training, &how);
    wf_status s = wf_compile(out, g, p->store, p->rt, &how);
    if (s == WF_OK) s = wf_bind(*out, "ids", m->ids, (size_t)m->options.batch * bytes);
    if (s == WF_OK) s = wf_bind(*out, "offsets", m->offsets, ((size_t)m->rows + 1) * bytes);
    if (s == WF_OK) s = wf_bind(*out, "picks", m->picks_at, picks);
    return s == WF_OK ? wf_bind(*out, "labels", m->labels, picks) : s;
}

static double rate(void *driver, int64_t step)
{
    const wf_pretrain *p = driver;
    return p->training.lr * wf_schedule_at(&p->schedule, step);
}

static bool next(void *driver, wf_batch *b)
{
    wf_pretrain *p = driver;
    wf_mlm *m = &p->data;
    int64_t epoch = m->epoch, position = m->position;
    wf_mlm_next(m);
    *b = (wf_batch){.items = (double)m->n_tokens,
                    .weight = (double)m->n_labels,
                    .epoch = epoch,
                    .position = position};
    return true;
}

static bool evaluate(void *driver, double value[])
{
    wf_pretrain *p = driver;
    wf_mlm *m = &p->held_out;
    double loss = 0, hits = 0, labels = 0;
    wf_mlm_seek(m, 0, 0);
    for (int i = 0; i < EVALUATION_BATCHES && m->epoch == 0; i++) {
        wf_mlm_next(m);
        if (wf_run(p->evaluate) != WF_OK) return wf_pretrain_fail(p);
        loss += (double)wf_scalar(p->evaluate, "loss") * (double)m->n_labels;
        hits += (double)wf_scalar(p->evaluate, "hits");
        labels += (double)m->n_labels;
    }
    value[0] = labels > 0 ? loss / labels : loss;
    value[1] = labels > 0 ? hits / labels : 0;
    return true;
}

/* The step once more, on the batch that is still there, in a program that names single ops. */
static wf_status check(void *driver)
{
    wf_pretrain *p = driver;
    wf_graph *g = wf_pretrain_declare(p);
    wf_program *program = NULL;
    wf_status s =
        wf_pretrain_compile(p, &program, g, &p->data, (wf_compile_options){.plain = true});
    if (s == WF_OK) s = wf_set(program, "lr", (float)rate(p, p->loop.step - 1));
    if (s == WF_OK && p->training.minimize.accumulate > 1)
        s = wf_set(program, "items", (float)p->data.n_labels);
    if (s == WF_OK) s = wf_program_check(program);
    wf_program_free(program);
    wf_graph_free(g);
    return s;
}

wf_task wf_pretrain_task(wf_pretrain *p)
{
    return (wf_task){.command = &p->command,
                     .options = p->o,
                     .title = "masked language model",
                     .items = "tokens",
                     .metrics = {{"loss", false, false}, {"accuracy", true, true}},
                     .n_metrics = 2,
                     .driver = p,
                     .rate = rate,
                     .next = next,
                     .evaluate = evaluate,
                     .save = wf_pretrain_save,
                     .save_best = wf_pretrain_save_best,
                     .check = check};
}
