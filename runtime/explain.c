/* The report of a program: what the compiler did, and where time goes. */
#include "runtime/explain.h"

#include "ops/narrow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_TEXT = 30, IN_HTML = 500, VALUES = 20, PLACES = 8 }; /* lines of tables */

static double mib(double bytes)
{
    return bytes / (1 << 20);
}

static int most(const wf_page *page)
{
    return page->html ? IN_HTML : IN_TEXT;
}

static void more(wf_page *page, int n)
{
    wf_page_table_end(page);
    if (n > most(page)) wf_page_line(page, "and %d more", n - most(page));
}

/* ---- passes ------------------------------------------------------------------------------ */

static void tell_passes(wf_page *page, const wf_notes *notes)
{
    static const wf_column columns[] = {{"pass", -16}, {"nodes", 7}, {"after", 7},
                                        {"MFLOP", 10}, {"MiB", 9},   {NULL, 0}};
    wf_page_heading(page, "Passes: nodes before and after, what all kernels then do");
    wf_page_table(page, 5, columns);
    for (const wf_passed *p = notes->passes; p; p = p->next)
        wf_page_row(page, "%s\t%d\t%d\t%.2f\t%.2f", p->pass, p->before, p->after,
                    p->cost.flops / 1e6, mib(p->cost.bytes));
    wf_page_table_end(page);
}

/* Notes that say the same of the same pass. */
typedef struct group {
    const wf_noted *noted;
    int times;
    double flops, bytes, memory;
    const char *place[PLACES]; /* the first few, ... */
    int here[PLACES + 1];      /* ... and how often each; behind them how often elsewhere */
} group;

static void add_place(group *g, const char *path)
{
    int i = 0;
    while (i < PLACES && g->place[i] && strcmp(g->place[i], path) != 0) i++;
    if (i < PLACES) g->place[i] = path;
    g->here[i]++;
}

/* "layer_0, layer_3 (2), ..."; not much longer than 80 bytes. */
static void write_places(const group *g, char *text, size_t size)
{
    size_t n = 0;
    int i = 0;
    for (; i < PLACES && g->place[i] && (i == 0 || n + strlen(g->place[i]) < 72); i++) {
        const char *comma = i ? ", " : "";
        n += (size_t)snprintf(text + n, size - n, "%s%.300s", comma, g->place[i]);
        if (g->here[i] > 1) n += (size_t)snprintf(text + n, size - n, " (%d)", g->here[i]);
    }
    bool is_cut = g->here[PLACES] || (i < PLACES && g->place[i]);
    if (is_cut) snprintf(text + n, size - n, ", ...");
}

/* Groups of all notes of a kind, in order of the first; the array is malloc'ed. */
static group *find_groups(const wf_notes *notes, bool fired, int *count)
{
    int n = 0;
    for (const wf_noted *x = notes->noted; x; x = x->next) n++;
    group *groups = calloc((size_t)n + 1, sizeof *groups);
    *count = 0;
    for (const wf_noted *x = groups ? notes->noted : NULL; x; x = x->next) {
        if (x->fired != fired) continue;
        int i = 0;
        while (i < *count && (strcmp(groups[i].noted->pass, x->pass) != 0 ||
                              strcmp(groups[i].noted->text, x->text) != 0))
            i++;
        group *g = &groups[i];
        if (i == *count) *g = (group){.noted = x}, ++*count;
        g->times++;
        g->flops += x->saved.flops;
        g->bytes += x->saved.bytes;
        g->memory += (double)x->memory;
        add_place(g, x->path);
    }
    return groups;
}

static void tell_group(wf_page *page, const group *g)
{
    char places[500], memory[24] = "";
    write_places(g, places, sizeof places);
    if (g->memory > 0) snprintf(memory, sizeof memory, "%.2f", mib(g->memory));
    if (g->noted->fired)
        wf_page_row(page, "%s\t%s\t%d\t%.2f\t%.2f\t%s\t%s", g->noted->pass, g->noted->text,
                    g->times, g->flops / 1e6, mib(g->bytes), memory, places);
    else
        wf_page_row(page, "%s\t%s\t%d\t%s", g->noted->pass, g->noted->text, g->times, places);
}

