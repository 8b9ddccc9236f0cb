/* Event files, as TensorBoard reads them: numbers with a name ("train/loss") by step. */
#ifndef WF_IO_EVENTS_H
#define WF_IO_EVENTS_H

#include <stdio.h>
#include <weft/weft.h>

typedef struct wf_events {
    FILE *file; /* NULL: closed */
    char *path;
    double (*clock)(void);
} wf_events;

/* CRC-32C (Castagnoli) of n bytes. */
uint32_t wf_crc32c(const void *data, size_t n);

/* A new file in a folder that is there. first: the first step that will be added; where a run goes
 * on, TensorBoard forgets what older files of the folder say of it and later ones. clock tells
 * seconds since 1970; NULL: the system's. */
wf_status wf_events_open(wf_events *e, const char *folder, int64_t first, double (*clock)(void));
/* Every number is whole in the file at once, whatever ends the program. A tag has 200 bytes at
 * most. What fails here, closing finds. */
void wf_events_add(wf_events *e, int64_t step, const char *tag, double value);
/* Does nothing when closed. */
wf_status wf_events_close(wf_events *e);

#endif
