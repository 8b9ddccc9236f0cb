"""What every pass of the compiler brings: training steps with all passes and with each left out alone
(WF_PASSES=-name), in turn, each in a process of its own. Writes a markdown table to stdout.

A cell holds four figures of the step without the pass, each over that with all of them: its fastest
time in all runs, the kernels, the bytes that they move, the peak of memory. Above 1 the pass earns
its place. Times scatter, the others do not. Numbers are compared first: losses must agree.
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PASSES = ["simplify", "cse", "fuse_gau", "pull_gather", "fuse_pointwise", "fuse_linear", "recompute"]
WORKS = ["gau_base_4", "gau_small_256", "gau_tiny_32", "mlp_784", "mlp_64"]
STEPS = {"mlp_64": 20000, "mlp_784": 1000, "gau_tiny_32": 500}


def arguments():
    a = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument("works", nargs="*", default=WORKS, metavar="WORK")
    a.add_argument("--passes", default=",".join(PASSES), help="default: %(default)s")
    a.add_argument("--ours", default=os.path.join(HERE, "../build/release/bench/bench_step"))
    a.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    a.add_argument("--tolerance", type=float, default=1e-4, help="of first losses (1e-4)")
    return a.parse_args()


def run(o, work, left_out):
    command = [o.ours, work, "--json", "--no-limits", f"--steps={STEPS.get(work, 3)}", "--warmup=1"]
    env = dict(os.environ, WF_PASSES=f"-{left_out}" if left_out else "")
    done = subprocess.run(command, env=env, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"ablate: {' '.join(command)} without {left_out}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def ratios(o, work, left_out):
    wholes, lesses = [], []
    for _ in range(o.rounds):
        wholes.append(run(o, work, None))
        lesses.append(run(o, work, left_out))
    whole, less = wholes[0], lesses[0]
    if abs(whole["loss0"] - less["loss0"]) > o.tolerance * abs(whole["loss0"]):
        sys.exit(f"ablate: {work} without {left_out}: first loss {less['loss0']}, not "
                 f"{whole['loss0']}")
    time = min(x["min_ms"] for x in lesses) / min(x["min_ms"] for x in wholes)
    return (f"{time:.2f}, {less['kernels'] / whole['kernels']:.2f}, {less['moved_mib'] / whole['moved_mib']:.2f}, "
            f"{less['peak_mib'] / whole['peak_mib']:.2f}")


def main():
    o = arguments()
    print("| without | " + " | ".join(o.works) + " |")
    print("|---" * (len(o.works) + 1) + "|")
    for name in o.passes.split(","):
        print(f"| {name} | " + " | ".join(ratios(o, w, name) for w in o.works) + " |", flush=True)


if __name__ == "__main__":
    main()
