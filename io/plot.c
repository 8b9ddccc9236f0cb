/*
 * Curves: a scale for each axis with ticks at round numbers (1, 2 or 5 times a power of ten), grid
 * lines, the curves, and a legend in the corner where it hides the fewest points.
 */
#include "io/plot.h"

#include "graph/base.h"
#include "io/canvas.h"
#include "io/file.h"
#include "io/font.h"
#include "io/png.h"
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_LINES = 8,
    MOST_PIXELS = 1 << 14, /* along a side */
    SMALL = 2,             /* pixels of a dot of the font */
    LARGE = 3,
    CAPITAL = WF_FONT_BASE * SMALL,
    ROW = (WF_FONT_ROWS + 2) * SMALL,
    GAP = 12,
};

static const uint32_t ink = 0x333333, frame = 0x888888, grid = 0xe4e4e4;
static const double stroke = 2; /* pixels of a curve's width */

/* Told apart by people of all kinds of colour vision (Okabe, Ito 2008), yellow made grey. */
static const uint32_t colours[MOST_LINES] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                             0xe69f00, 0x56b4e9, 0x222222, 0x999999};

typedef struct scale {
    double lo, hi;
    int from, to; /* the pixels of lo and hi */
    double step;
    int first, last; /* ticks, in steps */
} scale;

typedef struct picture {
    const wf_plot *plot;
    wf_canvas canvas;
    scale x, y;
} picture;

static bool has_point(const wf_plot_line *l, int i)
{
    return isfinite(l->x[i]) && isfinite(l->y[i]);
}

static double place(const scale *s, double value)
{
    return s->from + (value - s->lo) / (s->hi - s->lo) * (s->to - s->from);
}

/* The smallest and the largest value along an axis; false without any point. */
static bool find_range(const wf_plot *p, bool is_y, scale *s)
{
    s->lo = INFINITY;
    s->hi = -INFINITY;
    for (int k = 0; k < p->n_lines; k++) {
        const wf_plot_line *l = &p->lines[k];
        for (int i = 0; i < l->n; i++) {
            if (!has_point(l, i)) continue;
            double value = is_y ? l->y[i] : l->x[i];
            s->lo = fmin(s->lo, value);
            s->hi = fmax(s->hi, value);
        }
    }
    return s->lo <= s->hi;
}

/* Room around the values; a single value, or as good as one, stands in the middle. */
static void widen(scale *s, double share)
{
    double size = fmax(fabs(s->lo), fabs(s->hi)), range = s->hi - s->lo;
    if (range <= size * 1e-6) {
        range = size > 0 ? size : 1;
        share = 0.5;
    }
    s->lo -= share * range;
    s->hi += share * range;
}

static double round_step(double least)
{
    double power = pow(10, floor(log10(least)));
    if (least <= power) return power;
    return least <= 2 * power ? 2 * power : least <= 5 * power ? 5 * power : 10 * power;
}

/* At least so many pixels from tick to tick. */
static void set_ticks(scale *s, int pixels)
{
    double room = fmax(1, abs(s->to - s->from));
    s->step = round_step((s->hi - s->lo) * fmin(1, pixels / room));
    s->first = (int)ceil(s->lo / s->step - 1e-9);
    s->last = (int)floor(s->hi / s->step + 1e-9);
}

typedef struct label {
    char text[32];
} label;

static label label_of(const scale *s, int tick)
{
    label l;
    double value = tick * s->step;
    int decimals = (int)fmax(0, -floor(log10(s->step) + 1e-9));
    if (fabs(value) < 1e7 && decimals <= 5)
        snprintf(l.text, sizeof l.text, "%.*f", decimals, value);
    else
        snprintf(l.text, sizeof l.text, "%.7g", value);
    return l;
}

static int text_width(const char *text)
{
    return wf_canvas_text_width(text, SMALL);
}

static void put_text(picture *p, int x, int y, const char *text)
{
    wf_canvas_text(&p->canvas, x, y, text, SMALL, ink);
}

static int widest_label(const scale *s)
{
    int widest = 0;
    for (int i = s->first; i <= s->last; i++) {
        int width = text_width(label_of(s, i).text);
        if (widest < width) widest = width;
    }
    return widest;
}

/* Where the axes lie, from the outside in: the labels of y decide how much is left for x. */
static void lay_out(picture *p)
{
    const wf_canvas *c = &p->canvas;
    p->y.to = GAP + (p->plot->title ? ROW + GAP : 0) + (p->plot->y_name ? ROW : GAP);
    p->y.from = c->height - GAP - ROW - (p->plot->x_name ? ROW : 0);
    if (p->y.from <= p->y.to) p->y.from = p->y.to + 1;
    bool is_empty = !find_range(p->plot, false, &p->x) || !find_range(p->plot, true, &p->y);
    p->x.last = p->y.last = -1;
    if (!is_empty) {
        widen(&p->y, 0.05);
        set_ticks(&p->y, 2 * ROW);
    }
    p->x.from = GAP + widest_label(&p->y) + GAP / 2;
    p->x.to = c->width - 2 * GAP;
    if (p->x.to <= p->x.from) p->x.to = p->x.from + 1;
    if (is_empty) return;
    widen(&p->x, 0);
    set_ticks(&p->x, 90);
}

