/* Drawings of a program: who has which bytes of the slab at which step, who ran when, and the graph
 * by scopes. */
#define _GNU_SOURCE
#include "runtime/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1000, HEIGHT = 300, LABEL = 8 /* a letter's width */ };
enum { LEFT = 50, TOP = 16, ROW = 16 /* of labels */ };

typedef struct box {
    double x, y, w, h;
    const char *class;
} box;

/* A box that says what it is, on itself if there is room; the title is what a pointer shows. */
static void draw_box(wf_page *page, const box *b, const wf_node *n, const char *title)
{
    wf_text_add(&page->t,
                "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>",
                b->class, b->x, b->y, b->w, b->h);
    wf_page_escape(page, n->op->name, strlen(n->op->name));
    wf_text_add(&page->t, " ");
    wf_page_escape(page, wf_path_of(n), strlen(wf_path_of(n)));
    wf_text_add(&page->t, "\n%s</title></rect>\n", title);
    const char *path = wf_path_of(n);
    size_t op = strlen(n->op->name), both = op + 1 + strlen(path);
    if (b->h < 12 || b->w < LABEL * (double)op) return;
    wf_text_add(&page->t, "<text x=\"%.2f\" y=\"%.2f\" pointer-events=\"none\">", b->x + 3,
                b->y + b->h / 2 + 4);
    wf_page_escape(page, n->op->name, op);
    if (b->w >= LABEL * (double)both) {
        wf_text_add(&page->t, " ");
        wf_page_escape(page, path, both - op - 1);
    }
    wf_text_add(&page->t, "</text>\n");
}

static void label(wf_page *page, double x, double y, const char *anchor, const char *text)
{
    wf_text_add(&page->t, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\">%s</text>\n", x, y,
                anchor, text);
}

static void number(wf_page *page, double x, double y, const char *anchor, const char *before,
                   double v)
{
    char text[60];
    snprintf(text, sizeof text, "%s%.9g", before, v);
    label(page, x, y, anchor, text);
}

static void line(wf_page *page, const char *class, const double from[2], const double to[2])
{
    wf_text_add(&page->t, "<line class=\"%s\" x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"/>\n",
                class, from[0], from[1], to[0], to[1]);
}

/* 1, 2 or 5 times a power of ten: four to ten of them are the range. */
static double tick_of(double range)
{
    double tick = 1, most = range / 4;
    while (tick > most) tick /= 10;
    while (10 * tick <= most) tick *= 10;
    return 5 * tick <= most ? 5 * tick : 2 * tick <= most ? 2 * tick : tick;
}

/* Labels under a drawing of this height: 0 at LEFT, range at the right end. */
static void draw_scale(wf_page *page, int height, double range, double tick, const char *unit)
{
    double room = 1.5 * LABEL * (double)strlen(unit), y = TOP + height;
    for (double v = 0; LEFT + v / range * (WIDTH - LEFT) < WIDTH - room; v += tick)
        number(page, LEFT + v / range * (WIDTH - LEFT), y + ROW, "middle", "", v);
    label(page, WIDTH, y + ROW, "end", unit);
}

void wf_draw_memory(wf_page *page, const wf_program *p)
{
    if (p->stats.plan_bytes == 0) return;
    double step = (double)(WIDTH - LEFT) / (p->n_steps + 1), bottom = TOP + HEIGHT;
    double byte = (double)HEIGHT / (double)p->stats.plan_bytes, mib = byte * (1 << 20);
    double tick = tick_of(HEIGHT / mib);
    wf_text_add(&page->t, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH,
                TOP + HEIGHT + 2 * ROW + 4);
    label(page, 0, TOP - 4, "start", "MiB");
    for (double v = 0; v * mib <= HEIGHT; v += tick) {
        line(page, "grid", (double[]){LEFT, bottom - v * mib}, (double[]){WIDTH, bottom - v * mib});
        number(page, LEFT - 6, bottom - v * mib + 4, "end", "", v);
    }
    for (int i = 0; i < p->n_values + p->n_steps; i++) {
        const wf_lifetime *l = &p->life[i];
        if (l->bytes == 0) continue;
        char title[80];
        snprintf(title, sizeof title, "%.3f MiB, steps %d to %d",
                 (double)l->bytes / (double)(1 << 20), l->first, l->last);
        double top = (double)(wf_life_offset(p, i) + l->bytes) * byte;
        box b = {LEFT + l->first * step, bottom - top, (l->last - l->first + 1) * step,
                 (double)l->bytes * byte, wf_lives_at(l, p->peak) ? "peak" : "bar"};
        draw_box(page, &b, wf_life_node(p, i), title);
    }
    tick = tick_of(p->n_steps + 1);
    draw_scale(page, HEIGHT, p->n_steps + 1, tick < 1 ? 1 : tick, "step");
    double x = LEFT + (p->peak + 0.5) * step;
    line(page, "axis", (double[]){x, TOP}, (double[]){x, bottom + ROW + 8});
    number(page, x, bottom + 2 * ROW, x > 0.5 * WIDTH ? "end" : "start", "peak, step ", p->peak);
    wf_text_add(&page->t, "</svg>\n");
    wf_page_line(page,
                 "Steps from left to right, the slab's bytes from bottom to top; what lives at the "
                 "peak stands out. Point at a box for its name.");
}

