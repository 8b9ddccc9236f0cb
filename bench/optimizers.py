"""Compare optimizers on masked language modelling with gated attention units, at equal steps.

Each is tuned over as many learning rates, a factor of two apart, with seed 1; where a best rate is
at the edge of its grid, all grids grow by one rate, each on the side of its best. Then the best
rates run with three seeds. A seed is the start, the order of the data and the masks, so optimizers
differ in nothing else. Writes a table (OUT.md) and a plot (OUT.svg). Finished runs are kept in
OUT.runs and not done again.
"""
import argparse
import concurrent.futures
import json
import math
import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
STEPS, WARMUP, EVERY = 500, 50, 50
SEEDS = (1, 2, 3)
GRID, GROWTHS = 4, 3  # rates of an optimizer at first; how often grids may grow
MODEL = ["--layers", "2", "--width", "128", "--expand", "256", "--key", "64", "--batch", "512",
         "--max-len", "32", "--dropout", "0", "--schedule", "cosine", "--warmup", str(WARMUP),
         "--decay", "0.01"]
# The least rate of the first grid, and more options. optax's Adafactor would not scale its decay by
# the rate, Hugging Face's does.
OPTIMIZERS = {"adamw": (1e-3, []), "lion": (2e-4, []), "tiger": (2.5e-3, []),
              "lamb": (2.5e-3, []), "adafactor": (5e-3, ["--hyper", "form=hf"])}
COLOURS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#9c6b4e"]
WIDTH, HEIGHT, EDGE = 480, 320, 48  # of a panel; its margin


def arguments():
    a = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument("out", metavar="OUT", help="such as optimizers: optimizers.md, .svg and .runs")
    a.add_argument("--weft", default=os.path.join(ROOT, "build/release/weft"))
    a.add_argument("--jobs", type=int, default=2, help="runs of one thread at a time (2)")
    return a.parse_args()


# ---- runs ----

def command(o, name, rate, seed):
    return [o.weft, "gau", "pretrain", "--text", os.path.join(ROOT, "samples/poems.jsonl"),
            "--vocab", os.path.join(ROOT, "samples/vocab.txt"), *MODEL, "--optimizer", name,
            *OPTIMIZERS[name][1], "--lr", f"{rate:g}", "--seed", str(seed), "--steps", str(STEPS),
            "--eval-every", str(EVERY), "--save-every", str(STEPS), "--best", "none", "--threads",
            "1"]


def spend(line, log):
    """Runs a command with its output in a file; gives its exit code and processor seconds."""
    with open(log + ".txt", "w") as text:
        files = [(os.POSIX_SPAWN_DUP2, text.fileno(), 1), (os.POSIX_SPAWN_DUP2, text.fileno(), 2)]
        pid = os.posix_spawn(line[0], line, os.environ, file_actions=files)
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def summary_of(log, code, seconds):
    """What is kept of a run. A loss that is not finite is a result, other failures are not."""
    with open(log + ".txt") as f:
        said = f.read()
    diverged = code == 1 and "the loss is" in said
    if code and not diverged:
        sys.exit(f"optimizers: {log}.txt: {said.strip() or code}")
    with open(log) as f:
        events = [json.loads(line) for line in f]
    held_out = [(e["step"], e["loss"], e["accuracy"]) for e in events if e["event"] == "evaluation"]
    run = {"seconds": seconds, "held_out": held_out, "loss": math.inf}
    if not diverged:
        parameters = next(e["parameters"] for e in events if e["event"] == "start")
        bytes_of = next(e for e in events if e["event"] == "compiler")
        run |= {"loss": held_out[-1][1], "memory_mib": bytes_of["memory_bytes"] / 2**20,
                "state_mib": (bytes_of["store_bytes"] - 4 * parameters) / 2**20}
    return run


def train(o, name, rate, seed):
    """The summary of a run, from its file where the same command has finished before."""
    log = os.path.join(o.out + ".runs", f"{name}-{rate:g}-{seed}.jsonl")
    line, kept = command(o, name, rate, seed), log.removesuffix("l")
    if os.path.exists(kept):
        with open(kept) as f:
            run = json.load(f)
        if run["command"][1:] == line[1:]:
            return run
    with tempfile.TemporaryDirectory() as folder:
        code, seconds = spend([*line, "--out", folder, "--log", log], log)
    run = {"command": line} | summary_of(log, code, seconds)
    with open(kept + ".part", "w") as f:
        json.dump(run, f)
    os.replace(kept + ".part", kept)
    print(f"{name} {rate:g} seed {seed}: {run['loss']:.4f}, {seconds:.1f} s", file=sys.stderr)
    return run


def train_all(o, what):
    """{(name, rate, seed): run}"""
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        return dict(zip(what, pool.map(lambda w: train(o, *w), what)))


# ---- the experiment ----

def best_of(rates, tuned, name):
    return min(rates[name], key=lambda r: tuned[name, r, 1]["loss"])


def grow(rates, tuned):
    """All grids by one rate, if any best one is at an edge; else False."""
    best = {name: rates[name].index(best_of(rates, tuned, name)) for name in rates}
    if not any(i in (0, len(rates[name]) - 1) for name, i in best.items()):
        return False
    for name, i in best.items():
        low = i < len(rates[name]) / 2
        rates[name] = ([rates[name][0] / 2] + rates[name] if low
                       else rates[name] + [rates[name][-1] * 2])
    return True


def tune(o):
    rates = {name: [least * 2**i for i in range(GRID)] for name, (least, _) in OPTIMIZERS.items()}
    for _ in range(GROWTHS + 1):
        tuned = train_all(o, [(name, of[i], 1) for i in range(len(rates["adamw"]))
                              for name, of in rates.items()])
        if not grow(rates, tuned):
            return rates, tuned
    sys.exit("optimizers: a best rate is still at the edge of its grid")


