"""Export the start of a reference workload for bench_step: export.py PEERS MODE NAME OUT.

PEERS holds workloads_torch.py and workloads_jax.py; MODE is torch or jax. Weights and data are
those that the script itself drew; names and layouts become ours.
"""
import sys

import numpy as np
from safetensors.numpy import save_file


def variables_of(function):
    """What a function closes over: the scripts show their models in no other way."""
    return {k: c.cell_contents
            for k, c in zip(function.__code__.co_freevars, function.__closure__)}


def torch_gau(name):
    import workloads_torch as w
    build, kw = w.WORK[name]
    v = variables_of(build(**kw)[0])
    m = v["m"]
    out = {"embeddings/word_embeddings": m.emb.weight, "embeddings/token_type_embeddings":
           m.seg.weight, "bias": m.bias, "ids": v["ids"], "picks": v["pos"], "labels": v["tgt"]}
    for i, layer in enumerate(m.layers):
        out |= layer_of(i, layer.i.weight.T, layer.o.weight.T, layer.qg, layer.kg)
    return {k: t.detach().numpy() for k, t in out.items()}


def jax_gau(name):
    import workloads_jax as w
    build, kw = w.WORK[name]
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


def main():
    peers, mode, name, path = sys.argv[1:]
    sys.path.insert(0, peers)
    if name == "mlp_64":
        import peers_mlp
        out = peers_mlp.start()
    else:
        out = (jax_gau if mode == "jax" else torch_gau)(name)
    number = {"f": np.float32, "i": np.int32}
    save_file({k: np.ascontiguousarray(t, number[t.dtype.kind]) for k, t in out.items()}, path)


if __name__ == "__main__":
    main()
