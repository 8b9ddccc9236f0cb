/* Guesses of a model, and their text. */
#include "models/guess.h"

#include "io/file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

wf_status wf_guess_answer(float **out, wf_program *p, const wf_question *q, int64_t vocab)
{
    *out = NULL;
    size_t int_bytes = sizeof(int32_t), bytes = (size_t)(q->n_picks * vocab) * sizeof(float);
    wf_status s = wf_bind(p, "ids", q->ids, (size_t)q->tokens * int_bytes);
    if (s == WF_OK) s = wf_bind(p, "offsets", q->offsets, (size_t)(q->rows + 1) * int_bytes);
    if (s == WF_OK) s = wf_bind(p, "picks", q->picks, (size_t)q->n_picks * int_bytes);
    if (s == WF_OK) s = wf_run(p);
    if (s != WF_OK) return s;
    *out = malloc(bytes);
    if (!*out) return wf_file_error(WF_ENOMEM, NULL, 0, "out of memory for %zu bytes", bytes);
    memcpy(*out, wf_read(p, "guess", NULL), bytes);
    return WF_OK;
}

wf_status wf_guess_compile(wf_program **out, const wf_question *q, const wf_gau_config *c,
                           wf_products products, wf_store *s, wf_runtime *rt)
{
    wf_size_value sizes[] = {{"tokens", q->tokens}, {"rows", q->rows}, {"picks", q->n_picks}, {0}};
    wf_compile_options how = {.sizes = sizes, .forward_only = true, .products = products};
    wf_graph *g = wf_graph_new();
    wf_gau_guess(g, c);
    wf_status status = wf_compile(out, g, s, rt, &how);
    wf_graph_free(g);
    return status;
}

wf_status wf_guess(float **out, const wf_question *q, const wf_gau_config *c, wf_store *s,
                   wf_runtime *rt)
{
    wf_program *p;
    *out = NULL;
    wf_status status = wf_guess_compile(&p, q, c, WF_PRODUCTS_F32, s, rt);
    if (status == WF_OK) status = wf_guess_answer(out, p, q, c->vocab);
    wf_program_free(p);
    return status;
}

static bool is_special(const wf_vocab *v, int32_t id)
{
    wf_special s = wf_vocab_special(v);
    return id == s.pad || id == s.unk || id == s.cls || id == s.sep || id == s.mask;
}

void wf_guess_best(const float *probability, const wf_vocab *v, int64_t n, int32_t *best)
{
    for (int64_t i = 0; i < n; i++) best[i] = -1;
    for (int32_t id = 0; id < wf_vocab_size(v); id++) {
        if (is_special(v, id)) continue;
        int64_t at = n; /* insertion into the sorted list; of equals the first stays first */
        while (at > 0 && (best[at - 1] < 0 || probability[id] > probability[best[at - 1]])) at--;
        if (at == n) continue;
        memmove(best + at + 1, best + at, (size_t)(n - at - 1) * sizeof *best);
        best[at] = id;
    }
}

/* A letter or digit of a script that has blanks: those from 0x2e80 on, the CJK ones, do not. */
static bool is_lettered(int32_t c)
{
    utf8proc_category_t kind = utf8proc_category(c);
    return c < 0x2e80 && ((kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO) ||
                          (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO));
}

static int32_t first_char(const char *text)
{
    int32_t c;
    utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &c);
    return c;
}

static int32_t last_char(const char *text)
{
    const char *p = text + strlen(text) - 1;
    while (p > text && ((unsigned char)*p & 0xc0) == 0x80) p--;
    return first_char(p);
}

/* Behind a comma a number goes on, mostly: 1,000. */
static bool is_parted(int32_t last, int32_t next)
{
    if (!is_lettered(next)) return false;
    bool is_digit = next >= '0' && next <= '9';
    return is_lettered(last) || (last > 0 && last < 128 && !is_digit && strchr(",.;:!?)", last));
}

void wf_tokens_print(FILE *to, const wf_vocab *v, const int32_t *ids, int64_t n,
                     const bool *is_marked, const char *const marks[2])
{
    int32_t last = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *t = wf_vocab_token(v, ids[i]);
        bool is_inner = !strncmp(t, "##", 2) && t[2], mark = is_marked && is_marked[i];
        if (is_inner) t += 2;
        if (!is_inner && is_parted(last, first_char(t))) fputc(' ', to);
        fprintf(to, "%s%s%s", mark ? marks[0] : "", t, mark ? marks[1] : "");
        last = last_char(t);
    }
}
