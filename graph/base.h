/* Arena, thread-local error text, small helpers: what every other folder may use. */
#ifndef WF_BASE_H
#define WF_BASE_H

#include <stdarg.h>
#include <weft/weft.h>

#define WF_ALIGN     64
#define WF_HUGE_PAGE ((size_t)1 << 21)

/* Record one line as wf_error() of this thread; returns s. The text must say what, where, and what
 * was expected. */
wf_status wf_error_set(wf_status s, const char *format, ...) WF_PRINTF(2, 3);
wf_status wf_error_status(void); /* of the last wf_error_set() of this thread */

/* Memory that is freed as a whole. Pointers stay valid until then. */
typedef struct wf_arena {
    struct wf_arena_block *blocks;
} wf_arena;

void *wf_arena_alloc(wf_arena *a, size_t bytes); /* zeroed, 64-byte aligned; NULL: out of memory */
char *wf_arena_text(wf_arena *a, const char *format, ...) WF_PRINTF(2, 3);
char *wf_arena_vtext(wf_arena *a, const char *format, va_list ap) WF_PRINTF(2, 0);
void wf_arena_free(wf_arena *a);

/* 64-byte aligned, in huge pages as far as it fills them; free() it. NULL: out of memory. */
void *wf_aligned_alloc(size_t bytes); /* zeroed */
void *wf_aligned_room(size_t bytes);  /* not zeroed: not even touched */

uint64_t wf_hash(const char *text); /* FNV-1a, 64 bit: for names */

/* A growing text. Failure of memory makes it sticky: text becomes NULL. */
typedef struct wf_text {
    char *text;
    size_t size, room;
    bool failed;
} wf_text;

void wf_text_add(wf_text *t, const char *format, ...) WF_PRINTF(2, 3);

static inline int64_t wf_min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t wf_max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t wf_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
