"""
Optimizers in double precision as optimizers.py and recipes.py walk them: PyTorch's and optax's where
they have the form, else the formula. begin(tensors, groups, rates) gives step(gradients) -> tensors;
a group is (factor of the rate, decay or None for the optimizer's), rates has a factor for each step.
"""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytorch_optimizer
import torch

jax.config.update("jax_enable_x64", True)
T = torch.optim
EPS = float(np.finfo(np.float32).eps)


def by_torch(make):
    """make(parameters) -> optimizer"""
    def begin(tensors, groups, rates):
        ps = [torch.nn.Parameter(torch.tensor(x)) for x in tensors]
        own = [{} if decay is None else {"weight_decay": decay} for _, decay in groups]
        opt, rates = make([{"params": [p], **o} for p, o in zip(ps, own)]), iter(rates)
        lr = opt.param_groups[0]["lr"]

        def step(gradients):
            rate = next(rates)
            for p, g, group, (factor, _) in zip(ps, gradients, opt.param_groups, groups):
                p.grad, group["lr"] = torch.tensor(g), lr * rate * factor
            opt.step()
            return [p.detach().numpy().copy() for p in ps]
        return step
    return begin


def by_optax(make, lr, decay=0):
    """make(lr, decay) -> transformation"""
    def begin(tensors, groups, rates):
        rates = jnp.array(rates)
        txs = [make(lambda n, f=f: lr * f * rates[n], decay if d is None else d) for f, d in groups]
        ps = [jnp.array(x) for x in tensors]
        states = [tx.init(p) for tx, p in zip(txs, ps)]

        def step(gradients):
            for i, g in enumerate(gradients):
                u, states[i] = txs[i].update(jnp.array(g), states[i], ps[i])
                ps[i] = optax.apply_updates(ps[i], u)
            return [np.asarray(p) for p in ps]
        return step
    return begin


def by_rule(rule, lr, decay=0):
    """rule(p, g, t, state, lr, decay) -> new p"""
    def begin(tensors, groups, rates):
        ps, states, count = list(tensors), [{} for _ in tensors], iter(enumerate(rates, 1))

        def step(gradients):
            t, rate = next(count)
            for i, (factor, own) in enumerate(groups):
                d = decay if own is None else own
                ps[i] = rule(ps[i], gradients[i], t, states[i], lr * rate * factor, d)
            return list(ps)
        return step
    return begin


def clipped(gradients, norm=None, value=None):
    """by PyTorch"""
    ps = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gradients]
    for p, g in zip(ps, gradients):
        p.grad = torch.tensor(g)
    if value:
        torch.nn.utils.clip_grad_value_(ps, value)
    if norm:
        torch.nn.utils.clip_grad_norm_(ps, norm)
    return [p.grad.numpy() for p in ps]


def rms(x, **axes):
    return np.sqrt((x * x).mean(**axes))


def sgd_average(p, g, t, s, lr, decay):
    s["b"] = 0.9 * s.get("b", 0) + 0.1 * (g + decay * p)
    return p - lr * s["b"]


def lion_cautious(caution):
    def rule(p, g, t, s, lr, decay):
        m = s.get("m", 0 * g)
        u = np.sign(0.9 * m + 0.1 * g)
        f = np.where(u * g > 0, 1.0, 1 - caution)
        s["m"] = 0.99 * m + 0.01 * g
        return p * (1 - lr * decay) - lr * u * f / max(f.mean(), 1e-5)
    return rule


def tiger(kind):
    def rule(p, g, t, s, lr, decay):
        s["m"] = 0.965 * s.get("m", 0) + 0.035 * g
        if kind == "element":  # a bias, a scale
            return p - 0.5 * lr * np.sign(s["m"])
        rate = lr * (rms(p) if kind == "kernel" else rms(p, axis=-1, keepdims=True))
        return p - rate * (np.sign(s["m"]) + decay * p)
    return rule


def lamb_raw(excluded=False, most=np.inf, beta2=0.999):
    def rule(p, g, t, s, lr, decay):
        s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
        s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * g * g
        u = s["m"] / (np.sqrt(s["v"]) + 1e-6)
        if excluded:
            return p - lr * u
        u = u + decay * p
        return p - lr * min(np.linalg.norm(p) / np.linalg.norm(u), most) * u
    return rule


def adafactor(form, momentum=0):
    """The forms hf (lr given) and bert4keras; factored over the last two axes."""
    def rule(p, g, t, s, lr, decay):
        w = t ** -0.8
        G = g * g + 1e-30
        if p.ndim > 1:
            s["r"] = (1 - w) * s.get("r", 0) + w * G.mean(-1, keepdims=True)
            s["c"] = (1 - w) * s.get("c", 0) + w * G.mean(-2, keepdims=True)
            v = s["r"] * s["c"] / s["r"].mean(-2, keepdims=True)
        else:
            s["v"] = v = (1 - w) * s.get("v", 0) + w * G
        u = g / np.sqrt(v)
        u = u / max(1, rms(u))
        rate = lr * max(rms(p), 1e-3)
        if form == "bert4keras":
            s["m"] = u = momentum * s.get("m", 0) + (1 - momentum) * u
            return p - rate * u - lr * decay * p
        s["m"] = d = momentum * s.get("m", 0) + (1 - momentum) * rate * u
        return p * (1 - decay * rate) - d
    return rule


