/* What a pre-training run tells before and after its steps. */
#define _GNU_SOURCE
#include "models/checkpoint.h"
#include "models/pretrain.h"

#include <errno.h>
#include <string.h>
#include <weft/op.h>

/* "1234567" -> "1,234,567" */
static const char *grouped(int64_t n, char *text)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = 0;
    return text;
}

enum { NUMBER = 32 };

static bool is_zero_matrix(const wf_store *s, const char *name)
{
    wf_dtype dtype;
    wf_shape shape;
    const char *x = wf_store_data(s, name, &dtype, &shape);
    if (!wf_is_weight(name) || shape.rank < 2) return false;
    size_t bytes = (size_t)wf_elements(&shape) * wf_dtype_bytes(dtype);
    for (size_t i = 0; i < bytes; i++)
        if (x[i] != 0) return false;
    return true;
}

/* Matrices of this model are kernels and tables, which tiger moves by a part of their size. */
static void warn_of_zeros(const wf_pretrain *p)
{
    if (p->training.optimizer != &wf_tiger || p->training.hyper.tiger.rms_floor > 0) return;
    for (int i = 0; i < wf_store_count(p->store); i++) {
        const char *name = wf_store_name(p->store, i);
        if (!is_zero_matrix(p->store, name)) continue;
        wf_complain(p->command.name,
                    "warning: %s is all zero, and tiger moves it by a part of its size: it will "
                    "stay so (try --hyper rms_floor=0.001)",
                    name);
        return;
    }
}

void wf_pretrain_begin(const wf_pretrain *p)
{
    const wf_corpus *c = &p->corpus;
    const wf_gau_config *m = &p->config;
    char a[NUMBER], b[NUMBER];
    printf("text    %s documents, %s tokens to learn from; ", grouped(c->train.documents, a),
           grouped(c->train.tokens, b));
    printf("%s documents, %s tokens held out\n", grouped(c->held_out.documents, a),
           grouped(c->held_out.tokens, b));
    printf("model   layers %lld, width %lld, vocabulary %s: %s parameters\n", (long long)m->layers,
           (long long)m->width, grouped(m->vocab, a), grouped(wf_gau_parameters(m), b));
    printf("steps   of ");
    if (p->o->training.accumulate > 1)
        printf("%lld batches of ", (long long)p->o->training.accumulate);
    printf("up to %lld tokens, %s at %g, %d thread%s with %s%s\n", (long long)p->o->batch,
           p->training.optimizer->name, p->training.lr, wf_runtime_threads(p->rt),
           wf_runtime_threads(p->rt) == 1 ? "" : "s", wf_runtime_isa(p->rt),
           p->training.products == WF_PRODUCTS_BF16 ? ", products in bf16" : "");
    if (p->o->training.weights || p->o->training.states || p->o->training.activations)
        printf("stored  weights as %s, states as %s, activations as %s\n",
               wf_dtype_name(p->training.weights), wf_dtype_name(p->training.states),
               wf_dtype_name(p->training.activations));
    if (p->loop.step > 0) printf("goes on after step %lld\n", (long long)p->loop.step);
    printf("\n");
    fflush(stdout);
    wf_warn_of_products(p->command.name, p->training.products, p->rt);
    warn_of_zeros(p);
    wf_loop_log(&p->loop, "start", "\"step\": %lld, \"parameters\": %lld, \"tokens\": %lld",
                (long long)p->loop.step, (long long)wf_gau_parameters(m),
                (long long)c->train.tokens);
}

