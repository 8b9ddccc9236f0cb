/* The command line of a driver, parsed and explained by glibc's argp from one table of options. */
#define _GNU_SOURCE
#include "models/args.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_KEY = 900, GROUP_KEYS = 1000, DOC_ROOM = 400 };
enum { GROUPS = sizeof(((wf_command *)NULL)->groups) / sizeof(wf_arg_group) };

struct parse {
    const wf_command *command;
    void *options;
    int code; /* -1, or the exit code that the command line has earned */
};

static void *field(const wf_arg *a, void *values)
{
    return (char *)values + a->offset;
}

static const void *field_of(const wf_arg *a, const void *values)
{
    return (const char *)values + a->offset;
}

/* "a whole number from 1 to 8", "a number > 0 and < 1" */
static void describe(const wf_arg *a, char *text, size_t size)
{
    const char *what = a->kind == WF_ARG_INT ? "a whole number" : "a number";
    const char *lo = a->ends & WF_ARG_ABOVE ? ">" : ">=", *hi = a->ends & WF_ARG_BELOW ? "<" : "<=";
    if (a->hi <= a->lo)
        snprintf(text, size, "%s %s %.12g", what, lo, a->lo);
    else
        snprintf(text, size, "%s %s %.12g and %s %.12g", what, lo, a->lo, hi, a->hi);
}

static bool in_range(const wf_arg *a, double x)
{
    if (!isfinite(x)) return false;
    if (a->ends & WF_ARG_ABOVE ? x <= a->lo : x < a->lo) return false;
    if (a->hi <= a->lo) return true;
    return a->ends & WF_ARG_BELOW ? x < a->hi : x <= a->hi;
}

/* strtod also knows blanks before a number, hexadecimal ones, infinity. */
static bool is_decimal(const char *text, const char *end)
{
    return end > text && strspn(text, "+-.0123456789eE") == (size_t)(end - text);
}

static bool set_number(const wf_arg *a, const char *from, const char *text, void *values)
{
    char *end = NULL;
    errno = 0;
    int64_t whole = a->kind == WF_ARG_INT ? strtoll(text, &end, 10) : 0;
    double x = a->kind == WF_ARG_INT ? (double)whole : strtod(text, &end);
    if (!is_decimal(text, end) || *end || errno || !in_range(a, x)) {
        char range[96];
        describe(a, range, sizeof range);
        fprintf(stderr, "%s: --%s: expected %s, got '%s'\n", from, a->name, range, text);
        return false;
    }
    if (a->kind == WF_ARG_INT)
        *(int64_t *)field(a, values) = whole;
    else
        *(double *)field(a, values) = x;
    return true;
}

static bool set_bytes(const wf_arg *a, const char *from, const char *text, void *values)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
    char *end = NULL;
    double x = strtod(text, &end);
    for (size_t i = 0; is_decimal(text, end) && i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].name) != 0 || !(x >= 0 && x * units[i].bytes < 0x1p62)) continue;
        *(int64_t *)field(a, values) = (int64_t)(x * units[i].bytes);
        return true;
    }
    fprintf(stderr,
            "%s: --%s: expected bytes, KiB, MiB, GiB or TiB, such as 1.5GiB, less than 2^62 bytes, "
            "got '%s'\n",
            from, a->name, text);
    return false;
}

static bool set_choice(const wf_arg *a, const char *from, const char *text, void *values)
{
    size_t n = strlen(text);
    int i = 0;
    for (const char *p = a->value; n > 0 && p; p = strchr(p, '|'), i++) {
        if (*p == '|') p++;
        if (!strncmp(p, text, n) && (p[n] == '|' || p[n] == 0)) {
            *(int *)field(a, values) = i;
            return true;
        }
    }
    fprintf(stderr, "%s: --%s: expected %s, got '%s'\n", from, a->name, a->value, text);
    return false;
}

static bool append(wf_arg_list *list, const char *from, const char *what, const char *text)
{
    int room = (int)(sizeof list->item / sizeof *list->item);
    if (list->n == room) {
        fprintf(stderr, "%s: %s: more than %d\n", from, what, room);
        return false;
    }
    list->item[list->n++] = text;
    return true;
}

