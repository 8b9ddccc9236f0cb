/*
 * The workloads that bench_step times: a model with sizes, its data, and how much work a step is.
 * bench/works.py names the same ones for the peers.
 */
#ifndef WF_BENCH_WORK_H
#define WF_BENCH_WORK_H

#include <weft/weft.h>

#include "models/gau.h"

typedef struct wf_work wf_work;

/* given: the store with a start that was exported; NULL: inputs are drawn. */
typedef struct wf_work_model {
    void (*load)(const wf_work *w, wf_store *given); /* optional, before everything else */
    wf_graph *(*declare)(const wf_work *w);
    /* The sizes "tokens" and "rows" of the program; NULL: it has no symbolic sizes. */
    void (*sizes)(const wf_work *w, int64_t *tokens, int64_t *rows);
    void (*bind)(wf_program *p, const wf_work *w, wf_store *given);
    /* Optional: refill what is bound, for step i = 0, 1, ... of a pass over the data. */
    void (*next)(const wf_work *w, int64_t i);
    /* Optional, in place of the first loss: a number of the parameters after the
     * warm-up, two steps later. */
    double (*after3)(const wf_work *w, wf_store *store);
    double (*items)(const wf_work *w); /* of a step, on average: tokens, images, ... */
    /* Of the products as the model is written, forward and backward, on average. The program's own
     * count knows neither how long packed sequences are nor what is work twice over. */
    double (*flops)(const wf_work *w);
} wf_work_model;

struct wf_work {
    const char *name;
    const wf_work_model *model;
    const wf_optimizer *optimizer;
    int64_t batch, time;           /* MLP: batch, inputs; tnews: tokens, longest */
    int64_t layers, width, expand; /* GPT-2: expand = feed-forward; MLP: expand = hidden */
    int64_t key, vocab;            /* GPT-2: key = of a head; MLP: vocab = classes */
};

extern const wf_work_model wf_work_gau, wf_work_mlp, wf_work_gpt2, wf_work_tnews, wf_work_optim;

const wf_work *wf_work_at(int i);              /* NULL behind the last */
const wf_work *wf_work_find(const char *name); /* NULL after one line on stderr */

/* The unit of gau_* and tnews. */
wf_gau_config wf_work_gau_config(const wf_work *w);
/* Train by the workload's optimizer, with the numbers that the peers use. */
void wf_work_minimize(wf_node *loss, const wf_work *w);
/* Ends the process with the library's message, unless s is WF_OK. */
void wf_work_check(wf_status s);
uint32_t wf_work_draw(void); /* a pseudo-random number below 2^31 */
/* n numbers: given's tensor of that name, or drawn from 0..below-1 (int32), or -0.5..0.5 (float).
 * They live as long as the process. */
int32_t *wf_work_ints(wf_store *given, const char *name, int64_t n, uint32_t below);
float *wf_work_floats(wf_store *given, const char *name, int64_t n);
/* Bind them to the input of that name. */
void wf_work_bind_ints(wf_program *p, wf_store *given, const char *name, int64_t n, uint32_t below);
void wf_work_bind_floats(wf_program *p, wf_store *given, const char *name, int64_t n);

#endif
