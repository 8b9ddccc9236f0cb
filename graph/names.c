/*
 * Leaves by their paths: a hash table with open addressing, at most half full. It is brought up to
 * date when it is asked, since nodes are only ever added to a graph.
 */
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

/* Where the leaf of this path is, or would be. */
static wf_node **slot_of(wf_node **table, int room, const char *path)
{
    size_t i = wf_hash(path) % (size_t)room;
    while (table[i] && strcmp(table[i]->name, path) != 0) i = (i + 1) % (size_t)room;
    return &table[i];
}

static bool grow(wf_graph *g)
{
    int room = g->room_by_name ? 2 * g->room_by_name : 64;
    wf_node **table = calloc((size_t)room, sizeof *table);
    if (!table) return false;
    for (int i = 0; i < g->room_by_name; i++)
        if (g->by_name[i]) *slot_of(table, room, g->by_name[i]->name) = g->by_name[i];
    free(g->by_name);
    g->by_name = table;
    g->room_by_name = room;
    return true;
}

static bool is_named_leaf(const wf_node *n)
{
    return (n->op->traits & WF_LEAF) && n->name;
}

/* Without a table. */
static wf_node *search(const wf_graph *g, const char *path)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (is_named_leaf(g->nodes[i]) && !strcmp(g->nodes[i]->name, path)) return g->nodes[i];
    return NULL;
}

wf_node *wf_graph_find(wf_graph *g, const char *path)
{
    for (; g->n_searched < g->n_nodes; g->n_searched++) {
        wf_node *n = g->nodes[g->n_searched];
        if (!is_named_leaf(n)) continue;
        if (2 * g->n_by_name >= g->room_by_name && !grow(g)) return search(g, path);
        wf_node **slot = slot_of(g->by_name, g->room_by_name, n->name);
        g->n_by_name += !*slot;
        if (!*slot) *slot = n; /* of two with one path the first */
    }
    return g->room_by_name ? *slot_of(g->by_name, g->room_by_name, path) : NULL;
}
