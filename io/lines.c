/* Lines of a UTF-8 text file: a buffer that slides over the file and grows to the longest line. */
#include "io/lines.h"

#include "io/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const size_t chunk = 1 << 18; /* bytes of the first buffer */

wf_status wf_lines_open(wf_lines *l, const char *path)
{
    *l = (wf_lines){.path = path, .file = fopen(path, "rb")};
    if (l->file) return WF_OK;
    return wf_file_error(WF_EIO, path, 0, "cannot be read: %s", strerror(errno));
}

void wf_lines_close(wf_lines *l)
{
    if (l->file) fclose(l->file);
    free(l->buffer);
    *l = (wf_lines){0};
}

static wf_status make_room(wf_lines *l)
{
    if (l->begin > 0) memmove(l->buffer, l->buffer + l->begin, l->end - l->begin);
    l->end -= l->begin;
    l->begin = 0;
    if (l->end < l->room) return WF_OK;
    if (l->room >= WF_LINE_LIMIT)
        return wf_file_error(WF_EFORMAT, l->path, l->number, "expected a line of at most %d bytes",
                             WF_LINE_LIMIT);
    size_t room = l->room ? 2 * l->room : chunk;
    char *grown = realloc(l->buffer, room);
    if (!grown) return wf_file_error(WF_ENOMEM, l->path, l->number, "out of memory");
    l->buffer = grown;
    l->room = room;
    return WF_OK;
}

static wf_status read_more(wf_lines *l)
{
    wf_status s = make_room(l);
    if (s != WF_OK) return s;
    size_t n = fread(l->buffer + l->end, 1, l->room - l->end, l->file);
    l->end += n;
    if (n > 0) return WF_OK;
    if (ferror(l->file))
        return wf_file_error(WF_EIO, l->path, 0, "cannot be read: %s", strerror(errno));
    l->is_complete = true;
    return WF_OK;
}

/* The place of the first byte that is NUL or not UTF-8, or -1. */
static ptrdiff_t find_bad(const char *text, size_t size)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text;
    for (size_t i = 0; i < size;) {
        if (p[i] > 0 && p[i] < 128) {
            i++;
            continue;
        }
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(p + i, (utf8proc_ssize_t)(size - i), &c);
        if (n <= 0 || c == 0) return (ptrdiff_t)i;
        i += (size_t)n;
    }
    return -1;
}

static wf_status check_line(wf_lines *l)
{
    ptrdiff_t bad = find_bad(l->line, l->size);
    if (bad < 0) return WF_OK;
    unsigned char byte = (unsigned char)l->line[bad];
    l->line = NULL;
    if (byte == 0)
        return wf_file_error(WF_EFORMAT, l->path, l->number, "expected text, byte %td is NUL",
                             bad + 1);
    return wf_file_error(WF_EFORMAT, l->path, l->number,
                         "expected UTF-8, byte %td of the line (0x%02x) is not", bad + 1, byte);
}

wf_status wf_lines_next(wf_lines *l)
{
    l->line = NULL;
    l->number++;
    size_t seen = 0; /* bytes known to be without a line end */
    const char *feed = NULL;
    while (!feed) {
        size_t left = l->end - l->begin;
        if (left > seen) feed = memchr(l->buffer + l->begin + seen, '\n', left - seen);
        seen = left;
        if (feed || l->is_complete) break;
        wf_status s = read_more(l);
        if (s != WF_OK) return s;
    }
    if (!feed && seen == 0) return WF_OK;
    l->line = l->buffer + l->begin;
    l->size = feed ? (size_t)(feed - l->line) : seen;
    l->begin += l->size + (feed != NULL);
    if (l->size > 0 && l->line[l->size - 1] == '\r') l->size--;
    if (l->number == 1 && l->size >= 3 && !memcmp(l->line, "\xef\xbb\xbf", 3)) {
        l->line += 3;
        l->size -= 3;
    }
    return check_line(l);
}
