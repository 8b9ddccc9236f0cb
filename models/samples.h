/* A few held-out lines with masked tokens: what a model makes of them before and after training. */
#ifndef WF_MODELS_SAMPLES_H
#define WF_MODELS_SAMPLES_H

#include "models/corpus.h"
#include "models/gau.h"
#include <stdio.h>

enum { WF_SAMPLES = 5, WF_SAMPLE_LEN = 26, WF_SAMPLE_TOKENS = WF_SAMPLES * WF_SAMPLE_LEN };

typedef struct wf_samples {
    int64_t n_rows, n_tokens, n_picks;
    int32_t ids[WF_SAMPLE_TOKENS], offsets[WF_SAMPLES + 1], picks[WF_SAMPLE_TOKENS];
    int32_t truth[WF_SAMPLE_TOKENS], before[WF_SAMPLE_TOKENS], after[WF_SAMPLE_TOKENS]; /* picks' */
} wf_samples;

/* Lines from all over the held-out ones, about every seventh token masked, always the same. */
void wf_samples_choose(wf_samples *s, const wf_corpus *c, const wf_vocab *v);
/* The likeliest token of every pick, into s->before or s->after. */
wf_status wf_samples_guess(const wf_samples *s, int32_t *guess, const wf_gau_config *c,
                           const wf_vocab *v, wf_store *store, wf_runtime *rt);
/* Three lines each: the text, the guesses before, the guesses after. */
void wf_samples_print(const wf_samples *s, FILE *to, const wf_vocab *v);

#endif
