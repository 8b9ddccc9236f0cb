"""The workloads that compare.py knows, by bench_step's names.

kind: "peers", a workload of the peers' own table; "gau", their model with other sizes; else what
export.py, peers_torch.py and peers_jax.py have functions for.
"""
from dataclasses import dataclass, field

ALL = ("eager", "compile", "jax")


@dataclass
class Work:
    kind: str
    sizes: dict = field(default_factory=dict)
    steps: int = 7           # timed in a run
    modes: tuple = ALL
    time: str = "median_ms"  # what is compared; the mean is that of a pass over different batches
    doc: str = ""


OPTIM = dict(layers=14, d=512, e=2048, vocab=12000)
WORKS = {
    "gau_base_128": Work("peers", doc="GAU, 24 layers of 768, 8 x 128 tokens, masked tokens, Lion"),
    "gau_small_256": Work("peers", doc="GAU, 6 layers of 256, 8 x 256 tokens"),
    "gau_long_2048": Work("peers", doc="GAU, 6 layers of 256, 1 x 2,048 tokens"),
    "gau_tiny_32": Work("gau", dict(B=4, L=32, d=64, e=128, k=32, layers=2, vocab=1000), 500,
                        doc="GAU, 2 layers of 64, 4 x 32 tokens"),
    "mlp_64": Work("mlp", dict(batch=32, inputs=64, hidden=32, classes=10), 2000,
                   doc="64-32-10, batch 32, Lion"),
    "mlp_784": Work("mlp", dict(batch=64, inputs=784, hidden=256, classes=10), 500,
                    doc="784-256-10, batch 64, Lion"),
    "gpt2_64": Work("gpt2", dict(batch=4, time=64, layers=12, d=768, heads=12, vocab=50257,
                                 positions=1024),
                    doc="GPT-2 small, 4 x 64 tokens, next token, AdamW"),
    "tnews": Work("tnews", dict(tokens=1480, layers=6, d=256, e=512, k=64, vocab=8000, classes=15,
                                longest=128), 20, time="mean_ms",
                  doc="GAU, 6 layers of 256, classifies titles of real lengths, as many as 1,480 "
                      "tokens hold (64 on average); needs --data"),
    "optim_lion": Work("optim", OPTIM, modes=("foreach",), doc="Lion alone, 50 M parameters"),
    "optim_adamw": Work("optim", OPTIM, modes=("fused", "foreach"),
                        doc="AdamW alone, 50 M parameters"),
}
MODES = ALL + ("fused", "foreach")


def is_of_peers(work):
    """Their model, which draws its own start, another in each framework."""
    return work.kind in ("peers", "gau")


def builder_of_peers(module, name):
    """Their function and its sizes, from workloads_torch or workloads_jax."""
    work = WORKS[name]
    return (module.gau_mlm, work.sizes) if work.kind == "gau" else module.WORK[name]
