/*
 * Texts out of a file: JSON lines with a field "content" if the first character that is not blank
 * is '{', else plain, a text a line. Read as a stream; blank texts are passed over.
 */
#ifndef WF_IO_TEXT_H
#define WF_IO_TEXT_H

#include "io/lines.h"

typedef struct wf_texts {
    wf_lines lines;
    int64_t max_chars, count; /* count: texts so far */
    bool is_json;
    void *object;     /* the parsed line that owns the text */
    const char *text; /* the current one, until the next call; NULL behind the last */
    size_t size;
} wf_texts;

/* Texts are cut to max_chars code points; 0: not cut. path is borrowed. */
wf_status wf_texts_open(wf_texts *t, const char *path, int64_t max_chars);
/* The next text. A file without any text is an error. */
wf_status wf_texts_next(wf_texts *t);
void wf_texts_close(wf_texts *t);

#endif
