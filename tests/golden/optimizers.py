"""
Writes optimizers.h: the parameter of tests/optim_trial.h after 4 and after 100 steps of each
optimizer, in double precision. PyTorch and optax where they have the form, else the formula.
Needs torch, jax, optax and pytorch_optimizer.
"""
import os

os.environ["JAX_ENABLE_X64"] = "1"
import jax.numpy as jnp
import numpy as np
import optax
import pytorch_optimizer
import torch

START = np.array([[0.5, -1, 2], [0, 1.5, -0.25]])
EPS = float(np.finfo(np.float32).eps)
MARKS = (4, 100)


def gradient(t, shape):
    i, j = np.arange(2)[:, None], np.arange(3)[None, :]
    return (np.cos(0.9 * t + 1.3 * i + 0.7 * j) * (1 + 0.5 * i)).reshape(shape)


def by_torch(make, shape=(2, 3)):
    p = torch.nn.Parameter(torch.tensor(START.reshape(shape)))
    opt, out = make([p]), []
    for t in range(1, MARKS[-1] + 1):
        p.grad = torch.tensor(gradient(t, shape))
        opt.step()
        if t in MARKS:
            out.append(p.detach().numpy().ravel().copy())
    return out


def by_optax(tx, shape=(2, 3)):
    p = jnp.array(START.reshape(shape))
    state, out = tx.init(p), []
    for t in range(1, MARKS[-1] + 1):
        u, state = tx.update(jnp.array(gradient(t, shape)), state, p)
        p = optax.apply_updates(p, u)
        if t in MARKS:
            out.append(np.asarray(p).ravel())
    return out


def by_rule(rule, shape=(2, 3)):
    """rule(p, g, t, state) -> new p"""
    p, state, out = START.reshape(shape).copy(), {}, []
    for t in range(1, MARKS[-1] + 1):
        p = rule(p, gradient(t, shape), t, state)
        if t in MARKS:
            out.append(p.ravel())
    return out


def sgd_average(p, g, t, s):
    s["b"] = 0.9 * s.get("b", 0) + 0.1 * g
    return p - 0.1 * s["b"]


def lion_cautious(caution):
    def rule(p, g, t, s):
        m = s.get("m", 0 * g)
        u = np.sign(0.9 * m + 0.1 * g)
        f = np.where(u * g > 0, 1.0, 1 - caution)
        s["m"] = 0.99 * m + 0.01 * g
        return p * (1 - 0.01 * 0.1) - 0.01 * u * f / max(f.mean(), 1e-5)
    return rule


def lamb_raw(excluded=False, most=np.inf):
    def rule(p, g, t, s):
        s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
        s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
        u = s["m"] / (np.sqrt(s["v"]) + 1e-6)
        if excluded:
            return p - 0.01 * u
        u = u + 0.01 * p
        return p - 0.01 * min(np.linalg.norm(p) / np.linalg.norm(u), most) * u
    return rule


def adafactor(form, momentum=0, decay=0, factored=True, scale=True):
    """The forms hf (lr given) and bert4keras; factored: last two axes."""
    def rule(p, g, t, s):
        w = t ** -0.8
        G = g * g + 1e-30
        if factored:
            s["r"] = (1 - w) * s.get("r", 0) + w * G.mean(-1, keepdims=True)
            s["c"] = (1 - w) * s.get("c", 0) + w * G.mean(-2, keepdims=True)
            v = s["r"] * s["c"] / s["r"].mean(-2, keepdims=True)
        else:
            s["v"] = v = (1 - w) * s.get("v", 0) + w * G
        u = g / np.sqrt(v)
        u = u / max(1, np.sqrt((u * u).mean()))
        a = max(np.sqrt((p * p).mean()), 1e-3) if scale else 1
        rate = 0.01 * a
        if form == "bert4keras":
            s["m"] = u = momentum * s.get("m", 0) + (1 - momentum) * u
            return p - rate * u - 0.01 * decay * p
        s["m"] = d = momentum * s.get("m", 0) + (1 - momentum) * rate * u
        return p * (1 - decay * rate) - d
    return rule


def after_clipping(clip):
    """SGD .1 on gradients that clip(g, p) has clipped"""
    return lambda p, g, t, s: p - 0.1 * clip(g, p)


def by_torch_clipped(clip):
    p = torch.nn.Parameter(torch.tensor(START))
    opt, out = torch.optim.SGD([p], 0.1), []
    for t in range(1, MARKS[-1] + 1):
        p.grad = torch.tensor(gradient(t, (2, 3)))
        clip([p])
        opt.step()
        if t in MARKS:
            out.append(p.detach().numpy().ravel().copy())
    return out


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


def by_agc(shape):
    return by_optax(optax.chain(optax.adaptive_grad_clip(0.3), optax.sgd(0.1)), shape)


