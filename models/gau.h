/*
 * The GAU encoder: gated attention units over token embeddings, with a masked-language-model head
 * that shares the word table. Plain builders only; the compiler fuses.
 */
#ifndef WF_MODELS_GAU_H
#define WF_MODELS_GAU_H

#include <weft/weft.h>

typedef enum wf_gau_norm { WF_GAU_SOFTMAX_PLUS, WF_GAU_SOFTMAX, WF_GAU_RELU2 } wf_gau_norm;

typedef struct wf_gau_config {
    int64_t layers, width, expand, key, vocab;
    wf_gau_norm norm;
    float min_len; /* softmax_plus: lengths below count as this */
    float eps;     /* of the RMS norm */
    bool causal;
    struct wf_gau_dropout {
        float embedding, attention, output, logits;
    } dropout;
} wf_gau_config;

/* What is impossible about c: a static text such as "key must be even", or NULL. */
const char *wf_gau_check(const wf_gau_config *c);
int64_t wf_gau_parameters(const wf_gau_config *c);
const char *wf_gau_norm_name(wf_gau_norm norm);

/* Tokens of a batch, and which of them see which. */
typedef struct wf_gau_batch {
    wf_node *ids;      /* int32 [tokens] or [batch, time] */
    wf_node *segments; /* int32 like ids; NULL: segment 0 throughout */
    wf_node *span, *positions;
} wf_gau_batch;

/* Inputs "ids" [tokens] and "offsets" [rows + 1]; sizes "tokens" and "rows". */
wf_gau_batch wf_gau_packed(wf_graph *g, bool causal);
/* Inputs "ids" [batch, time] and "lengths" [batch]; sizes "batch" and "time". */
wf_gau_batch wf_gau_padded(wf_graph *g, bool causal);

/* Hidden states: ids.shape + [width]. */
wf_node *wf_gau(wf_graph *g, const wf_gau_config *c, const wf_gau_batch *batch);
/* Logits [picks, vocab] of the rows of x (flattened to [tokens, width]) that picks names. */
wf_node *wf_gau_logits(wf_node *x, wf_node *picks, const wf_gau_config *c);

/* The masked language model over a packed batch, to train and to measure: more inputs "picks"
 * (which tokens) and "labels" (their ids; -1: does not count), int32 [picks], a size of that name;
 * outputs "loss" (mean over the labels, returned) and "hits" (how many are right). */
wf_node *wf_gau_mlm(wf_graph *g, const wf_gau_config *c);
/* The same without labels: output "guess", probabilities [picks, vocab]. */
wf_node *wf_gau_guess(wf_graph *g, const wf_gau_config *c);

#endif
