/* What optimizers share: pieces of graph. */
#ifndef WF_OPTIM_H
#define WF_OPTIM_H

#include <weft/op.h>

/* A scalar beside x. */
wf_node *wf_beside(wf_node *x, float value);
/* sqrt(mean(x^2)) over axes (kept, if they are not all), at least floor. */
wf_node *wf_rms(wf_node *x, wf_axes axes, float floor);
/* g + decay p: decay in the gradient (L2) */
wf_node *wf_l2(wf_node *g, wf_node *p, float decay);
/* p - lr decay p: decoupled decay */
wf_node *wf_decayed(wf_node *p, wf_node *lr, float decay);
/* t = 1, 2, ...: the number of this step, counted in the state "step" that all parameters share.
 * From 2^24 on t has the 24 bits of a float; what "step" cannot take yet waits in "step_part"
 * (Kahan 1965), so that it goes on to count. */
wf_node *wf_step_number(wf_node *p);
/* beta x + (1 - beta) g, which the state x becomes. */
wf_node *wf_average(wf_node *x, wf_node *g, float beta);
/* 1 - beta^t, as -expm1(t ln beta), which keeps its digits while it is small. */
wf_node *wf_correction(wf_node *t, float beta);
/* old less the step of Adam along g; the states are those of p. */
wf_node *wf_adam_moved(wf_node *p, wf_node *g, wf_node *old, wf_node *lr, const wf_adamw_hyper *h);

/* A static text about what is wrong with a decay, or NULL; ... */
const char *wf_check_decay(float decay);
/* ... and about the first of the numbers that all Adams have. */
const char *wf_check_moments(float beta1, float beta2, float eps, float decay);

#endif
