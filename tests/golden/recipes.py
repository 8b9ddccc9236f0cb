"""
Writes recipes.h: three random tensors after 10 and after 100 updates of each optimizer in
oracles.py, in double precision: alone, and with all at once that a training run has. Random numbers
and recipes are those of tests/test_recipes.c.
"""
import os

import numpy as np
from oracles import clipped, oracles

SHAPES = [(3,), (2, 3), (2, 1, 3, 2)]
MARKS = (10, 100)
GROUPS = [(0.5, 0), (1, None), (1, 0.02)]  # rate / 2 and no decay; the optimizer's; a decay of its own


class Random:
    """x <- 1664525 x + 1013904223 mod 2^32, the upper 24 bits as a number of [-1, 1)"""
    x = 1

    def tensors(self):
        return [np.array([self.number() for _ in range(np.prod(s))]).reshape(s) for s in SHAPES]

    def number(self):
        self.x = (1664525 * self.x + 1013904223) % 2**32
        return (self.x >> 8) * 2.0**-23 - 1


def cosine(n, warmup=10, total=100):
    return n / warmup if n < warmup else (1 + np.cos(np.pi * (n - warmup) / (total - warmup))) / 2


# name: runs of an update, items of a run, clipping, groups, schedule
recipes = {
    "PLAIN": (1, lambda run: 1, {}, [(1, None)] * 3, lambda n: 1),
    "EQUAL": (2, lambda run: 1, dict(norm=1.5), GROUPS, cosine),
    "UNEQUAL": (3, lambda run: 1 + run * 7 % 5, dict(norm=1.2), GROUPS, cosine),
    "VALUES": (3, lambda run: 1 + run * 7 % 5, dict(value=0.3), GROUPS, cosine),
}
by_value = ("sgd momentum", "adamw")


def walked(begin, runs, items, clip, groups, schedule):
    random, run, out = Random(), 0, []
    step = begin(random.tensors(), groups, [schedule(n) for n in range(MARKS[-1])])
    for n in range(1, MARKS[-1] + 1):
        weights, parts = [items(run + k) for k in range(runs)], [random.tensors() for _ in range(runs)]
        mean = [sum(w * g for w, g in zip(weights, gs)) / sum(weights) for gs in zip(*parts)]
        xs = step(clipped(mean, **clip))
        run += runs
        if n in MARKS:
            out.append(np.concatenate([x.ravel() for x in xs]))
    return out


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "recipes.h"), "w") as out:
    out.write("/* Written by recipes.py: name, recipe, after 10 updates, after 100. */\n// clang-format off\n")
    for name, begin in oracles.items():
        for recipe, rest in recipes.items():
            if recipe == "VALUES" and name not in by_value:
                continue
            text = ",\n ".join("{" + ",".join(f"{x:.8g}" for x in r) + "}" for r in walked(begin, *rest))
            out.write(f'{{"{name}", {recipe},\n {text}}},\n')
