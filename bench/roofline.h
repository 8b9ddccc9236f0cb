/*
 * The limits of this machine, measured in the run that uses them: with a runtime's own threads, at
 * its vector level. What a kernel could reach is the smaller of the two rates that it needs.
 */
#ifndef WF_BENCH_ROOFLINE_H
#define WF_BENCH_ROOFLINE_H

#include <weft/weft.h>

typedef struct wf_roofline {
    const char *isa;
    int threads;
    double gflops;            /* GFLOP/s of multiply-adds in registers */
    double read, copy, triad; /* GB/s far beyond the caches; what the loop names is counted */
} wf_roofline;

/* Arrays far beyond the caches. NULL: wf_error(). */
typedef struct wf_streams wf_streams;
wf_streams *wf_streams_new(wf_runtime *rt);
void wf_streams_free(wf_streams *s);
/* Read so much that everything else leaves the caches. */
void wf_streams_sweep(const wf_streams *s);

/* GFLOP/s of multiply-adds in registers, alone: some 30 ms. */
double wf_roofline_peak(wf_runtime *rt);
/* Takes some seconds and memory of twelve times the last cache, which it gives back. */
wf_status wf_roofline_measure(wf_roofline *r, wf_runtime *rt);
/* The best of the three streams. */
double wf_roofline_gbs(const wf_roofline *r);
/* The least seconds that so much work can take. */
double wf_roofline_seconds(const wf_roofline *r, double flops, double bytes);
/* "avx2, 2 threads: 140.1 GFLOP/s; read 28.0, copy 25.1, triad 24.0 GB/s" */
void wf_roofline_print(const wf_roofline *r);
/* The members of a JSON object, without its braces. */
void wf_roofline_print_json(const wf_roofline *r);

#endif
