/* The numbers of an optimizer by name; weft optimizers shows them all. */
#include "models/hyper.h"

#include "models/common.h"
#include "models/drivers.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The place of the word text[0..n) among "a|b|c"; -1 if it is none of them. */
static int place_of(const char *choices, const char *text, size_t n)
{
    int i = 0;
    for (const char *p = choices; p; i++) {
        if (!strncmp(p, text, n) && (p[n] == '|' || !p[n])) return i;
        p = strchr(p, '|');
        if (p) p++;
    }
    return -1;
}

/* Set one number from text[0..n); false if that is none. */
static bool set(const wf_hyper *h, void *hyper, const char *text, size_t n)
{
    char word[64] = "", *end = word;
    void *at = (char *)hyper + h->offset;
    if (n == 0 || n >= sizeof word) return false;
    memcpy(word, text, n);
    errno = 0;
    if (h->kind == WF_HYPER_REAL) {
        float x = strtof(word, &end);
        if (*end || errno || !isfinite(x)) return false;
        memcpy(at, &x, sizeof x);
        return true;
    }
    int i = h->kind == WF_HYPER_COUNT  ? (int)strtol(word, &end, 10)
            : h->kind == WF_HYPER_FLAG ? place_of("no|yes", word, n)
                                       : place_of(h->choices, word, n);
    if (h->kind == WF_HYPER_COUNT && (*end || errno || strtol(word, NULL, 10) != i)) return false;
    if (h->kind != WF_HYPER_COUNT && i < 0) return false;
    bool flag = i == 1;
    if (h->kind == WF_HYPER_FLAG)
        memcpy(at, &flag, sizeof flag);
    else
        memcpy(at, &i, sizeof i);
    return true;
}

static const char *expected(const wf_hyper *h)
{
    switch (h->kind) {
    case WF_HYPER_REAL:
        return "a number";
    case WF_HYPER_COUNT:
        return "a whole number";
    case WF_HYPER_FLAG:
        return "yes|no";
    case WF_HYPER_CHOICE:
        return h->choices;
    }
    return "";
}

bool wf_hyper_set(const wf_optimizer *o, void *hyper, const char *command, const char *list)
{
    for (const char *p = list; *p;) {
        char name[64];
        size_t n = strcspn(p, "=,"), size = p[n] == '=' ? strcspn(p + n + 1, ",") : 0;
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), p);
        const wf_hyper *h = wf_hyper_find(o, name);
        if (!h)
            return wf_complain(command, "--hyper: %s has no %s (see weft optimizers)", o->name,
                               name);
        if (!set(h, hyper, p + n + 1, size))
            return wf_complain(command, "--hyper: %s: expected %s, got '%.*s'", name, expected(h),
                               (int)size, p[n] == '=' ? p + n + 1 : "");
        p += n + (p[n] == '=') + size;
        if (*p == ',') p++;
    }
    const char *wrong = o->check ? o->check(hyper) : NULL;
    return !wrong || wf_complain(command, "--hyper: %s: %s", o->name, wrong);
}

void wf_hyper_text(const wf_hyper *h, const void *hyper, char *text, size_t size)
{
    const void *at = (const char *)hyper + h->offset;
    float x = 0;
    int i = 0;
    bool flag = false;
    if (h->kind == WF_HYPER_REAL) {
        memcpy(&x, at, sizeof x);
        snprintf(text, size, "%g", (double)x);
        return;
    }
    if (h->kind == WF_HYPER_FLAG) {
        memcpy(&flag, at, sizeof flag);
        snprintf(text, size, "%s", flag ? "yes" : "no");
        return;
    }
    memcpy(&i, at, sizeof i);
    if (h->kind == WF_HYPER_COUNT) {
        snprintf(text, size, "%d", i);
        return;
    }
    const char *p = h->choices;
    while (i-- > 0) p = strchr(p, '|') + 1;
    snprintf(text, size, "%.*s", (int)strcspn(p, "|"), p);
}

int wf_optimizers_main(int argc, char **argv)
{
    wf_command c = {.name = "weft optimizers",
                    .doc = "List the optimizers, their formulas and numbers with defaults."};
    int code = wf_args_parse(&c, argc, argv, NULL);
    if (code >= 0) return code;
    const wf_optimizer *o;
    for (int i = 0; (o = wf_optimizer_at(i)); i++) {
        printf("%s%s: %s\n  --lr %g\n", i ? "\n" : "", o->name, o->doc, (double)o->lr);
        for (const wf_hyper *h = o->hypers; h->name; h++) {
            char value[64], setting[96];
            wf_hyper_text(h, o->defaults, value, sizeof value);
            snprintf(setting, sizeof setting, "%s=%s", h->name, value);
            printf("  %-22s %s%s%s\n", setting, h->doc, h->choices ? ": " : "",
                   h->choices ? h->choices : "");
        }
    }
    return WF_DONE;
}