static void draw_frame(picture *p)
{
    wf_canvas *c = &p->canvas;
    int left = p->x.from, top = p->y.to, width = p->x.to - left, height = p->y.from - top;
    for (int i = p->y.first; i <= p->y.last; i++) {
        int y = (int)lround(place(&p->y, i * p->y.step));
        label l = label_of(&p->y, i);
        wf_canvas_fill(c, (wf_box){left, y, width, 1}, grid, 1);
        put_text(p, left - GAP / 2 - text_width(l.text), y - CAPITAL / 2, l.text);
    }
    for (int i = p->x.first; i <= p->x.last; i++) {
        int x = (int)lround(place(&p->x, i * p->x.step));
        label l = label_of(&p->x, i);
        int label_width = text_width(l.text);
        wf_canvas_fill(c, (wf_box){x, top, 1, height}, grid, 1);
        x = (int)wf_min_i64(x - label_width / 2, c->width - label_width); /* all of it is seen */
        put_text(p, x, top + height + GAP / 2 + 2, l.text);
    }
    wf_canvas_fill(c, (wf_box){left, top + height, width + 1, 1}, frame, 1);
    wf_canvas_fill(c, (wf_box){left, top, 1, height}, frame, 1);
    const wf_plot *plot = p->plot;
    if (plot->title) wf_canvas_text(c, GAP, GAP, plot->title, LARGE, ink);
    if (plot->y_name) put_text(p, GAP, top - ROW, plot->y_name);
    if (plot->x_name)
        put_text(p, p->x.to - text_width(plot->x_name), p->y.from + ROW + GAP / 2, plot->x_name);
}

static void draw_curve(picture *p, int k)
{
    const wf_plot_line *l = &p->plot->lines[k];
    double last[2];
    int n = 0;
    for (int i = 0; i < l->n; i++) {
        if (!has_point(l, i)) continue;
        double at[2] = {place(&p->x, l->x[i]) + 0.5, place(&p->y, l->y[i]) + 0.5};
        if (n++ > 0) wf_canvas_line(&p->canvas, last, at, stroke, colours[k]);
        last[0] = at[0];
        last[1] = at[1];
    }
    if (n == 1) wf_canvas_line(&p->canvas, last, last, 3 * stroke, colours[k]);
}

static int points_within(const picture *p, wf_box box)
{
    int n = 0;
    for (int k = 0; k < p->plot->n_lines; k++) {
        const wf_plot_line *l = &p->plot->lines[k];
        for (int i = 0; i < l->n; i++) {
            if (!has_point(l, i)) continue;
            double x = place(&p->x, l->x[i]) - box.x, y = place(&p->y, l->y[i]) - box.y;
            n += x >= 0 && x <= box.width && y >= 0 && y <= box.height;
        }
    }
    return n;
}

/* Of the four corners the first, from the right and the top, with the fewest points. */
static wf_box place_legend(const picture *p, int width, int height)
{
    int least = INT_MAX;
    wf_box best = {0};
    for (int i = 0; i < 4; i++) {
        wf_box box = {i & 1 ? p->x.from + GAP : p->x.to - GAP - width,
                      i & 2 ? p->y.from - GAP - height : p->y.to + GAP, width, height};
        int n = points_within(p, box);
        if (n >= least) continue;
        least = n;
        best = box;
    }
    return best;
}

static void draw_legend(picture *p)
{
    int widest = 0, rows = 0, sample = 2 * GAP;
    for (int k = 0; k < p->plot->n_lines; k++) {
        const char *name = p->plot->lines[k].name;
        if (!name) continue;
        int width = text_width(name);
        rows++;
        if (widest < width) widest = width;
    }
    if (rows == 0) return;
    wf_box box = place_legend(p, sample + widest + 3 * GAP, rows * ROW + GAP);
    wf_canvas_fill(&p->canvas, box, frame, 1);
    wf_box inner = {box.x + 1, box.y + 1, box.width - 2, box.height - 2};
    wf_canvas_fill(&p->canvas, inner, 0xffffff, 1);
    int y = box.y + GAP / 2 + (ROW - CAPITAL) / 2;
    for (int k = 0; k < p->plot->n_lines; k++) {
        const char *name = p->plot->lines[k].name;
        if (!name) continue;
        double from[2] = {box.x + GAP, y + CAPITAL / 2.0};
        double to[2] = {from[0] + sample, from[1]};
        wf_canvas_line(&p->canvas, from, to, stroke + 1, colours[k]);
        put_text(p, (int)to[0] + GAP, y, name);
        y += ROW;
    }
}

wf_status wf_plot_save(const wf_plot *plot, const char *path)
{
    assert(plot->n_lines >= 0 && plot->n_lines <= MOST_LINES);
    assert(plot->width >= 0 && plot->width <= MOST_PIXELS);
    assert(plot->height >= 0 && plot->height <= MOST_PIXELS);
    int width = plot->width ? plot->width : 960, height = plot->height ? plot->height : 600;
    picture p = {.plot = plot};
    if (!wf_canvas_new(&p.canvas, width, height))
        return wf_file_error(WF_ENOMEM, path, 0, "out of memory");
    lay_out(&p);
    draw_frame(&p);
    if (p.x.step > 0) {
        for (int k = 0; k < plot->n_lines; k++) draw_curve(&p, k);
        draw_legend(&p);
    }
    wf_status s = wf_png_save(path, width, height, p.canvas.rgb);
    free(p.canvas.rgb);
    return s;
}
