"""Models that the peers' folder does not have, as users of PyTorch write them.

Each function takes the start (what export.py wrote), the workload, a mode, and sizes; it returns
step(i), items a step, and a dict: "batches" of a pass, "after3", a number after three steps.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
import workloads_torch as w

from export import padded_batches


def tensors(start):
    return {k: torch.from_numpy(v) for k, v in start.items()}


@torch.no_grad()
def put(layer, s, name):
    """Linear from w [in, out] and b; LayerNorm from g and b."""
    is_linear = isinstance(layer, nn.Linear)
    layer.weight.copy_(s[name + "/w"].T if is_linear else s[name + "/g"])
    if layer.bias is not None:
        layer.bias.copy_(s[name + "/b"])


def stepper(loss_of, optimizer):
    def step(i):
        loss = loss_of(i)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()
    return step


def compiled(model, mode, **how):
    return torch.compile(model, **how) if mode == "compile" else model


def mlp(start, name, mode, batch, inputs, hidden, classes):
    s = tensors(start)
    m = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    put(m[0], s, "fc1")
    put(m[2], s, "fc2")
    fn, x, y = compiled(m, mode), s["x"], s["labels"].long()
    return stepper(lambda i: F.cross_entropy(fn(x), y), w.Lion(m.parameters())), batch, {}


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc, self.out = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (t.view(b, n, self.heads, -1).transpose(1, 2)
                   for t in self.qkv(self.ln1(x)).split(d, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, n, d))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, layers, d, heads, vocab, positions):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, d), nn.Embedding(positions, d)
        self.h = nn.ModuleList(Block(d, heads) for _ in range(layers))
        self.ln = nn.LayerNorm(d)

    def forward(self, ids, labels):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.ln(x) @ self.wte.weight.T
        return F.cross_entropy(logits.flatten(0, 1), labels)


def gpt2(start, name, mode, batch, time, layers, d, heads, vocab, positions):
    s = tensors(start)
    m = GPT2(layers, d, heads, vocab, positions)
    with torch.no_grad():
        m.wte.weight.copy_(s["wte"])
        m.wpe.weight.copy_(s["wpe"])
    put(m.ln, s, "ln")
    for i, block in enumerate(m.h):
        for part in "ln1", "qkv", "proj", "ln2", "fc", "out":
            put(getattr(block, part), s, f"h{i}/{part}")
    fn, ids, labels = compiled(m, mode), s["ids"].long(), s["labels"].long()
    adamw = torch.optim.AdamW(m.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    return stepper(lambda i: fn(ids, labels), adamw), batch * time, {}


class Classifier(nn.Module):
    def __init__(self, vocab, d, e, k, layers, classes):
        super().__init__()
        self.body, self.head = w.GAUModel(vocab, d, e, k, layers), nn.Linear(d, classes)

    def forward(self, ids, mask):
        return self.head(self.body(ids, torch.zeros_like(ids), mask)[:, 0])


def tnews(start, name, mode, tokens, layers, d, e, k, vocab, classes, longest):
    s = tensors(start)
    m = Classifier(vocab, d, e, k, layers, classes)
    with torch.no_grad():
        m.body.emb.weight.copy_(s["embeddings/word_embeddings"])
        m.body.seg.weight.copy_(s["embeddings/token_type_embeddings"])
        for i, layer in enumerate(m.body.layers):
            layer.i.weight.copy_(s[f"layer_{i}/gau/i_dense/kernel"].T)
            layer.o.weight.copy_(s[f"layer_{i}/gau/o_dense/kernel"].T)
    put(m.head, s, "head")
    fn = compiled(m, mode, dynamic=True)
    batches = [(torch.from_numpy(ids).long(), torch.from_numpy(mask), torch.from_numpy(y).long())
               for ids, mask, y in padded_batches(start, tokens)]

    def loss_of(i):
        ids, mask, y = batches[i % len(batches)]
        return F.cross_entropy(fn(ids, mask), y)
    trained = [p for n, p in m.named_parameters() if n != "body.bias"]
    items = len(start["ids"]) / len(batches)
    return stepper(loss_of, w.Lion(trained)), items, {"batches": len(batches)}


def optim(start, name, mode, **sizes):
    s = tensors(start)
    names = [k for k in s if f"gradient/{k}" in s]
    params = [nn.Parameter(s[k]) for k in names]
    for k, p in zip(names, params):
        p.grad = s[f"gradient/{k}"]
    if name == "optim_lion":
        optimizer = w.Lion(params)
    else:
        optimizer = torch.optim.AdamW(params, lr=1e-4, weight_decay=0.01, **{mode: True})
    count = sum(p.numel() for p in params)
    mean = lambda: sum(p.detach().abs().sum(dtype=torch.float64).item() for p in params) / count
    return lambda i: optimizer.step(), count, {"after3": mean, "params": dict(zip(names, params))}