RANKS = {1: (6,), 2: (2, 3), 4: (1, 3, 1, 2)}
T = torch.optim
factor = dict(learning_rate=0.01, min_dim_size_to_factor=1)
cases = {
    "sgd dampened": by_torch(lambda p: T.SGD(p, 0.1, 0.9, dampening=0.5, weight_decay=0.01)),
    "sgd nesterov": by_torch(lambda p: T.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.01)),
    "sgd average": by_rule(sgd_average),
    "adam l2": by_torch(lambda p: T.Adam(p, 0.01, weight_decay=0.1)),
    "adam amsgrad": by_torch(lambda p: T.Adam(p, 0.01, (0.9, 0.5), amsgrad=True)),
    "adamw amsgrad": by_torch(lambda p: T.AdamW(p, 0.01, (0.9, 0.5), weight_decay=0.1, amsgrad=True)),
    "lion": by_optax(optax.lion(0.01, 0.9, 0.99, weight_decay=0.1)),
    "lion cautious": by_rule(lion_cautious(1)),
    "lion half cautious": by_rule(lion_cautious(0.5)),
    "tiger basic": by_torch(lambda p: pytorch_optimizer.Tiger(p, 0.01, 0.965, weight_decay=0.01)),
    "lamb": by_optax(optax.lamb(0.01, weight_decay=0.01)),
    "lamb raw": by_rule(lamb_raw()),
    "lamb limited": by_rule(lamb_raw(most=0.75)),
    "lamb excluded": by_rule(lamb_raw(True)),
    "adafactor": by_optax(optax.adafactor(**factor)),
    "adafactor unfactored": by_optax(optax.adafactor(0.01, min_dim_size_to_factor=128)),
    "adafactor momentum": by_optax(optax.adafactor(momentum=0.9, weight_decay_rate=1e-3, **factor)),
    "adafactor unscaled": by_optax(optax.adafactor(multiply_by_parameter_scale=False, **factor)),
    "adafactor of three axes": by_optax(optax.adafactor(**factor), (3, 1, 2)),
    "adafactor of two equal axes": by_optax(optax.adafactor(**factor), (1, 6, 1)),
    "adafactor of a vector": by_optax(optax.adafactor(**factor), (6,)),
    "adafactor hf": by_rule(adafactor("hf", 0.9, 0.1)),
    "adafactor hf of three axes": by_rule(adafactor("hf"), (3, 1, 2)),
    "adafactor bert4keras": by_rule(adafactor("bert4keras", 0.9, 0.1)),
    "adafactor torch": by_torch(lambda p: T.Adafactor(p, 0.01, weight_decay=0.1, eps=(EPS, 1e-3))),
    "adafactor torch, fast": by_torch(lambda p: T.Adafactor(p, 0.3, eps=(EPS, 1e-3))),
    "adafactor torch, vector": by_torch(lambda p: T.Adafactor(p, 0.01, eps=(EPS, 1e-3)), (6,)),
    "rmsprop": by_torch(lambda p: T.RMSprop(p, 0.01, weight_decay=0.1)),
    "rmsprop momentum": by_torch(lambda p: T.RMSprop(p, 0.01, 0.9, momentum=0.9)),
    "rmsprop centred": by_torch(lambda p: T.RMSprop(p, 0.001, 0.9, centered=True, eps=1e-4)),
    "nadam": by_torch(lambda p: T.NAdam(p, 0.01, weight_decay=0.1, decoupled_weight_decay=True)),
    "radam": by_torch(lambda p: T.RAdam(p, 0.01, weight_decay=0.1, decoupled_weight_decay=True)),
    "nadam, fast": by_torch(lambda p: T.NAdam(p, 0.01, momentum_decay=0.5)),
    "radam, short memory": by_torch(lambda p: T.RAdam(p, 1, (0.9, 0.95))),
    "radam, long memory": by_torch(lambda p: T.RAdam(p, 0.1, (0.9, 1 - 2**-17))),
    "clip norm": by_torch_clipped(lambda p: torch.nn.utils.clip_grad_norm_(p, 1.5)),
    "clip value": by_torch_clipped(lambda p: torch.nn.utils.clip_grad_value_(p, 0.5)),
    "clip tensor": by_rule(after_clipping(lambda g, p: g * 1.5 / max(np.linalg.norm(g), 1.5))),
    "clip rows": by_rule(after_clipping(lambda g, p: g * np.minimum(
        1, 0.3 * np.maximum(np.linalg.norm(p, axis=-1, keepdims=True), 1e-3)
        / np.linalg.norm(g, axis=-1, keepdims=True)))),
    **{f"clip adaptive {r}": by_agc(s) for r, s in {**RANKS, 3: (3, 1, 2)}.items()},
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
for form, text in {
    "hf": ".499432747078 -.993067159235 2.010266465751 .008623914306 1.505576306771 -.249152278014",
    "bert4keras": ".499429770388 -.993062902604 2.010275082477 .008630913604 1.505582276956 -.249149282210",
}.items():
    worst = np.abs(by_rule(adafactor(form, 0.9))[0] - np.array(text.split(), float)).max()
    assert worst < 1e-11, (form, worst)
small = by_torch(lambda p: T.Adafactor(p, 0.01, weight_decay=0.1, eps=(2.2e-16, 1e-3)))[0]
text = ".513840943395 -.961905017339 2.026524282166 .030327746025 1.503514829123 -.261820203057"
assert np.abs(small - np.array(text.split(), float)).max() < 1e-11

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizers.h"), "w") as out:
    out.write("/* Written by optimizers.py: name, after 4 steps, after 100. */\n// clang-format off\n")
    for name, rows in cases.items():
        text = ", ".join("{" + ", ".join(f"{x:.10f}" for x in r) + "}" for r in rows)
        out.write(f'{{"{name}", {text}}},\n')
