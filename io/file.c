/* Errors that name a file; atomic replacement: write a new file, sync it, rename it. */
#define _GNU_SOURCE
#include "io/file.h"

#include "graph/base.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ERROR_ROOM = 250, PATH_SHOWN = 120 };

/* Drop a character that the end of the buffer has cut in two. */
static void trim_utf8(char *text)
{
    size_t n = strlen(text), i = n;
    while (i > 0 && n - i < 3 && ((unsigned char)text[i - 1] & 0xc0) == 0x80) i--;
    if (i == 0) return;
    unsigned char lead = (unsigned char)text[i - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (n - i + 1 < want) text[i - 1] = 0;
}

/* "path:line: " into text of ERROR_ROOM bytes; its length. Of a long path the end says more. */
static size_t put_where(char *text, const char *path, int64_t line)
{
    size_t n = strlen(path);
    const char *shown = n > PATH_SHOWN ? path + n - PATH_SHOWN : path;
    while (shown > path && ((unsigned char)*shown & 0xc0) == 0x80) shown++;
    const char *dots = shown > path ? "..." : "";
    int put = line > 0 ? snprintf(text, ERROR_ROOM, "%s%s:%lld: ", dots, shown, (long long)line)
                       : snprintf(text, ERROR_ROOM, "%s%s: ", dots, shown);
    return (size_t)put;
}

wf_status wf_file_error(wf_status s, const char *path, int64_t line, const char *format, ...)
{
    char text[ERROR_ROOM];
    size_t at = path ? put_where(text, path, line) : 0;
    va_list ap;
    va_start(ap, format);
    vsnprintf(text + at, sizeof text - at, format, ap);
    va_end(ap);
    trim_utf8(text);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) *c = '?';
    return wf_error_set(s, "%s", text);
}

static wf_status cannot_write(const char *path)
{
    return wf_file_error(WF_EIO, path, 0, "cannot be written: %s", strerror(errno));
}

static void forget(wf_out *o)
{
    free(o->path);
    free(o->part);
    *o = (wf_out){0};
}

wf_status wf_out_open(wf_out *o, const char *path)
{
    *o = (wf_out){.path = strdup(path)};
    struct stat st;
    bool is_direct = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    if (!is_direct && asprintf(&o->part, "%s.%ld.part", path, (long)getpid()) < 0) o->part = NULL;
    if (!o->path || (!is_direct && !o->part)) {
        forget(o);
        return wf_file_error(WF_ENOMEM, path, 0, "out of memory");
    }
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (is_direct ? 0 : O_TRUNC | O_NOFOLLOW);
    int fd = open(is_direct ? path : o->part, flags, 0666);
    if (fd >= 0) o->file = fdopen(fd, "wb");
    if (o->file) return WF_OK;
    wf_status s = cannot_write(path);
    if (fd >= 0) close(fd);
    if (fd >= 0 && o->part) unlink(o->part);
    forget(o);
    return s;
}

wf_status wf_out_commit(wf_out *o)
{
    bool ok = !ferror(o->file) && fflush(o->file) == 0;
    if (ok && o->part) ok = fsync(fileno(o->file)) == 0;
    int error = errno;
    if (fclose(o->file) && ok) {
        ok = false;
        error = errno;
    }
    if (ok && o->part && rename(o->part, o->path)) {
        ok = false;
        error = errno;
    }
    errno = error;
    wf_status s = ok ? WF_OK : cannot_write(o->path);
    if (!ok && o->part) unlink(o->part);
    forget(o);
    return s;
}

void wf_out_abandon(wf_out *o)
{
    if (o->file) fclose(o->file);
    if (o->part) unlink(o->part);
    forget(o);
}
