/* Lines of a UTF-8 text file, read as a stream. */
#ifndef WF_IO_LINES_H
#define WF_IO_LINES_H

#include <stdio.h>
#include <weft/weft.h>

enum { WF_LINE_LIMIT = 1 << 26 }; /* bytes of the longest line, with its end */

typedef struct wf_lines {
    FILE *file;
    const char *path; /* borrowed */
    char *buffer;
    size_t begin, end, room; /* what is read and not yet given out */
    bool is_complete;        /* nothing more to read */
    const char *line;        /* the current one, until the next call; NULL behind the last */
    size_t size;
    int64_t number; /* from 1 */
} wf_lines;

wf_status wf_lines_open(wf_lines *l, const char *path);
/* The next line, without its LF or CRLF and, in the first one, a byte order mark. Bytes that are
 * not UTF-8, NUL bytes and lines above the limit are errors. */
wf_status wf_lines_next(wf_lines *l);
void wf_lines_close(wf_lines *l);

#endif
