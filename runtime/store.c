/* Named tensors that outlive programs: an array in order of creation, and a hash table over it. */
#define _POSIX_C_SOURCE 200809L
#include "runtime/store.h"

#include "ops/narrow.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char reserved[] = "weft."; /* keys of texts that files use for themselves */

wf_store *wf_store_new(uint64_t seed)
{
    wf_store *s = calloc(1, sizeof *s);
    if (s)
        s->seed = seed;
    else
        wf_error_set(WF_ENOMEM, "out of memory for a store");
    return s;
}

void wf_store_free(wf_store *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_tensors; i++) {
        free(s->tensors[i].name);
        if (!s->tensors[i].is_lent) free(s->tensors[i].data);
    }
    for (int i = 0; i < s->n_notes; i++) {
        free(s->notes[i].key);
        free(s->notes[i].text);
    }
    free(s->tensors);
    free(s->slots);
    free(s->notes);
    free(s);
}

/* ---- names and sizes --------------------------------------------------------------------- */

static bool is_utf8(const char *text)
{
    json_t *j = json_string(text);
    json_decref(j);
    return j != NULL;
}

bool wf_store_name_ok(const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) return false;
    return *name && strcmp(name, "__metadata__") != 0 && is_utf8(name);
}

bool wf_tensor_bytes(wf_dtype dtype, const wf_shape *shape, size_t *bytes)
{
    int64_t n = (int64_t)wf_dtype_bytes(dtype);
    bool is_empty = false;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 0) return false;
        is_empty |= shape->dim[i] == 0;
        if (shape->dim[i] > 0 && n > INT64_MAX / 2 / shape->dim[i]) return false;
        if (shape->dim[i] > 0) n *= shape->dim[i];
    }
    *bytes = is_empty ? 0 : (size_t)n;
    return (uint64_t)n <= SIZE_MAX / 2;
}

size_t wf_stored_bytes(const wf_stored *t)
{
    return (size_t)wf_elements(&t->shape) * wf_dtype_bytes(t->dtype);
}

/* ---- the table --------------------------------------------------------------------------- */

static int find_slot(const wf_store *s, const char *name)
{
    int mask = s->n_slots - 1;
    int i = (int)(wf_hash(name) & (uint64_t)mask);
    while (s->slots[i] && strcmp(s->tensors[s->slots[i] - 1].name, name) != 0) i = (i + 1) & mask;
    return i;
}

int wf_store_find(const wf_store *s, const char *name)
{
    return s->n_slots ? s->slots[find_slot(s, name)] - 1 : -1;
}

/* Room for n tensors: at most half of the slots are ever taken. */
static bool reserve_tensors(wf_store *s, int n)
{
    if (n <= s->room_tensors) return true;
    if (n > INT32_MAX / 8) return false;
    int room = 64;
    while (room < n) room *= 2;
    wf_stored *tensors = realloc(s->tensors, (size_t)room * sizeof *tensors);
    if (tensors) s->tensors = tensors;
    int *slots = calloc((size_t)room * 2, sizeof *slots);
    if (!tensors || !slots) {
        free(slots);
        return false;
    }
    free(s->slots);
    s->slots = slots;
    s->n_slots = 2 * room;
    s->room_tensors = room;
    for (int i = 0; i < s->n_tensors; i++) s->slots[find_slot(s, s->tensors[i].name)] = i + 1;
    return true;
}

static bool reserve_notes(wf_store *s, int n)
{
    if (n <= s->room_notes) return true;
    if (n > INT32_MAX / 4) return false;
    wf_store_note *notes = realloc(s->notes, (size_t)n * 2 * sizeof *notes);
    if (!notes) return false;
    s->notes = notes;
    s->room_notes = n * 2;
    return true;
}

/* Takes over name and data; there is room. */
static void append(wf_store *s, wf_stored t)
{
    int slot = find_slot(s, t.name);
    s->tensors[s->n_tensors++] = t;
    s->slots[slot] = s->n_tensors;
}

/* ---- tensors ----------------------------------------------------------------------------- */

static wf_status check(const char *name, wf_dtype dtype, const wf_shape *shape, size_t *bytes)
{
    char dims[128];
    if (!wf_store_name_ok(name))
        return wf_error_set(WF_EMODEL, "a tensor's name must be text without control characters, "
                                       "not empty and not __metadata__");
    if ((unsigned)dtype > WF_BF16)
        return wf_error_set(WF_EMODEL, "%.100s: a store holds f32, i32, u8, f16 and bf16, not %s",
                            name, wf_dtype_name(dtype));
    if (shape->rank < 0 || shape->rank > WF_MAX_RANK)
        return wf_error_set(WF_EMODEL, "%.100s: rank %d, expected 0 to %d", name, shape->rank,
                            WF_MAX_RANK);
    if (!wf_tensor_bytes(dtype, shape, bytes))
        return wf_error_set(WF_EMODEL, "%.100s: a tensor cannot have the shape %s", name,
                            wf_shape_text(shape, dims, sizeof dims));
    return WF_OK;
}

/* lent: its data, or NULL. */
static wf_status create(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape, size_t bytes,
                        void *lent)
{
    wf_stored t = {.name = strdup(name), .dtype = dtype, .shape = shape, .is_lent = lent};
    t.data = lent ? lent : wf_aligned_alloc(bytes);
    if (t.name && t.data && reserve_tensors(s, s->n_tensors + 1)) {
        append(s, t);
        return WF_OK;
    }
    free(t.name);
    if (!lent) free(t.data);
    return wf_error_set(WF_ENOMEM, "%.100s: out of memory for a tensor of %zu bytes", name, bytes);
}

