/*
 * A store into a safetensors file. The bytes go to a new file beside the old one, reach the disk,
 * and then take the old one's name: whatever fails before that, the old file stays as it was.
 *
 * The header lists tensors in order of creation. Their data lie in the same order, but those of
 * 4-byte elements first, then those of two, so that all of them are aligned.
 */
#define _XOPEN_SOURCE     700
#define _FILE_OFFSET_BITS 64
#include "graph/base.h"
#include "runtime/safetensors.h"
#include "runtime/store.h"
#include <weft/op.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct saving {
    const wf_store *store;
    const char *prefix; /* as wf_store_save has it */
    const char *path;   /* for messages */
    char *target, *temporary;
    char *header; /* its JSON text */
    int fd;
    mode_t mode;
} saving;

static bool is_chosen(const saving *v, const wf_stored *t)
{
    if (!v->prefix) return true;
    bool without = v->prefix[0] == '!';
    const char *prefix = v->prefix + without;
    return (strncmp(t->name, prefix, strlen(prefix)) == 0) != without;
}

/* The next tensor after the i-th in order of the data (i = -1: the first), or -1. Positions 0 to
 * n-1 stand for the tensors of 4-byte elements, n to 2n-1 for those of two, 2n to 3n-1 of one. */
static int next_in_file(const saving *v, int i)
{
    int n = v->store->n_tensors;
    for (i++; i < 3 * n; i++) {
        const wf_stored *t = &v->store->tensors[i % n];
        if (wf_dtype_bytes(t->dtype) == 4u >> i / n && is_chosen(v, t)) return i;
    }
    return -1;
}

/* ---- header ------------------------------------------------------------------------------ */

static bool add_number(json_t *notes, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_object_set_new(notes, key, json_string(text)) == 0;
}

static json_t *make_notes(const wf_store *s)
{
    json_t *notes = json_object();
    bool ok = notes && add_number(notes, "weft.seed", s->seed) &&
              add_number(notes, "weft.step", (uint64_t)s->step) &&
              json_object_set_new(notes, "weft.version", json_string(WF_VERSION)) == 0;
    for (int i = 0; ok && i < s->n_notes; i++)
        ok = json_object_set_new(notes, s->notes[i].key, json_string(s->notes[i].text)) == 0;
    if (ok) return notes;
    json_decref(notes);
    return NULL;
}

static json_t *make_tensor(const wf_stored *t, int64_t begin)
{
    static const char *const names[] = {"F32", "I32", "U8", "F16", "BF16"}; /* by wf_dtype */
    json_t *shape = json_array();
    for (int i = 0; i < t->shape.rank; i++)
        if (json_array_append_new(shape, json_integer(t->shape.dim[i]))) {
            json_decref(shape);
            return NULL;
        }
    json_int_t from = begin, to = begin + (int64_t)wf_stored_bytes(t);
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", names[t->dtype], "shape", shape,
                     "data_offsets", from, to);
}

static bool add_tensors(const saving *v, json_t *header)
{
    const wf_store *s = v->store;
    int64_t *begin = calloc((size_t)s->n_tensors + 1, sizeof *begin), end = 0;
    bool ok = begin != NULL;
    for (int i = next_in_file(v, -1); ok && i >= 0; i = next_in_file(v, i)) {
        begin[i % s->n_tensors] = end;
        end += (int64_t)wf_stored_bytes(&s->tensors[i % s->n_tensors]);
    }
    for (int i = 0; ok && i < s->n_tensors; i++) {
        const wf_stored *t = &s->tensors[i];
        if (is_chosen(v, t))
            ok = json_object_set_new_nocheck(header, t->name, make_tensor(t, begin[i])) == 0;
    }
    free(begin);
    return ok;
}

static wf_status make_header(saving *v)
{
    json_t *header = json_object();
    if (header && json_object_set_new(header, "__metadata__", make_notes(v->store)) == 0 &&
        add_tensors(v, header))
        v->header = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!v->header) return wf_error_set(WF_ENOMEM, "%s: out of memory for the header", v->path);
    size_t bytes = strlen(v->header);
    if (bytes <= WF_ST_HEADER_MAX) return WF_OK;
    return wf_error_set(WF_ELIMIT, "%s: a header of %zu bytes, the format allows %d", v->path,
                        bytes, WF_ST_HEADER_MAX);
}

