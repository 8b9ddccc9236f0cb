/*
 * GAU encoder in the form of GAU-alpha (Hua et al. 2022; Su 2022).
 *
 *   x = rms(dropout(E[ids] + S[segments]))
 *   each layer:  u|v|z = silu(x Wi);  q, k = rope(z * gamma_q), rope(z * gamma_k)
 *                a = attention(q k^T / sqrt(s));  x = rms(x + dropout((u * (a v)) Wo))
 *   logits = dropout(x[picks]) E^T
 *
 * softmax:      softmax(scores)
 * softmax_plus: softmax(scores * ln(max(len, min_len)) / ln 512), len = keys that the row sees
 * relu2:        max(scores, 0)^2 / len
 *
 * x is [..., n, d]; u, v are [..., n, e]; z, q, k are [..., n, s]; scores are [..., n, n]. There
 * are no biases and no gains beside the two gammas.
 */
#include "models/gau.h"

#include <math.h>

static const wf_role kernel = {.kind = WF_KERNEL}, embedding = {.kind = WF_EMBEDDING},
                     scale = {.kind = WF_SCALE};

const char *wf_gau_norm_name(wf_gau_norm norm)
{
    static const char *const names[] = {"softmax_plus", "softmax", "relu2"};
    return names[norm];
}

static bool is_rate(float rate)
{
    return rate >= 0 && rate < 1;
}

const char *wf_gau_check(const wf_gau_config *c)
{
    if (c->layers < 1) return "layers must be at least 1";
    if (c->width < 1) return "width must be at least 1";
    if (c->expand < 1) return "expand must be at least 1";
    if (c->key < 2 || c->key % 2) return "key must be even and at least 2 (rotary pairs)";
    if (c->vocab < 1) return "vocab must be at least 1";
    if (!(c->min_len >= 1)) return "min-len must be at least 1";
    if (!(c->eps >= 0)) return "eps must not be negative";
    const struct wf_gau_dropout *d = &c->dropout;
    if (!is_rate(d->embedding) || !is_rate(d->attention) || !is_rate(d->output) ||
        !is_rate(d->logits))
        return "dropout must lie in [0, 1)";
    return NULL;
}

int64_t wf_gau_parameters(const wf_gau_config *c)
{
    int64_t layer = c->width * (2 * c->expand + c->key) + 2 * c->key + c->expand * c->width;
    return (c->vocab + 2) * c->width + c->layers * layer;
}

/* Deviation layers^(-1/3) / sqrt(fan) after truncation at two: three matrices in a row then give a
 * branch of scale 1 / layers. */
static wf_init init(const wf_gau_config *c, int64_t fan)
{
    double a = 1.13684723 / sqrt((double)fan) * pow((double)c->layers, -1.0 / 3.0);
    return (wf_init){.kind = WF_INIT_TRUNCATED, .a = (float)a};
}

static wf_node *word_table(wf_graph *g, const wf_gau_config *c)
{
    return wf_param(g, "embeddings/word_embeddings", WF_SHAPE(c->vocab, c->width), embedding,
                    init(c, c->width));
}

static wf_node *embed(wf_graph *g, const wf_gau_config *c, const wf_gau_batch *b)
{
    wf_node *segments = wf_param(g, "embeddings/token_type_embeddings", WF_SHAPE(2, c->width),
                                 embedding, init(c, c->width));
    wf_node *segment = b->segments ? wf_gather(segments, b->segments) : wf_slice(segments, 0, 0, 1);
    wf_node *x = wf_add(wf_gather(word_table(g, c), b->ids), segment);
    return wf_rms_norm(wf_dropout(x, c->dropout.embedding), c->eps);
}

/* Scores [..., n, n] to weights of the same shape. */
static wf_node *attention(wf_node *scores, const wf_gau_config *c, wf_node *span)
{
    if (c->norm == WF_GAU_RELU2) {
        wf_node *a = wf_mask_span(wf_relu2(scores), span, 0);
        return wf_div(a, wf_span_length(span, 1));
    }
    if (c->norm == WF_GAU_SOFTMAX_PLUS) {
        wf_node *len = wf_span_length(span, c->min_len);
        scores = wf_mul(scores, wf_scale(wf_log(len), (float)(1 / log(512.0))));
    }
    return wf_softmax(wf_mask_span(scores, span, -INFINITY));
}

