/* A report that is written once and read as plain text or as one HTML page. */
#ifndef WF_PAGE_H
#define WF_PAGE_H

#include "graph/base.h"

typedef struct wf_column {
    const char *name;
    int width; /* of the text: 5 to the right, -5 to the left; 0: the last one, as it comes */
} wf_column;

typedef struct wf_page {
    wf_text t;
    bool html;
    const wf_column *columns; /* of the table that is open */
    int n_columns;
} wf_page;

/* Texts may hold anything: they are escaped. */
void wf_page_begin(wf_page *p, const char *title);
void wf_page_end(wf_page *p);
void wf_page_heading(wf_page *p, const char *text);
void wf_page_line(wf_page *p, const char *format, ...) WF_PRINTF(2, 3);
void wf_page_table(wf_page *p, int n, const wf_column columns[]);
void wf_page_row(wf_page *p, const char *format, ...) WF_PRINTF(2, 3); /* cells between tabs */
void wf_page_table_end(wf_page *p);
void wf_page_escape(wf_page *p, const char *text, size_t n);

#endif
