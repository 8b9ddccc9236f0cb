/*
 * Drawing. A line covers a pixel by how far its edge is from the pixel's centre:
 * clamp(width/2 + 1/2 - distance, 0, 1).
 */
#include "io/canvas.h"

#include "graph/base.h"
#include "io/font.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool wf_canvas_new(wf_canvas *c, int width, int height)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    *c = (wf_canvas){.width = width, .height = height, .rgb = malloc(bytes)};
    if (c->rgb) memset(c->rgb, 255, bytes);
    return c->rgb != NULL;
}

static void blend(wf_canvas *c, int x, int y, uint32_t colour, double opacity)
{
    uint8_t *p = c->rgb + ((size_t)y * (size_t)c->width + (size_t)x) * 3;
    for (int i = 0; i < 3; i++) {
        double to = (double)(colour >> (16 - 8 * i) & 255);
        p[i] = (uint8_t)(p[i] + (to - p[i]) * opacity + 0.5);
    }
}

static int clamp(double x, int hi)
{
    return x < 0 ? 0 : x > hi ? hi : (int)x;
}

void wf_canvas_fill(wf_canvas *c, wf_box box, uint32_t colour, double opacity)
{
    int x0 = clamp(box.x, c->width), x1 = clamp((double)box.x + box.width, c->width);
    int y0 = clamp(box.y, c->height), y1 = clamp((double)box.y + box.height, c->height);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) blend(c, x, y, colour, opacity);
}

void wf_canvas_line(wf_canvas *c, const double from[2], const double to[2], double width,
                    uint32_t colour)
{
    double reach = width / 2 + 0.5;
    int x0 = clamp(fmin(from[0], to[0]) - reach, c->width);
    int x1 = clamp(fmax(from[0], to[0]) + reach + 1, c->width);
    int y0 = clamp(fmin(from[1], to[1]) - reach, c->height);
    int y1 = clamp(fmax(from[1], to[1]) + reach + 1, c->height);
    double dx = to[0] - from[0], dy = to[1] - from[1], length2 = dx * dx + dy * dy;
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            double px = x + 0.5 - from[0], py = y + 0.5 - from[1];
            double t = length2 > 0 ? fmin(1, fmax(0, (px * dx + py * dy) / length2)) : 0;
            double cover = reach - hypot(px - t * dx, py - t * dy);
            if (cover > 0) blend(c, x, y, colour, fmin(1, cover));
        }
    }
}

int wf_canvas_text_width(const char *text, int scale)
{
    int n = (int)wf_min_i64((int64_t)strlen(text), 1000);
    return n > 0 ? (n * (WF_FONT_COLUMNS + 1) - 1) * scale : 0;
}

void wf_canvas_text(wf_canvas *c, int x, int y, const char *text, int scale, uint32_t colour)
{
    for (; *text && x < c->width; text++, x += (WF_FONT_COLUMNS + 1) * scale) {
        bool is_known = *text >= WF_FONT_FIRST && *text < WF_FONT_FIRST + WF_FONT_GLYPHS;
        const uint8_t *glyph = wf_font[(is_known ? *text : '?') - WF_FONT_FIRST];
        for (int i = 0; i < WF_FONT_ROWS * WF_FONT_COLUMNS; i++) {
            int row = i / WF_FONT_COLUMNS, column = i % WF_FONT_COLUMNS;
            if (!(glyph[row] >> (WF_FONT_COLUMNS - 1 - column) & 1)) continue;
            wf_box dot = {x + column * scale, y + row * scale, scale, scale};
            wf_canvas_fill(c, dot, colour, 1);
        }
    }
}
