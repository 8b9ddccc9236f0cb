/* A driver's part of a checkpoint. */
#define _GNU_SOURCE
#include "models/checkpoint.h"

#include "io/file.h"
#include "models/common.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ROOM = 80, VALUE_ROOM = 256 };

typedef wf_status visit(void *context, const wf_arg *a, const char *value);

/* Visit every fixed option with its value as text, until one visit is not WF_OK. */
static wf_status each_fixed(const wf_command *c, const void *options, visit *f, void *context)
{
    char value[VALUE_ROOM];
    for (size_t k = 0; k < sizeof c->groups / sizeof *c->groups; k++) {
        const wf_arg_group *g = &c->groups[k];
        for (int i = 0; i < g->n; i++) {
            if (!g->args[i].fixed) continue;
            wf_arg_text(&g->args[i], (const char *)options + g->base, value, sizeof value);
            wf_status s = f(context, &g->args[i], value);
            if (s != WF_OK) return s;
        }
    }
    return WF_OK;
}

static const char *config_key(const wf_arg *a, char *key)
{
    snprintf(key, KEY_ROOM, "config/%s", a->name);
    return key;
}

static wf_status save_one(void *context, const wf_arg *a, const char *value)
{
    char key[KEY_ROOM];
    return wf_store_set_text(context, config_key(a, key), value);
}

wf_status wf_config_save(const wf_command *c, const void *options, wf_store *s)
{
    return each_fixed(c, options, save_one, s);
}

struct comparison {
    const wf_store *store;
    const char *command, *from;
};

static wf_status compare_one(void *context, const wf_arg *a, const char *value)
{
    const struct comparison *k = context;
    char key[KEY_ROOM];
    const char *was = wf_store_text(k->store, config_key(a, key));
    if (was && !strcmp(was, value)) return WF_OK;
    wf_complain(k->command, "--%s: %s was made with '%s', got '%s'", a->name, k->from,
                was ? was : "(nothing)", value);
    return WF_EMODEL;
}

bool wf_config_same(const wf_command *c, const void *options, const wf_store *s, const char *from)
{
    struct comparison k = {s, c->name, from};
    return each_fixed(c, options, compare_one, &k) == WF_OK;
}

bool wf_config_load(const wf_arg_group *group, const char *command, const wf_store *s,
                    const char *from, void *options)
{
    for (int i = 0; i < group->n; i++) {
        const wf_arg *a = &group->args[i];
        char key[KEY_ROOM];
        const char *text = wf_store_text(s, config_key(a, key));
        if (!text)
            return wf_complain(command, "%s: expected a text '%s' among its metadata", from, key);
        if (!wf_arg_set(a, from, text, (char *)options + group->base)) return false;
    }
    return true;
}

struct json {
    FILE *file;
    int n;
};

static wf_status write_one(void *context, const wf_arg *a, const char *value)
{
    struct json *j = context;
    bool is_number = a->kind == WF_ARG_INT || (a->kind == WF_ARG_REAL && strcmp(value, "nan"));
    bool is_null = a->kind == WF_ARG_REAL && !is_number;
    fprintf(j->file, "%s\n  \"%s\": ", j->n++ ? "," : "", a->name);
    if (is_number)
        fprintf(j->file, "%s", value);
    else if (is_null)
        fprintf(j->file, "null");
    else
        fprintf(j->file, "\"%s\"", value);
    return WF_OK;
}

bool wf_config_write(const wf_command *c, const void *options, const char *path)
{
    wf_out out;
    wf_status s = wf_out_open(&out, path);
    if (s == WF_OK) {
        struct json j = {.file = out.file};
        fputc('{', j.file);
        each_fixed(c, options, write_one, &j);
        fputs("\n}\n", j.file);
        s = wf_out_commit(&out);
    }
    return s == WF_OK || wf_complain(c->name, "%s", wf_error());
}

wf_status wf_number_save(wf_store *s, const char *key, int64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)number);
    return wf_store_set_text(s, key, text);
}

int64_t wf_number_load(const wf_store *s, const char *key)
{
    const char *text = wf_store_text(s, key);
    char *end;
    if (!text) return -1;
    errno = 0;
    int64_t n = strtoll(text, &end, 10);
    return end == text || *end || errno || n < 0 ? -1 : n;
}

bool wf_is_weight(const char *name)
{
    return strncmp(name, "opt/", 4) != 0 && strncmp(name, "run/", 4) != 0;
}

wf_status wf_weights_save(const wf_store *s, const wf_command *c, const void *options,
                          const char *path)
{
    wf_store *weights = wf_store_new(0);
    if (!weights) return WF_ENOMEM;
    wf_status status = wf_config_save(c, options, weights);
    for (int i = 0; i < wf_store_count(s) && status == WF_OK; i++) {
        const char *name = wf_store_name(s, i);
        if (!wf_is_weight(name)) continue;
        wf_dtype dtype;
        wf_shape shape;
        const void *data = wf_store_data(s, name, &dtype, &shape);
        status = wf_store_put(weights, name, dtype, shape, data);
    }
    if (status == WF_OK) status = wf_store_save(weights, path, NULL);
    wf_store_free(weights);
    return status;
}
