/* A loss curve that halves its resolution instead of growing. */
#include "models/curve.h"

#include <stdio.h>
#include <string.h>

static void halve(wf_curve *c)
{
    for (int i = 0; i < WF_CURVE_ROOM / 2; i++) {
        c->step[i] = (c->step[2 * i] + c->step[2 * i + 1]) / 2;
        c->value[i] = (c->value[2 * i] + c->value[2 * i + 1]) / 2;
    }
    c->n = WF_CURVE_ROOM / 2;
    c->width *= 2;
    c->filled = c->width;
}

void wf_curve_add(wf_curve *c, double step, double value)
{
    if (c->width == 0) c->width = c->filled = 1;
    if (c->filled == c->width || c->n == 0) {
        if (c->n == WF_CURVE_ROOM) halve(c);
        c->step[c->n] = c->value[c->n] = 0;
        c->n++;
        c->filled = 0;
    }
    int i = c->n - 1;
    float part = 1 / (float)++c->filled; /* a running mean */
    c->step[i] += part * ((float)step - c->step[i]);
    c->value[i] += part * ((float)value - c->value[i]);
}

wf_status wf_curve_save(const wf_curve *c, wf_store *s, const char *name)
{
    char key[64];
    const float counts[3] = {(float)c->n, (float)c->width, (float)c->filled};
    snprintf(key, sizeof key, "run/%s/counts", name);
    wf_status status = wf_store_put(s, key, WF_F32, WF_SHAPE(3), counts);
    snprintf(key, sizeof key, "run/%s/step", name);
    if (status == WF_OK) status = wf_store_put(s, key, WF_F32, WF_SHAPE(WF_CURVE_ROOM), c->step);
    snprintf(key, sizeof key, "run/%s/value", name);
    if (status == WF_OK) status = wf_store_put(s, key, WF_F32, WF_SHAPE(WF_CURVE_ROOM), c->value);
    return status;
}

/* The data of a float tensor of n elements, or NULL. */
static const float *tensor(const wf_store *s, const char *name, const char *part, int64_t n)
{
    char key[64];
    wf_dtype dtype;
    wf_shape shape;
    snprintf(key, sizeof key, "run/%s/%s", name, part);
    const float *data = wf_store_data(s, key, &dtype, &shape);
    return data && dtype == WF_F32 && shape.rank == 1 && shape.dim[0] == n ? data : NULL;
}

void wf_curve_load(wf_curve *c, const wf_store *s, const char *name)
{
    const float *counts = tensor(s, name, "counts", 3);
    const float *step = tensor(s, name, "step", WF_CURVE_ROOM);
    const float *value = tensor(s, name, "value", WF_CURVE_ROOM);
    *c = (wf_curve){0};
    if (!counts || !step || !value) return;
    if (!(counts[0] >= 0 && counts[0] <= WF_CURVE_ROOM && counts[1] >= 1 && counts[1] < 1e9f &&
          counts[2] >= 0 && counts[2] <= counts[1]))
        return;
    c->n = (int)counts[0];
    c->width = (int)counts[1];
    c->filled = (int)counts[2];
    memcpy(c->step, step, sizeof c->step);
    memcpy(c->value, value, sizeof c->value);
}