def adafactor_of_optax(least=1, **more):
    return lambda lr, decay: optax.adafactor(
        lr, min_dim_size_to_factor=least, weight_decay_rate=decay or None, **more)


oracles = {
    "sgd": by_torch(lambda p: T.SGD(p, 0.1)),
    "sgd decay": by_torch(lambda p: T.SGD(p, 0.1, weight_decay=0.01)),
    "sgd momentum": by_torch(lambda p: T.SGD(p, 0.1, 0.9)),
    "sgd dampened": by_torch(lambda p: T.SGD(p, 0.1, 0.9, dampening=0.5, weight_decay=0.01)),
    "sgd nesterov": by_torch(lambda p: T.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.01)),
    "sgd average": by_rule(sgd_average, 0.1),
    "adam": by_torch(lambda p: T.Adam(p, 0.01)),
    "adam l2": by_torch(lambda p: T.Adam(p, 0.01, weight_decay=0.1)),
    "adam amsgrad": by_torch(lambda p: T.Adam(p, 0.01, (0.9, 0.5), amsgrad=True)),
    "adamw": by_torch(lambda p: T.AdamW(p, 0.01, weight_decay=0.1)),
    "adamw amsgrad": by_torch(lambda p: T.AdamW(p, 0.01, (0.9, 0.5), weight_decay=0.1, amsgrad=True)),
    "lion": by_optax(lambda lr, decay: optax.lion(lr, 0.9, 0.99, weight_decay=decay), 0.01, 0.1),
    "lion cautious": by_rule(lion_cautious(1), 0.01, 0.1),
    "lion half cautious": by_rule(lion_cautious(0.5), 0.01, 0.1),
    "tiger basic": by_torch(lambda p: pytorch_optimizer.Tiger(p, 0.01, 0.965, weight_decay=0.01)),
    "tiger kernel": by_rule(tiger("kernel"), 0.01, 0.01),
    "tiger embedding": by_rule(tiger("embedding"), 0.01, 0.01),
    "tiger bias or scale": by_rule(tiger("element"), 0.01),
    "lamb": by_optax(lambda lr, decay: optax.lamb(lr, weight_decay=decay), 0.01, 0.01),
    "lamb raw": by_rule(lamb_raw(), 0.01, 0.01),
    "lamb limited": by_rule(lamb_raw(most=0.75), 0.01, 0.01),
    # neither correction nor ratio takes the rounding of 1 - beta2 out again
    "lamb excluded": by_rule(lamb_raw(True, beta2=float(np.float32(0.999))), 0.01, 0.01),
    "adafactor": by_optax(adafactor_of_optax(), 0.01),
    "adafactor unfactored": by_optax(adafactor_of_optax(128), 0.01),
    "adafactor momentum": by_optax(adafactor_of_optax(momentum=0.9), 0.01, 1e-3),
    "adafactor unscaled": by_optax(adafactor_of_optax(multiply_by_parameter_scale=False), 0.01),
    "adafactor hf": by_rule(adafactor("hf", 0.9), 0.01, 0.1),
    "adafactor bert4keras": by_rule(adafactor("bert4keras", 0.9), 0.01, 0.1),
    "adafactor torch": by_torch(lambda p: T.Adafactor(p, 0.01, weight_decay=0.1, eps=(EPS, 1e-3))),
    "adafactor torch, fast": by_torch(lambda p: T.Adafactor(p, 0.3, eps=(EPS, 1e-3))),
    "rmsprop": by_torch(lambda p: T.RMSprop(p, 0.01, weight_decay=0.1)),
    "rmsprop momentum": by_torch(lambda p: T.RMSprop(p, 0.01, 0.9, momentum=0.9)),
    "rmsprop centred": by_torch(lambda p: T.RMSprop(p, 0.001, 0.9, centered=True, eps=1e-4)),
    "nadam": by_torch(lambda p: T.NAdam(p, 0.01, weight_decay=0.1, decoupled_weight_decay=True)),
    "nadam, fast": by_torch(
        lambda p: T.NAdam(p, 0.01, momentum_decay=0.5, decoupled_weight_decay=True)),
    "radam": by_torch(lambda p: T.RAdam(p, 0.01, weight_decay=0.1, decoupled_weight_decay=True)),
    "radam, short memory": by_torch(
        lambda p: T.RAdam(p, 1, (0.9, 0.95), decoupled_weight_decay=True)),
    "radam, long memory": by_torch(
        lambda p: T.RAdam(p, 0.1, (0.9, 1 - 2**-17), decoupled_weight_decay=True)),
}
