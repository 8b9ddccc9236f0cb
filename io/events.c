/*
 * TensorBoard's event files: records of TensorFlow's TFRecord format, each a protobuf message
 * Event.
 *
 *   record  = length (8 bytes), masked CRC of these, data, masked CRC of data; little-endian
 *   masked  = ((crc >> 15) | (crc << 17)) + 0xa282ead8, of CRC-32C
 *   Event   = 1: wall_time (double), 2: step (varint), and one of
 *             3: file_version (text), 5: Summary, 7: SessionLog
 *   Summary = 1: Value { 1: tag (text), 2: simple_value (float) }
 *   SessionLog = 1: status (varint; 1: a run starts at this step)
 *
 * The key of a protobuf field is number * 8 + type: 0 varint, 1 eight bytes, 2 length and bytes,
 * 5 four bytes.
 */
#define _GNU_SOURCE
#include "io/events.h"

#include "io/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 300, TAG = 200 };
enum { VARINT = 0, EIGHT = 1, BYTES = 2, FOUR = 5 };

uint32_t wf_crc32c(const void *data, size_t n)
{
    const uint8_t *x = data;
    uint32_t table[256], crc = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78u : 0);
    }
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ table[(crc ^ x[i]) & 255];
    return ~crc;
}

typedef struct message {
    uint8_t data[ROOM];
    size_t n;
} message;

static void put_fixed(message *m, uint64_t bits, int bytes)
{
    for (int i = 0; i < bytes; i++) m->data[m->n++] = (uint8_t)(bits >> 8 * i);
}

static void put_varint(message *m, uint64_t x)
{
    for (; x > 127; x >>= 7) m->data[m->n++] = (uint8_t)(x | 128);
    m->data[m->n++] = (uint8_t)x;
}

static void put_number(message *m, int field, uint64_t x)
{
    put_varint(m, (uint64_t)field * 8 + VARINT);
    put_varint(m, x);
}

static void put_bytes(message *m, int field, const void *data, size_t n)
{
    put_varint(m, (uint64_t)field * 8 + BYTES);
    put_varint(m, n);
    memcpy(m->data + m->n, data, n);
    m->n += n;
}

static message event(const wf_events *e, int64_t step)
{
    message m = {.n = 0};
    double now = e->clock();
    uint64_t bits;
    memcpy(&bits, &now, sizeof bits);
    put_varint(&m, 1 * 8 + EIGHT);
    put_fixed(&m, bits, 8);
    if (step) put_number(&m, 2, (uint64_t)step);
    return m;
}

/* n bytes and their masked CRC */
static void write_part(wf_events *e, const uint8_t *data, size_t n)
{
    uint32_t crc = wf_crc32c(data, n);
    message sum = {.n = 0};
    put_fixed(&sum, (crc >> 15 | crc << 17) + 0xa282ead8u, 4);
    fwrite(data, 1, n, e->file);
    fwrite(sum.data, 1, sum.n, e->file);
}

static void write_record(wf_events *e, const message *m)
{
    message length = {.n = 0};
    put_fixed(&length, m->n, 8);
    write_part(e, length.data, length.n);
    write_part(e, m->data, m->n);
    fflush(e->file);
}

static double system_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* e is closed either way. */
static wf_status finish(wf_events *e, bool ok)
{
    wf_status s = ok ? WF_OK
                     : wf_file_error(WF_EIO, e->path, 0, "cannot be written: %s",
                                     errno ? strerror(errno) : "a part is missing");
    free(e->path);
    *e = (wf_events){0};
    return s;
}

wf_status wf_events_open(wf_events *e, const char *folder, int64_t first, double (*clock)(void))
{
    static const char version[] = "brain.Event:2";
    *e = (wf_events){.clock = clock ? clock : system_clock};
    /* Readers take files in the order of their names. */
    if (asprintf(&e->path, "%s/events.out.tfevents.%017.6f.%ld.weft", folder, e->clock(),
                 (long)getpid()) < 0)
        return *e = (wf_events){0}, wf_file_error(WF_ENOMEM, folder, 0, "out of memory");
    e->file = fopen(e->path, "wbx");
    if (!e->file) return finish(e, false);
    message m = event(e, 0);
    put_bytes(&m, 3, version, sizeof version - 1);
    write_record(e, &m);
    if (first <= 0) return WF_OK;
    message start = {.n = 0};
    put_number(&start, 1, 1);
    m = event(e, first);
    put_bytes(&m, 7, start.data, start.n);
    write_record(e, &m);
    return WF_OK;
}

void wf_events_add(wf_events *e, int64_t step, const char *tag, double value)
{
    message one = {.n = 0}, summary = {.n = 0}, m = event(e, step);
    float x = (float)value;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_bytes(&one, 1, tag, strnlen(tag, TAG));
    put_varint(&one, 2 * 8 + FOUR);
    put_fixed(&one, bits, 4);
    put_bytes(&summary, 1, one.data, one.n);
    put_bytes(&m, 5, summary.data, summary.n);
    write_record(e, &m);
}

wf_status wf_events_close(wf_events *e)
{
    if (!e->file) return WF_OK;
    errno = 0;
    bool ok = !ferror(e->file);
    if (fclose(e->file)) ok = false;
    return finish(e, ok);
}
