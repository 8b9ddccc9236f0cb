/* Errors that name a file, and writing a file so that nobody ever sees half of it. */
#ifndef WF_IO_FILE_H
#define WF_IO_FILE_H

#include <stdio.h>
#include <weft/weft.h>

/* wf_error() becomes "path:line: text", without the line if it is 0, without both if path is NULL.
 * Control characters become '?'. Returns s. */
wf_status wf_file_error(wf_status s, const char *path, int64_t line, const char *format, ...)
    WF_PRINTF(4, 5);

/* A file being written under another name, which takes its own at commit. A path that is there
 * and not a regular file (a pipe, a device) is written to directly. */
typedef struct wf_out {
    FILE *file;
    char *path, *part; /* part: NULL when written directly */
} wf_out;

wf_status wf_out_open(wf_out *o, const char *path);
/* Flush to the disk and rename. Either way o is closed; after a failure nothing has changed. */
wf_status wf_out_commit(wf_out *o);
void wf_out_abandon(wf_out *o);

#endif
