/* The numbers of an optimizer by name, as a command line gives them. */
#ifndef WF_MODELS_HYPER_H
#define WF_MODELS_HYPER_H

#include <weft/op.h>

/* Set numbers from "amsgrad=yes,eps=1e-6". False after one line on stderr. */
bool wf_hyper_set(const wf_optimizer *o, void *hyper, const char *command, const char *list);
/* One number as text. */
void wf_hyper_text(const wf_hyper *h, const void *hyper, char *text, size_t size);

#endif
