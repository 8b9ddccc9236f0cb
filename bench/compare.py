"""Time training steps of Weft beside PyTorch and JAX, in one run on one machine.

Peer and ours run in turn (A B A B ...), each in a process of its own, with the same threads, shapes
and weights. Numbers come before times: unless the first losses agree, no time is printed.
Ratios are peer : ours, so that above 1 we are faster, or need less memory.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
WORKS = ["gau_base_128", "gau_small_256", "gau_long_2048", "mlp_64"]
MODES = ["eager", "compile", "jax"]
STEPS = {"mlp_64": 2000}  # microseconds each
AVX2 = {"WF_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}


class Parser(argparse.ArgumentParser):
    def error(self, message):  # one line, as all of Weft's programs do
        self.exit(2, f"compare: {message}\n")


def arguments():
    a = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument("works", nargs="*", default=WORKS, metavar="WORK", help=", ".join(WORKS))
    a.add_argument("--peers", required=True, metavar="DIR", help="run_torch.py, run_jax.py, ...")
    a.add_argument("--python", default=sys.executable, help="one that has the peers' packages")
    a.add_argument("--ours", default=os.path.join(HERE, "../build/release/bench/bench_step"))
    a.add_argument("--modes", default=",".join(MODES), help="default: %(default)s")
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--steps", type=int, help="timed steps of a run (7, or 2000 of mlp_64)")
    a.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    a.add_argument("--isa", choices=["avx2"], help="keep both sides to it")
    a.add_argument("--tolerance", type=float, default=1e-4, help="of first losses (1e-4)")
    a.add_argument("--json", metavar="FILE", help="append one object a comparison")
    o = a.parse_args()
    for work in o.works:
        if work not in WORKS:
            a.error(f"{work}: no such workload, expected some of {', '.join(WORKS)}")
    for mode in o.modes.split(","):
        if mode not in MODES:
            a.error(f"{mode}: no such mode, expected some of {', '.join(MODES)}")
    if not os.path.isdir(o.peers):
        a.error(f"{o.peers}: no such folder")
    if not os.access(o.ours, os.X_OK):
        a.error(f"{o.ours}: not there; ./dev build makes it")
    if min(o.threads, o.rounds, o.steps or 1) < 1:
        a.error("threads, rounds and steps: expected at least 1")
    return o


def environment(o, is_peer):
    env = {k: v for k, v in os.environ.items() if not (is_peer and k.startswith("OPENBLAS_"))}
    if o.isa:
        flags = f"{env.get('XLA_FLAGS', '')} {AVX2['XLA_FLAGS']}".strip()
        env |= AVX2 | {"XLA_FLAGS": flags}
    return env


def run(o, command, is_peer):
    done = subprocess.run(command, env=environment(o, is_peer), text=True, capture_output=True)
    if done.returncode:
        why = (done.stderr.strip() or "no message").splitlines()[-1]
        sys.exit(f"compare: {' '.join(command)}: {why}")
    return done.stdout


def result(text):
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def peer_command(o, work, mode, steps):
    count = [str(o.threads), str(steps)]
    if work == "mlp_64":
        return [o.python, os.path.join(HERE, "peers_mlp.py"), o.peers, mode, *count]
    if mode == "jax":
        return [o.python, os.path.join(o.peers, "run_jax.py"), work, *count]
    return [o.python, os.path.join(o.peers, "run_torch.py"), work, mode, *count]


def our_command(o, work, steps, start):
    return [o.ours, work, f"--steps={steps}", f"--threads={o.threads}", f"--weights={start}",
            "--json", "--no-limits"]


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def compare(o, work, mode, start):
    steps = o.steps or STEPS.get(work, 7)
    peer, ours = [], []
    for _ in range(o.rounds):
        peer.append(result(run(o, peer_command(o, work, mode, steps), True)))
        ours.append(result(run(o, our_command(o, work, steps, start), False)))
        a, b = peer[-1]["loss0"], ours[-1]["loss0"]
        if not abs(a - b) <= o.tolerance * abs(a):
            print(f"{work:14} {mode:12} first losses differ, {a:.7g} and ours {b:.7g}: no times")
            return False
    pairs = list(zip(peer, ours))
    of = lambda key: [a[key] / b[key] for a, b in pairs]
    middle = lambda runs: statistics.median(r["median_ms"] for r in runs)
    print(f"{work:14} {mode:12} {middle(peer):10.4g} {middle(ours):10.4g} ms   "
          f"{spread(of('median_ms')):18} memory {statistics.median(of('peak_mib')):.2f}   "
          f"first step {statistics.median(of('first_step_s')):.1f}   "
          f"loss {peer[0]['loss0']:.6g} {ours[0]['loss0']:.6g}", flush=True)
    if o.json:
        with open(o.json, "a") as f:
            f.write(json.dumps({"work": work, "mode": mode, "threads": o.threads, "isa": o.isa,
                                "speed": of("median_ms"), "memory": of("peak_mib"),
                                "peer": peer, "ours": ours}) + "\n")
    return True


def main():
    o = arguments()
    print(f"{'workload':14} {'peer':12} {'peer':>10} {'ours':>10}      peer : ours (min-max)")
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for work in o.works:
            for mode in o.modes.split(","):
                framework = "jax" if mode == "jax" else "torch"
                start = os.path.join(folder, f"{work}.{framework}")
                if not os.path.exists(start):
                    run(o, [o.python, os.path.join(HERE, "export.py"), o.peers, framework, work,
                            start], True)
                ok = compare(o, work, mode, start) and ok
    sys.exit(not ok)


if __name__ == "__main__":
    main()
