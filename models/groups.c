/* Clipping and groups of parameters as a command line gives them. */
#include "models/groups.h"

#include "models/common.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A number that is not negative in text[0..n), or -1. */
static float number(const char *text, size_t n)
{
    char word[32] = "", *end = word;
    if (n == 0 || n >= sizeof word) return -1;
    memcpy(word, text, n);
    errno = 0;
    float x = strtof(word, &end);
    return *end || errno || !isfinite(x) || signbit(x) ? -1 : x;
}

/* The length of "name=" if text begins so, else 0. */
static size_t key(const char *text, const char *name)
{
    size_t n = strlen(name);
    return !strncmp(text, name, n) && text[n] == '=' ? n + 1 : 0;
}

/* One way to clip in text[0..n), which is returned, or -1; at: where norm, value, tensor, adaptive
 * go. */
static int clip_one(const char *text, size_t n, float *const at[4])
{
    static const char *const names[] = {"norm", "value", "tensor", "adaptive"};
    size_t skip = 0;
    int i = 0;
    while (i < 4 && !(skip = key(text, names[i]))) i++;
    float x = n > skip ? number(text + skip, n - skip) : -1;
    if (x < 0) return -1;
    i %= 4; /* a bare number is a norm */
    *at[i] = x;
    return i;
}

bool wf_clip_parse(wf_minimize_options *o, const char *command, const char *text)
{
    float *const at[] = {&o->clip_norm, &o->clip_value, &o->clip_tensor, &o->clip_adaptive};
    unsigned seen = 0;
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        int way = clip_one(p, n, at);
        if (way < 0 || seen >> way & 1)
            return wf_complain(command,
                               "--clip: expected a number, or norm=, value=, tensor= or "
                               "adaptive= with one, each once, got '%.*s'",
                               (int)n, p);
        seen |= 1u << way;
        p += n;
        if (!*p) return true;
    }
}

static bool set_clip(wf_param_group *k, const char *text, size_t n)
{
    float *const at[] = {&k->clip_norm, &k->clip_value, &k->clip_tensor, &k->clip_adaptive};
    if (n == 4 && !strncmp(text, "none", 4)) return k->no_clip = true;
    bool ok = clip_one(text, n, at) >= 0;
    return ok && k->clip_norm + k->clip_value + k->clip_tensor + k->clip_adaptive > 0;
}

static bool set(wf_param_group *k, const char *text, size_t n)
{
    size_t skip;
    if (n == 6 && !strncmp(text, "frozen", n)) return k->frozen = true;
    if (n == 4 && !strncmp(text, "lazy", n)) return k->lazy = true;
    if ((skip = key(text, "rate")) && skip <= n)
        return (k->rate = number(text + skip, n - skip)) > 0;
    if ((skip = key(text, "decay")) && skip <= n) {
        k->decay = number(text + skip, n - skip);
        k->no_decay = k->decay == 0;
        return k->decay >= 0;
    }
    return (skip = key(text, "clip")) && skip <= n && set_clip(k, text + skip, n - skip);
}

static bool set_role(wf_param_group *k, const char *name)
{
    static const char *const names[] = {
        [WF_KERNEL] = "kernel", [WF_EMBEDDING] = "embedding", [WF_BIAS] = "bias",
        [WF_SCALE] = "scale",   [WF_CUSTOM] = "custom",
    };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) k->roles = 1u << i;
    return k->roles != 0;
}

bool wf_group_parse(wf_param_group *group, char pattern[WF_PATTERN], const char *command,
                    const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    *group = (wf_param_group){0};
    if (n == 0 || n >= WF_PATTERN || strpbrk(text, "\"\\")) /* as it stands in config.json */
        return wf_complain(command, "--group: expected PATTERN:SETTING,..., got '%s'", text);
    memcpy(pattern, text, n);
    pattern[n] = 0;
    if (strncmp(pattern, "role:", 5) != 0)
        group->pattern = pattern;
    else if (!set_role(group, pattern + 5))
        return wf_complain(command,
                           "--group: expected role:kernel, embedding, bias, scale or custom, "
                           "got '%s'",
                           pattern);
    for (const char *p = colon + 1;; p++) {
        n = strcspn(p, ",");
        if (!set(group, p, n))
            return wf_complain(command,
                               "--group: %s: expected rate=X (above 0), decay=X, clip=none, "
                               "clip=norm=X and such, frozen or lazy, got '%.*s'",
                               pattern, (int)n, p);
        p += n;
        if (!*p) return true;
    }
}