/* ---- files ------------------------------------------------------------------------------- */

static wf_status fail(const saving *v, const char *what)
{
    return wf_error_set(WF_EIO, "%s: %s: %s", v->path, what, strerror(errno));
}

/* The file to replace: links are followed; devices and folders are not replaced. */
static wf_status find_target(saving *v, const char *path)
{
    struct stat st;
    v->mode = 0;
    v->target = realpath(path, NULL);
    if (v->target && stat(v->target, &st) == 0) {
        if (!S_ISREG(st.st_mode)) return wf_error_set(WF_EIO, "%s: not a regular file", v->path);
        if (access(v->target, W_OK)) return fail(v, "replacing");
        v->mode = st.st_mode & 07777;
    } else if (errno == ENOENT) {
        free(v->target);
        v->target = strdup(path);
    }
    if (!v->target) return fail(v, "writing");
    return WF_OK;
}

static wf_status open_temporary(saving *v)
{
    size_t room = strlen(v->target) + 40;
    char *name = malloc(room);
    if (!name) return wf_error_set(WF_ENOMEM, "%s: out of memory", v->path);
    for (int i = 0; i < 100 && v->fd < 0; i++) { /* names left by a crash may be in the way */
        snprintf(name, room, "%s.%ld.%d.tmp", v->target, (long)getpid(), i);
        v->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (v->fd < 0 && errno != EEXIST) break;
    }
    if (v->fd < 0) {
        wf_status s = fail(v, "writing beside it");
        free(name);
        return s;
    }
    v->temporary = name;
    if (v->mode && fchmod(v->fd, v->mode)) return fail(v, "permissions");
    return WF_OK;
}

static bool write_all(int fd, const void *data, size_t bytes)
{
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = write(fd, p, bytes < 1 << 30 ? bytes : 1 << 30);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool write_header(const saving *v)
{
    static const char spaces[8] = "        ";
    unsigned char raw[8];
    size_t bytes = strlen(v->header), padded = (bytes + 7) / 8 * 8;
    for (int i = 0; i < 8; i++) raw[i] = (unsigned char)((uint64_t)padded >> 8 * i);
    return write_all(v->fd, raw, sizeof raw) && write_all(v->fd, v->header, bytes) &&
           write_all(v->fd, spaces, padded - bytes);
}

static wf_status write_file(saving *v)
{
    const wf_store *s = v->store;
    bool ok = write_header(v);
    for (int i = next_in_file(v, -1); ok && i >= 0; i = next_in_file(v, i)) {
        const wf_stored *t = &s->tensors[i % s->n_tensors];
        ok = write_all(v->fd, t->data, wf_stored_bytes(t));
    }
    ok = ok && fsync(v->fd) == 0;
    if (!ok) return fail(v, "writing");
    int closed = close(v->fd);
    v->fd = -1;
    return closed ? fail(v, "closing") : WF_OK;
}

static wf_status replace(saving *v)
{
    if (rename(v->temporary, v->target)) return fail(v, "replacing");
    free(v->temporary);
    v->temporary = NULL;
    char *slash = strrchr(v->target, '/');
    if (slash) slash[slash == v->target] = 0; /* "/" stays */
    int folder = open(slash ? v->target : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* some file systems cannot sync a folder; then there is nothing to wait for */
    bool ok = folder < 0 || fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP;
    wf_status s = ok ? WF_OK : fail(v, "written, but its folder is not on the disk");
    if (folder >= 0) close(folder);
    return s;
}

wf_status wf_store_save(const wf_store *s, const char *path, const char *prefix)
{
    saving v = {.store = s, .prefix = prefix, .path = wf_path_end(path), .fd = -1};
    wf_status status = find_target(&v, path);
    if (status == WF_OK) status = make_header(&v);
    if (status == WF_OK) status = open_temporary(&v);
    if (status == WF_OK) status = write_file(&v);
    if (status == WF_OK) status = replace(&v);
    if (v.fd >= 0) close(v.fd);
    if (v.temporary) unlink(v.temporary);
    free(v.temporary);
    free(v.target);
    free(v.header);
    return status;
}
