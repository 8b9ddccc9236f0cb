/* Arena, thread-local error text, small helpers. */
#define _DEFAULT_SOURCE /* madvise */
#include "graph/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <weft/op.h>

static _Thread_local char error_text[256];
static _Thread_local wf_status error_status;

const char *wf_error(void)
{
    return error_text;
}

wf_status wf_error_status(void)
{
    return error_status;
}

wf_status wf_error_set(wf_status s, const char *format, ...)
{
    error_status = s;
    va_list ap;
    va_start(ap, format);
    vsnprintf(error_text, sizeof error_text, format, ap);
    va_end(ap);
    for (char *c = error_text; *c; c++)
        if (*c == '\n') *c = ' ';
    return s;
}

const char *wf_status_name(wf_status s)
{
    static const char *const names[] = {
        [-WF_OK] = "ok",
        [-WF_EMODEL] = "mistake in the model",
        [-WF_ENOMEM] = "out of memory",
        [-WF_EIO] = "input/output",
        [-WF_EFORMAT] = "bad content",
        [-WF_EUNBOUND] = "input not bound",
        [-WF_ELIMIT] = "limit",
        [-WF_ENONFINITE] = "not finite",
    };
    const int n = sizeof names / sizeof *names;
    return s <= 0 && s > -n ? names[-s] : "unknown status";
}

const char *wf_dtype_name(wf_dtype t)
{
    static const char *const names[] = {"f32", "i32", "u8", "f16", "bf16"};
    return (size_t)t < sizeof names / sizeof *names ? names[t] : "unknown";
}

void *wf_aligned_room(size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t align = bytes >= WF_HUGE_PAGE ? WF_HUGE_PAGE : WF_ALIGN;
    size_t room = (bytes + WF_ALIGN) / WF_ALIGN * WF_ALIGN; /* at least one line */
    void *p = NULL;
    if (posix_memalign(&p, align, room)) return NULL;
#ifdef MADV_HUGEPAGE
    size_t whole = bytes / WF_HUGE_PAGE * WF_HUGE_PAGE;
    if (whole) madvise(p, whole, MADV_HUGEPAGE); /* if not, then not */
#endif
    return p;
}

void *wf_aligned_alloc(size_t bytes)
{
    void *p = wf_aligned_room(bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

struct wf_arena_block {
    struct wf_arena_block *next;
    size_t used, room;
};

enum { ARENA_BLOCK = 1 << 16, ARENA_HEAD = WF_ALIGN };

void *wf_arena_alloc(wf_arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) return NULL;
    bytes = (bytes + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN;
    if (bytes == 0) bytes = WF_ALIGN;
    struct wf_arena_block *b = a->blocks;
    if (!b || b->room - b->used < bytes) {
        size_t room = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
        b = wf_aligned_alloc(ARENA_HEAD + room);
        if (!b) return NULL;
        b->room = room;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = (char *)b + ARENA_HEAD + b->used;
    b->used += bytes;
    return p;
}

char *wf_arena_vtext(wf_arena *a, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    char *p = n < 0 ? NULL : wf_arena_alloc(a, (size_t)n + 1);
    if (p) vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

char *wf_arena_text(wf_arena *a, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *p = wf_arena_vtext(a, format, ap);
    va_end(ap);
    return p;
}

void wf_arena_free(wf_arena *a)
{
    while (a->blocks) {
        struct wf_arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
}

uint64_t wf_hash(const char *text)
{
    uint64_t h = 14695981039346656037u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

void wf_text_add(wf_text *t, const char *format, ...)
{
    if (t->failed) return;
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    size_t need = t->size + (size_t)(n < 0 ? 0 : n) + 1;
    if (need > t->room) {
        size_t room = need * 2 + 256;
        char *grown = realloc(t->text, room);
        if (grown) {
            t->text = grown;
            t->room = room;
        } else {
            free(t->text);
            *t = (wf_text){.failed = true};
        }
    }
    if (!t->failed) {
        vsnprintf(t->text + t->size, t->room - t->size, format, again);
        t->size = need - 1;
    }
    va_end(again);
}