bool wf_arg_set(const wf_arg *a, const char *from, const char *text, void *values)
{
    switch (a->kind) {
    case WF_ARG_FLAG:
        *(bool *)field(a, values) = strcmp(text, "no") != 0;
        return true;
    case WF_ARG_INT:
    case WF_ARG_REAL:
        return set_number(a, from, text, values);
    case WF_ARG_BYTES:
        return set_bytes(a, from, text, values);
    case WF_ARG_TEXT:
        *(const char **)field(a, values) = text;
        return true;
    case WF_ARG_CHOICE:
        return set_choice(a, from, text, values);
    case WF_ARG_LIST:
        return append(field(a, values), from, a->name, text);
    }
    return false;
}

/* The i-th word of "tiger|lion|sgd" */
static void choice_text(const char *choices, int i, char *text, size_t size)
{
    const char *p = choices;
    while (i-- > 0 && strchr(p, '|')) p = strchr(p, '|') + 1;
    snprintf(text, size, "%.*s", (int)strcspn(p, "|"), p);
}

/* The shortest text that is read back as x: 1e-12, not 9.9999999999999998e-13. */
static void real_text(double x, char *text, size_t size)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, x);
        if (isnan(x) || strtod(text, NULL) == x) break;
    }
    if (isnan(x)) snprintf(text, size, "nan"); /* without a sign */
}

void wf_arg_text(const wf_arg *a, const void *values, char *text, size_t size)
{
    const void *f = field_of(a, values);
    switch (a->kind) {
    case WF_ARG_FLAG:
        snprintf(text, size, "%s", *(const bool *)f ? "yes" : "no");
        break;
    case WF_ARG_INT:
    case WF_ARG_BYTES:
        snprintf(text, size, "%lld", (long long)*(const int64_t *)f);
        break;
    case WF_ARG_REAL:
        real_text(*(const double *)f, text, size);
        break;
    case WF_ARG_TEXT: {
        const char *s = *(const char *const *)f;
        snprintf(text, size, "%s", s ? s : "");
        break;
    }
    case WF_ARG_CHOICE:
        choice_text(a->value, *(const int *)f, text, size);
        break;
    case WF_ARG_LIST: {
        const wf_arg_list *list = f;
        size_t n = 0;
        *text = 0;
        for (int i = 0; i < list->n && n < size; i++)
            n += (size_t)snprintf(text + n, size - n, "%s%s", i ? " " : "", list->item[i]);
        break;
    }
    }
}

/* argp's key of an option is (group + 1) * GROUP_KEYS + place. */
static const wf_arg_group *group_of(const wf_command *c, int key)
{
    int group = key / GROUP_KEYS - 1;
    if (group < 0 || group >= GROUPS || key % GROUP_KEYS >= c->groups[group].n) return NULL;
    return &c->groups[group];
}

static bool take_word(const struct parse *p, const char *word)
{
    const wf_command *c = p->command;
    if (c->rest)
        return append((void *)((char *)p->options + c->rest_offset), c->name, c->rest, word);
    fprintf(stderr, "%s: unexpected word '%s' (see --help)\n", c->name, word);
    return false;
}

static error_t on_option(int key, char *text, struct argp_state *state)
{
    struct parse *p = state->input;
    if (key == HELP_KEY) {
        p->code = WF_DONE;
        state->next = state->argc; /* nothing behind --help matters */
        return 0;
    }
    const wf_arg_group *g = group_of(p->command, key);
    if (!g && key != ARGP_KEY_ARG) return ARGP_ERR_UNKNOWN;
    bool ok = g ? wf_arg_set(&g->args[key % GROUP_KEYS], p->command->name, text ? text : "yes",
                             (char *)p->options + g->base)
                : take_word(p, text);
    if (!ok) p->code = WF_USAGE;
    return ok ? 0 : EINVAL;
}

static void doc_text(const wf_arg *a, char *text)
{
    if (a->initial && a->kind != WF_ARG_FLAG)
        snprintf(text, DOC_ROOM, "%s (default: %s)", a->doc, a->initial);
    else
        snprintf(text, DOC_ROOM, "%s", a->doc);
}

