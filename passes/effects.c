#include "passes/effects.h"

#include "ops/narrow.h"
#include "ops/pointwise.h"

#include <stdlib.h>
#include <string.h>

bool wf_is_rounding(const wf_node *n)
{
    return n->op == &wf_op_cast && wf_is_narrow(n->dtype) && n->n_users == 1;
}

wf_node *wf_assigned(const wf_node *a)
{
    return wf_is_rounding(a->in[1]) ? a->in[1]->in[0] : a->in[1];
}

bool wf_stores_to(const wf_node *n, const wf_node *leaf)
{
    if (n->op == &wf_op_assign) return n->in[0] == leaf;
    if (n->op == &wf_op_scatter_store) return n->in[2] == leaf;
    if (n->op != &wf_op_pointwise_store) return false;
    const wf_pw *p = n->attr;
    for (int i = 0; i < p->n_stores; i++)
        if (n->in[p->store[i].input] == leaf) return true;
    return false;
}

static void no_memory(wf_effects *x)
{
    wf_graph_fail(x->g, WF_ENOMEM, "out of memory while merging effects");
}

static void add_reader(wf_effects *x, const wf_node *v, wf_node *effect)
{
    if (x->n_readers == x->room_readers) {
        int room = 2 * x->room_readers + 64;
        struct wf_reader *grown = realloc(x->readers, (size_t)room * sizeof *grown);
        if (!grown) {
            no_memory(x);
            return;
        }
        x->readers = grown;
        x->room_readers = room;
    }
    int at = x->n_readers++, last = x->of[v->id].last;
    x->readers[at] = (struct wf_reader){effect, -1};
    if (last < 0)
        x->of[v->id].first = at;
    else
        x->readers[last].next = at;
    x->of[v->id].last = at;
}

static void add(wf_effects *x, wf_node *e)
{
    for (int i = 0; i < e->n_in; i++)
        if (wf_stores_to(e, e->in[i])) x->writer[e->in[i]->id] = e;
    if (e->op == &wf_op_assign) add_reader(x, wf_assigned(e), e);
    for (int i = 0; i < e->n_in && e->op == &wf_op_pointwise_store; i++)
        if (wf_shape_equal(&e->in[i]->shape, &e->shape)) add_reader(x, e->in[i], e);
}

/* The array with room for more, each byte of it set to fill. NULL: out of memory. */
static void *grow(void *array, size_t size, int from, int to, int fill)
{
    char *grown = realloc(array, (size_t)to * size);
    if (grown) memset(grown + (size_t)from * size, fill, (size_t)(to - from) * size);
    return grown;
}

static bool make_room(wf_effects *x, int room)
{
    void *writer = grow(x->writer, sizeof *x->writer, x->room, room, 0);
    void *of = grow(x->of, sizeof *x->of, x->room, room, -1);
    void *is_gone = grow(x->is_gone, sizeof *x->is_gone, x->room, room, 0);
    void *seen = grow(x->seen, sizeof *x->seen, x->room, room, 0);
    if (writer) x->writer = writer;
    if (of) x->of = of;
    if (is_gone) x->is_gone = is_gone;
    if (seen) x->seen = seen;
    bool ok = writer && of && is_gone && seen;
    if (ok)
        x->room = room;
    else
        no_memory(x);
    return ok;
}

bool wf_effects_open(wf_effects *x, wf_graph *g)
{
    *x = (wf_effects){.g = g};
    if (!make_room(x, g->n_nodes + 2 * g->n_effects + 1)) return false;
    for (int i = 0; i < g->n_effects; i++) add(x, g->effects[i]);
    return g->status == WF_OK;
}

void wf_effects_close(wf_effects *x)
{
    free(x->writer);
    free(x->of);
    free(x->readers);
    free(x->is_gone);
    free(x->seen);
}

void wf_effects_replace(wf_effects *x, wf_node *old, wf_node *also, wf_node *by)
{
    x->is_gone[old->id] = 1;
    if (also) x->is_gone[also->id] = 1;
    if (wf_is_poison(by) || (by->id >= x->room && !make_room(x, 2 * by->id))) return;
    add(x, by);
    wf_replace_effects(old, also, by);
}

wf_node *wf_effects_reader(const wf_effects *x, const wf_node *v, int *at)
{
    do *at = *at < 0 ? x->of[v->id].first : x->readers[*at].next;
    while (*at >= 0 && x->is_gone[x->readers[*at].effect->id]);
    return *at < 0 ? NULL : x->readers[*at].effect;
}

bool wf_effects_wait_for_itself(wf_effects *x, const wf_node *n, const wf_node *a, const wf_node *b)
{
    int count = 0;
    const wf_node **list = malloc(((size_t)x->g->n_effects + 1) * sizeof *list);
    bool found = !list;
    if (found) no_memory(x);
    x->round++;
    for (const wf_node *f = n; f && !found; f = count ? list[--count] : NULL)
        for (int i = f->op == &wf_op_assign; i < f->n_in; i++) {
            const wf_node *leaf = wf_origin(f->in[i]);
            found |= f != n && wf_stores_to(n, leaf);
            const wf_node *e = x->writer[leaf->id];
            if (!e || e == f || e == a || e == b || x->seen[e->id] == x->round) continue;
            x->seen[e->id] = x->round;
            list[count++] = e;
        }
    free(list);
    return found;
}
