/* Reading a safetensors header. Files come from anywhere: nothing in them is believed. */
#define _POSIX_C_SOURCE   200809L
#define _FILE_OFFSET_BITS 64
#include "runtime/safetensors.h"

#include "graph/base.h"
#include "runtime/store.h"
#include <weft/op.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *wf_path_end(const char *path)
{
    size_t n = strlen(path);
    return n > 100 ? path + n - 100 : path;
}

/* ---- the file ---------------------------------------------------------------------------- */

wf_status wf_st_read(const wf_st_file *f, void *to, size_t bytes, int64_t offset)
{
    const size_t most = (size_t)1 << 30;
    while (bytes > 0) {
        ssize_t n = pread(f->fd, to, bytes < most ? bytes : most, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return wf_error_set(WF_EIO, "%s: reading: %s", f->path, strerror(errno));
        if (n == 0)
            return wf_error_set(WF_EIO, "%s: the file ends at byte %" PRId64 ", expected more",
                                f->path, offset);
        to = (char *)to + n;
        bytes -= (size_t)n;
        offset += n;
    }
    return WF_OK;
}

static wf_status open_file(wf_st_file *f, const char *path, int64_t *size)
{
    struct stat st;
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (f->fd < 0 || fstat(f->fd, &st))
        return wf_error_set(WF_EIO, "%s: opening: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return wf_error_set(WF_EIO, "%s: not a regular file", f->path);
    *size = st.st_size;
    return WF_OK;
}

static wf_status read_size(wf_st_file *f, int64_t file_bytes)
{
    unsigned char raw[8];
    if (file_bytes < 8)
        return wf_error_set(WF_EFORMAT, "%s: %" PRId64 " bytes, too short for a safetensors file",
                            f->path, file_bytes);
    wf_status s = wf_st_read(f, raw, sizeof raw, 0);
    if (s != WF_OK) return s;
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | raw[i];
    if (n < 2 || n > WF_ST_HEADER_MAX)
        return wf_error_set(WF_EFORMAT,
                            "%s: a header of %" PRIu64 " bytes, expected 2 to %d: not safetensors?",
                            f->path, n, WF_ST_HEADER_MAX);
    if ((int64_t)n > file_bytes - 8)
        return wf_error_set(WF_EFORMAT,
                            "%s: truncated: a header of %" PRIu64 " bytes in a file of %" PRId64,
                            f->path, n, file_bytes);
    f->header_bytes = (int64_t)n;
    f->data_bytes = file_bytes - 8 - f->header_bytes;
    return WF_OK;
}

static wf_status read_json(wf_st_file *f)
{
    char *text = malloc((size_t)f->header_bytes);
    if (!text) return wf_error_set(WF_ENOMEM, "%s: out of memory for its header", f->path);
    wf_status s = wf_st_read(f, text, (size_t)f->header_bytes, 8);
    json_error_t error = {0};
    if (s == WF_OK && text[0] != '{')
        s = wf_error_set(WF_EFORMAT, "%s: the header is not a JSON object: not safetensors?",
                         f->path);
    if (s == WF_OK)
        f->header = json_loadb(text, (size_t)f->header_bytes, JSON_REJECT_DUPLICATES, &error);
    if (s == WF_OK && !f->header) {
        bool is_memory = json_error_code(&error) == json_error_out_of_memory;
        for (char *c = error.text; *c; c++)
            if ((unsigned char)*c < 32) *c = '?';
        s = wf_error_set(is_memory ? WF_ENOMEM : WF_EFORMAT, "%s: header at byte %d: %s", f->path,
                         error.position, error.text);
    }
    free(text);
    return s;
}

/* ---- tensors ----------------------------------------------------------------------------- */

static wf_status complain(const wf_st_file *f, const wf_st_tensor *t, const char *what)
{
    return wf_error_set(WF_EFORMAT, "%s: %.80s: %s", f->path, t->name, what);
}

static wf_status read_dtype(const wf_st_file *f, wf_st_tensor *t, const json_t *j)
{
    const char *name = json_string_value(json_object_get(j, "dtype"));
    if (!name) return complain(f, t, "dtype is missing or no string");
    t->dtype = wf_st_dtype_find(name);
    if (t->dtype) return WF_OK;
    return wf_error_set(WF_EFORMAT,
                        "%s: %.80s: dtype %.16s, expected F32, F16, BF16, F64, I32, I64 or U8",
                        f->path, t->name, name);
}

static wf_status read_shape(const wf_st_file *f, wf_st_tensor *t, const json_t *j)
{
    const json_t *shape = json_object_get(j, "shape");
    if (!json_is_array(shape)) return complain(f, t, "shape is missing or no list");
    if (json_array_size(shape) > WF_MAX_RANK)
        return wf_error_set(WF_EFORMAT, "%s: %.80s: rank %zu, expected at most %d", f->path,
                            t->name, json_array_size(shape), WF_MAX_RANK);
    t->shape = (wf_shape){.rank = (int)json_array_size(shape)};
    for (int i = 0; i < t->shape.rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        t->shape.dim[i] = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (t->shape.dim[i] < 0) return complain(f, t, "shape: a size is no number or below zero");
    }
    return WF_OK;
}

static wf_status read_offsets(const wf_st_file *f, wf_st_tensor *t, const json_t *j)
{
    const json_t *o = json_object_get(j, "data_offsets");
    const json_t *begin = json_array_get(o, 0), *end = json_array_get(o, 1);
    if (json_array_size(o) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return complain(f, t, "data_offsets: expected a list of two whole numbers");
    t->begin = json_integer_value(begin);
    t->end = json_integer_value(end);
    if (t->begin < 0 || t->begin > t->end || t->end > f->data_bytes)
        return wf_error_set(WF_EFORMAT,
                            "%s: %.80s: data_offsets %" PRId64 " to %" PRId64
                            " lie outside of the file's %" PRId64 " bytes of data",
                            f->path, t->name, t->begin, t->end, f->data_bytes);
    return WF_OK;
}

static wf_status check_bytes(const wf_st_file *f, const wf_st_tensor *t)
{
    char dims[128];
    size_t elements; /* in bytes: one each */
    int64_t bytes = t->end - t->begin;
    if (wf_tensor_bytes(WF_U8, &t->shape, &elements) &&
        elements <= (size_t)INT64_MAX / 8 / t->dtype->bytes &&
        (int64_t)(elements * t->dtype->bytes) == bytes)
        return WF_OK;
    return wf_error_set(WF_EFORMAT, "%s: %.80s: %" PRId64 " bytes of data do not make %s %s",
                        f->path, t->name, bytes, t->dtype->name,
                        wf_shape_text(&t->shape, dims, sizeof dims));
}

static wf_status read_tensor(const wf_st_file *f, wf_st_tensor *t, const json_t *j)
{
    if (!wf_store_name_ok(t->name)) {
        char shown[81];
        size_t n = 0;
        for (; n < sizeof shown - 1 && t->name[n]; n++)
            shown[n] = (unsigned char)t->name[n] < 32 || t->name[n] == 127 ? '?' : t->name[n];
        shown[n] = 0;
        return wf_error_set(WF_EFORMAT,
                            "%s: \"%s\": a tensor's name must not be empty or have control "
                            "characters",
                            f->path, shown);
    }
    if (!json_is_object(j)) return complain(f, t, "expected an object");
    wf_status s = read_dtype(f, t, j);
    if (s == WF_OK) s = read_shape(f, t, j);
    if (s == WF_OK) s = read_offsets(f, t, j);
    if (s == WF_OK) s = check_bytes(f, t);
    if (s == WF_OK && json_object_size(j) != 3)
        s = complain(f, t, "unknown keys beside dtype, shape and data_offsets");
    return s;
}

static int by_place(const void *a, const void *b)
{
    const wf_st_tensor *const *x = a, *const *y = b;
    int order = ((*x)->begin > (*y)->begin) - ((*x)->begin < (*y)->begin);
    return order ? order : ((*x)->end > (*y)->end) - ((*x)->end < (*y)->end);
}

static wf_status check_cover(const wf_st_file *f, const wf_st_tensor **order)
{
    for (int i = 0; i < f->n_tensors; i++) order[i] = &f->tensors[i];
    qsort(order, (size_t)f->n_tensors, sizeof(const wf_st_tensor *), by_place);
    int64_t end = 0;
    for (int i = 0; i < f->n_tensors; i++) {
        if (order[i]->begin < end)
            return complain(f, order[i], "its data overlap those of another tensor");
        if (order[i]->begin > end)
            return complain(f, order[i], "a hole of unused bytes lies before its data");
        end = order[i]->end;
    }
    if (end == f->data_bytes) return WF_OK;
    return wf_error_set(WF_EFORMAT, "%s: %" PRId64 " bytes at the end belong to no tensor", f->path,
                        f->data_bytes - end);
}

static wf_status read_metadata(wf_st_file *f)
{
    const char *key;
    json_t *text;
    json_t *all = json_object_get(f->header, "__metadata__");
    if (!all) return WF_OK;
    if (!json_is_object(all))
        return wf_error_set(WF_EFORMAT, "%s: __metadata__ is not an object", f->path);
    json_object_foreach(all, key, text) if (!json_is_string(text)) return wf_error_set(
        WF_EFORMAT, "%s: __metadata__: %.80s is not a string", f->path, key);
    f->metadata = all;
    return WF_OK;
}

static wf_status read_tensors(wf_st_file *f)
{
    size_t n = json_object_size(f->header);
    f->tensors = calloc(n + 1, sizeof *f->tensors);
    const wf_st_tensor **order = calloc(n + 1, sizeof(const wf_st_tensor *));
    wf_status s = f->tensors && order
                      ? WF_OK
                      : wf_error_set(WF_ENOMEM, "%s: out of memory for its header", f->path);
    const char *name;
    json_t *j;
    if (s == WF_OK) {
        json_object_foreach(f->header, name, j)
        {
            if (!strcmp(name, "__metadata__")) continue;
            wf_st_tensor *t = &f->tensors[f->n_tensors++];
            t->name = name;
            if ((s = read_tensor(f, t, j)) != WF_OK) break;
        }
    }
    if (s == WF_OK) s = check_cover(f, order);
    free(order);
    return s;
}

wf_status wf_st_open(wf_st_file *f, const char *path)
{
    *f = (wf_st_file){.fd = -1};
    strncpy(f->path, wf_path_end(path), sizeof f->path - 1);
    int64_t size = 0;
    wf_status s = open_file(f, path, &size);
    if (s == WF_OK) s = read_size(f, size);
    if (s == WF_OK) s = read_json(f);
    if (s == WF_OK) s = read_metadata(f);
    if (s == WF_OK) s = read_tensors(f);
    return s;
}

void wf_st_close(wf_st_file *f)
{
    if (f->fd >= 0) close(f->fd);
    json_decref(f->header);
    free(f->tensors);
}
