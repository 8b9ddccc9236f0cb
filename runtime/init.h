/* First values of parameters. */
#ifndef WF_INIT_H
#define WF_INIT_H

#include "runtime/pool.h"

/* Fill n numbers, of 16 bits to nearest. They depend on (seed, name, position) alone. */
void wf_init_fill(wf_pool *pool, void *y, wf_dtype type, int64_t n, wf_init init, uint64_t seed,
                  const char *name);

#endif