static double mib(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Bytes of the store's tensors whose names begin so. */
static size_t bytes_of(const wf_store *s, const char *prefix)
{
    size_t bytes = 0;
    for (int i = 0; i < wf_store_count(s); i++) {
        wf_dtype dtype;
        wf_shape shape;
        if (strncmp(wf_store_name(s, i), prefix, strlen(prefix)) != 0) continue;
        wf_store_data(s, wf_store_name(s, i), &dtype, &shape);
        bytes += (size_t)wf_elements(&shape) * wf_dtype_bytes(dtype);
    }
    return bytes;
}

/* What wraps the optimizer keeps a tensor for every parameter too. */
static void print_wrappers(const wf_store *s)
{
    static const char *const of[][2] = {{"opt/accumulate/", "sums of gradients"},
                                        {"opt/lookahead/", "weights to go back to"},
                                        {"opt/ema/", "averages of weights"}};
    for (int i = 0; i < 3; i++) {
        size_t bytes = bytes_of(s, of[i][0]);
        if (bytes) printf("          of these %.1f MiB %s\n", mib(bytes), of[i][1]);
    }
}

static void print_compiler(const wf_pretrain *p)
{
    wf_program_stats s = wf_program_get_stats(p->train);
    char again[160] = "", narrow[100] = "";
    if (s.narrowed)
        snprintf(narrow, sizeof narrow, "          %d values wait in 16 bits, %.1f MiB less\n",
                 s.narrowed, mib(s.narrowed_bytes));
    if (s.recomputed)
        snprintf(again, sizeof again,
                 "          %.1f MiB more without %d kernels that compute again, %.2f %% of the "
                 "operations\n",
                 mib(s.recompute_bytes), s.recomputed, 100 * s.recompute_flops / s.flops);
    printf("The compiler\n"
           "  graph   %d nodes declared, %d with gradients and update, %d after fusion: %d kernels "
           "a step\n"
           "  memory  %.1f MiB for all values of a step, %.1f MiB if each had its own\n"
           "%s%s"
           "  weights %.1f MiB with the state of the optimizer\n",
           s.nodes_declared, s.nodes_before, s.nodes_after, s.kernels, mib(s.plan_bytes),
           mib(s.plan_bytes_naive), again, narrow, mib(s.store_bytes));
    print_wrappers(p->store);
    printf("  time    %.0f ms to compile\n\n", 1000 * s.compile_seconds);
    wf_loop_log(&p->loop, "compiler",
                "\"nodes_declared\": %d, \"nodes_before\": %d, \"nodes_after\": %d, "
                "\"kernels\": %d, \"plan_bytes\": %zu, \"plan_bytes_naive\": %zu, "
                "\"store_bytes\": %zu, \"memory_bytes\": %zu, \"recomputed\": %d, "
                "\"recompute_bytes\": %zu, \"recompute_flops\": %.4g, "
                "\"narrowed\": %d, \"narrowed_bytes\": %zu, "
                "\"compile_seconds\": %.4f, \"flops\": %.4g",
                s.nodes_declared, s.nodes_before, s.nodes_after, s.kernels, s.plan_bytes,
                s.plan_bytes_naive, s.store_bytes, s.memory_bytes, s.recomputed, s.recompute_bytes,
                s.recompute_flops, s.narrowed, s.narrowed_bytes, s.compile_seconds, s.flops);
}

static int count_right(const wf_samples *s, const int32_t *guess)
{
    int n = 0;
    for (int64_t i = 0; i < s->n_picks; i++) n += guess[i] == s->truth[i];
    return n;
}

static void print_samples(const wf_pretrain *p)
{
    const wf_samples *s = &p->samples;
    if (s->n_picks == 0) return;
    printf("Held-out lines; the model does not see what stands in [ ] and guesses it: %d of %lld "
           "right before training, %d after\n",
           count_right(s, s->before), (long long)s->n_picks, count_right(s, s->after));
    wf_samples_print(s, stdout, p->vocab);
    printf("\n");
}

/* By the weights that model.safetensors has. */
static bool guess_after(wf_pretrain *p)
{
    wf_store *averages = p->training.minimize.ema > 0 ? wf_store_new(0) : NULL;
    bool ok = p->training.minimize.ema == 0 ||
              (averages && wf_weights_lend(averages, p->store, true) == WF_OK);
    ok = ok && wf_samples_guess(&p->samples, p->samples.after, &p->config, p->vocab,
                                averages ? averages : p->store, p->rt) == WF_OK;
    wf_store_free(averages);
    return ok;
}

bool wf_pretrain_end(wf_pretrain *p)
{
    if (!guess_after(p)) return wf_pretrain_fail(p);
    printf("\n");
    print_compiler(p);
    print_samples(p);
    if (p->data.dropped > 0)
        printf("%lld masked tokens found no room in their batches and were left as they are.\n",
               (long long)p->data.dropped);
    char best[64] = "";
    if (p->o->loop.best && p->loop.best_step >= 0)
        snprintf(best, sizeof best, ", best.safetensors (of step %lld)",
                 (long long)p->loop.best_step);
    printf("Saved in %s after step %lld: model.safetensors%s, vocab.txt, config.json, loss.png, "
           "checkpoint.safetensors%s\n"
           "  to go on     the same command with --resume%s%s\n"
           "  to try it    %s gau fill --model %s \"...[MASK]...\"\n",
           p->o->out, (long long)p->loop.step,
           p->training.minimize.ema > 0
               ? " (the averages of weights), model_last.safetensors (the weights)"
               : "",
           best, p->o->overwrite ? " instead of --overwrite" : "",
           p->loop.step >= p->o->loop.steps ? " and more --steps" : "", program_invocation_name,
           p->o->out);
    return true;
}
