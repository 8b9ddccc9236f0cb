/* A public header must compile alone, and again without harm. WF_HEADER is set by the build. */
#include WF_HEADER
#include WF_HEADER

int main(void)
{
    wf_graph *g = NULL;
    return g != NULL;
}
