/*
 * A vocabulary: all tokens one behind the other in one block of memory, and a hash table of their
 * ids with open addressing, never more than half full.
 */
#include "io/vocab.h"

#include "graph/base.h"
#include "io/file.h"
#include "io/lines.h"
#include <stdlib.h>
#include <string.h>

enum { FEWEST_SLOTS = 1024, MOST_TOKENS = 1 << 24 };

const char *const wf_special_names[WF_SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

struct wf_vocab {
    char *text; /* each token ends with NUL */
    size_t size, room, longest;
    size_t *begin; /* of token i in text */
    int32_t n, n_room;
    int32_t *slots; /* ids, -1: free */
    size_t n_slots; /* a power of two */
    int32_t special[WF_SPECIALS];
};

void wf_vocab_free(wf_vocab *v)
{
    if (!v) return;
    free(v->text);
    free(v->begin);
    free(v->slots);
    free(v);
}

/* The slot of a token, or the free one where it belongs. */
static int32_t *find_slot(const wf_vocab *v, const char *token)
{
    size_t i = (size_t)wf_hash(token) & (v->n_slots - 1);
    while (v->slots[i] >= 0 && strcmp(v->text + v->begin[v->slots[i]], token) != 0)
        i = (i + 1) & (v->n_slots - 1);
    return &v->slots[i];
}

static bool grow_slots(wf_vocab *v)
{
    size_t n = v->n_slots ? 2 * v->n_slots : FEWEST_SLOTS;
    int32_t *slots = malloc(n * sizeof *slots);
    if (!slots) return false;
    memset(slots, -1, n * sizeof *slots);
    free(v->slots);
    v->slots = slots;
    v->n_slots = n;
    for (int32_t i = 0; i < v->n; i++) *find_slot(v, v->text + v->begin[i]) = i;
    return true;
}

/* Room for one more token of so many bytes. */
static bool make_room(wf_vocab *v, size_t size)
{
    if (v->n == v->n_room) {
        int32_t n = v->n_room ? 2 * v->n_room : FEWEST_SLOTS / 2;
        size_t *begin = realloc(v->begin, (size_t)n * sizeof *begin);
        if (!begin) return false;
        v->begin = begin;
        v->n_room = n;
    }
    if (v->room - v->size <= size) {
        size_t room = 2 * v->room + size + 1;
        char *text = realloc(v->text, room);
        if (!text) return false;
        v->text = text;
        v->room = room;
    }
    return 2 * ((size_t)v->n + 1) <= v->n_slots || grow_slots(v);
}

static wf_status check_token(const wf_lines *l)
{
    size_t blanks = 0;
    for (size_t i = 0; i < l->size; i++) blanks += l->line[i] == ' ' || l->line[i] == '\t';
    if (blanks == l->size)
        return wf_file_error(WF_EFORMAT, l->path, l->number, "expected a token, the line is blank");
    if (blanks > 0)
        return wf_file_error(WF_EFORMAT, l->path, l->number,
                             "expected a token alone in its line, '%.*s' has a blank",
                             (int)wf_min_i64((int64_t)l->size, 40), l->line);
    if (l->number > MOST_TOKENS)
        return wf_file_error(WF_EFORMAT, l->path, l->number, "expected at most %d tokens",
                             MOST_TOKENS);
    return WF_OK;
}

static wf_status add_token(wf_vocab *v, const wf_lines *l)
{
    wf_status s = check_token(l);
    if (s != WF_OK) return s;
    if (!make_room(v, l->size))
        return wf_file_error(WF_ENOMEM, l->path, l->number, "out of memory");
    char *token = v->text + v->size;
    memcpy(token, l->line, l->size);
    token[l->size] = 0;
    int32_t *slot = find_slot(v, token);
    if (*slot >= 0)
        return wf_file_error(WF_EFORMAT, l->path, l->number,
                             "expected a new token, '%.40s' stands in line %d already", token,
                             *slot + 1);
    *slot = v->n;
    v->begin[v->n++] = v->size;
    v->size += l->size + 1;
    if (v->longest < l->size) v->longest = l->size;
    return WF_OK;
}

static wf_status find_special(wf_vocab *v, const char *path)
{
    for (int i = 0; i < WF_SPECIALS; i++) {
        v->special[i] = wf_vocab_find(v, wf_special_names[i]);
        if (v->special[i] < 0)
            return wf_file_error(WF_EFORMAT, path, 0, "expected the token %s, it is missing",
                                 wf_special_names[i]);
    }
    return WF_OK;
}

static wf_status read_tokens(wf_vocab *v, wf_lines *l)
{
    for (;;) {
        wf_status s = wf_lines_next(l);
        if (s == WF_OK && !l->line) break;
        if (s == WF_OK) s = add_token(v, l);
        if (s != WF_OK) return s;
    }
    return v->n > 0 ? WF_OK
                    : wf_file_error(WF_EFORMAT, l->path, 0, "expected tokens, there are none");
}

static wf_status load(wf_vocab **out, const char *path, bool has_special)
{
    *out = NULL;
    wf_lines lines;
    wf_status s = wf_lines_open(&lines, path);
    if (s != WF_OK) return s;
    wf_vocab *v = calloc(1, sizeof *v);
    s = v ? read_tokens(v, &lines) : wf_file_error(WF_ENOMEM, path, 0, "out of memory");
    wf_lines_close(&lines);
    if (s == WF_OK && has_special) s = find_special(v, path);
    if (s == WF_OK)
        *out = v;
    else
        wf_vocab_free(v);
    return s;
}

wf_status wf_vocab_load(wf_vocab **out, const char *path)
{
    return load(out, path, true);
}

wf_status wf_words_load(wf_vocab **out, const char *path)
{
    return load(out, path, false);
}

wf_status wf_vocab_save(const wf_vocab *v, const char *path)
{
    wf_out o;
    wf_status s = wf_out_open(&o, path);
    if (s != WF_OK) return s;
    for (int32_t i = 0; i < v->n; i++) fprintf(o.file, "%s\n", v->text + v->begin[i]);
    return wf_out_commit(&o);
}

int32_t wf_vocab_size(const wf_vocab *v)
{
    return v->n;
}

const char *wf_vocab_token(const wf_vocab *v, int32_t id)
{
    return id >= 0 && id < v->n ? v->text + v->begin[id] : NULL;
}

int32_t wf_vocab_find(const wf_vocab *v, const char *token)
{
    return *find_slot(v, token);
}

size_t wf_vocab_longest(const wf_vocab *v)
{
    return v->longest;
}

wf_special wf_vocab_special(const wf_vocab *v)
{
    const int32_t *s = v->special;
    return (wf_special){.pad = s[0], .unk = s[1], .cls = s[2], .sep = s[3], .mask = s[4]};
}
