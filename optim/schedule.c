/* Schedules from text or knots; their kinds are in schedules.c. */
#include "graph/base.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <weft/op.h>

static wf_status check(const wf_schedule *s)
{
    const wf_schedule_number *x = s->kind->numbers;
    for (int i = 0; x[i].name; i++)
        if (isnan(s->number[i]))
            return wf_error_set(WF_EMODEL, "%s: %s is missing: %s", s->kind->name, x[i].name,
                                x[i].doc);
    const char *wrong = s->kind->check ? s->kind->check(s) : NULL;
    return wrong ? wf_error_set(WF_EMODEL, "%s: %s", s->kind->name, wrong) : WF_OK;
}

/* The kind that is called text[0..n) */
static const wf_schedule_kind *find(const char *text, size_t n)
{
    const wf_schedule_kind *k;
    for (int i = 0; (k = wf_schedule_kind_at(i)); i++)
        if (strlen(k->name) == n && !memcmp(k->name, text, n)) break;
    return k;
}

wf_status wf_schedule_piecewise(wf_schedule *s, int n, const wf_knot knots[], bool from_zero)
{
    const bool is_late = n > 0 && knots[0].step > 0;
    *s = (wf_schedule){.kind = find("piecewise", 9)};
    if (n >= WF_SCHEDULE_KNOTS)
        return wf_error_set(WF_EMODEL, "piecewise: expected at most %d pairs, got %d",
                            WF_SCHEDULE_KNOTS - 1, n);
    if (is_late) s->knot[s->n_knots++] = (wf_knot){0, from_zero ? 0 : knots[0].value};
    for (int i = 0; i < n; i++) s->knot[s->n_knots++] = knots[i];
    return check(s);
}

/* One "step:value" at *text, which moves behind it and its comma. */
static bool read_knot(const char **text, wf_knot *k)
{
    char *end;
    errno = 0;
    k->step = strtoll(*text, &end, 10);
    if (end == *text || *end != ':' || errno) return false;
    const char *value = end + 1;
    k->value = strtod(value, &end);
    if (end == value || (*end && (*end != ',' || !end[1]))) return false;
    *text = *end ? end + 1 : end;
    return true;
}

static wf_status read_knots(wf_schedule *s, const char *text)
{
    wf_knot knots[WF_SCHEDULE_KNOTS];
    int n = 0;
    for (const char *p = text; *p && n < WF_SCHEDULE_KNOTS; n++)
        if (!read_knot(&p, &knots[n]))
            return wf_error_set(WF_EMODEL,
                                "piecewise: expected step:factor pairs such as "
                                "40000:1,160000:0.5, got '%s'",
                                text);
    return wf_schedule_piecewise(s, n, knots, true);
}

/* "name=value" at text[0..n) */
static wf_status read_number(wf_schedule *s, const char *text, size_t n)
{
    const wf_schedule_number *x = s->kind->numbers;
    const size_t name = strcspn(text, "=,");
    int i = 0;
    while (x[i].name && (strlen(x[i].name) != name || memcmp(x[i].name, text, name) != 0)) i++;
    if (!x[i].name)
        return wf_error_set(WF_EMODEL, "%s has no %.*s (see weft schedule)", s->kind->name,
                            (int)name, text);
    char *end = NULL;
    const char *value = text + name + (name < n);
    s->number[i] = strtod(value, &end);
    if (end == value || end != text + n || !(s->number[i] >= x[i].least && isfinite(s->number[i])))
        return wf_error_set(WF_EMODEL, "%s: %s: expected a number >= %g, got '%.*s'", s->kind->name,
                            x[i].name, x[i].least, (int)(text + n - value), value);
    return WF_OK;
}

wf_status wf_schedule_read(wf_schedule *s, const char *text, int64_t warmup, int64_t total)
{
    if (strchr(text, ':')) return read_knots(s, text);
    size_t n = strcspn(text, ",");
    *s = (wf_schedule){.kind = find(text, n)};
    if (!s->kind)
        return wf_error_set(WF_EMODEL, "there is no schedule '%.*s' (see weft schedule)", (int)n,
                            text);
    const wf_schedule_number *x = s->kind->numbers;
    for (int i = 0; x[i].name; i++)
        s->number[i] = x[i].initial == WF_RUN_WARMUP  ? (double)warmup
                       : x[i].initial != WF_RUN_TOTAL ? x[i].initial
                       : total > 0                    ? (double)total
                                                      : NAN;
    for (text += n; *text; text += n) {
        n = strcspn(++text, ",");
        wf_status status = read_number(s, text, n);
        if (status != WF_OK) return status;
    }
    return check(s);
}

double wf_schedule_at(const wf_schedule *s, int64_t n)
{
    assert(n >= 0);
    const bool has_warmup = s->kind->numbers[0].initial == WF_RUN_WARMUP;
    if (has_warmup && (double)n < s->number[0]) return (double)n / s->number[0];
    return s->kind->at(s, (double)n);
}
