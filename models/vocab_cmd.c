/*
 * weft vocab: a vocabulary from texts. Behind the special tokens stand the characters, as they
 * begin words and, with "##", as they go on, from the most frequent on; and if there is room left,
 * the words of several characters, likewise. So every word of frequent characters can be spelt, and
 * frequent words are one token. Equal counts are in order of their bytes.
 */
#define _GNU_SOURCE
#include "io/file.h"
#include "io/text.h"
#include "io/vocab.h"
#include "models/common.h"
#include "models/drivers.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char command_name[] = "weft vocab";

typedef struct options {
    wf_arg_list text;
    const char *out;
    int64_t size;
    bool overwrite;
} options;

#define AT(field) offsetof(options, field)

static const wf_arg args[] = {
    {"text", WF_ARG_LIST, AT(text), NULL, "FILE", 0, 0, 0, false,
     "Text, UTF-8: plain (a document a line) or JSON lines; may be repeated"},
    {"size", WF_ARG_INT, AT(size), "8000", "N", 6, 10000000, 0, false,
     "Tokens at most, the five special ones included"},
    {"out", WF_ARG_TEXT, AT(out), NULL, "FILE", 0, 0, 0, false, "Where the vocabulary goes"},
    {"overwrite", WF_ARG_FLAG, AT(overwrite), NULL, NULL, 0, 0, 0, false,
     "Replace the file if it exists"},
};

static wf_command command(void)
{
    return (wf_command){
        .name = command_name,
        .doc = "Make a vocabulary of the most frequent characters and words of text files.",
        .groups = {{args, (int)(sizeof args / sizeof *args), 0}},
        .rest = "text", /* --text a b c */
        .rest_offset = AT(text),
    };
}

typedef struct counted {
    int64_t count;
    bool is_word; /* of several characters */
    char token[];
} counted;

/* A tree of them by token (tsearch), and a list of the same. */
typedef struct counts {
    void *tree;
    counted **item;
    int64_t n, room;
} counts;

static int by_token(const void *a, const void *b)
{
    return strcmp(((const counted *)a)->token, ((const counted *)b)->token);
}

static bool add(counts *c, const char *token, bool is_word)
{
    size_t bytes = strlen(token) + 1;
    counted *e = malloc(sizeof *e + bytes);
    if (!e) return false;
    *e = (counted){.is_word = is_word};
    memcpy(e->token, token, bytes);
    counted **found = tsearch(e, &c->tree, by_token);
    bool is_new = found && *found == e;
    if (!is_new) free(e);
    if (found) (*found)->count++;
    if (!is_new) return found != NULL;
    if (c->n == c->room) {
        int64_t room = c->room ? 2 * c->room : 1024;
        counted **item = realloc(c->item, (size_t)room * sizeof(counted *));
        if (!item) return false;
        c->item = item;
        c->room = room;
    }
    c->item[c->n++] = e;
    return true;
}

static bool count_word(void *context, const char *word)
{
    counts *c = context;
    bool is_first = true;
    for (const char *p = word, *end; *p; p = end, is_first = false) {
        char token[8] = "##";
        end = p + 1;
        while (((unsigned char)*end & 0xc0) == 0x80) end++;
        size_t at = is_first ? 0 : 2, bytes = (size_t)(end - p);
        memcpy(token + at, p, bytes);
        token[at + bytes] = 0;
        if (!add(c, token, false)) return false;
        if (is_first && *end && !add(c, word, true)) return false;
    }
    return true;
}

static bool count_file(counts *c, const char *path)
{
    wf_texts texts;
    wf_status s = wf_texts_open(&texts, path, 0);
    while (s == WF_OK) {
        s = wf_texts_next(&texts);
        if (s != WF_OK || !texts.text) break;
        s = wf_split_words(texts.text, texts.size, count_word, c);
    }
    wf_texts_close(&texts);
    return s == WF_OK || wf_complain(command_name, "%s", wf_error());
}

static int by_rank(const void *a, const void *b)
{
    const counted *x = *(counted *const *)a, *y = *(counted *const *)b;
    if (x->is_word != y->is_word) return x->is_word ? 1 : -1;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return strcmp(x->token, y->token);
}

static bool write_tokens(counts *c, const options *o)
{
    int64_t room = o->size - WF_SPECIALS, n = c->n < room ? c->n : room;
    int64_t tokens = n + WF_SPECIALS, known = 0, all = 0;
    qsort(c->item, (size_t)c->n, sizeof *c->item, by_rank);
    wf_out out;
    wf_status s = wf_out_open(&out, o->out);
    if (s == WF_OK) {
        for (int i = 0; i < WF_SPECIALS; i++) fprintf(out.file, "%s\n", wf_special_names[i]);
        for (int64_t i = 0; i < n; i++) fprintf(out.file, "%s\n", c->item[i]->token);
        s = wf_out_commit(&out);
    }
    if (s != WF_OK) return wf_complain(command_name, "%s", wf_error());
    for (int64_t i = 0; i < c->n; i++) {
        if (c->item[i]->is_word) continue;
        all += c->item[i]->count;
        if (i < n) known += c->item[i]->count;
    }
    printf("%s: %lld tokens, which know %.2f %% of %lld characters\n", o->out, (long long)tokens,
           100.0 * (double)known / (double)all, (long long)all);
    return true;
}

static bool make(const options *o)
{
    if (!o->overwrite && !access(o->out, F_OK))
        return wf_complain(command_name, "--out: %s exists; replace it with --overwrite", o->out);
    counts c = {0};
    bool ok = true;
    for (int i = 0; i < o->text.n && ok; i++) ok = count_file(&c, o->text.item[i]);
    if (ok && c.n == 0) ok = wf_complain(command_name, "%s: no words in it", o->text.item[0]);
    ok = ok && write_tokens(&c, o);
    tdestroy(c.tree, free);
    free(c.item);
    return ok;
}

int wf_vocab_main(int argc, char **argv)
{
    options o = {0};
    wf_command c = command();
    int code = wf_args_parse(&c, argc, argv, &o);
    if (code >= 0) return code;
    const char *missing = o.text.n == 0 ? "text" : !o.out || !o.out[0] ? "out" : NULL;
    if (missing) {
        wf_complain(command_name, "--%s is missing (see --help)", missing);
        return WF_USAGE;
    }
    return make(&o) ? WF_DONE : WF_FAILED;
}
