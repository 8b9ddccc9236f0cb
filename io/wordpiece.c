/*
 * WordPiece (Devlin et al. 2019): one walk over the characters of a text collects a word, and a
 * word's end cuts it into pieces. A text needs no memory but for its tokens.
 */
#include "io/vocab.h"

#include "graph/base.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { WORD_CHARS = 200, CHAR_BYTES = 4, INNER = 2 /* bytes of "##" */ };

typedef struct scanner {
    const wf_vocab *v; /* NULL: words go to each, whole */
    wf_word_fn *each;
    void *context;
    wf_special special;
    wf_tokens *to;
    int chars;  /* of the word so far; beyond the limit they are counted only */
    size_t end; /* of the word, which begins at INNER */
    char word[INNER + WORD_CHARS * CHAR_BYTES + 1];
    bool failed;       /* out of memory */
    bool is_after_cjk; /* nothing between this place and an ideograph in front of it */
    wf_start start;    /* of the word */
} scanner;

static bool make_room(wf_tokens *to)
{
    if (to->n < to->room) return true;
    int64_t room = to->room ? 2 * to->room : 256;
    int32_t *id = realloc(to->id, (size_t)room * sizeof *id);
    if (id) to->id = id;
    uint8_t *starts = id ? realloc(to->starts, (size_t)room) : NULL;
    if (!starts) return false;
    to->starts = starts;
    to->room = room;
    return true;
}

static void push(scanner *s, int32_t id, wf_start start)
{
    if (s->failed || !make_room(s->to)) {
        s->failed = true;
        return;
    }
    s->to->id[s->to->n] = id;
    s->to->starts[s->to->n++] = (uint8_t)start;
}

/* The longest token that begins at "token" and ends at or before the word's end; its end, or 0. */
static size_t find_piece(scanner *s, size_t token, size_t shortest, int32_t *id)
{
    size_t end = s->end, longest = wf_vocab_longest(s->v);
    if (end - token > longest) end = token + longest;
    for (; end >= token + shortest; end--) {
        if (((unsigned char)s->word[end] & 0xc0) == 0x80) continue; /* inside of a character */
        char kept = s->word[end];
        s->word[end] = 0;
        *id = wf_vocab_find(s->v, s->word + token);
        s->word[end] = kept;
        if (*id >= 0) return end;
    }
    return 0;
}

/* Inner pieces need "##" in front of them: it is put over the piece before, which is done with. */
static bool push_pieces(scanner *s)
{
    int32_t id;
    size_t begin = find_piece(s, INNER, 1, &id);
    if (begin == 0) return false;
    push(s, id, s->start);
    while (begin < s->end) {
        memcpy(s->word + begin - INNER, "##", INNER);
        begin = find_piece(s, begin - INNER, INNER + 1, &id);
        if (begin == 0) return false;
        push(s, id, WF_INNER);
    }
    return true;
}

static void push_word(scanner *s)
{
    int64_t n = s->to->n;
    if (s->chars <= WORD_CHARS && push_pieces(s)) return;
    s->to->n = n;
    push(s, s->special.unk, s->start);
}

static void end_word(scanner *s)
{
    s->word[s->end] = 0;
    if (s->chars > 0 && s->v) {
        push_word(s);
    } else if (s->chars > 0 && s->chars <= WORD_CHARS && !s->failed) {
        s->failed = !s->each(s->context, s->word + INNER);
    }
    s->chars = 0;
    s->start = WF_BEGINS;
    s->end = INNER;
}

static void add_to_word(scanner *s, int32_t c)
{
    if (s->chars++ >= WORD_CHARS) return;
    s->end += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)s->word + s->end);
}

/* The blocks of CJK ideographs that BERT sets apart; kana and hangul are not among them. */
static bool is_cjk(int32_t c)
{
    static const int32_t block[][2] = {
        {0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
        {0x2b740, 0x2b81f}, {0x2b820, 0x2ceaf}, {0xf900, 0xfaff},   {0x2f800, 0x2fa1f},
    };
    for (size_t i = 0; i < sizeof block / sizeof *block; i++)
        if (c >= block[i][0] && c <= block[i][1]) return true;
    return false;
}

typedef enum char_kind { IN_WORD, ALONE, CJK, BLANK, DROPPED } char_kind;

static char_kind kind_of(int32_t c)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return BLANK;
    if (c > ' ' && c < 127) { /* here $ + < = > ^ ` | ~ count as punctuation too */
        bool is_word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        return is_word ? IN_WORD : ALONE;
    }
    if (c == 0xfffd) return DROPPED; /* what a decoder leaves of bytes that it cannot read */
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
        return DROPPED;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return BLANK;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return ALONE;
    default:
        return is_cjk(c) ? CJK : IN_WORD;
    }
}

static void take_char(scanner *s, int32_t c)
{
    char_kind kind = kind_of(c);
    if (kind == DROPPED) return;
    if (kind != IN_WORD) end_word(s);
    if (kind == CJK && s->is_after_cjk) s->start = WF_ADJOINS;
    s->is_after_cjk = kind == CJK;
    if (kind == BLANK) return;
    add_to_word(s, utf8proc_tolower(c));
    if (kind != IN_WORD) end_word(s);
}

/* Bytes of the special token that the text begins with, or 0. */
static size_t take_special(scanner *s, const char *text, size_t size)
{
    for (size_t i = 0; i < WF_SPECIALS; i++) {
        const char *name = wf_special_names[i];
        size_t n = strlen(name);
        if (n > size || memcmp(name, text, n) != 0) continue;
        end_word(s);
        if (s->v) push(s, wf_vocab_find(s->v, name), WF_BEGINS);
        s->is_after_cjk = false;
        return n;
    }
    return 0;
}

static wf_status scan(scanner *s, const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t special = text[i] == '[' ? take_special(s, text + i, size - i) : 0;
        i += special;
        if (special) continue;
        utf8proc_int32_t c, part[8];
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(size - i), &c);
        if (n <= 0)
            return wf_error_set(WF_EFORMAT, "expected UTF-8, byte %zu of the text (0x%02x) is not",
                                i + 1, (unsigned)(unsigned char)text[i]);
        i += (size_t)n;
        int boundary = 0;
        utf8proc_ssize_t parts = utf8proc_decompose_char(c, part, 8, UTF8PROC_DECOMPOSE, &boundary);
        for (utf8proc_ssize_t j = 0; j < parts && j < 8; j++) take_char(s, part[j]);
    }
    end_word(s);
    return s->failed ? wf_error_set(WF_ENOMEM, "tokens of a text: out of memory") : WF_OK;
}

wf_status wf_tokenize(const wf_vocab *v, const char *text, size_t size, wf_tokens *to)
{
    int64_t n = to->n;
    scanner s = {
        .v = v, .special = wf_vocab_special(v), .to = to, .end = INNER, .start = WF_BEGINS};
    wf_status status = scan(&s, text, size);
    if (status != WF_OK) to->n = n;
    return status;
}

wf_status wf_split_words(const char *text, size_t size, wf_word_fn *each, void *context)
{
    scanner s = {.each = each, .context = context, .end = INNER, .start = WF_BEGINS};
    return scan(&s, text, size);
}
