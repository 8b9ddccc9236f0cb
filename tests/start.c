/* Part of every test program: where WF_ISA asks for what this processor lacks, no test could make a
 * runtime, so the program says that once instead of starting them. */
#include <stdio.h>
#include <stdlib.h>
#include <weft/weft.h>

__attribute__((constructor)) static void start(void)
{
    if (!getenv("WF_ISA")) return;
    wf_runtime *rt = wf_runtime_new(&(wf_runtime_options){.threads = 1, .no_pinning = true});
    if (!rt) {
        fprintf(stderr, "%s\n", wf_error());
        exit(1);
    }
    wf_runtime_free(rt);
}