static wf_node *turn(wf_node *z, const char *gamma, const wf_gau_config *c, wf_node *positions)
{
    wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1};
    wf_node *w = wf_param(wf_graph_of(z), gamma, WF_SHAPE(c->key), scale, one);
    return wf_rope(wf_mul(z, w), positions, 10000);
}

static wf_node *layer(wf_node *x, const wf_gau_config *c, const wf_gau_batch *b)
{
    wf_graph *g = wf_graph_of(x);
    int64_t d = c->width, e = c->expand, s = c->key, sizes[] = {e, e, s};
    wf_node *wi = wf_param(g, "gau/i_dense/kernel", WF_SHAPE(d, 2 * e + s), kernel, init(c, d));
    wf_node *wo = wf_param(g, "gau/o_dense/kernel", WF_SHAPE(e, d), kernel, init(c, e));

    wf_node *part[3]; /* u, v, z */
    wf_split(wf_silu(wf_linear(x, wi, NULL)), -1, 3, sizes, part);
    wf_node *q = turn(part[2], "gau/q_scaleoffset/gamma", c, b->positions);
    wf_node *k = turn(part[2], "gau/k_scaleoffset/gamma", c, b->positions);

    wf_node *scores = wf_scale(wf_matmul_t(q, k), (float)(1 / sqrt((double)s)));
    wf_node *a = wf_dropout(attention(scores, c, b->span), c->dropout.attention);
    wf_node *o = wf_linear(wf_mul(part[0], wf_matmul(a, part[1])), wo, NULL);
    return wf_rms_norm(wf_add(x, wf_dropout(o, c->dropout.output)), c->eps);
}

wf_node *wf_gau(wf_graph *g, const wf_gau_config *c, const wf_gau_batch *batch)
{
    wf_node *x = embed(g, c, batch);
    for (int64_t i = 0; i < c->layers; i++) {
        wf_push(g, "layer_%lld", (long long)i);
        x = layer(x, c, batch);
        wf_pop(g);
    }
    return x;
}

wf_gau_batch wf_gau_packed(wf_graph *g, bool causal)
{
    int64_t tokens = wf_size(g, "tokens"), rows = wf_size(g, "rows");
    wf_node *ids = wf_input(g, "ids", WF_I32, WF_SHAPE(tokens));
    wf_node *offsets = wf_input(g, "offsets", WF_I32, WF_SHAPE(wf_size_add(g, rows, 1)));
    return (wf_gau_batch){.ids = ids,
                          .span = wf_span_packed(offsets, tokens, causal),
                          .positions = wf_positions(offsets, tokens)};
}

wf_gau_batch wf_gau_padded(wf_graph *g, bool causal)
{
    int64_t batch = wf_size(g, "batch"), time = wf_size(g, "time");
    wf_node *ids = wf_input(g, "ids", WF_I32, WF_SHAPE(batch, time));
    wf_node *lengths = wf_input(g, "lengths", WF_I32, WF_SHAPE(batch));
    return (wf_gau_batch){
        .ids = ids, .span = wf_span_padded(lengths, time, causal), .positions = wf_iota(g, time)};
}

wf_node *wf_gau_logits(wf_node *x, wf_node *picks, const wf_gau_config *c)
{
    wf_node *rows = wf_gather(wf_reshape(x, WF_SHAPE(-1, c->width)), picks);
    return wf_matmul_t(wf_dropout(rows, c->dropout.logits), word_table(wf_graph_of(x), c));
}

static wf_node *logits_of_inputs(wf_graph *g, const wf_gau_config *c)
{
    wf_gau_batch batch = wf_gau_packed(g, c->causal);
    wf_node *picks = wf_input(g, "picks", WF_I32, WF_SHAPE(wf_size(g, "picks")));
    return wf_gau_logits(wf_gau(g, c, &batch), picks, c);
}

wf_node *wf_gau_mlm(wf_graph *g, const wf_gau_config *c)
{
    wf_node *labels = wf_input(g, "labels", WF_I32, WF_SHAPE(wf_size(g, "picks")));
    wf_node *logits = logits_of_inputs(g, c);
    wf_output(wf_sum(wf_hits(logits, labels, -1), WF_ALL, false), "hits");
    return wf_output(wf_cross_entropy(logits, labels, -1), "loss");
}

wf_node *wf_gau_guess(wf_graph *g, const wf_gau_config *c)
{
    return wf_output(wf_softmax(logits_of_inputs(g, c)), "guess");
}