/* argp's own table, ended by a row of zeros; docs holds DOC_ROOM bytes a row. Rows have groups of
 * their own in argp's sense, which keeps them in our order. */
static void fill_table(const wf_command *c, struct argp_option *o, char *docs)
{
    int n = 0;
    for (int k = 0; k < GROUPS; k++)
        for (int i = 0; i < c->groups[k].n; i++, n++, docs += DOC_ROOM) {
            const wf_arg *a = &c->groups[k].args[i];
            doc_text(a, docs);
            o[n] = (struct argp_option){.name = a->name,
                                        .key = (k + 1) * GROUP_KEYS + i,
                                        .group = n + 1,
                                        .arg = a->kind == WF_ARG_FLAG ? NULL : a->value,
                                        .doc = docs};
        }
    o[n] =
        (struct argp_option){.name = "help", .key = HELP_KEY, .group = n + 1, .doc = "Show this"};
}

static int count_args(const wf_command *c)
{
    int n = 0;
    for (int k = 0; k < GROUPS; k++) n += c->groups[k].n;
    return n;
}

/* The option that a word such as "--name" or "--na=3" means; NULL: none, or more than one. */
static const struct argp_option *find_option(const struct argp_option *table, const char *word)
{
    if (strncmp(word, "--", 2) != 0) return NULL;
    size_t n = strcspn(word + 2, "=");
    const struct argp_option *found = NULL;
    int matches = 0;
    for (const struct argp_option *o = table; o->name; o++) {
        if (strncmp(o->name, word + 2, n) != 0) continue;
        if (!o->name[n]) return o;
        found = o;
        matches++;
    }
    return matches == 1 ? found : NULL;
}

/* argp has refused the line without a reason, and does not tell at which word: find both. */
static void complain(const wf_command *c, const struct argp_option *table, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || !word[1]) continue;
        const struct argp_option *o = find_option(table, word);
        bool has_value = strchr(word, '=') != NULL;
        if (!o) {
            fprintf(stderr, "%s: unknown option '%s' (see --help)\n", c->name, word);
            return;
        }
        if (!o->arg && has_value) {
            fprintf(stderr, "%s: --%s: expected no value\n", c->name, o->name);
            return;
        }
        if (o->arg && !has_value && ++i == argc) {
            fprintf(stderr, "%s: --%s: expected a value (%s)\n", c->name, o->name, o->arg);
            return;
        }
    }
    fprintf(stderr, "%s: wrong usage (see --help)\n", c->name);
}

bool wf_args_defaults(const wf_command *c, void *options)
{
    for (int k = 0; k < GROUPS; k++)
        for (int i = 0; i < c->groups[k].n; i++) {
            const wf_arg *a = &c->groups[k].args[i];
            void *values = (char *)options + c->groups[k].base;
            if (a->kind == WF_ARG_REAL) *(double *)field(a, values) = NAN;
            if (a->initial && !wf_arg_set(a, c->name, a->initial, values)) return false;
        }
    return true;
}

int wf_args_parse(const wf_command *c, int argc, char **argv, void *options)
{
    size_t n = (size_t)count_args(c);
    struct argp_option *table = calloc(n + 2, sizeof *table);
    char *docs = calloc(n + 1, DOC_ROOM);
    char *name = strdup(c->name);
    struct parse p = {.command = c, .options = options, .code = -1};
    if (!table || !docs || !name || !wf_args_defaults(c, options)) {
        p.code = WF_FAILED;
        goto out;
    }
    fill_table(c, table, docs);
    struct argp argp = {.options = table, .parser = on_option, .args_doc = c->usage, .doc = c->doc};
    unsigned silent = ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT;
    error_t error = argp_parse(&argp, argc, argv, silent, NULL, &p);
    if (p.code == WF_DONE) {
        argp_help(&argp, stdout, ARGP_HELP_LONG | ARGP_HELP_SHORT_USAGE | ARGP_HELP_DOC, name);
    } else if (error && p.code < 0) {
        complain(c, table, argc, argv);
        p.code = WF_USAGE;
    }
out:
    free(name);
    free(docs);
    free(table);
    return p.code;
}
