/*
 * The first program: a small network that reads handwritten digits.
 *
 *   first [samples/digits.csv]
 *
 * Every line of the file is one picture of 8 x 8 grey values (0 to 16) and its digit. Every fifth
 * picture is held out to test on.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

enum { PIXELS = 64, ROOM = 2000, BATCH = 64, EPOCHS = 40 };

typedef struct digits {
    float pixels[ROOM * PIXELS];
    int32_t label[ROOM];
    int64_t n;
} digits;

static int read_row(FILE *f, float *pixels, int32_t *label)
{
    for (int i = 0; i < PIXELS; i++) {
        if (fscanf(f, "%f,", &pixels[i]) != 1) return 0;
        pixels[i] /= 16;
    }
    return fscanf(f, "%d", label) == 1;
}

/* 0 after one line on stderr. */
static int read_digits(const char *path, digits *train, digits *test)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: cannot be opened: %s\n", path, strerror(errno));
        return 0;
    }
    for (int i = 0;; i++) {
        digits *d = i % 5 == 4 ? test : train;
        if (d->n == ROOM || !read_row(f, d->pixels + d->n * PIXELS, d->label + d->n)) break;
        d->n++;
    }
    fclose(f);
    if (train->n >= BATCH && test->n > 0) return 1;
    fprintf(stderr, "%s: expected lines of 64 grey values and a digit\n", path);
    return 0;
}

static wf_node *dense(wf_node *x, int64_t width, const char *name)
{
    wf_init init = {.kind = WF_INIT_NORMAL, .a = (float)sqrt(2.0 / (double)wf_dim(x, -1))};
    return wf_dense(x, width, true, init, name);
}

static wf_graph *network(void)
{
    wf_graph *g = wf_graph_new();
    int64_t batch = wf_size(g, "batch");
    wf_node *x = wf_input(g, "pixels", WF_F32, WF_SHAPE(batch, PIXELS));
    wf_node *label = wf_input(g, "label", WF_I32, WF_SHAPE(batch));
    wf_node *y = dense(wf_relu(dense(x, 128, "hidden")), 10, "out");
    wf_node *loss = wf_output(wf_cross_entropy(y, label, -1), "loss");
    wf_output(wf_mean(wf_hits(y, label, -1), WF_ALL, false), "accuracy");
    wf_minimize(loss, &wf_adamw, NULL, NULL);
    return g;
}

/* Run once on rows first..first+n-1. */
static wf_status feed(wf_program *p, const digits *d, int64_t first, int64_t n)
{
    wf_bind(p, "pixels", d->pixels + first * PIXELS, (size_t)n * PIXELS * sizeof(float));
    wf_bind(p, "label", d->label + first, (size_t)n * sizeof(int32_t));
    return wf_run(p);
}

int main(int argc, char **argv)
{
    static digits train, test;
    const char *path = argc > 1 ? argv[1] : "samples/digits.csv";
    if (!read_digits(path, &train, &test)) return 1;

    wf_graph *g = network();
    wf_runtime *rt = wf_runtime_new(NULL);
    wf_store *weights = wf_store_new(42);
    wf_program *learn = NULL, *measure = NULL;
    wf_size_value few[] = {{"batch", BATCH}, {0}}, all[] = {{"batch", test.n}, {0}};
    float accuracy = 0;
    if (!rt || wf_compile(&learn, g, weights, rt, &(wf_compile_options){.sizes = few}) != WF_OK ||
        wf_compile(&measure, g, weights, rt,
                   &(wf_compile_options){.sizes = all, .forward_only = true}) != WF_OK) {
        fprintf(stderr, "%s\n", wf_error()); /* whatever went wrong above, it says so here */
    } else {
        wf_set(learn, "lr", 2e-3f);
        for (int epoch = 0; epoch < EPOCHS; epoch++)
            for (int64_t i = 0; i + BATCH <= train.n; i += BATCH) feed(learn, &train, i, BATCH);
        feed(measure, &test, 0, test.n);
        accuracy = wf_scalar(measure, "accuracy");
        printf("training loss %.4f, accuracy on %d unseen digits %.2f %%\n",
               wf_scalar(learn, "loss"), (int)test.n, 100 * accuracy);
    }
    wf_program_free(measure);
    wf_program_free(learn);
    wf_store_free(weights);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return accuracy >= 0.96f ? 0 : 1;
}
