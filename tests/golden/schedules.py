"""
Writes schedules.h: what schedules make of a learning rate of 1 at the steps 0 to 99, by optax and
PyTorch where they have the form, else by its formula, in double precision.
Needs torch, jax and optax.
"""
import os

os.environ["JAX_ENABLE_X64"] = "1"
import jax
import numpy as np
import optax
import torch

jax.config.update("jax_enable_x64", True)
N = 100


def by_optax(schedule):
    return [float(schedule(n)) for n in range(N)]


def by_torch(make):
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    scheduler, out = make(optimizer), []
    for n in range(N):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if n < N - 1:
            scheduler.step()
    return out


def after_warmup(w, tail):
    return optax.join_schedules([optax.linear_schedule(0, 1, w), tail], [w])


def noam(w):
    """factor min(t^-1/2, t w^-3/2) of Vaswani et al. with a peak of 1; t = 0 gives 0"""
    return lambda n: min(max(n, 1) ** -0.5, n * w**-1.5) * w**0.5


t = torch.optim.lr_scheduler
rows = {
    "constant,warmup=10": by_optax(optax.warmup_constant_schedule(0, 1, 10)),
    "linear,warmup=10,total=80,end=0.1": by_optax(after_warmup(10, optax.linear_schedule(1, 0.1, 70))),
    "linear,warmup=0,total=100": by_torch(lambda o: t.LinearLR(o, 1, 1e-300, 100)),
    "cosine,warmup=0,total=80,end=0.1": by_optax(optax.cosine_decay_schedule(1, 80, 0.1)),
    "cosine,warmup=10,total=80,end=0.1": by_optax(optax.warmup_cosine_decay_schedule(0, 1, 10, 80, 0.1)),
    "cosine,warmup=0,total=100,end=0.2": by_torch(lambda o: t.CosineAnnealingLR(o, 100, 0.2)),
    "restarts,warmup=0,period=10,growth=2,end=0.1": by_torch(lambda o: t.CosineAnnealingWarmRestarts(o, 10, 2, 0.1)),
    "restarts,warmup=0,period=7": by_torch(lambda o: t.CosineAnnealingWarmRestarts(o, 7)),
    "polynomial,warmup=10,total=80,end=0.1,power=3": by_optax(after_warmup(10, optax.polynomial_schedule(1, 0.1, 3, 70))),
    "polynomial,warmup=0,total=80": by_torch(lambda o: t.PolynomialLR(o, 80, 2)),
    "inverse-sqrt,warmup=10": [noam(10)(n) for n in range(N)],
    "exponential,warmup=10,factor=0.5,every=20": by_optax(after_warmup(10, optax.exponential_decay(1, 20, 0.5))),
    "step,warmup=0,factor=0.1,every=30": by_torch(lambda o: t.StepLR(o, 30, 0.1)),
    "one-cycle,total=100": by_torch(lambda o: t.OneCycleLR(o, 1.0, 100)),
    "one-cycle,total=120,peak=0.45,start=0.1,end=0.001": by_torch(
        lambda o: t.OneCycleLR(o, 1.0, 120, pct_start=0.45, div_factor=10, final_div_factor=100)),
    "10:1,40:0.5,90:0.01": list(np.interp(np.arange(N), [0, 10, 40, 90], [0, 1, 0.5, 0.01])),
    "0:0.5,50:1": list(np.interp(np.arange(N), [0, 50], [0.5, 1])),
}

with open(os.path.join(os.path.dirname(__file__), "schedules.h"), "w") as f:
    f.write("/* Written by schedules.py: schedule, its multipliers at the steps 0 to 99. */\n// clang-format off\n")
    for name, values in rows.items():
        f.write('{"%s", {%s}},\n' % (name, ", ".join("%.12g" % x for x in values)))