void wf_draw_run(wf_page *page, const wf_program *p)
{
    const int height = 60;
    int threads = wf_pool_threads(p->rt->pool);
    int64_t from = p->steps[0].fastest.start, to = p->steps[p->n_steps - 1].fastest.end;
    double all = (double)wf_max_i64(to - from, 1), ns = (WIDTH - LEFT) / all;
    char unit[40];
    snprintf(unit, sizeof unit, "%.3f ms", (double)(to - from) / 1e6);
    wf_text_add(&page->t, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH,
                TOP + height + ROW + 4);
    label(page, 0, TOP - 4, "start", "work");
    label(page, LEFT - 6, TOP + 10, "end", "100 %");
    label(page, LEFT - 6, TOP + height, "end", "0 %");
    for (int s = 0; s < p->n_steps; s++) {
        const wf_timing *t = &p->steps[s].fastest;
        double w = (double)(t->end - t->start) * ns, x = LEFT + (double)(t->start - from) * ns;
        double part = (double)t->busy / (double)(threads * wf_max_i64(t->end - t->start, 1));
        char title[80];
        snprintf(title, sizeof title, "%.3f ms, threads wait %.0f %% of it",
                 (double)(t->end - t->start) / 1e6, 100 * (1 - part));
        wf_text_add(&page->t,
                    "<rect class=\"wait\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"/>\n", x,
                    TOP, w, height);
        box b = {x, TOP + height * (1 - part), w, height * part, "bar"};
        draw_box(page, &b, p->steps[s].node, title);
    }
    draw_scale(page, height, all / 1e6, tick_of(all / 1e6), unit);
    wf_text_add(&page->t, "</svg>\n");
    wf_page_line(page,
                 "The fastest run, a box a kernel; its height is the part of the threads' time "
                 "that was work. Point at a box for its name.");
}

typedef struct graph_line {
    const char *text, *scope;
    size_t size, scope_size; /* size: 0 once it was told */
} graph_line;

/* The outermost scope of "%3 = relu %2 : f32[4,8]  # layer/h" is "layer"; 0 bytes: none. */
static graph_line line_at(const char *text)
{
    size_t n = strcspn(text, "\n");
    graph_line l = {text, text, n + (text[n] == '\n'), 0};
    const char *path = memmem(text, n, "  # ", 4);
    const char *slash = path ? memchr(path, '/', (size_t)(text + n - path)) : NULL;
    if (slash) l.scope = path + 4, l.scope_size = (size_t)(slash - l.scope);
    return l;
}

static void draw_scope(wf_page *page, graph_line *from, const graph_line *end)
{
    const size_t n = from->scope_size;
    wf_text_add(&page->t, "<details><summary>");
    wf_page_escape(page, n ? from->scope : "outside all scopes", n ? n : 18);
    wf_text_add(&page->t, "</summary><pre>");
    for (graph_line *l = from; l < end; l++) {
        if (l->scope_size != n || memcmp(l->scope, from->scope, n) != 0) continue;
        wf_page_escape(page, l->text, l->size);
        l->size = 0;
    }
    wf_text_add(&page->t, "</pre></details>\n");
}

/* A scope may come several times in the order of the lines; here each comes once. */
void wf_draw_graph(wf_page *page, const char *title, const char *text)
{
    size_t n = 0;
    for (const char *c = text; *c; c++) n += *c == '\n';
    graph_line *lines = calloc(n + 1, sizeof *lines), *end = lines;
    for (; lines && *text; text += end++->size) *end = line_at(text);
    wf_text_add(&page->t, "<details><summary>%s</summary>\n", title);
    for (graph_line *l = lines; l < end; l++)
        if (l->size) draw_scope(page, l, end);
    wf_text_add(&page->t, "</details>\n");
    free(lines);
}
