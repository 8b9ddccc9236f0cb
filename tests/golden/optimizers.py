"""
Writes optimizers.h: the parameter of tests/optim_trial.h after 4 and after 100 steps of each
optimizer, in double precision. PyTorch and optax where they have the form, else the formula.
Needs torch, jax, optax and pytorch_optimizer.
"""
import os

import numpy as np
import optax
import torch
from oracles import EPS, T, adafactor, by_optax, by_rule, by_torch, clipped, jnp, oracles

START = np.array([[0.5, -1, 2], [0, 1.5, -0.25]])
MARKS = (4, 100)


def gradient(t, shape):
    i, j = np.arange(2)[:, None], np.arange(3)[None, :]
    return (np.cos(0.9 * t + 1.3 * i + 0.7 * j) * (1 + 0.5 * i)).reshape(shape)


def walked(begin, shape=(2, 3)):
    """START after MARKS steps at the optimizer's own rate and decay"""
    step, out = begin([START.reshape(shape)], [(1, None)], np.ones(MARKS[-1])), []
    for t in range(1, MARKS[-1] + 1):
        p = step([gradient(t, shape)])[0]
        if t in MARKS:
            out.append(p.ravel())
    return out


def after_clipping(clip):
    """SGD .1 on gradients that clip(g, p) has clipped"""
    return walked(by_rule(lambda p, g, t, s, lr, decay: p - lr * clip(g, p), 0.1))


def lookahead(base, shape, every, alpha):
    tx = optax.lookahead(base, every, alpha)
    p = optax.LookaheadParams.init_synced(jnp.array(START.reshape(shape)))
    state, out = tx.init(p), []
    for t in range(1, MARKS[-1] + 1):
        u, state = tx.update(jnp.array(gradient(t, shape)), state, p)
        p = optax.apply_updates(p, u)
        if t in MARKS:
            out.append(np.asarray(p.fast).ravel())
    return out


def average(shape, decay, debias=True, warmup=False, wrap=lambda tx: tx):
    """Averages of what SGD .1 makes: optax.ema, or optax.incremental_update from the start."""
    p = jnp.array(START.reshape(shape))
    sgd, ema = optax.sgd(0.1), optax.ema(decay, debias=True)
    state, kept, e, rest, out = sgd.init(p), ema.init(p), p, 1.0, []
    for t in range(1, MARKS[-1] + 1):
        u, state = sgd.update(jnp.array(gradient(t, shape)), state, p)
        p = optax.apply_updates(p, u)
        mu = min(decay, (1 + t) / (10 + t)) if warmup else decay
        if debias and not warmup:
            e, kept = ema.update(p, kept)
        elif debias:
            z = mu * (0 * p if t == 1 else z) + (1 - mu) * p
            rest *= mu
            e = z / (1 - rest)
        else:
            e = optax.incremental_update(p, e, 1 - mu)
        if t in MARKS:
            out.append(np.asarray(e).ravel())
    return out


def averaged_model(decay):
    """PyTorch's AveragedModel, whose first copy is the weight after the first update."""
    m = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)
    m.weight.data = torch.tensor(START.copy())
    opt, out = torch.optim.SGD(m.parameters(), 0.1), []
    a = torch.optim.swa_utils.AveragedModel(m, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay))
    a.update_parameters(m)  # begin with the weight before it
    for t in range(1, MARKS[-1] + 1):
        m.weight.grad = torch.tensor(gradient(t, (2, 3)))
        opt.step()
        a.update_parameters(m)
        if t in MARKS:
            out.append(a.module.weight.detach().numpy().ravel().copy())
    return out


def agc(shape):
    tx = optax.chain(optax.adaptive_grad_clip(0.3), optax.sgd(0.1))
    return walked(by_optax(lambda lr, decay: tx, 0.1), shape)


