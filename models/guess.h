/* What a masked language model puts in place of [MASK], and tokens as text again. */
#ifndef WF_MODELS_GUESS_H
#define WF_MODELS_GUESS_H

#include "io/vocab.h"
#include "models/gau.h"
#include <stdio.h>

/* Sequences one behind the other, and the places that are asked for. */
typedef struct wf_question {
    const int32_t *ids, *offsets, *picks; /* [tokens], [rows + 1], [n_picks] */
    int64_t tokens, rows, n_picks;
} wf_question;

/* The program that answers questions of these sizes. Parameters that the store lacks are made. */
wf_status wf_guess_compile(wf_program **out, const wf_question *q, const wf_gau_config *c,
                           wf_products products, wf_store *s, wf_runtime *rt);
/* Probabilities [n_picks, vocab], malloc'ed. */
wf_status wf_guess_answer(float **out, wf_program *p, const wf_question *q, int64_t vocab);
/* Both, with products in float32. */
wf_status wf_guess(float **out, const wf_question *q, const wf_gau_config *c, wf_store *s,
                   wf_runtime *rt);
/* The n likeliest tokens, best first, -1 behind the last one. Special tokens, which cannot stand in
 * a text, are left out. */
void wf_guess_best(const float *probability, const wf_vocab *v, int64_t n, int32_t *best);

/* Print tokens as text: "##" joined; blanks between words of letters and digits, and in front of
 * such a word behind , . ; : ! ? and ). Chinese and Japanese get none. Tokens with is_marked (NULL:
 * none) stand between the two marks. */
void wf_tokens_print(FILE *to, const wf_vocab *v, const int32_t *ids, int64_t n,
                     const bool *is_marked, const char *const marks[2]);

#endif
