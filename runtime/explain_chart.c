/* Drawings of a program: who has which bytes of the slab at which step, who ran when, and the graph
 * by scopes. */
#include "runtime/explain.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 1000, HEIGHT = 300, LABEL = 8 /* a letter's width */ };

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

void wf_draw_memory(wf_page *page, const wf_program *p)
{
    size_t bytes;
    int peak = wf_peak_step(p, &bytes);
    if (p->stats.plan_bytes == 0) return;
    double step = (double)WIDTH / (p->n_steps + 1);
    double byte = (double)HEIGHT / (double)p->stats.plan_bytes;
    wf_text_add(&page->t, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, HEIGHT + 20);
    for (int i = 0; i < p->n_values + p->n_steps; i++) {
        const wf_lifetime *l = &p->life[i];
        if (l->bytes == 0) continue;
        char title[80];
        snprintf(title, sizeof title, "%.3f MiB, steps %d to %d",
                 (double)l->bytes / (double)(1 << 20), l->first, l->last);
        double top = (double)(wf_life_offset(p, i) + l->bytes) * byte;
        box b = {l->first * step, HEIGHT - top, (l->last - l->first + 1) * step,
                 (double)l->bytes * byte, wf_lives_at(l, peak) ? "peak" : "bar"};
        draw_box(page, &b, wf_life_node(p, i), title);
    }
    double x = (peak + 0.5) * step;
    wf_text_add(&page->t,
                "<line class=\"axis\" x1=\"%.2f\" y1=\"0\" x2=\"%.2f\" y2=\"%d\"/>\n"
                "<text x=\"%.2f\" y=\"%d\" text-anchor=\"%s\">peak, step %d</text>\n</svg>\n",
                x, x, HEIGHT, x, HEIGHT + 15, x > 0.5 * WIDTH ? "end" : "start", peak);
    wf_page_line(page,
                 "Steps from left to right, the slab's bytes from bottom to top; what lives at the "
                 "peak stands out. Point at a box for its name.");
}

void wf_draw_run(wf_page *page, const wf_program *p)
{
    const int height = 60;
    int threads = wf_pool_threads(p->rt->pool);
    int64_t from = p->steps[0].fastest.start, to = p->steps[p->n_steps - 1].fastest.end;
    double ns = (double)WIDTH / (double)wf_max_i64(to - from, 1);
    wf_text_add(&page->t, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, height + 20);
    for (int s = 0; s < p->n_steps; s++) {
        const wf_timing *t = &p->steps[s].fastest;
        double w = (double)(t->end - t->start) * ns, x = (double)(t->start - from) * ns;
        double part = (double)t->busy / (double)(threads * wf_max_i64(t->end - t->start, 1));
        char title[80];
        snprintf(title, sizeof title, "%.3f ms, threads wait %.0f %% of it",
                 (double)(t->end - t->start) / 1e6, 100 * (1 - part));
        wf_text_add(&page->t,
                    "<rect class=\"wait\" x=\"%.2f\" y=\"0\" width=\"%.2f\" height=\"%d\"/>\n", x,
                    w, height);
        box b = {x, height * (1 - part), w, height * part, "bar"};
        draw_box(page, &b, p->steps[s].node, title);
    }
    wf_text_add(&page->t,
                "<text x=\"0\" y=\"%d\">0</text><text x=\"%d\" y=\"%d\" "
                "text-anchor=\"end\">%.3f ms</text>\n</svg>\n",
                height + 15, WIDTH, height + 15, (double)(to - from) / 1e6);
    wf_page_line(page,
                 "The fastest run, a box a kernel; its height is the part of the threads' time "
                 "that was work. Point at a box for its name.");
}

/* "%3 = relu %2 : f32[4,8]  # layer/h" -> the outermost scope, "layer"; of 0 bytes if there is
 * none. */
static const char *scope_of(const char *line, size_t n, size_t *size)
{
    const char *path = NULL, *end = line + n;
    for (const char *c = line; c + 3 < end; c++)
        if (!strncmp(c, "  # ", 4)) path = c + 4;
    const char *slash = path ? memchr(path, '/', (size_t)(end - path)) : NULL;
    *size = slash ? (size_t)(slash - path) : 0;
    return path ? path : line;
}

void wf_draw_graph(wf_page *page, const char *title, const char *text)
{
    const char *scope = "";
    size_t size = 0;
    wf_text_add(&page->t, "<details><summary>%s</summary>\n<pre>", title);
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        size_t its;
        const char *next = scope_of(text, n, &its);
        if (its != size || memcmp(next, scope, its) != 0) {
            wf_text_add(&page->t, "</pre>%s\n%s", size ? "</details>" : "",
                        its ? "<details><summary>" : "");
            wf_page_escape(page, next, its);
            wf_text_add(&page->t, "%s<pre>", its ? "</summary>" : "");
            scope = next;
            size = its;
        }
        wf_page_escape(page, text, n);
        wf_text_add(&page->t, "\n");
    }
    wf_text_add(&page->t, "</pre>%s\n</details>\n", size ? "</details>" : "");
}