RANKS = {1: (6,), 2: (2, 3), 4: (1, 3, 1, 2)}
HF = by_rule(adafactor("hf"), 0.01)
PLAIN = by_torch(lambda p: T.Adafactor(p, 0.01, eps=(EPS, 1e-3)))
cases = {
    **{name: walked(begin) for name, begin in oracles.items()},
    "adafactor of three axes": walked(oracles["adafactor"], (3, 1, 2)),
    "adafactor of two equal axes": walked(oracles["adafactor"], (1, 6, 1)),
    "adafactor of a vector": walked(oracles["adafactor"], (6,)),
    "adafactor momentum, no decay": walked(by_rule(adafactor("hf", 0.9), 0.01)),
    "adafactor bert4keras, no decay": walked(by_rule(adafactor("bert4keras", 0.9), 0.01)),
    "adafactor hf of three axes": walked(HF, (3, 1, 2)),
    "adafactor torch, vector": walked(PLAIN, (6,)),
    "clip norm": after_clipping(lambda g, p: clipped([g], norm=1.5)[0]),
    "clip value": after_clipping(lambda g, p: clipped([g], value=0.5)[0]),
    "clip tensor": after_clipping(lambda g, p: g * 1.5 / max(np.linalg.norm(g), 1.5)),
    "clip rows": after_clipping(lambda g, p: g * np.minimum(
        1, 0.3 * np.maximum(np.linalg.norm(p, axis=-1, keepdims=True), 1e-3)
        / np.linalg.norm(g, axis=-1, keepdims=True))),
    **{f"clip adaptive {r}": agc(s) for r, s in {**RANKS, 3: (3, 1, 2)}.items()},
    **{f"lookahead {r}": lookahead(optax.sgd(0.1), s, 2, 0.5) for r, s in RANKS.items()},
    "lookahead adam": lookahead(optax.adam(0.01), (2, 3), 5, 0.8),
    **{f"ema {r}": average(s, 0.9) for r, s in RANKS.items()},
    **{f"ema from start {r}": average(s, 0.9, debias=False) for r, s in RANKS.items()},
    "ema long": average((2, 3), 0.999),
    "ema warm": average((2, 3), 0.9, warmup=True),
    "ema warm from start": average((2, 3), 0.9, debias=False, warmup=True),
}
assert np.abs(np.array(averaged_model(0.9)) - np.array(cases["ema from start 2"])).max() < 1e-12

# The same four steps, as others computed them from the formulas.
fixtures = {
    "sgd": ".640642268477 -.780205949749 2.195573255814 .308215127845 1.649812299302 -.329049594484",
    "sgd decay": ".638695738135 -.776477525278 2.187128523306 .307552929862 1.643145768947 -.328422234554",
    "sgd momentum": ".609249648190 -.549076790669 2.580520539254 .868038316455 2.209593031696 -.032584943567",
    "adam": ".495552827668 -.965050659901 2.036109400099 .036654403348 1.529913530366 -.233059409458",
    "adamw": ".493589815726 -.961110685906 2.028061946252 .036595074446 1.523865061861 -.232108930643",
    "tiger kernel": ".499913635737 -.954458532304 2.044188750833 .045090562075 1.544414203644 -.227459326952",
    "tiger embedding": ".499840852931 -.946435039065 2.051973922491 .035365026417 1.534834551020 -.232358590106",
    "tiger bias or scale": ".5 -.98 2.02 .02 1.52 -.24",
    "adafactor momentum, no decay": ".499432747078 -.993067159235 2.010266465751 .008623914306 1.505576306771 -.249152278014",
    "adafactor bert4keras, no decay": ".499429770388 -.993062902604 2.010275082477 .008630913604 1.505582276956 -.249149282210",
    # its machine epsilon is that of double precision: no difference at gradients of this size
    "adafactor torch": ".513840943395 -.961905017339 2.026524282166 .030327746025 1.503514829123 -.261820203057",
    "sgd dampened": ".444856231943 -.763392698933 2.391939933575 .585243002634 2.095102934233 .090950142949",
    "sgd nesterov": ".733618882322 -.363498245075 2.691229170680 1.085754018988 2.266084950727 -.133072092064",
    "adam l2": ".493490677891 -.963730200982 2.033605827424 .036642714815 1.527942088022 -.232551016195",
    "adam amsgrad": ".494685648246 -.968992625175 2.033744141691 .034292121359 1.529507516574 -.233746130495",
    "lion": ".518002978010 -.956065956011 2.011952031992 .039940039990 1.513949033992 -.249041459010",
    "lamb": ".499866067653 -.948369830653 2.050410703358 .052654961618 1.539644802116 -.230738087796",
    "lamb raw": ".500052626976 -.949033053159 2.051125306740 .052452781385 1.540182633773 -.230898050556",
    "adafactor": ".515885242766 -.965796779880 2.034615924344 .030418793074 1.509534507949 -.262856970736",
    "ema 2": ".531767853501 -.868879555298 2.168805041946 .252410094927 1.706337025791 -.186779570679",
    "ema from start 2": ".510924964819 -.954907679067 2.058052053925 .086803831646 1.570959303170 -.228258494357",
    "lookahead 2": ".570321134239 -.890102974875 2.097786627907 .154107563923 1.574906149651 -.289524797242",
    "adafactor unfactored": ".523218697583 -.953162742362 2.027642397987 .030731639389 1.509185020247 -.261245585228",
}
for name, text in fixtures.items():
    worst = np.abs(cases[name][0] - np.array(text.split(), float)).max()
    assert worst < 1e-9, (name, worst)  # optax raises t to its power in float32
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizers.h"), "w") as out:
    out.write("/* Written by optimizers.py: name, after 4 steps, after 100. */\n// clang-format off\n")
    for name, rows in cases.items():
        text = ", ".join("{" + ", ".join(f"{x:.10f}" for x in r) + "}" for r in rows)
        out.write(f'{{"{name}", {text}}},\n')
