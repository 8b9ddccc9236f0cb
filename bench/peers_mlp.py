"""A small classifier (64-32-10, batch 32, Lion) as users of PyTorch and JAX write it.

    peers_mlp.py PEERS MODE THREADS STEPS

PEERS holds workloads_torch.py and workloads_jax.py, whose Lion is used; MODE is eager, compile or
jax. Prints one JSON line like the scripts there. Both frameworks start from the same numbers.
"""
import json
import os
import resource
import sys
import time

import numpy as np

BATCH, INPUTS, HIDDEN, CLASSES = 32, 64, 32, 10


def start():
    """Weights and data under the names that bench_step knows."""
    r = np.random.RandomState(0)
    draw = lambda *shape: r.randn(*shape).astype(np.float32)
    return {
        "fc1/w": draw(INPUTS, HIDDEN) * np.float32(0.05), "fc1/b": np.zeros(HIDDEN, np.float32),
        "fc2/w": draw(HIDDEN, CLASSES) * np.float32(0.05), "fc2/b": np.zeros(CLASSES, np.float32),
        "x": draw(BATCH, INPUTS), "labels": r.randint(0, CLASSES, BATCH).astype(np.int32),
    }


def torch_step(mode, threads):
    import torch
    import torch.nn.functional as F
    import workloads_torch as w
    torch.set_num_threads(threads)
    s = {k: torch.from_numpy(v) for k, v in start().items()}
    m = torch.nn.Sequential(torch.nn.Linear(INPUTS, HIDDEN), torch.nn.ReLU(),
                            torch.nn.Linear(HIDDEN, CLASSES))
    with torch.no_grad():
        for layer, name in (m[0], "fc1"), (m[2], "fc2"):
            layer.weight.copy_(s[name + "/w"].T)
            layer.bias.copy_(s[name + "/b"])
    fn = torch.compile(m) if mode == "compile" else m
    opt = w.Lion(m.parameters())
    x, y = s["x"], s["labels"].long()

    def step():
        loss = F.cross_entropy(fn(x), y)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        return loss.item()
    return step


def jax_step(threads):
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
    import jax
    import jax.numpy as jnp
    import workloads_jax as w
    s = {k: jnp.asarray(v) for k, v in start().items()}

    def loss(p, x, y):
        z = jax.nn.relu(x @ p["fc1/w"] + p["fc1/b"]) @ p["fc2/w"] + p["fc2/b"]
        return (jax.nn.logsumexp(z, -1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0]).mean()
    params = {k: v for k, v in s.items() if k.startswith("fc")}
    return w.stepper(loss, params, s["x"], s["labels"])[0]


def main():
    peers, mode, threads, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    sys.path.insert(0, peers)
    began = time.perf_counter()
    step = jax_step(threads) if mode == "jax" else torch_step(mode, threads)
    first = step()
    first_s = time.perf_counter() - began
    step(), step()
    ms = []
    for _ in range(steps):
        t = time.perf_counter()
        step()
        ms.append((time.perf_counter() - t) * 1e3)
    ms.sort()
    print(json.dumps({
        "work": "mlp_64", "mode": mode, "threads": threads, "loss0": first,
        "first_step_s": round(first_s, 3), "median_ms": ms[len(ms) // 2], "min_ms": ms[0],
        "items_per_s": BATCH / ms[len(ms) // 2] * 1e3,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
