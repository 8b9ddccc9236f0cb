"""Models that the peers' folder does not have, as users of JAX write them: see peers_torch.py."""
import math
from functools import partial

import jax
import jax.numpy as jnp
import workloads_jax as w

from export import padded_batches

BUCKET = 16  # lengths of tnews are padded to multiples of it, or each would be compiled anew


def cross_entropy(logits, labels, where=None):
    picked = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
    return (jax.nn.logsumexp(logits, -1) - picked).mean(where=where)


def stepper(loss, update, params, batch_of):
    """update: of one parameter (p, g, t, *state), to p and state; batch_of(i): what loss reads."""
    @partial(jax.jit, donate_argnums=(0, 1))
    def one(p, state, t, *batch):
        value, g = jax.value_and_grad(loss)(p, *batch)
        new = {k: update(p[k], g[k], t, *state[k]) for k in p}
        return value, {k: n[0] for k, n in new.items()}, {k: n[1:] for k, n in new.items()}
    states = 1 if update is lion else 2
    at = [params, {k: tuple(jnp.zeros_like(p) for _ in range(states)) for k, p in params.items()}, 0]

    def step(i):
        at[2] += 1
        value, at[0], at[1] = one(at[0], at[1], jnp.float32(at[2]), *batch_of(i))
        return float(value)
    return step


def lion(p, g, t, m):
    return w.lion(p, g, m)


def adamw(p, g, t, m, v, lr=1e-4, b1=.9, b2=.999, eps=1e-8, decay=.01):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    root = jnp.sqrt(v / (1 - b2 ** t)) + eps
    return p * (1 - lr * decay) - lr * m / (1 - b1 ** t) / root, m, v


def split(start, *inputs):
    s = {k: jnp.asarray(v) for k, v in start.items()}
    return {k: v for k, v in s.items() if k not in inputs}, [s[k] for k in inputs if k in s]


def mlp(start, name, mode, batch, **sizes):
    params, (x, y) = split(start, "x", "labels")

    def loss(p, x, y):
        h = jax.nn.relu(x @ p["fc1/w"] + p["fc1/b"])
        return cross_entropy(h @ p["fc2/w"] + p["fc2/b"], y)
    return stepper(loss, lion, params, lambda i: (x, y)), batch, {}


def gpt2(start, name, mode, batch, time, layers, d, heads, vocab, positions):
    params, (ids, labels) = split(start, "ids", "labels")

    def norm(p, name, x):
        mean = x.mean(-1, keepdims=True)
        var = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p[name + "/g"] + p[name + "/b"]

    def dense(p, name, x):
        return x @ p[name + "/w"] + p[name + "/b"]

    def loss(p, ids, labels):
        x = p["wte"][ids] + p["wpe"][:time]
        for i in range(layers):
            at = f"h{i}/"
            qkv = dense(p, at + "qkv", norm(p, at + "ln1", x))
            q, k, v = (t.reshape(batch, time, heads, -1) for t in jnp.split(qkv, 3, -1))
            y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
            x = x + dense(p, at + "proj", y.reshape(batch, time, d))
            h = jax.nn.gelu(dense(p, at + "fc", norm(p, at + "ln2", x)), approximate=True)
            x = x + dense(p, at + "out", h)
        logits = norm(p, "ln", x) @ p["wte"].T
        return cross_entropy(logits.reshape(-1, vocab), labels)
    return stepper(loss, adamw, params, lambda i: (ids, labels)), batch * time, {}


def tnews(start, name, mode, tokens, layers, d, e, k, vocab, classes, longest):
    params, _ = split(start, "ids", "starts", "labels")
    batches = [tuple(jnp.asarray(t) for t in b)
               for b in padded_batches(start, tokens, BUCKET, fixed_rows=True)]

    def loss(p, ids, mask, y):
        n = ids.shape[1]
        angle = jnp.arange(n)[:, None] * jnp.power(10000., -jnp.arange(0, k, 2) / k)[None]
        sin, cos = jnp.repeat(jnp.sin(angle), 2, -1), jnp.repeat(jnp.cos(angle), 2, -1)
        turn = lambda q: q * cos + jnp.stack([-q[..., 1::2], q[..., ::2]], -1).reshape(q.shape) * sin
        x = w.rms(p["embeddings/word_embeddings"][ids] + p["embeddings/token_type_embeddings"][0])
        c = jnp.log(jnp.maximum(mask.sum(-1), 1))[:, None, None] / math.log(512.)
        for i in range(layers):
            at = f"layer_{i}/gau/"
            h = jax.nn.silu(x @ p[at + "i_dense/kernel"])
            u, v, z = h[..., :e], h[..., e:2 * e], h[..., 2 * e:]
            q, key = (turn(z * p[f"{at}{s}_scaleoffset/gamma"]) for s in "qk")
            a = q @ key.swapaxes(-1, -2) / k ** .5 * c
            a = jax.nn.softmax(jnp.where(mask[:, None, :] == 0, -1e9, a), -1)
            x = w.rms(x + (u * (a @ v)) @ p[at + "o_dense/kernel"])
        return cross_entropy(x[:, 0] @ p["head/w"] + p["head/b"], y, y >= 0)
    step = stepper(loss, lion, params, lambda i: batches[i % len(batches)])
    return step, len(start["ids"]) / len(batches), {"batches": len(batches)}
