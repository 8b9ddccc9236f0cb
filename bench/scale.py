"""How the time of a training step grows: with the batch, the layers, the length of sequences at the
same number of tokens, and the threads. Writes tables (OUT.md) and a plot (OUT.svg); a table shows
where threads are put on machines that need not be here.

The model is gau_small_256's (GAU, width 256) with 4 layers and 4 x 128 tokens but for what grows.
"""
import argparse
import json
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = {"batch": 4, "time": 128, "layers": 4}
TOKENS = 2048
WIDTH, HEIGHT, EDGE = 360, 260, 48  # of a panel; its margin
MACHINES = [  # hwloc's words for a machine, hardware threads allowed, quota of processors
    ("package:1 core:2 pu:2", None, None),
    ("numa:2 core:4 pu:2", None, None),
    ("numa:2 core:4 pu:2", "2-5,12", None),
    ("numa:2 core:4 pu:2", None, 3),
    ("numa:2 core:600 pu:1", None, None),
]
COLOURS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0"]


def arguments():
    a = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument("out", metavar="OUT", help="such as scaling: scaling.md and scaling.svg")
    a.add_argument("--ours", default=os.path.join(HERE, "../build/release/bench/bench_step"))
    a.add_argument("--topology",
                   default=os.path.join(HERE, "../build/release/bench/bench_topology"))
    a.add_argument("--steps", type=int, default=5, help="timed steps of a run (5)")
    return a.parse_args()


def sweeps():
    """Name of what grows, unit, values, and the sizes for each."""
    one = lambda key, values: [(v, BASE | {key: v}) for v in values]
    same = [(n, BASE | {"time": n, "batch": TOKENS // n}) for n in (32, 64, 128, 256, 512, 1024)]
    return [("batch", "sequences of 128 tokens", one("batch", (1, 2, 4, 8, 16, 32))),
            ("layers", "layers", one("layers", (1, 2, 4, 8, 16))),
            ("length", f"tokens a sequence, {TOKENS} a batch", same)]


def measure(o, sizes, threads):
    command = [o.ours, "gau_small_256", "--json", "--no-limits", f"--steps={o.steps}",
               f"--threads={threads}", *(f"--{k}={v}" for k, v in sizes.items())]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"scale: {' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def rows_of(o, threads):
    for name, unit, points in sweeps():
        for value, sizes in points:
            for n in threads:
                print(f"{name} {value}, threads {n}", file=sys.stderr, flush=True)
                yield {"sweep": name, "unit": unit, "value": value, "threads": n,
                       **measure(o, sizes, n)}


def table(rows):
    yield "| grows | value | threads | ms a step | tokens/s | GFLOP/s | faster than 1 thread | MiB |"
    yield "|---|---|---|---|---|---|---|---|"
    alone = {(r["sweep"], r["value"]): r["median_ms"] for r in rows if r["threads"] == 1}
    for r in rows:
        gain = alone[r["sweep"], r["value"]] / r["median_ms"]
        yield (f"| {r['sweep']} | {r['value']} | {r['threads']} | {r['median_ms']:.2f} | "
               f"{r['items_per_s']:.0f} | {r['gflop_per_s']:.1f} | {gain:.2f} | "
               f"{r['peak_mib']} |")


def placement(o):
    """Which threads run on which cores of made-up machines, as the runtime's own code prints it."""
    yield "| machine | allowed | quota | threads | hardware threads of each, by NUMA node |"
    yield "|---|---|---|---|---|"
    for machine, cpuset, quota in MACHINES:
        command = [o.topology, *([f"--cpuset={cpuset}"] if cpuset else []),
                   *([f"--quota={quota}"] if quota else [])]
        done = subprocess.run(command, text=True, capture_output=True,
                              env=os.environ | {"HWLOC_SYNTHETIC": machine})
        if done.returncode:
            sys.exit(f"scale: {' '.join(command)}: {done.stderr.strip()}")
        threads = [line.split() for line in done.stdout.splitlines()[1:]]
        nodes = []
        for node in dict.fromkeys(t[1] for t in threads):
            on = [t[2] for t in threads if t[1] == node]
            nodes.append(f"{node}: " + " / ".join(on[:8] + ["..."] * (len(on) > 8)))
        yield (f"| {machine} | {cpuset or 'all'} | {quota or 'none'} | {len(threads)} | "
               f"{'; '.join(nodes)} |")


def ticks(lo, hi, base):
    return [base ** k for k in range(math.ceil(math.log(lo, base) - 1e-9),
                                     math.floor(math.log(hi, base) + 1e-9) + 1)]


def panel(rows, left, threads):
    """One sweep on logarithmic axes: milliseconds over what grows, a line a number of threads."""
    xs, ys = [r["value"] for r in rows], [r["median_ms"] for r in rows]
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    part = lambda v, lo, hi: math.log(v / lo) / math.log(hi / lo)
    x_at = lambda v: left + EDGE + part(v, min(xs), max(xs)) * (WIDTH - 1.5 * EDGE)
    y_at = lambda v: HEIGHT - EDGE - part(v, low, high) * (HEIGHT - 1.7 * EDGE)
    text = lambda x, y, what, at="middle": f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{at}">{what}</text>'
    line = lambda x0, y0, x1, y1: f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="#ddd"/>'
    out = [text(left + WIDTH / 2, 20, f"ms a step: {rows[0]['sweep']}"),
           text(left + WIDTH / 2, HEIGHT - 10, rows[0]["unit"])]
    for v in sorted(set(xs)):
        out += [line(x_at(v), y_at(low), x_at(v), y_at(high)), text(x_at(v), HEIGHT - 30, v)]
    for v in ticks(low, high, 10):
        out += [line(x_at(min(xs)), y_at(v), x_at(max(xs)), y_at(v)),
                text(left + EDGE - 6, y_at(v) + 4, f"{v:g}", "end")]
    for colour, n in zip(COLOURS, threads):
        mine = [r for r in rows if r["threads"] == n]
        path = "L".join(f"{x_at(r['value']):.1f} {y_at(r['median_ms']):.1f}" for r in mine)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        last = mine[-1]
        out.append(text(x_at(last["value"]) - 8, y_at(last["median_ms"]) - 8,
                        f"{n} thread{'s' if n > 1 else ''}", "end"))
    return "\n".join(out)


def plot(rows, threads):
    names = list(dict.fromkeys(r["sweep"] for r in rows))
    panels = [panel([r for r in rows if r["sweep"] == s], i * WIDTH, threads)
              for i, s in enumerate(names)]
    size = f'width="{WIDTH * len(names)}" height="{HEIGHT}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" '
            f'font-size="12" fill="#333">\n<rect {size} fill="#fff"/>\n'
            + "\n".join(panels) + "\n</svg>\n")


def main():
    o = arguments()
    folder = os.path.dirname(o.out) or "."
    if not os.path.isdir(folder):  # before minutes of measuring
        sys.exit(f"scale: {folder}: no such folder")
    for program in (o.ours, o.topology):
        if not os.access(program, os.X_OK):
            sys.exit(f"scale: {program}: cannot be run; ./dev build makes it")
    places = list(placement(o))
    cores = len(os.sched_getaffinity(0))
    threads = [n for n in (1, 2, 4, 8) if n <= cores]
    rows = list(rows_of(o, threads))
    with open(o.out + ".md", "w") as f:
        f.write("\n".join([*table(rows), "", "Where threads are put (machines by hwloc's synthetic "
                           "names):", "", *places]) + "\n")
    with open(o.out + ".svg", "w") as f:
        f.write(plot(rows, threads))


if __name__ == "__main__":
    main()
