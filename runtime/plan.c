/* Memory plan, greedy by size (Pisarchyk, Lee 2020, "Efficient Memory Management for Deep Neural
 * Net Inference", section 5.2). */
#include "runtime/plan.h"

#include "graph/base.h"

#include <stdlib.h>
#include <string.h>

struct item {
    size_t bytes;
    int index;
};

static int larger_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->index - y->index;
}

/* Side by side, since each is looked at again for all that are smaller. */
struct placed {
    size_t from, to; /* bytes; to is aligned */
    int first, last; /* steps */
};

/* placed[] is sorted by offset: the first gap between live values that is large enough. */
static size_t find_gap(const struct placed placed[], int n, const wf_lifetime *me)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        if (placed[i].first > me->last || me->first > placed[i].last) continue;
        if (placed[i].from >= at + me->bytes) break;
        if (placed[i].to > at) at = placed[i].to;
    }
    return at;
}

/* Behind those that begin at the same byte. */
static void insert(struct placed placed[], int n, const struct placed *me)
{
    int lo = 0, hi = n;
    while (lo < hi) {
        int middle = (lo + hi) / 2;
        if (placed[middle].from <= me->from)
            lo = middle + 1;
        else
            hi = middle;
    }
    memmove(placed + lo + 1, placed + lo, (size_t)(n - lo) * sizeof *placed);
    placed[lo] = *me;
}

size_t wf_plan(int n, const wf_lifetime life[], size_t offset[])
{
    struct item *items = malloc(((size_t)n + 1) * sizeof *items);
    struct placed *placed = malloc(((size_t)n + 1) * sizeof *placed);
    size_t total = 0;
    int count = 0;
    if (!items || !placed) {
        free(items);
        free(placed);
        return SIZE_MAX;
    }
    for (int i = 0; i < n; i++) items[i] = (struct item){life[i].bytes, i};
    qsort(items, (size_t)n, sizeof *items, larger_first);
    for (int i = 0; i < n && items[i].bytes > 0; i++) {
        int me = items[i].index;
        size_t at = offset[me] = find_gap(placed, count, &life[me]);
        size_t end = (at + life[me].bytes + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN;
        insert(placed, count++, &(struct placed){at, end, life[me].first, life[me].last});
        if (end > total) total = end;
    }
    free(items);
    free(placed);
    return total;
}
