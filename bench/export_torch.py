"""Export the start of a PyTorch reference workload for bench_step: export_torch.py DIR NAME OUT.

DIR holds workloads_torch.py. Weights keep the script's seed; names and layouts become ours.
"""
import sys

import torch
from safetensors.torch import save_file

sys.path.insert(0, sys.argv[1])
import workloads_torch as w

build, kw = w.WORK[sys.argv[2]]
kw = dict(dict(d=768, e=1536, k=128, layers=24, vocab=12000, frac=0.15), **kw)
torch.manual_seed(0)
m = w.GAUModel(kw["vocab"], kw["d"], kw["e"], kw["k"], kw["layers"])
for p in m.parameters():
    if p.dim() > 1:
        torch.nn.init.normal_(p, std=0.02)
B, L, V = kw["B"], kw["L"], kw["vocab"]
ids = torch.randint(0, V, (B, L))
P = int(B * L * kw["frac"])
picks = torch.randperm(B * L)[:P]
labels = torch.randint(0, V, (P,))
out = {"embeddings/word_embeddings": m.emb.weight, "embeddings/token_type_embeddings": m.seg.weight,
       "bias": m.bias}
for i, l in enumerate(m.layers):
    p = f"layer_{i}/gau/"
    out[p + "i_dense/kernel"] = l.i.weight.T
    out[p + "o_dense/kernel"] = l.o.weight.T
    out[p + "q_scaleoffset/gamma"] = l.qg
    out[p + "k_scaleoffset/gamma"] = l.kg
out = {k: v.detach().contiguous().clone() for k, v in out.items()}
out |= {"ids": ids.flatten().int(), "picks": picks.int(), "labels": labels.int()}
save_file(out, sys.argv[3])
