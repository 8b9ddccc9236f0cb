/* Headings, lines and tables, as text or as HTML. */
#include "runtime/page.h"

#include <stdio.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d2430;--paper:#fff;--soft:#66707f;--line:#d8dde4;"
    "--bar:#5b8bd0;--peak:#d9822b;--wait:#e4e8ee}"
    "@media(prefers-color-scheme:dark){:root{--ink:#dde3ec;--paper:#14181f;--soft:#93a0b2;"
    "--line:#343c49;--bar:#4a78b8;--peak:#c9762a;--wait:#2a313c}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
    "max-width:1100px;margin:2em auto;padding:0 1em}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin:2em 0 .4em;border-bottom:1px solid var(--line)}"
    "p{color:var(--soft);margin:.4em 0}.wide{overflow-x:auto}"
    "table{border-collapse:collapse;font-size:13px}"
    "th{text-align:left;color:var(--soft);font-weight:600}"
    "td,th{padding:.15em .7em .15em 0;vertical-align:top}tr+tr td{border-top:1px solid var(--line)}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "pre{font-size:12px;overflow-x:auto;margin:.2em 0 .2em 1.2em}"
    "summary{cursor:pointer;font-size:13px}details details{margin-left:1.2em}"
    "svg{width:100%;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--ink)}"
    ".bar{fill:var(--bar);stroke:var(--paper);stroke-width:.4}"
    ".peak{fill:var(--peak);stroke:var(--paper);stroke-width:.4}"
    ".wait{fill:var(--wait)}.grid{stroke:var(--line)}.axis{stroke:var(--soft);stroke-dasharray:4 "
    "3}";

void wf_page_escape(wf_page *p, const char *text, size_t n)
{
    for (const char *end = text + n; text < end; text++) {
        const char *as = !p->html       ? NULL
                         : *text == '<' ? "&lt;"
                         : *text == '>' ? "&gt;"
                         : *text == '&' ? "&amp;"
                                        : NULL;
        if (as)
            wf_text_add(&p->t, "%s", as);
        else
            wf_text_add(&p->t, "%c", *text);
    }
}

static void element(wf_page *p, const char *name, const char *text)
{
    if (p->html) wf_text_add(&p->t, "<%s>", name);
    wf_page_escape(p, text, strlen(text));
    if (p->html) wf_text_add(&p->t, "</%s>", name);
    wf_text_add(&p->t, "\n");
}

void wf_page_begin(wf_page *p, const char *title)
{
    if (p->html)
        wf_text_add(&p->t,
                    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width\">\n"
                    "<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n<h1>%s</h1>\n",
                    title, style, title);
    else
        wf_text_add(&p->t, "%s\n", title);
}

void wf_page_end(wf_page *p)
{
    if (p->html) wf_text_add(&p->t, "</body>\n</html>\n");
}

void wf_page_heading(wf_page *p, const char *text)
{
    if (!p->html) wf_text_add(&p->t, "\n");
    element(p, "h2", text);
}

void wf_page_line(wf_page *p, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!p->html) wf_text_add(&p->t, "  ");
    element(p, "p", text);
}

static void cell(wf_page *p, int i, const char *text, int n, const char *tag)
{
    const wf_column *c = &p->columns[i];
    bool is_last = i == p->n_columns - 1;
    if (p->html) {
        wf_text_add(&p->t, "<%s%s>", tag, c->width > 0 ? " class=\"n\"" : "");
        wf_page_escape(p, text, (size_t)n);
        wf_text_add(&p->t, "</%s>", tag);
    } else {
        wf_text_add(&p->t, "  %*.*s", is_last && c->width < 0 ? 0 : c->width, n, text);
    }
}

void wf_page_table(wf_page *p, int n, const wf_column columns[])
{
    p->columns = columns;
    p->n_columns = n;
    if (p->html) wf_text_add(&p->t, "<div class=\"wide\"><table>\n<tr>");
    for (int i = 0; i < n; i++) cell(p, i, columns[i].name, (int)strlen(columns[i].name), "th");
    wf_text_add(&p->t, p->html ? "</tr>\n" : "\n");
}

void wf_page_row(wf_page *p, const char *format, ...)
{
    char text[800];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (p->html) wf_text_add(&p->t, "<tr>");
    const char *at = text;
    for (int i = 0; i < p->n_columns; i++) {
        int n = (int)strcspn(at, "\t");
        cell(p, i, at, n, "td");
        at += n + (at[n] == '\t');
    }
    wf_text_add(&p->t, p->html ? "</tr>\n" : "\n");
}

void wf_page_table_end(wf_page *p)
{
    if (p->html) wf_text_add(&p->t, "</table></div>\n");
}
