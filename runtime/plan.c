/* Memory plan, greedy by size (Pisarchyk, Lee 2020, "Efficient Memory Management for Deep Neural
 * Net Inference", section 5.2). */
#include "runtime/plan.h"

#include "graph/base.h"

#include <stdlib.h>

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

static bool overlap(const wf_lifetime *a, const wf_lifetime *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* placed[] is sorted by offset: the first gap between live values that is large enough. */
static size_t find_gap(const wf_lifetime life[], const size_t offset[], const int placed[], int n,
                       int me)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        int other = placed[i];
        if (!overlap(&life[me], &life[other])) continue;
        if (offset[other] >= at + life[me].bytes) break;
        size_t end = offset[other] + life[other].bytes;
        end = (end + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN;
        if (end > at) at = end;
    }
    return at;
}

static void insert(const size_t offset[], int placed[], int n, int me)
{
    int at = n;
    for (; at > 0 && offset[placed[at - 1]] > offset[me]; at--) placed[at] = placed[at - 1];
    placed[at] = me;
}

size_t wf_plan(int n, const wf_lifetime life[], size_t offset[])
{
    struct item *items = malloc(((size_t)n + 1) * sizeof *items);
    int *placed = malloc(((size_t)n + 1) * sizeof *placed);
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
        offset[me] = find_gap(life, offset, placed, count, me);
        insert(offset, placed, count++, me);
        if (offset[me] + life[me].bytes > total) total = offset[me] + life[me].bytes;
    }
    free(items);
    free(placed);
    return (total + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN;
}
