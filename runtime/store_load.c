/*
 * A safetensors file into a store, all or nothing: the header is checked against the store, the
 * data are read into a second store, and only when that is complete are both joined. Tensors that
 * are new to the store move there; those that exist are copied, for data never move in a store.
 */
#include "ops/narrow.h"
#include "runtime/safetensors.h"
#include "runtime/store.h"
#include <weft/op.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 20 }; /* bytes of a file that are converted at once; a multiple of 8 */

/* In memory: real numbers take the type of the tensor that the store has. */
static wf_dtype type_of(const wf_st_tensor *t, const wf_store *s)
{
    int i = wf_store_find(s, t->name);
    bool is_real = i >= 0 && wf_is_real(s->tensors[i].dtype) && wf_is_real(t->dtype->dtype);
    return is_real ? s->tensors[i].dtype : t->dtype->dtype;
}

static wf_status check_against(const wf_st_file *f, const wf_store *s)
{
    for (int i = 0; i < f->n_tensors; i++) {
        const wf_st_tensor *t = &f->tensors[i];
        char has[100], wanted[100];
        wf_dtype dtype;
        wf_shape shape;
        if (!wf_store_data(s, t->name, &dtype, &shape)) continue;
        if (dtype == type_of(t, s) && wf_shape_equal(&shape, &t->shape)) continue;
        return wf_error_set(WF_EFORMAT, "%s: %.60s: %s %s in the file, expected %s %s", f->path,
                            t->name, t->dtype->name, wf_shape_text(&t->shape, has, sizeof has),
                            wf_dtype_name(dtype), wf_shape_text(&shape, wanted, sizeof wanted));
    }
    return WF_OK;
}

/* piece: room for what is read, and (F64: half as much) for what the file's type becomes. */
static wf_status read_converted(const wf_st_file *f, const wf_st_tensor *t, wf_dtype type, char *y,
                                char *piece)
{
    const wf_st_dtype *from = t->dtype;
    for (int64_t at = t->begin; at < t->end; at += PIECE) {
        size_t bytes = (size_t)wf_min_i64(PIECE, t->end - at), n = bytes / from->bytes;
        wf_status s = wf_st_read(f, piece, bytes, 8 + f->header_bytes + at);
        if (s != WF_OK) return s;
        void *known = from->convert ? piece + PIECE : piece;
        if (from->convert && !from->convert(known, piece, n))
            return wf_error_set(WF_EFORMAT, "%s: %.80s: a number of %s does not fit into %s",
                                f->path, t->name, from->name, wf_dtype_name(from->dtype));
        wf_convert(type, y, from->dtype, known, (int64_t)n);
        y += n * wf_dtype_bytes(type);
    }
    return WF_OK;
}

/* s: the store whose types count, if it has the tensors. */
static wf_status read_data(const wf_st_file *f, const wf_store *s, wf_store *to)
{
    char *piece = malloc(2 * PIECE);
    wf_status status = piece ? WF_OK : wf_error_set(WF_ENOMEM, "%s: out of memory", f->path);
    for (int i = 0; status == WF_OK && i < f->n_tensors; i++) {
        const wf_st_tensor *t = &f->tensors[i];
        wf_dtype type = type_of(t, s);
        bool created;
        void *y = wf_store_require(to, t->name, type, t->shape, &created);
        if (!y) /* the header was checked: it can only be memory */
            status = wf_error_set(WF_ENOMEM, "%s: %.80s: out of memory", f->path, t->name);
        else if (t->dtype->convert || type != t->dtype->dtype)
            status = read_converted(f, t, type, y, piece);
        else
            status = wf_st_read(f, y, (size_t)(t->end - t->begin), 8 + f->header_bytes + t->begin);
    }
    free(piece);
    return status;
}

/* A whole number of at most "most" in decimal digits. */
static bool parse_number(const char *text, uint64_t most, uint64_t *y)
{
    if (!*text || strspn(text, "0123456789") != strlen(text)) return false;
    errno = 0;
    *y = strtoull(text, NULL, 10);
    return errno == 0 && *y <= most;
}

static wf_status read_note(const wf_st_file *f, wf_store *to, const char *key, const char *text)
{
    uint64_t number = 0;
    bool is_seed = !strcmp(key, "weft.seed"), is_step = !strcmp(key, "weft.step");
    if (!is_seed && !is_step)
        return strncmp(key, "weft.", 5) != 0 ? wf_store_set_text(to, key, text) : WF_OK;
    if (!parse_number(text, is_seed ? UINT64_MAX : INT64_MAX, &number))
        return wf_error_set(WF_EFORMAT, "%s: %s is \"%.40s\", expected a whole number", f->path,
                            key, text);
    if (is_seed) to->seed = number;
    if (is_step) to->step = (int64_t)number;
    return WF_OK;
}

static wf_status read_notes(const wf_st_file *f, wf_store *to)
{
    wf_status s = WF_OK;
    json_t *all = json_object_get(f->header, "__metadata__");
    for (void *i = json_object_iter(all); i && s == WF_OK; i = json_object_iter_next(all, i))
        s = read_note(f, to, json_object_iter_key(i), json_string_value(json_object_iter_value(i)));
    return s;
}

wf_status wf_store_load(wf_store *s, const char *path)
{
    wf_st_file f;
    wf_store *fresh = NULL;
    wf_status status = wf_st_open(&f, path);
    if (status == WF_OK) status = check_against(&f, s);
    if (status == WF_OK && !(fresh = wf_store_new(s->seed))) status = WF_ENOMEM;
    if (status == WF_OK) {
        fresh->step = s->step;
        status = read_notes(&f, fresh);
    }
    if (status == WF_OK) status = read_data(&f, s, fresh);
    if (status == WF_OK) status = wf_store_absorb(s, fresh);
    wf_store_free(fresh);
    wf_st_close(&f);
    return status;
}
