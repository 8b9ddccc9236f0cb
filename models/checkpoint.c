/* A driver's part of a checkpoint. */
#define _GNU_SOURCE
#include "models/checkpoint.h"

#include "io/file.h"
#include "models/common.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ROOM = 80, VALUE_ROOM = 4096 };

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

/* An option that the store knows nothing of is as in older versions: it has its default. */
static bool read_one(const wf_arg *a, const wf_store *s, const char *from, void *values)
{
    char key[KEY_ROOM];
    const char *text = wf_store_text(s, config_key(a, key));
    bool is_given =
        text && *text && !(a->kind == WF_ARG_REAL && !strcmp(text + (*text == '-'), "nan"));
    return !is_given || wf_arg_set(a, from, text, values);
}

bool wf_config_read(const wf_command *c, const wf_store *s, const char *from, void *options)
{
    bool ok = wf_args_defaults(c, options);
    for (size_t k = 0; k < sizeof c->groups / sizeof *c->groups; k++) {
        const wf_arg_group *g = &c->groups[k];
        for (int i = 0; ok && i < g->n; i++)
            if (g->args[i].fixed) ok = read_one(&g->args[i], s, from, (char *)options + g->base);
    }
    return ok;
}

static const char *shown(const char *value)
{
    return *value && strcmp(value, "nan") != 0 ? value : "not given";
}

/* Texts of values are compared, not those that were stored: they are equal for equal values. */
void wf_config_differences(const wf_command *c, const void *was, const void *is, FILE *f)
{
    char a[VALUE_ROOM], b[VALUE_ROOM];
    for (size_t k = 0; k < sizeof c->groups / sizeof *c->groups; k++) {
        const wf_arg_group *g = &c->groups[k];
        for (int i = 0; i < g->n; i++) {
            if (!g->args[i].fixed) continue;
            wf_arg_text(&g->args[i], (const char *)was + g->base, a, sizeof a);
            wf_arg_text(&g->args[i], (const char *)is + g->base, b, sizeof b);
            if (strcmp(a, b) != 0)
                fprintf(f, "; --%s was %s, is %s", g->args[i].name, shown(a), shown(b));
        }
    }
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
    const char *before; /* each */
    int n;
};

static wf_status write_one(void *context, const wf_arg *a, const char *value)
{
    struct json *j = context;
    bool is_number = a->kind == WF_ARG_INT || (a->kind == WF_ARG_REAL && strcmp(value, "nan"));
    bool is_null = a->kind == WF_ARG_REAL && !is_number;
    fprintf(j->file, "%s%s\"%s\": ", j->n++ ? "," : "", j->before, a->name);
    if (is_number)
        fprintf(j->file, "%s", value);
    else if (is_null)
        fprintf(j->file, "null");
    else
        fprintf(j->file, "\"%s\"", value);
    return WF_OK;
}

void wf_config_print(const wf_command *c, const void *options, const char *before, FILE *f)
{
    struct json j = {.file = f, .before = before};
    each_fixed(c, options, write_one, &j);
}

bool wf_config_write(const wf_command *c, const void *options, const char *path)
{
    wf_out out;
    wf_status s = wf_out_open(&out, path);
    if (s == WF_OK) {
        fputc('{', out.file);
        wf_config_print(c, options, "\n  ", out.file);
        fputs("\n}\n", out.file);
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

static bool is_used(const wf_program *p, const char *name)
{
    const char *used = NULL;
    for (int i = 0; (used = wf_program_tensor(p, i)); i++)
        if (!strcmp(used, name)) return true;
    return false;
}

bool wf_store_fits(const wf_store *s, int known, const wf_program *p, const char *command,
                   const char *from)
{
    if (wf_store_count(s) > known) /* compiling has made it */
        return wf_complain(command, "%s: expected a tensor '%s'", from, wf_store_name(s, known));
    for (int i = 0; i < known; i++) {
        const char *name = wf_store_name(s, i);
        if (strncmp(name, "run/", 4) != 0 && !is_used(p, name))
            return wf_complain(command, "%s: unexpected tensor '%s'", from, name);
    }
    return true;
}

bool wf_is_weight(const char *name)
{
    return strncmp(name, "opt/", 4) != 0 && strncmp(name, "run/", 4) != 0;
}

/* 16 bits: the largest exponent is that of infinities and NaN. */
static bool is_finite(wf_dtype dtype, const void *x, int64_t i)
{
    int most = dtype == WF_F16 ? 0x7c00 : 0x7f80;
    if (dtype == WF_F32) return isfinite(((const float *)x)[i]);
    return (((const uint16_t *)x)[i] & most) != most;
}

bool wf_store_is_finite(const wf_store *s)
{
    for (int i = 0; i < wf_store_count(s); i++) {
        wf_dtype dtype;
        wf_shape shape;
        const void *x = wf_store_data(s, wf_store_name(s, i), &dtype, &shape);
        int64_t n = dtype == WF_I32 || dtype == WF_U8 ? 0 : 1;
        for (int k = 0; k < shape.rank; k++) n *= shape.dim[k];
        for (int64_t k = 0; k < n; k++)
            if (!is_finite(dtype, x, k)) return false;
    }
    return true;
}

/* The average of a weight, if the store has one that an update has been made for. */
static void *average_of(const wf_store *s, const char *weight, wf_dtype *dtype)
{
    char name[256];
    snprintf(name, sizeof name, "opt/ema/%s/average", weight);
    return wf_store_data(s, name, dtype, NULL);
}

static bool has_averages(const wf_store *s)
{
    for (int i = 0; i < wf_store_count(s); i++) {
        const char *name = wf_store_name(s, i), *end = strrchr(name, '/');
        if (strncmp(name, "opt/ema/", 8) != 0 || strcmp(end, "/share") != 0) continue;
        return *(const float *)wf_store_data(s, name, NULL, NULL) > 0; /* there was an update */
    }
    return false;
}

wf_status wf_weights_lend(wf_store *to, const wf_store *from, bool averages)
{
    wf_status status = WF_OK;
    averages = averages && has_averages(from);
    for (int i = 0; i < wf_store_count(from) && status == WF_OK; i++) {
        const char *name = wf_store_name(from, i);
        if (!wf_is_weight(name)) continue;
        wf_dtype dtype;
        wf_shape shape;
        void *data = wf_store_data(from, name, &dtype, &shape);
        void *average = averages ? average_of(from, name, &dtype) : NULL;
        status = wf_store_lend(to, name, dtype, shape, average ? average : data);
    }
    return status;
}

wf_status wf_weights_save(const wf_store *s, const wf_command *c, const void *options,
                          bool averages, const char *path)
{
    wf_store *weights = wf_store_new(0);
    if (!weights) return WF_ENOMEM;
    wf_status status = wf_config_save(c, options, weights);
    if (status == WF_OK) status = wf_weights_lend(weights, s, averages);
    if (status == WF_OK) status = wf_store_save(weights, path, NULL);
    wf_store_free(weights);
    return status;
}
