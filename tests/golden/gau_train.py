"""Makes gau_train.safetensors: 20 training steps of a two-layer GAU in PyTorch, the plain way.

Fixed weights, batches and picks; dropout 0; padded sequences with a mask. Weft trains the same
model on the same tokens as a packed batch. Needs torch, numpy and safetensors.

Lion takes signs, so a weight whose interpolated momentum is nothing but rounding error would go one
way or the other by chance. Batches are drawn until there is no such weight: every interpolated
momentum is larger than MARGIN times the largest rounding error in its tensor.
"""
import math

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

D, E, S, V, LAYERS, STEPS = 24, 48, 8, 100, 2, 20
LENGTHS = [24, 17, 9, 21]
PICKS = 12
MARGIN = 1


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


def gradients(w, batch, mask, norm):
    ids, picks, labels = (a.long() for a in batch)
    padded = torch.zeros(mask.shape, dtype=torch.long)
    padded[mask] = ids
    x = forward(w, padded, mask, norm)[mask][picks]
    loss = F.cross_entropy(x @ w["embeddings/word_embeddings"].T, labels, ignore_index=-1)
    return loss.item(), dict(zip(w, torch.autograd.grad(loss, list(w.values()))))


def interpolate(g, state, b1=0.9):
    return {k: b1 * state[k] + (1 - b1) * g[k] for k in g}


@torch.no_grad()
def lion(w, g, state, lr, b2=0.99, wd=0.01):
    c = interpolate(g, state)
    for k in w:
        w[k].mul_(1 - lr * wd).sub_(lr * c[k].sign())
        state[k] = b2 * state[k] + (1 - b2) * g[k]


def begin(start, dtype=torch.float32):
    w = {k: v.detach().to(dtype, copy=True).requires_grad_() for k, v in start.items()}
    return w, {k: torch.zeros_like(v) for k, v in w.items()}


def margin(c32, c64):
    """The least |c| by the largest rounding error of its tensor; exact zeros have none."""
    return min((c64[k][c64[k] != 0].abs().min() / (c32[k] - c64[k]).abs().max()).item()
               for k in c64)


def draw():
    batch = (torch.randint(1, V, (sum(LENGTHS),), dtype=torch.int32),
             torch.randperm(sum(LENGTHS))[:PICKS].int(),
             torch.randint(1, V, (PICKS,), dtype=torch.int32))
    batch[2][-1] = -1
    return batch


def choose_batches(start, mask):
    norms = ("softmax_plus", "relu2")
    runs = [(norm, begin(start), begin(start, torch.float64)) for norm in norms]
    chosen, drawn = [], 0
    while len(chosen) < STEPS:
        batch, least, drawn = draw(), math.inf, drawn + 1
        for norm, *both in runs:
            g = [gradients(w, batch, mask, norm)[1] for w, _ in both]
            least = min(least, margin(*(interpolate(g[i], both[i][1]) for i in range(2))))
        if least < MARGIN:
            continue
        for norm, *both in runs:
            for w, state in both:
                lion(w, gradients(w, batch, mask, norm)[1], state, 1e-3)
        chosen.append(batch)
        print("step", len(chosen), "margin", least, "batches drawn", drawn)
    return chosen


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
    mask = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]
    batches = choose_batches(start, mask)
    ids, picks, labels = (torch.stack(a) for a in zip(*batches))
    out = {"start/" + k: v for k, v in start.items()}
    out |= {"ids": ids, "picks": picks, "labels": labels,
            "offsets": torch.tensor([0] + LENGTHS).cumsum(0).int()}
    for name, norm in (("lion", "softmax_plus"), ("adamw", "softmax_plus"), ("lion", "relu2")):
        w, state = begin(start)
        adam = torch.optim.AdamW(w.values(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
                                 weight_decay=0.01)
        losses = []
        for batch in batches:
            loss, g = gradients(w, batch, mask, norm)
            losses.append(loss)
            if name == "lion":
                lion(w, g, state, 1e-3)
                continue
            for k in w:
                w[k].grad = g[k]
            adam.step()
        out[f"{name}/{norm}/losses"] = torch.tensor(losses)
        out |= {f"{name}/{norm}/{k}": v.detach().clone() for k, v in w.items()}
        print(name, norm, losses[0], losses[-1])
    save_file({k: v.contiguous() for k, v in out.items()}, "gau_train.safetensors")


main()