def step_ms(runs, name):
    """Processor time of a step in every run, with its part of the start and the evaluations."""
    return [1000 * r["seconds"] / STEPS for (of, _, _), r in runs.items()
            if of == name and r["loss"] < math.inf]


def spread(values, form):
    return f"{form} ({form}, {form})" % (statistics.mean(values), min(values), max(values))


def table(best, finals, rates, all_runs):
    """The masks of the evaluation are a seed's too: losses compare within a seed."""
    yield ("| optimizer | rates tried | best rate | held-out loss, mean (least, most) | above "
           "adamw with the same seed | accuracy, % | state, MiB | all memory, MiB | ms a step, "
           "median (least, most) |")
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in best:
        runs = finals[name]
        ms = step_ms(all_runs, name)
        above = [r["loss"] - a["loss"] for r, a in zip(runs, finals["adamw"])]
        yield (f"| {name} | {min(rates[name]):g} to {max(rates[name]):g} | {best[name]:g} | "
               f"{spread([r['loss'] for r in runs], '%.3f')} | "
               f"{spread(above, '%+.3f')} | "
               f"{spread([100 * r['held_out'][-1][2] for r in runs], '%.1f')} | "
               f"{runs[0]['state_mib']:.2f} | {runs[0]['memory_mib']:.1f} | "
               f"{statistics.median(ms):.1f} ({min(ms):.1f}, {max(ms):.1f}) |")


# ---- the plot ----

def text(x, y, what, at="middle"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{at}">{what}</text>'


def panel(left, title, unit, curves, x_ticks, y_range):
    """Curves {name: [(x, loss)]} over x, which counts from the first tick to the last one."""
    lo, hi = y_range
    first, last = x_ticks[0][0], x_ticks[-1][0]
    x_at = lambda v: left + EDGE + (v - first) / (last - first) * (WIDTH - 1.5 * EDGE)
    y_at = lambda v: HEIGHT - EDGE - (min(v, hi) - lo) / (hi - lo) * (HEIGHT - 1.7 * EDGE)
    line = lambda x0, y0, x1, y1: f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="#ddd"/>'
    out = [text(left + WIDTH / 2, 20, title), text(left + WIDTH / 2, HEIGHT - 10, unit)]
    for x, label in x_ticks:
        out += [line(x_at(x), y_at(lo), x_at(x), y_at(hi)), text(x_at(x), HEIGHT - 30, label)]
    for k in range(round(lo * 5), round(hi * 5) + 1):
        out += [line(x_at(first), y_at(k / 5), x_at(last), y_at(k / 5)),
                text(left + EDGE - 6, y_at(k / 5) + 4, f"{k / 5:.1f}", "end")]
    for i, (colour, (name, points)) in enumerate(zip(COLOURS, curves.items())):
        path = "L".join(f"{x_at(x):.1f} {y_at(y):.1f}" for x, y in points)
        out += [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
                f'<g fill="{colour}">{text(left + WIDTH - 30, 50 + 16 * i, name, "end")}</g>']
    return "\n".join(out)


def plot(finals, rates, tuned):
    """Held-out loss over steps, the mean of the seeds; and after the last one, over the rates."""
    steps = [s for s, _, _ in next(iter(finals.values()))[0]["held_out"]][1:]
    learned = {name: [(s, statistics.mean(r["held_out"][k + 1][1] for r in runs))
                      for k, s in enumerate(steps)] for name, runs in finals.items()}
    by_rate = {name: [(math.log2(r / OPTIMIZERS[name][0]), tuned[name, r, 1]["loss"])
                      for r in rates[name]] for name in rates}
    losses = [y for points in learned.values() for _, y in points]
    y_range = math.floor(min(losses) * 5) / 5, math.ceil(max(losses) * 5) / 5
    powers = range(round(min(x for p in by_rate.values() for x, _ in p)),
                   round(max(x for p in by_rate.values() for x, _ in p)) + 1)
    panels = [panel(0, "held-out loss, mean of the seeds", "steps", learned,
                    [(s, s) for s in steps], y_range),
              panel(WIDTH, f"held-out loss after {steps[-1]} steps, seed 1",
                    "learning rate, of the first rate tried", by_rate,
                    [(p, f"{2.0**p:g}") for p in powers], y_range)]
    size = f'width="{2 * WIDTH}" height="{HEIGHT}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" '
            f'font-size="12" fill="#333">\n<rect {size} fill="#fff"/>\n'
            + "\n".join(panels) + "\n</svg>\n")


def main():
    o = arguments()
    os.makedirs(o.out + ".runs", exist_ok=True)
    rates, tuned = tune(o)
    best = {name: best_of(rates, tuned, name) for name in rates}
    runs = train_all(o, [(name, best[name], seed) for seed in SEEDS for name in best])
    finals = {name: [runs[name, best[name], seed] for seed in SEEDS] for name in best}
    for seed in SEEDS:
        starts = {tuple(runs[name, best[name], seed]["held_out"][0]) for name in best}
        if len(starts) > 1:
            sys.exit(f"optimizers: seed {seed} is not the same start for all")
        if math.inf in (runs[name, best[name], seed]["loss"] for name in best):
            sys.exit(f"optimizers: with seed {seed} a run at the best rate diverged")
    with open(o.out + ".svg", "w") as f:
        f.write(plot(finals, rates, tuned))
    with open(o.out + ".md", "w") as f:
        f.write("\n".join(table(best, finals, rates, tuned | runs)) + "\n")


if __name__ == "__main__":
    main()
