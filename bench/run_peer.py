"""Time training steps of PyTorch or JAX: run_peer.py PEERS START WORK MODE THREADS STEPS.

PEERS holds workloads_torch.py and workloads_jax.py; START is what export.py wrote; MODE is eager or
compile, perhaps with +bf16 (autocast), jax, or (optimizers) fused or foreach. Prints one JSON line.
"""
import importlib
import json
import os
import resource
import sys
import time

import works


def autocast(step):
    import torch

    def inside(i):
        with torch.autocast("cpu", torch.bfloat16):
            return step(i)
    return inside


def build(start, name, mode, threads):
    """A function that makes step i of a pass, items a step, steps a pass, numbers after three."""
    framework = "jax" if mode == "jax" else "torch"
    if mode == "jax":
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
    else:
        import torch
        torch.set_num_threads(threads)
    mode, _, products = mode.partition("+")
    work = works.WORKS[name]
    if works.is_of_peers(work):
        f, sizes = works.builder_of_peers(importlib.import_module(f"workloads_{framework}"), name)
        once, items, _ = f(**sizes, **({"compile": True} if mode == "compile" else {}))
        step, rest = lambda i: once(), {}
    else:
        from safetensors.numpy import load_file
        f = getattr(importlib.import_module(f"peers_{framework}"), work.kind)
        step, items, rest = f(load_file(start), name, mode, **work.sizes)
    return autocast(step) if products == "bf16" else step, items, rest


def main():
    peers, start, name, mode = sys.argv[1:5]
    threads, steps = int(sys.argv[5]), int(sys.argv[6])
    sys.path.insert(0, peers)
    began = time.perf_counter()
    step, items, rest = build(start, name, mode, threads)
    first = step(0)
    first_s = time.perf_counter() - began
    third = [step(1), step(2)][1]
    if "after3" in rest:
        first = third = rest["after3"]()
    for i in range(min(rest.get("batches", 0), steps)):  # every shape is met before the clock runs
        step(i)
    ms = []
    for i in range(steps):
        t = time.perf_counter()
        step(i)
        ms.append((time.perf_counter() - t) * 1e3)
    mean = sum(ms) / steps
    ms.sort()
    print(json.dumps({
        "work": name, "mode": mode, "threads": threads, "loss0": first, "loss2": third,
        "first_step_s": round(first_s, 3), "median_ms": ms[steps // 2], "mean_ms": mean,
        "min_ms": ms[0], "items_per_s": items / mean * 1e3,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
