"""Export the start of a workload for bench_step and run_peer.py.

    export.py PEERS MODE NAME OUT [DATA]

PEERS holds workloads_torch.py and workloads_jax.py; MODE is torch or jax. Weights and data of
their models are those that the scripts there draw; names and layouts become ours. Those of the
others are drawn here. DATA is a folder that has clue/tnews_public/train.json.xz (for tnews).
"""
import collections
import json
import lzma
import os
import sys

import numpy as np

import works


# ---- models of the peers ----

def variables_of(function):
    """What a function closes over: the scripts show their models in no other way."""
    return {k: c.cell_contents
            for k, c in zip(function.__code__.co_freevars, function.__closure__)}


def torch_gau(name):
    import workloads_torch as w
    build, kw = works.builder_of_peers(w, name)
    v = variables_of(build(**kw)[0])
    m = v["m"]
    out = {"embeddings/word_embeddings": m.emb.weight, "embeddings/token_type_embeddings":
           m.seg.weight, "bias": m.bias, "ids": v["ids"], "picks": v["pos"], "labels": v["tgt"]}
    for i, layer in enumerate(m.layers):
        out |= layer_of(i, layer.i.weight.T, layer.o.weight.T, layer.qg, layer.kg)
    return {k: t.detach().numpy() for k, t in out.items()}


def jax_gau(name):
    import workloads_jax as w
    build, kw = works.builder_of_peers(w, name)
    v = variables_of(build(**kw)[0])
    m, (ids, _, picks, labels) = v["st"][0], v["args"]
    out = {"embeddings/word_embeddings": m["emb"], "embeddings/token_type_embeddings": m["seg"],
           "bias": m["bias"], "ids": ids, "picks": picks, "labels": labels}
    for i, layer in enumerate(m["l"]):
        out |= layer_of(i, layer["i"], layer["o"], layer["q"], layer["k"])
    return {k: np.asarray(t) for k, t in out.items()}


def layer_of(i, dense, out, q, k):
    at = f"layer_{i}/gau/"
    return {at + "i_dense/kernel": dense, at + "o_dense/kernel": out,
            at + "q_scaleoffset/gamma": q, at + "k_scaleoffset/gamma": k}


# ---- models of our own ----

RNG = np.random.default_rng(0)


def draw(*shape, scale=0.02):
    return RNG.standard_normal(shape, np.float32) * np.float32(scale)


def dense(name, k, n, scale=0.02):
    return {name + "/w": draw(k, n, scale=scale), name + "/b": np.zeros(n, np.float32)}


def mlp(name, data, batch, inputs, hidden, classes):
    return dense("fc1", inputs, hidden, 0.05) | dense("fc2", hidden, classes, 0.05) | {
        "x": draw(batch, inputs, scale=1), "labels": RNG.integers(0, classes, batch)}


def gpt2(name, data, batch, time, layers, d, heads, vocab, positions):
    norm = lambda at: {at + "/g": np.ones(d, np.float32), at + "/b": np.zeros(d, np.float32)}
    text = RNG.integers(0, vocab, (batch, time + 1))
    out = {"wte": draw(vocab, d), "wpe": draw(positions, d), "ids": text[:, :-1],
           "labels": text[:, 1:].reshape(-1)} | norm("ln")
    for i in range(layers):
        at = f"h{i}/"
        out |= norm(at + "ln1") | dense(at + "qkv", d, 3 * d) | dense(at + "proj", d, d)
        out |= norm(at + "ln2") | dense(at + "fc", d, 4 * d) | dense(at + "out", 4 * d, d)
    return out


def tnews(name, data, tokens, layers, d, e, k, vocab, classes, longest):
    """One token a character: 0 is padding, 1 the first of each sequence, 2 stands for rare ones."""
    with lzma.open(os.path.join(data, "clue/tnews_public/train.json.xz"), "rt") as f:
        rows = [json.loads(line) for line in f]
    counts = collections.Counter(c for r in rows for c in r["sentence"])
    token = {c: i + 3 for i, (c, _) in enumerate(counts.most_common(vocab - 3))}
    label = {c: i for i, c in enumerate(sorted({r["label"] for r in rows}))}
    texts = [[1] + [token.get(c, 2) for c in r["sentence"][:longest - 1]] for r in rows]
    out = {"embeddings/word_embeddings": draw(vocab, d), "ids": np.concatenate(texts),
           "embeddings/token_type_embeddings": draw(2, d),
           "starts": np.cumsum([0] + [len(t) for t in texts]),
           "labels": np.array([label[r["label"]] for r in rows])} | dense("head", d, classes)
    one = np.ones(k, np.float32)
    for i in range(layers):
        out |= layer_of(i, draw(d, 2 * e + k), draw(e, d), one, one)
    return out


def optim(name, data, layers, d, e, vocab):
    """"want/p" is what PyTorch makes of p in three steps."""
    out = {"table": draw(vocab, d)}
    for i in range(layers):
        at = f"h{i}/"
        out |= {at + "norm1": draw(d), at + "norm2": draw(d), at + "proj/w": draw(d, d),
                at + "out/w": draw(e, d)} | dense(at + "qkv", d, 3 * d) | dense(at + "fc", d, e)
    out |= {f"gradient/{k}": draw(*p.shape) for k, p in out.items()}
    import peers_torch
    copy = {k: p.copy() for k, p in out.items()}
    step, _, rest = peers_torch.optim(copy, name, "foreach")
    for i in range(3):
        step(i)
    return out | {f"want/{k}": p.detach().numpy() for k, p in rest["params"].items()}


def padded_batches(start, tokens, multiple=1, fixed_rows=False):
    """ids, mask and labels of each batch: as many texts, in their order, as have so many tokens.

    Padded to the longest text, and on to a multiple; fixed_rows: also to the rows of the fullest
    batch, with label -1.
    """
    ids, starts, labels = start["ids"], start["starts"], start["labels"]
    first = [0]
    while first[-1] < len(labels):
        first.append(int(np.searchsorted(starts, starts[first[-1]] + tokens, "right")) - 1)
        assert first[-1] > first[-2], f"text {first[-1]} has more than {tokens} tokens"
    rows = max(np.diff(first)) if fixed_rows else 0
    for lo, hi in zip(first, first[1:]):
        sizes = np.diff(starts[lo:hi + 1])
        y = np.pad(labels[lo:hi], (0, max(rows - len(sizes), 0)), constant_values=-1)
        longest = -(-int(sizes.max()) // multiple) * multiple
        mask = np.zeros((len(y), longest), np.float32)
        mask[:hi - lo] = np.arange(longest) < sizes[:, None]
        x = np.zeros(mask.shape, np.int32)
        x[mask > 0] = ids[starts[lo]:starts[hi]]
        yield x, mask, y


def main():
    peers, mode, name, path = sys.argv[1:5]
    data = sys.argv[5] if len(sys.argv) > 5 else None
    sys.path.insert(0, peers)
    work = works.WORKS[name]
    if works.is_of_peers(work):
        out = (jax_gau if mode == "jax" else torch_gau)(name)
    else:
        out = globals()[work.kind](name, data, **work.sizes)
    number = {"f": np.float32, "i": np.int32}
    from safetensors.numpy import save_file
    save_file({k: np.ascontiguousarray(t, number[t.dtype.kind]) for k, t in out.items()}, path)


if __name__ == "__main__":
    main()
