/* A loss curve of bounded size that travels with a checkpoint. */
#ifndef WF_MODELS_CURVE_H
#define WF_MODELS_CURVE_H

#include <weft/weft.h>

enum { WF_CURVE_ROOM = 512 };

typedef struct wf_curve {
    int n, width; /* width: samples that one point is the mean of */
    int filled;   /* samples in the last point */
    float step[WF_CURVE_ROOM], value[WF_CURVE_ROOM];
} wf_curve;

/* Append a sample. When the room is used up, neighbours become one point. */
void wf_curve_add(wf_curve *c, double step, double value);

/* Keep the curve in a store under "run/<name>"; read it back (an empty one if it is not there). */
wf_status wf_curve_save(const wf_curve *c, wf_store *s, const char *name);
void wf_curve_load(wf_curve *c, const wf_store *s, const char *name);

#endif