/* Find or make the tensor of that name. */
static wf_status require(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape, void *lent)
{
    size_t bytes = 0;
    wf_status status = check(name, dtype, &shape, &bytes);
    if (status != WF_OK) return status;
    int i = wf_store_find(s, name);
    if (i < 0) return create(s, name, dtype, shape, bytes, lent);
    const wf_stored *t = &s->tensors[i];
    if (t->dtype == dtype && wf_shape_equal(&t->shape, &shape)) return WF_OK;
    char is[100], wanted[100];
    return wf_error_set(WF_EMODEL, "%.80s: the store holds %s %s, expected %s %s", name,
                        wf_dtype_name(t->dtype), wf_shape_text(&t->shape, is, sizeof is),
                        wf_dtype_name(dtype), wf_shape_text(&shape, wanted, sizeof wanted));
}

void *wf_store_require(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape, bool *created)
{
    int before = s->n_tensors;
    wf_status status = require(s, name, dtype, shape, NULL);
    *created = s->n_tensors > before;
    return status == WF_OK ? wf_store_data(s, name, NULL, NULL) : NULL;
}

wf_status wf_store_put(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape,
                       const void *data)
{
    int i = wf_store_find(s, name);
    bool is_real = i >= 0 && wf_is_real(s->tensors[i].dtype) && wf_is_real(dtype);
    wf_status status = require(s, name, is_real ? s->tensors[i].dtype : dtype, shape, NULL);
    if (status != WF_OK) return status;
    const wf_stored *t = &s->tensors[wf_store_find(s, name)];
    if (wf_stored_bytes(t)) wf_convert(t->dtype, t->data, dtype, data, wf_elements(&t->shape));
    return WF_OK;
}

wf_status wf_store_lend(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape, void *data)
{
    if (wf_store_find(s, name) < 0) return require(s, name, dtype, shape, data);
    return wf_error_set(WF_EMODEL, "%.100s: the store has this tensor", name);
}

void *wf_store_data(const wf_store *s, const char *name, wf_dtype *dtype, wf_shape *shape)
{
    int i = wf_store_find(s, name);
    if (i < 0) return NULL;
    if (dtype) *dtype = s->tensors[i].dtype;
    if (shape) *shape = s->tensors[i].shape;
    return s->tensors[i].data;
}

int wf_store_count(const wf_store *s)
{
    return s->n_tensors;
}

const char *wf_store_name(const wf_store *s, int i)
{
    return i >= 0 && i < s->n_tensors ? s->tensors[i].name : NULL;
}

uint64_t wf_store_seed(const wf_store *s)
{
    return s->seed;
}

int64_t *wf_store_step(wf_store *s)
{
    return &s->step;
}

/* ---- texts ------------------------------------------------------------------------------- */

static wf_store_note *find_note(const wf_store *s, const char *key)
{
    for (int i = 0; i < s->n_notes; i++)
        if (!strcmp(s->notes[i].key, key)) return &s->notes[i];
    return NULL;
}

wf_status wf_store_set_text(wf_store *s, const char *key, const char *text)
{
    if (!strncmp(key, reserved, sizeof reserved - 1) || !is_utf8(key) || !is_utf8(text))
        return wf_error_set(WF_EMODEL,
                            "%.100s: a text and its key must be UTF-8, and the key must "
                            "not start with %s",
                            key, reserved);
    wf_store_note *note = find_note(s, key);
    wf_store_note fresh = {.key = note ? NULL : strdup(key), .text = strdup(text)};
    if (!fresh.text || (!note && (!fresh.key || !reserve_notes(s, s->n_notes + 1)))) {
        free(fresh.key);
        free(fresh.text);
        return wf_error_set(WF_ENOMEM, "%.100s: out of memory for a text", key);
    }
    if (note) {
        free(note->text);
        note->text = fresh.text;
    } else {
        s->notes[s->n_notes++] = fresh;
    }
    return WF_OK;
}

const char *wf_store_text(const wf_store *s, const char *key)
{
    const wf_store_note *note = find_note(s, key);
    return note ? note->text : NULL;
}

/* ---- joining ----------------------------------------------------------------------------- */

wf_status wf_store_absorb(wf_store *s, wf_store *from)
{
    if (!reserve_tensors(s, s->n_tensors + from->n_tensors) ||
        !reserve_notes(s, s->n_notes + from->n_notes))
        return wf_error_set(WF_ENOMEM, "out of memory for %d tensors", from->n_tensors);
    for (int i = 0; i < from->n_tensors; i++) {
        wf_stored *t = &from->tensors[i];
        int old = wf_store_find(s, t->name);
        if (old < 0) {
            append(s, *t);
            *t = (wf_stored){0};
        } else {
            assert(wf_stored_bytes(t) == wf_stored_bytes(&s->tensors[old]));
            memcpy(s->tensors[old].data, t->data, wf_stored_bytes(t));
        }
    }
    for (int i = 0; i < from->n_notes; i++) {
        wf_store_note *note = &from->notes[i];
        wf_store_note *old = find_note(s, note->key);
        wf_store_note before = old ? *old : (wf_store_note){0};
        if (old)
            old->text = note->text;
        else
            s->notes[s->n_notes++] = *note;
        *note = (wf_store_note){.key = old ? note->key : NULL, .text = before.text};
    }
    s->seed = from->seed;
    s->step = from->step;
    return WF_OK;
}
