/* Curves as a PNG picture. */
#ifndef WF_IO_PLOT_H
#define WF_IO_PLOT_H

#include <weft/weft.h>

typedef struct wf_plot_line {
    const char *name; /* ASCII; shown in the legend */
    int n;
    const float *x, *y; /* points that are not finite are left out */
} wf_plot_line;

typedef struct wf_plot {
    const char *title, *x_name, *y_name; /* ASCII */
    int width, height;                   /* pixels; 0: 960 x 600 */
    int n_lines;                         /* at most 8, each in a colour of its own */
    const wf_plot_line *lines;
} wf_plot;

/* Replaces the file as a whole. A plot without any point is an empty frame. */
wf_status wf_plot_save(const wf_plot *p, const char *path);

#endif
