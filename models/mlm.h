/*
 * Batches for a masked language model (Devlin et al. 2019): sequences in an order that is new every
 * epoch, one behind the other in a fixed number of tokens, words of them masked.
 *
 * One uniform draw r a word: r < 0.12, all its tokens become [MASK]; r < 0.135, they stay; r <
 * 0.15, each becomes a random id from 1 on. These are to be predicted, the others are not. [CLS],
 * [SEP], [PAD] and [MASK] are never chosen.
 *
 * All random numbers are functions of the seed, the epoch, the sequence and the place in it, so
 * that epoch and position say all that there is to say about where a run stands.
 */
#ifndef WF_MODELS_MLM_H
#define WF_MODELS_MLM_H

#include "models/corpus.h"

typedef struct wf_mlm_options {
    int64_t batch; /* tokens of a batch; at least the longest sequence with [CLS] and [SEP] */
    bool words;    /* a word shares a fate; else every token is a word of its own. A word is what
                      WordPiece takes apart; a Chinese character is one too, unless the corpus has
                      joined them to words */
    bool fixed;    /* to measure: the same order and masks in every epoch, which ends its batch */
    uint64_t seed;
} wf_mlm_options;

typedef struct wf_mlm {
    const wf_tokens *tokens;
    const wf_sequences *sequences;
    wf_special special;
    int32_t vocab;
    wf_mlm_options options;
    int64_t rows, picks;     /* sizes for the compiler: sequences and predictions that fit */
    int64_t epoch, position; /* of the next batch: sequences of the epoch that are behind it */
    int64_t *order, ordered; /* the order of epoch "ordered" */

    /* The batch. */
    int32_t *ids;               /* [batch], [PAD] at the end */
    int32_t *offsets;           /* [rows + 1], the last one repeated */
    int32_t *picks_at, *labels; /* [picks], 0 and -1 where unused */
    int64_t n_rows, n_tokens, n_labels;
    int64_t dropped; /* predictions that did not fit, in all batches so far */
} wf_mlm;

/* The corpus is borrowed; sequences are its train or held_out. */
wf_status wf_mlm_open(wf_mlm *m, const wf_corpus *c, const wf_sequences *sequences,
                      const wf_vocab *v, const wf_mlm_options *options);
void wf_mlm_close(wf_mlm *m);
void wf_mlm_seek(wf_mlm *m, int64_t epoch, int64_t position);
/* Make the next batch. */
void wf_mlm_next(wf_mlm *m);

#endif
