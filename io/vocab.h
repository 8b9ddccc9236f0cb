/*
 * A vocabulary, a token a line (its id is the line's number from 0), and the WordPiece tokenizer
 * over it as BERT has it (Devlin et al. 2019): lower case, NFD without combining marks, blanks
 * around CJK characters and punctuation, then the longest known piece first, "##" before inner
 * ones. A word without such a split, or of more than 200 characters, is one [UNK]. The names of
 * special tokens, such as [MASK], are taken as they stand.
 */
#ifndef WF_IO_VOCAB_H
#define WF_IO_VOCAB_H

#include <weft/weft.h>

typedef struct wf_vocab wf_vocab;

enum { WF_SPECIALS = 5 };
extern const char *const wf_special_names[WF_SPECIALS]; /* [PAD] [UNK] [CLS] [SEP] [MASK] */

typedef struct wf_special {
    int32_t pad, unk, cls, sep, mask;
} wf_special;

/* Needs [PAD] [UNK] [CLS] [SEP] [MASK]; blank or double lines, and blanks in a line, are errors. */
wf_status wf_vocab_load(wf_vocab **out, const char *path);
/* A list of words in the same form, without special tokens, to find words in. */
wf_status wf_words_load(wf_vocab **out, const char *path);
void wf_vocab_free(wf_vocab *v);
/* Replaces the file as a whole. */
wf_status wf_vocab_save(const wf_vocab *v, const char *path);

int32_t wf_vocab_size(const wf_vocab *v);
const char *wf_vocab_token(const wf_vocab *v, int32_t id);   /* NULL outside */
int32_t wf_vocab_find(const wf_vocab *v, const char *token); /* -1: none */
wf_special wf_vocab_special(const wf_vocab *v);
size_t wf_vocab_longest(const wf_vocab *v); /* bytes of the longest token */

/* Tokens of a text. Zero it before the first use, free() both arrays at the end. */
typedef struct wf_tokens {
    int32_t *id;
    uint8_t *starts; /* a wf_start each: not 0 where a word begins */
    int64_t n, room;
} wf_tokens;

typedef enum wf_start {
    WF_INNER,
    WF_BEGINS,
    WF_ADJOINS /* a CJK ideograph right behind another one: a word until they are joined to words */
} wf_start;

/* Append the tokens of size bytes of UTF-8 (no [CLS], no [SEP]); after a failure to has the tokens
 * that it had. */
wf_status wf_tokenize(const wf_vocab *v, const char *text, size_t size, wf_tokens *to);

/* Call each with every word of a text as it is before it is taken apart (lower case, without marks;
 * none of more than 200 characters, no special tokens), until it says false: out of memory. */
typedef bool wf_word_fn(void *context, const char *word);
wf_status wf_split_words(const char *text, size_t size, wf_word_fn *each, void *context);

/* Join ideographs from token lo on to words: the longest word of the list that fits, from left to
 * right (forward maximum matching); a character that begins none stays alone. words NULL: the text
 * was segmented, what no blank or sign parts is a word. */
void wf_words_join(const wf_vocab *words, const wf_vocab *v, wf_tokens *t, int64_t lo);

#endif
