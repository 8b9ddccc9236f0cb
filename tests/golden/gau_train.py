"""Makes gau_train.safetensors: 20 training steps of a two-layer GAU in PyTorch, the plain way.

Fixed weights, batches and picks; dropout 0; padded sequences with a mask. Weft trains the same
model on the same tokens as a packed batch. Needs torch, numpy and safetensors.
"""
import math

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

D, E, S, V, LAYERS, STEPS = 24, 48, 8, 100, 2, 20
LENGTHS = [24, 17, 9, 21]
PICKS = 12


def rms(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-12)


def rope(x, n):
    theta = 10000.0 ** (-2.0 * torch.arange(S // 2, dtype=torch.float64) / S)
    angle = torch.arange(n, dtype=torch.float64)[:, None] * theta
    sin, cos = angle.sin().float(), angle.cos().float()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def forward(w, ids, mask, norm):
    n = ids.shape[1]
    x = rms(w["embeddings/word_embeddings"][ids] + w["embeddings/token_type_embeddings"][0])
    length = mask.sum(-1).view(-1, 1, 1).float()
    for i in range(LAYERS):
        p = f"layer_{i}/gau/"
        u, v, z = F.silu(x @ w[p + "i_dense/kernel"]).split([E, E, S], -1)
        q = rope(z * w[p + "q_scaleoffset/gamma"], n)
        k = rope(z * w[p + "k_scaleoffset/gamma"], n)
        s = q @ k.transpose(-1, -2) / math.sqrt(S)
        if norm == "relu2":
            a = F.relu(s).square() * mask[:, None, :] / length
        else:
            s = s * (length.log() / math.log(512.0))
            a = torch.softmax(s.masked_fill(~mask[:, None, :], -math.inf), -1)
        x = rms(x + (u * (a @ v)) @ w[p + "o_dense/kernel"])
    return x


def lion(w, g, state, lr, b1=0.9, b2=0.99, wd=0.01):
    for k in w:
        m = state.setdefault(k, torch.zeros_like(w[k]))
        c = b1 * m + (1 - b1) * g[k]
        w[k] = w[k] * (1 - lr * wd) - lr * c.sign()
        state[k] = b2 * m + (1 - b2) * g[k]


def main():
    torch.manual_seed(5)
    start = {"embeddings/word_embeddings": torch.randn(V, D) * 0.3,
             "embeddings/token_type_embeddings": torch.randn(2, D) * 0.3}
    for i in range(LAYERS):
        p = f"layer_{i}/gau/"
        start[p + "i_dense/kernel"] = torch.randn(D, 2 * E + S) * 0.3
        start[p + "q_scaleoffset/gamma"] = 1 + 0.2 * torch.randn(S)
        start[p + "k_scaleoffset/gamma"] = 1 + 0.2 * torch.randn(S)
        start[p + "o_dense/kernel"] = torch.randn(E, D) * 0.3
    n, total = max(LENGTHS), sum(LENGTHS)
    mask = torch.arange(n)[None] < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(1, V, (STEPS, total), dtype=torch.int32)
    picks = torch.stack([torch.randperm(total)[:PICKS] for _ in range(STEPS)]).int()
    labels = torch.randint(1, V, (STEPS, PICKS), dtype=torch.int32)
    labels[:, -1] = -1
    out = {"start/" + k: v for k, v in start.items()}
    out |= {"ids": ids, "picks": picks, "labels": labels,
            "offsets": torch.tensor([0] + LENGTHS).cumsum(0).int()}
    for name, norm in (("lion", "softmax_plus"), ("adamw", "softmax_plus"), ("lion", "relu2")):
        w = {k: v.clone() for k, v in start.items()}
        state, losses = {}, []
        params = [v.requires_grad_() for v in w.values()]
        adam = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        for t in range(STEPS):
            padded = torch.zeros(len(LENGTHS), n, dtype=torch.long)
            padded[mask] = ids[t].long()
            x = forward(w, padded, mask, norm)[mask][picks[t].long()]
            loss = F.cross_entropy(x @ w["embeddings/word_embeddings"].T, labels[t].long(),
                                   ignore_index=-1)
            losses.append(loss.item())
            grads = torch.autograd.grad(loss, list(w.values()))
            if name == "lion":
                with torch.no_grad():
                    lion(w, dict(zip(w, grads)), state, 1e-3)
                w = {k: v.requires_grad_() for k, v in w.items()}
            else:
                for p, g in zip(params, grads):
                    p.grad = g
                adam.step()
        out[f"{name}/{norm}/losses"] = torch.tensor(losses)
        out |= {f"{name}/{norm}/{k}": v.detach().clone() for k, v in w.items()}
        print(name, norm, losses[0], losses[-1])
    save_file({k: v.contiguous() for k, v in out.items()}, "gau_train.safetensors")


main()
