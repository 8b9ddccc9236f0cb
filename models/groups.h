/* Clipping and groups of parameters as a command line gives them. */
#ifndef WF_MODELS_GROUPS_H
#define WF_MODELS_GROUPS_H

#include <weft/weft.h>

enum { WF_GROUPS = 32, WF_PATTERN = 128 };

/* "1" or "norm=1,value=0.5,tensor=2,adaptive=0.01". False after one line on stderr. */
bool wf_clip_parse(wf_minimize_options *o, const char *command, const char *text);

/* "*norm*:decay=0,rate=0.5,clip=value=0.1" or "role:bias:frozen"; pattern is where that of the
 * group is kept. False after one line on stderr. */
bool wf_group_parse(wf_param_group *group, char pattern[WF_PATTERN], const char *command,
                    const char *text);

#endif
