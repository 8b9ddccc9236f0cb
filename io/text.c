/* Texts out of a file: JSON lines (one object in memory at a time) or plain lines. */
#include "io/text.h"

#include "io/file.h"
#include <jansson.h>
#include <string.h>

wf_status wf_texts_open(wf_texts *t, const char *path, int64_t max_chars)
{
    *t = (wf_texts){.max_chars = max_chars};
    return wf_lines_open(&t->lines, path);
}

static void drop_object(wf_texts *t)
{
    json_decref(t->object);
    t->object = NULL;
    t->text = NULL;
    t->size = 0;
}

void wf_texts_close(wf_texts *t)
{
    drop_object(t);
    wf_lines_close(&t->lines);
}

static size_t count_blanks(const char *text, size_t size)
{
    size_t n = 0;
    while (n < size && text[n] && strchr(" \t\r\n\v\f", text[n])) n++;
    return n;
}

/* The bytes of the first "most" characters of valid UTF-8. */
static size_t cut(const char *text, size_t size, int64_t most)
{
    int64_t chars = 0;
    for (size_t i = 0; i < size; i++) {
        bool is_start = ((unsigned char)text[i] & 0xc0) != 0x80;
        if (is_start && chars++ == most) return i;
    }
    return size;
}

static wf_status parse_line(wf_texts *t)
{
    const wf_lines *l = &t->lines;
    json_error_t error;
    json_t *object = json_loadb(l->line, l->size, 0, &error);
    if (!object)
        return wf_file_error(WF_EFORMAT, l->path, l->number,
                             "expected a JSON object in one line, byte %d: %s", error.position,
                             error.text);
    json_t *content = json_object_get(object, "content");
    if (!json_is_string(content)) {
        json_decref(object);
        return wf_file_error(WF_EFORMAT, l->path, l->number,
                             "expected a JSON object with a text 'content'%s",
                             content ? ", it is not a text" : "");
    }
    t->object = object;
    t->text = json_string_value(content);
    t->size = json_string_length(content);
    return WF_OK;
}

wf_status wf_texts_next(wf_texts *t)
{
    wf_lines *l = &t->lines;
    for (;;) {
        drop_object(t);
        wf_status s = wf_lines_next(l);
        if (s != WF_OK) return s;
        if (!l->line) break;
        size_t blanks = count_blanks(l->line, l->size);
        if (blanks == l->size) continue;
        if (t->count == 0 && !t->is_json) t->is_json = l->line[blanks] == '{';
        if (t->is_json) {
            s = parse_line(t);
            if (s != WF_OK) return s;
        } else {
            t->text = l->line;
            t->size = l->size;
        }
        if (count_blanks(t->text, t->size) == t->size) continue;
        if (t->max_chars > 0) t->size = cut(t->text, t->size, t->max_chars);
        t->count++;
        return WF_OK;
    }
    if (t->count > 0) return WF_OK;
    return wf_file_error(WF_EFORMAT, l->path, 0, "expected text, there is none");
}
