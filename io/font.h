/* A font of 5 x 9 dots for the printable ASCII characters, 32 to 126. */
#ifndef WF_IO_FONT_H
#define WF_IO_FONT_H

#include <stdint.h>

enum {
    WF_FONT_GLYPHS = 95,
    WF_FONT_FIRST = 32,
    WF_FONT_ROWS = 9,
    WF_FONT_BASE = 7, /* rows above the baseline */
    WF_FONT_COLUMNS = 5,
};

/* Rows from top to bottom; bit 4 is the leftmost dot. */
extern const uint8_t wf_font[WF_FONT_GLYPHS][WF_FONT_ROWS];

#endif
