/*
 * A decoder of GPT-2's form (Radford et al. 2019), which predicts the next token at every position,
 * trained by AdamW. Plain builders only.
 *
 *   x = wte[ids] + wpe;  each layer:  x += attention(norm(x));  x += mlp(norm(x))
 *   logits = norm(x) wte^T
 *
 * x is [batch * time, d]; q, k and v of all heads are columns of one product, [batch, time, 3,
 * heads, key]; scores are [batch, heads, time, time].
 */
#include "bench/work.h"

#include <math.h>
#include <stdlib.h>

enum { POSITIONS = 1024 }; /* rows of the table, of which a batch reads the first */

static const wf_init narrow = {.kind = WF_INIT_NORMAL, .a = 0.02f};

static wf_node *norm(wf_node *x, const char *name)
{
    wf_graph *g = wf_graph_of(x);
    wf_shape shape = WF_SHAPE(wf_dim(x, -1));
    wf_push(g, "%s", name);
    wf_node *gain = wf_param(g, "g", shape, (wf_role){.kind = WF_SCALE},
                             (wf_init){.kind = WF_INIT_CONSTANT, .a = 1});
    wf_node *bias = wf_param(g, "b", shape, (wf_role){.kind = WF_BIAS}, (wf_init){0});
    wf_pop(g);
    return wf_add(wf_mul(wf_layer_norm(x, 1e-5f), gain), bias);
}

/* Query i sees keys 0..i. */
static wf_node *causal_span(wf_graph *g, int64_t time)
{
    int32_t *span = calloc((size_t)time * 2, sizeof *span);
    if (!span) wf_work_check(WF_ENOMEM);
    for (int64_t i = 0; i < time; i++) span[2 * i + 1] = (int32_t)(i + 1);
    wf_node *y = wf_constants_i32(g, WF_SHAPE(time, 2), span);
    free(span);
    return y;
}

static wf_node *attention(wf_node *x, wf_node *span, const wf_work *w)
{
    int64_t heads = w->width / w->key;
    wf_node *part[3], *qkv = wf_dense(x, 3 * w->width, true, narrow, "qkv");
    qkv = wf_reshape(qkv, WF_SHAPE(w->batch, w->time, 3, heads, w->key));
    qkv = wf_transpose(qkv, WF_AXES(2, 0, 3, 1, 4));
    for (int i = 0; i < 3; i++)
        part[i] = wf_reshape(wf_slice(qkv, 0, i, 1), WF_SHAPE(w->batch, heads, w->time, w->key));
    wf_node *scores = wf_scale(wf_matmul_t(part[0], part[1]), 1 / sqrtf((float)w->key));
    wf_node *a = wf_softmax(wf_mask_span(scores, span, -INFINITY));
    wf_node *y = wf_transpose(wf_matmul(a, part[2]), WF_AXES(0, 2, 1, 3));
    return wf_dense(wf_reshape(y, WF_SHAPE(-1, w->width)), w->width, true, narrow, "proj");
}

static wf_node *layer(wf_node *x, wf_node *span, const wf_work *w)
{
    x = wf_add(x, attention(norm(x, "ln1"), span, w));
    wf_node *h = wf_gelu_tanh(wf_dense(norm(x, "ln2"), w->expand, true, narrow, "fc"));
    return wf_add(x, wf_dense(h, w->width, true, narrow, "out"));
}

static wf_graph *declare(const wf_work *w)
{
    wf_graph *g = wf_graph_new();
    wf_role table = {.kind = WF_EMBEDDING};
    int64_t n = w->batch * w->time;
    wf_node *ids = wf_input(g, "ids", WF_I32, WF_SHAPE(w->batch, w->time));
    wf_node *labels = wf_input(g, "labels", WF_I32, WF_SHAPE(n));
    wf_node *wte = wf_param(g, "wte", WF_SHAPE(w->vocab, w->width), table, narrow);
    wf_node *wpe = wf_param(g, "wpe", WF_SHAPE(POSITIONS, w->width), table, narrow);
    wf_node *x = wf_add(wf_gather(wte, ids), wf_slice(wpe, 0, 0, w->time));
    wf_node *span = causal_span(g, w->time);
    x = wf_reshape(x, WF_SHAPE(n, w->width));
    for (int64_t i = 0; i < w->layers; i++) {
        wf_push(g, "h%lld", (long long)i);
        x = layer(x, span, w);
        wf_pop(g);
    }
    wf_node *loss = wf_cross_entropy(wf_matmul_t(norm(x, "ln"), wte), labels, -1);
    wf_work_minimize(wf_output(loss, "loss"), w);
    return g;
}

static void bind(wf_program *p, const wf_work *w, wf_store *given)
{
    wf_work_bind_ints(p, given, "ids", w->batch * w->time, (uint32_t)w->vocab);
    wf_work_bind_ints(p, given, "labels", w->batch * w->time, (uint32_t)w->vocab);
}

static double items(const wf_work *w)
{
    return (double)(w->batch * w->time);
}

/* As the peers' kernels count them: half of the scores are masked, but calculated. */
static double flops(const wf_work *w)
{
    double d = (double)w->width, layer = d * (4 * d + 2 * (double)w->expand);
    double attention = 2 * (double)w->time * d;
    return 6 * items(w) * ((double)w->layers * (layer + attention) + d * (double)w->vocab);
}

const wf_work_model wf_work_gpt2 = {
    .declare = declare, .bind = bind, .items = items, .flops = flops};
