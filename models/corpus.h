/*
 * Text files as sequences of tokens, in memory: 5 bytes a token, 16 a sequence. A document is cut
 * into sequences where a word begins, if it can be.
 */
#ifndef WF_MODELS_CORPUS_H
#define WF_MODELS_CORPUS_H

#include "io/vocab.h"

typedef struct wf_sequence {
    int64_t first, size; /* tokens of the corpus, without [CLS] and [SEP] */
} wf_sequence;

typedef struct wf_sequences {
    wf_sequence *item;
    int64_t n, room, tokens, documents; /* tokens: without [CLS] and [SEP] */
} wf_sequences;

typedef struct wf_corpus {
    wf_tokens tokens;
    wf_sequences train, held_out;
    uint64_t digest; /* of all tokens and where their documents end */
} wf_corpus;

typedef struct wf_corpus_options {
    int64_t max_len;  /* tokens of the longest sequence, [CLS] and [SEP] included; at least 3 */
    int64_t held_out; /* every so-many-th document goes there */
    bool has_words;   /* ideographs are joined to words ... */
    const wf_vocab *words; /* ... of this list; NULL: the text is segmented */
} wf_corpus_options;

/* Read the documents of n files. Without any for training or held out it is an error. */
wf_status wf_corpus_read(wf_corpus *c, const wf_vocab *v, int n, const char *const paths[],
                         const wf_corpus_options *options);
void wf_corpus_free(wf_corpus *c);

/* The digest goes on: FNV-1a by whole numbers. */
uint64_t wf_digest(uint64_t digest, uint64_t number);
/* The same for a vocabulary, from its tokens. */
uint64_t wf_vocab_digest(const wf_vocab *v);

#endif