static void tell_patterns(wf_page *page, const wf_notes *notes, bool fired)
{
    wf_column saving[] = {{"pass", -14}, {"pattern", -44}, {"times", 5}, {"MFLOP", 9},
                          {"MiB", 9},    {"memory", 7},    {"where", 0}};
    wf_column missed[] = {{"pass", -14}, {"stopped because", -48}, {"times", 5}, {"where", 0}};
    wf_column *columns = fired ? saving : missed;
    int n;
    group *groups = find_groups(notes, fired, &n);
    wf_page_heading(page, fired ? "Patterns that fired, and what that saved"
                                : "Patterns that nearly fired");
    for (int i = 0; i < n; i++) {
        int n_pass = (int)strlen(groups[i].noted->pass),
            n_text = (int)strlen(groups[i].noted->text);
        if (columns[0].width > -n_pass) columns[0].width = -n_pass;
        if (columns[1].width > -n_text) columns[1].width = -n_text; /* of any length, it fits */
    }
    if (n == 0) wf_page_line(page, "none");
    if (n > 0) wf_page_table(page, fired ? 7 : 4, columns);
    for (int i = 0; i < n; i++) tell_group(page, &groups[i]);
    if (n > 0) wf_page_table_end(page);
    free(groups);
}

/* ---- memory ------------------------------------------------------------------------------ */

const wf_node *wf_life_node(const wf_program *p, int i)
{
    return i < p->n_values ? p->values[i].node : p->steps[i - p->n_values].node;
}

size_t wf_life_offset(const wf_program *p, int i)
{
    return i < p->n_values ? p->values[i].offset : p->steps[i - p->n_values].work;
}

static int larger_first(const void *a, const void *b)
{
    const wf_lifetime *const *x = a, *const *y = b;
    if ((*x)->bytes != (*y)->bytes) return (*x)->bytes < (*y)->bytes ? 1 : -1;
    return (*x > *y) - (*x < *y);
}

static void tell_values(wf_page *page, const wf_program *p, int peak)
{
    static const wf_column columns[] = {{"MiB", 9},   {"first", 6}, {"last", 6},
                                        {"peak", -4}, {"op", -20},  {"where", 0}};
    int n = 0, all = p->n_values + p->n_steps;
    const wf_lifetime **sorted = malloc(((size_t)all + 1) * sizeof *sorted);
    for (int i = 0; sorted && i < all; i++)
        if (p->life[i].bytes > 0) sorted[n++] = &p->life[i];
    if (sorted) qsort(sorted, (size_t)n, sizeof *sorted, larger_first);
    wf_page_table(page, 6, columns);
    for (int i = 0; i < n && i < VALUES; i++) {
        const wf_lifetime *l = sorted[i];
        int at = (int)(l - p->life);
        const wf_node *node = wf_life_node(p, at);
        wf_page_row(page, "%.3f\t%d\t%d\t%s\t%s%s\t%s", mib((double)l->bytes), l->first, l->last,
                    wf_lives_at(l, peak) ? "yes" : "", node->op->name,
                    at < p->n_values ? "" : " (work)", wf_path_of(node));
    }
    wf_page_table_end(page);
    free(sorted);
}

/* What is stored or waits as value v in 16 bits, or NULL. */
static const wf_node *narrow_of(const wf_program *p, int v)
{
    const wf_node *n = p->values[v].node;
    if (wf_waits_narrow(n)) return n->in[0];
    return p->values[v].place == WF_IN_STORE && wf_is_narrow(n->dtype) ? n : NULL;
}

static void tell_narrow(wf_page *page, const wf_program *p)
{
    static const wf_column columns[] = {{"MiB less", 9}, {"as", -4}, {"op", -20}, {"where", 0}};
    int n = 0;
    double saved = 0;
    for (int v = 0; v < p->n_values; v++) {
        const wf_node *x = narrow_of(p, v);
        saved += x ? 2 * (double)wf_elements(&x->shape) : 0;
        n += x != NULL;
    }
    if (n == 0) return;
    wf_page_heading(page, "In 16 bits: stored tensors, and values that wait for late readers");
    wf_page_line(page, "%.3f MiB less than in float32, %.3f of them values that wait", mib(saved),
                 mib((double)p->stats.narrowed_bytes));
    wf_page_table(page, 4, columns);
    for (int v = 0, told = 0; v < p->n_values && told < most(page); v++) {
        const wf_node *x = narrow_of(p, v);
        if (!x) continue;
        wf_page_row(page, "%.3f\t%s\t%s\t%s", mib(2 * (double)wf_elements(&x->shape)),
                    wf_dtype_name(p->values[v].node->dtype), x->op->name, wf_path_of(x));
        told++;
    }
    more(page, n);
}

