/* A picture in memory to draw on. Whatever lies outside of it is cut off. */
#ifndef WF_IO_CANVAS_H
#define WF_IO_CANVAS_H

#include <weft/weft.h>

typedef struct wf_canvas {
    int width, height;
    uint8_t *rgb; /* [height, width, 3] */
} wf_canvas;

typedef struct wf_box {
    int x, y, width, height; /* x and y: of its top left corner */
} wf_box;

/* A white one; false: out of memory. free() rgb. Colours are 0xrrggbb. */
bool wf_canvas_new(wf_canvas *c, int width, int height);
/* Cover a box; opacity 1 hides what was there. */
void wf_canvas_fill(wf_canvas *c, wf_box box, uint32_t colour, double opacity);
/* A line with round ends and smooth edges between two points; a dot if they are the same. */
void wf_canvas_line(wf_canvas *c, const double from[2], const double to[2], double width,
                    uint32_t colour);
/* ASCII text (others become '?') with its top left corner at x, y, in dots of scale x scale. */
void wf_canvas_text(wf_canvas *c, int x, int y, const char *text, int scale, uint32_t colour);
int wf_canvas_text_width(const char *text, int scale);

#endif
