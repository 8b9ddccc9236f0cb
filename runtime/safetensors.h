/*
 * The safetensors format: 8 bytes N (little-endian), N bytes of a JSON object, then data.
 *
 *   {"__metadata__": {"key": "text", ...},
 *    "name": {"dtype": "F32", "shape": [8,128], "data_offsets": [begin, end]}, ...}
 *
 * Offsets count from the end of the header; the tensors cover the data without overlap or hole.
 */
#ifndef WF_SAFETENSORS_H
#define WF_SAFETENSORS_H

#include <jansson.h>
#include <weft/weft.h>

enum { WF_ST_HEADER_MAX = 100000000 };

typedef struct wf_st_dtype {
    const char *name;
    size_t bytes;
    wf_dtype dtype; /* in memory, of a tensor that is new to the store */
    /* n elements of a file to memory; false at a value that does not fit. NULL: the same bytes. */
    bool (*convert)(void *y, const void *x, size_t n);
} wf_st_dtype;

const wf_st_dtype *wf_st_dtype_find(const char *name);

typedef struct wf_st_tensor {
    const char *name;
    const wf_st_dtype *dtype;
    wf_shape shape;
    int64_t begin, end; /* in the data */
} wf_st_tensor;

typedef struct wf_st_file {
    char path[101]; /* for messages: its end, if it is long */
    int fd;
    int64_t header_bytes, data_bytes; /* data starts at 8 + header_bytes */
    json_t *header;
    const json_t *metadata; /* an object of strings, or NULL */
    wf_st_tensor *tensors;  /* in the header's order */
    int n_tensors;
} wf_st_file;

/* Open and validate everything but the data. Whatever the result, close it. */
wf_status wf_st_open(wf_st_file *f, const char *path);
void wf_st_close(wf_st_file *f);
wf_status wf_st_read(const wf_st_file *f, void *to, size_t bytes, int64_t offset); /* in the file */
/* A long path's end for messages. */
const char *wf_path_end(const char *path);

#endif