static void tell_memory(wf_page *page, const wf_program *p)
{
    int peak = p->peak;
    wf_page_heading(page, "Memory: the largest values, the steps they live");
    wf_page_line(page, "%.3f MiB for all values of a run, %.3f MiB if each had its own",
                 mib((double)p->stats.plan_bytes), mib((double)p->stats.plan_bytes_naive));
    if (p->n_steps)
        wf_page_line(page, "at most %.3f MiB live at once, at step %d of 0..%d: %s %s",
                     mib((double)p->peak_bytes), peak, p->n_steps - 1,
                     p->steps[peak].node->op->name, wf_path_of(p->steps[peak].node));
    wf_page_line(page, "besides: %.3f MiB of stored tensors, %.3f MiB of scratch for each thread",
                 mib((double)p->stats.store_bytes), mib((double)p->scratch_bytes));
    if (page->html) wf_draw_memory(page, p);
    tell_values(page, p, peak);
}

/* ---- kernels ----------------------------------------------------------------------------- */

/* What one kernel, or several together, do in a run. */
typedef struct share {
    const char *op, *path;
    int kernels;
    double flops, bytes, ns, busy; /* busy: of all threads together */
} share;

static share share_of(const wf_program *p, const wf_step *s)
{
    const wf_timing *t = &s->fastest;
    return (share){.op = s->node->op->name,
                   .path = wf_path_of(s->node),
                   .kernels = 1,
                   .flops = p->timed ? t->flops : s->cost.flops,
                   .bytes = s->cost.bytes,
                   .ns = (double)(t->end - t->start),
                   .busy = (double)t->busy};
}

static void add_share(share *to, const share *s)
{
    to->kernels += s->kernels;
    to->flops += s->flops;
    to->bytes += s->bytes;
    to->ns += s->ns;
    to->busy += s->busy;
}

static int heavier_first(const void *a, const void *b)
{
    const share *x = a, *y = b;
    if (x->ns != y->ns) return x->ns < y->ns ? 1 : -1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return strcmp(x->path ? x->path : x->op, y->path ? y->path : y->op);
}

static void tell_share(wf_page *page, const wf_program *p, const share *s, const share *all,
                       const wf_limits *l)
{
    char cost[400], part[24] = "-";
    snprintf(cost, sizeof cost, "%.3f\t%.3f\t%d\t%s\t%s", s->flops / 1e6, mib(s->bytes), s->kernels,
             s->op, s->path ? s->path : "");
    if (!p->timed) {
        wf_page_row(page, "%s", cost);
        return;
    }
    double ns = s->ns > 0 ? s->ns : 1, threads = wf_pool_threads(p->rt->pool);
    if (l->gflops > 0 && l->gbs > 0) {
        double compute = s->flops / l->gflops, memory = s->bytes / l->gbs;
        snprintf(part, sizeof part, "%.0f", 100 * (compute > memory ? compute : memory) / ns);
    }
    wf_page_row(page, "%.3f\t%.1f\t%.1f\t%.1f\t%s\t%.0f\t%s", ns / 1e6, 100 * ns / all->ns,
                s->flops / ns, s->bytes / ns, part, 100 * (1 - s->busy / (threads * ns)), cost);
}

