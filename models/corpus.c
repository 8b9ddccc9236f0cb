/* A corpus: documents are tokenized as they stream past, their text is not kept. */
#include "models/corpus.h"

#include "io/file.h"
#include "io/text.h"
#include <stdlib.h>

enum { ENDS = 2 }; /* [CLS] and [SEP] */

static const uint64_t digest_start = 0xcbf29ce484222325u;

uint64_t wf_digest(uint64_t digest, uint64_t number)
{
    return (digest ^ number) * 0x100000001b3u;
}

uint64_t wf_vocab_digest(const wf_vocab *v)
{
    uint64_t digest = digest_start;
    for (int32_t id = 0; id < wf_vocab_size(v); id++) {
        for (const char *p = wf_vocab_token(v, id); *p; p++)
            digest = wf_digest(digest, (unsigned char)*p);
        digest = wf_digest(digest, '\n');
    }
    return digest;
}

static wf_status append(wf_sequences *s, wf_sequence item)
{
    if (s->n == s->room) {
        int64_t room = s->room ? 2 * s->room : 256;
        wf_sequence *grown = realloc(s->item, (size_t)room * sizeof *grown);
        if (!grown) return wf_file_error(WF_ENOMEM, NULL, 0, "out of memory for the text");
        s->item = grown;
        s->room = room;
    }
    s->item[s->n++] = item;
    s->tokens += item.size;
    return WF_OK;
}

/* Where the sequence that begins at lo ends: at most at hi, in front of a word if there is one. */
static int64_t cut(const wf_tokens *t, int64_t lo, int64_t hi)
{
    if (hi >= t->n) return t->n;
    int64_t at = hi;
    while (at > lo && !t->starts[at]) at--;
    return at > lo ? at : hi;
}

/* The tokens from lo on are a new document. */
static wf_status take_document(wf_corpus *c, int64_t lo, const wf_corpus_options *o)
{
    const wf_tokens *t = &c->tokens;
    if (lo == t->n) return WF_OK; /* nothing but characters that the tokenizer drops */
    int64_t number = c->train.documents + c->held_out.documents;
    wf_sequences *to = number % o->held_out == o->held_out - 1 ? &c->held_out : &c->train;
    to->documents++;
    for (int64_t i = lo; i < t->n; i++) c->digest = wf_digest(c->digest, (uint64_t)t->id[i]);
    c->digest = wf_digest(c->digest, UINT64_MAX);
    while (lo < t->n) {
        int64_t hi = cut(t, lo, lo + o->max_len - ENDS);
        wf_status s = append(to, (wf_sequence){lo, hi - lo});
        if (s != WF_OK) return s;
        lo = hi;
    }
    return WF_OK;
}

static wf_status read_file(wf_corpus *c, const wf_vocab *v, const char *path,
                           const wf_corpus_options *o)
{
    wf_texts texts;
    wf_status s = wf_texts_open(&texts, path, 0);
    while (s == WF_OK) {
        s = wf_texts_next(&texts);
        if (s != WF_OK || !texts.text) break;
        int64_t lo = c->tokens.n;
        s = wf_tokenize(v, texts.text, texts.size, &c->tokens);
        if (s == WF_OK && o->has_words) wf_words_join(o->words, v, &c->tokens, lo);
        if (s == WF_OK) s = take_document(c, lo, o);
    }
    wf_texts_close(&texts);
    return s;
}

wf_status wf_corpus_read(wf_corpus *c, const wf_vocab *v, int n, const char *const paths[],
                         const wf_corpus_options *options)
{
    *c = (wf_corpus){.digest = digest_start};
    wf_status s = WF_OK;
    for (int i = 0; i < n && s == WF_OK; i++) s = read_file(c, v, paths[i], options);
    if (s != WF_OK || c->held_out.n > 0) return s;
    return wf_file_error(
        WF_EFORMAT, NULL, 0, "--held-out %lld needs at least %lld documents, the text has %lld",
        (long long)options->held_out, (long long)options->held_out, (long long)c->train.documents);
}

void wf_corpus_free(wf_corpus *c)
{
    free(c->tokens.id);
    free(c->tokens.starts);
    free(c->train.item);
    free(c->held_out.item);
    *c = (wf_corpus){0};
}
