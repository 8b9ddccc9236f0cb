/* Words of Chinese, which is written without blanks: forward maximum matching over a list. */
#include "io/vocab.h"

#include <string.h>

enum { WORD_BYTES = 256 }; /* a longer word of the list is never found */

/* Behind the last token of the word that begins at lo. */
static int64_t find_end(const wf_vocab *words, const wf_vocab *v, const wf_tokens *t, int64_t lo)
{
    char word[WORD_BYTES];
    size_t size = 0;
    int64_t end = lo + 1;
    for (int64_t i = lo; i < t->n && (i == lo || t->starts[i] == WF_ADJOINS); i++) {
        const char *token = wf_vocab_token(v, t->id[i]);
        size_t n = strlen(token);
        if (size + n > wf_vocab_longest(words) || size + n >= sizeof word) break;
        memcpy(word + size, token, n + 1);
        size += n;
        if (wf_vocab_find(words, word) >= 0) end = i + 1;
    }
    return end;
}

void wf_words_join(const wf_vocab *words, const wf_vocab *v, wf_tokens *t, int64_t lo)
{
    while (lo < t->n) {
        int64_t end = words ? find_end(words, v, t, lo) : lo + 1;
        while (!words && end < t->n && t->starts[end] == WF_ADJOINS) end++;
        for (int64_t i = lo + 1; i < end; i++) t->starts[i] = WF_INNER;
        lo = end;
    }
}