static void tell_shares(wf_page *page, const wf_program *p, int n, share shares[],
                        const wf_limits *l)
{
    static const wf_column columns[] = {
        {"ms", 9},     {"time %", 6}, {"GFLOP/s", 8}, {"GB/s", 6}, {"roof %", 6}, {"waiting %", 9},
        {"MFLOP", 10}, {"MiB", 9},    {"kernels", 7}, {"op", -16}, {"where", 0}};
    enum { COSTS = 6, ALL = sizeof columns / sizeof *columns };
    share all = {0};
    for (int i = 0; i < n; i++) add_share(&all, &shares[i]);
    qsort(shares, (size_t)n, sizeof *shares, heavier_first);
    int first = p->timed ? 0 : COSTS;
    wf_page_table(page, ALL - first - !shares[0].path, columns + first);
    for (int i = 0; i < n && i < most(page); i++) tell_share(page, p, &shares[i], &all, l);
    all.op = "all";
    tell_share(page, p, &all, &all, l);
    more(page, n);
}

/* Kernels of one op are one. Returns how many remain. */
static int by_op(int n, share shares[])
{
    int ops = 0;
    for (int i = 0; i < n; i++) {
        int at = 0;
        while (at < ops && strcmp(shares[at].op, shares[i].op) != 0) at++;
        if (at < ops) {
            add_share(&shares[at], &shares[i]);
        } else {
            shares[ops] = shares[i];
            shares[ops++].path = NULL; /* that column is left out */
        }
    }
    return ops;
}

/* What a kernel reached the machine can do, even if the probe met a busy neighbour. In less than 10
 * MFLOP the clock decides. */
static wf_limits find_roof(const wf_program *p)
{
    wf_limits l = wf_probe(p->rt->pool);
    for (int i = 0; i < p->n_steps; i++) {
        share s = share_of(p, &p->steps[i]);
        if (s.flops >= 1e7 && s.ns > 0 && s.flops / s.ns > l.gflops) l.gflops = s.flops / s.ns;
    }
    return l;
}

static void tell_kernels(wf_page *page, const wf_program *p, const wf_explain_options *o)
{
    if (p->n_steps == 0) return;
    wf_limits l = {o->gflops, o->gbs};
    bool is_given = l.gflops > 0 && l.gbs > 0;
    if (p->timed && !is_given) l = find_roof(p);
    wf_page_heading(page, p->timed ? "Where time goes" : "Kernels of a run, most bytes first");
    if (p->timed)
        wf_page_line(
            page,
            "the fastest of %lld run%s on %d thread%s; the roof is %.1f GFLOP/s and %.1f GB/s, "
            "%s; small tensors come from the cache, which is faster",
            (long long)p->timed, p->timed == 1 ? "" : "s", wf_pool_threads(p->rt->pool),
            wf_pool_threads(p->rt->pool) == 1 ? "" : "s", l.gflops, l.gbs,
            is_given ? "as given" : "measured");
    if (page->html && p->timed) wf_draw_run(page, p);
    share *shares = malloc(((size_t)p->n_steps + 1) * sizeof *shares);
    for (int turn = 0; shares && turn < 2; turn++) {
        for (int i = 0; i < p->n_steps; i++) shares[i] = share_of(p, &p->steps[i]);
        if (turn) wf_page_heading(page, "The same, kernel by kernel");
        tell_shares(page, p, turn ? p->n_steps : by_op(p->n_steps, shares), shares, &l);
    }
    free(shares);
}

char *wf_program_explain(const wf_program *p, const wf_explain_options *options)
{
    wf_explain_options o = options ? *options : (wf_explain_options){0};
    wf_page page = {.html = o.html};
    const wf_notes *notes = p->g->notes;
    wf_page_begin(&page, "What the compiler did");
    wf_page_line(&page,
                 "%d nodes declared, %d with gradients and update, %d after fusion: "
                 "%d kernels a run",
                 p->stats.nodes_declared, p->stats.nodes_before, p->stats.nodes_after,
                 p->stats.kernels);
    if (notes) {
        tell_passes(&page, notes);
        tell_patterns(&page, notes, true);
        tell_patterns(&page, notes, false);
    }
    tell_memory(&page, p);
    tell_narrow(&page, p);
    tell_kernels(&page, p, &o);
    if (o.html) {
        char *after = wf_graph_text(p->g);
        wf_page_heading(&page, "The graph");
        if (notes) wf_draw_graph(&page, "as declared", notes->declared);
        wf_draw_graph(&page, "compiled", after ? after : "");
        free(after);
    }
    wf_page_end(&page);
    if (!page.t.text) wf_error_set(WF_ENOMEM, "out of memory for an explanation");
    return page.t.text;
}
