/* What programs need of a store beyond weft.h, and what its files are made of. */
#ifndef WF_STORE_H
#define WF_STORE_H

#include <weft/weft.h>

/* Find or create a zeroed tensor. *created tells which. An existing one of another dtype or shape
 * is an error (NULL, wf_error()). Data never moves while the store lives. */
void *wf_store_require(wf_store *s, const char *name, wf_dtype dtype, wf_shape shape,
                       bool *created);
uint64_t wf_store_seed(const wf_store *s); /* saved and loaded with the store */
/* The number of finished runs with effects: what random ops count by; saved and loaded. */
int64_t *wf_store_step(wf_store *s);

/* ---- for the store's own files ------------------------------------------------------------ */

typedef struct wf_stored {
    char *name;
    wf_dtype dtype;
    wf_shape shape;
    void *data; /* 64-byte aligned */
    bool is_lent;
} wf_stored;

typedef struct wf_store_note {
    char *key, *text;
} wf_store_note;

struct wf_store {
    uint64_t seed;
    int64_t step;
    wf_stored *tensors; /* in order of creation */
    int n_tensors, room_tensors;
    int *slots;  /* open addressing by the name's hash: an index + 1, or 0 */
    int n_slots; /* a power of two */
    wf_store_note *notes;
    int n_notes, room_notes;
};

int wf_store_find(const wf_store *s, const char *name); /* its index, or -1 */
size_t wf_stored_bytes(const wf_stored *t);
/* false with *bytes unset if the size of such a tensor cannot be addressed. */
bool wf_tensor_bytes(wf_dtype dtype, const wf_shape *shape, size_t *bytes);
/* Is text a name that a file can hold: UTF-8, not empty, without control characters? */
bool wf_store_name_ok(const char *name);
/* Move all of "from" into s, contents of existing tensors included, whose dtypes and shapes must
 * agree. All or nothing: WF_ENOMEM leaves s as it was. from stays good for wf_store_free alone. */
wf_status wf_store_absorb(wf_store *s, wf_store *from);

#endif
