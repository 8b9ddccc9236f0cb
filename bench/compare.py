"""Time training steps of Weft beside PyTorch and JAX, in one run on one machine.

Peer and ours run in turn (A B A B ...), each in a process of its own, with the same threads, shapes
and weights. Numbers come before times: unless the losses of the first and the third step agree, no
time is printed. Ratios are peer : ours, so that above 1 we are faster, or need less memory.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile

from works import MODES, WORKS, is_of_peers

HERE = os.path.dirname(os.path.abspath(__file__))
AVX2 = {"WF_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}


class Parser(argparse.ArgumentParser):
    def error(self, message):  # one line, as all of Weft's programs do
        self.exit(2, f"compare: {message}\n")


def arguments():
    a = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument("works", nargs="*", metavar="WORK", help="see --list; all without any")
    a.add_argument("--list", action="store_true", help="name the workloads and leave")
    a.add_argument("--peers", metavar="DIR", help="workloads_torch.py and workloads_jax.py")
    a.add_argument("--data", metavar="DIR", help="clue/tnews_public/train.json.xz, for tnews")
    a.add_argument("--python", default=sys.executable, help="one that has the peers' packages")
    a.add_argument("--ours", default=os.path.join(HERE, "../build/release/bench/bench_step"))
    a.add_argument("--modes", default=",".join(MODES), help="default: %(default)s")
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--steps", type=int, help="timed steps of a run (7, or what --list tells)")
    a.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    a.add_argument("--isa", choices=["avx2"], help="keep both sides to it")
    a.add_argument("--products", choices=["f32", "bf16"], default="f32",
                   help="bf16: ours with products in bf16, PyTorch with autocast")
    a.add_argument("--busy", action="store_true",
                   help="run everything beside a neighbour that keeps one core busy as well")
    a.add_argument("--tolerance", type=float, help="of losses (1e-4, bf16: 1e-2)")
    a.add_argument("--json", metavar="FILE", help="append one object a comparison")
    o = a.parse_args()
    o.works = o.works or [w for w in WORKS if o.data or w != "tnews"]
    o.modes = o.modes.split(",")
    o.tolerance = o.tolerance or (1e-2 if o.products == "bf16" else 1e-4)
    check(a, o)
    return o


def check(a, o):
    for work in o.works:
        if work not in WORKS:
            a.error(f"{work}: no such workload; --list names them")
    for mode in o.modes:
        if mode not in MODES:
            a.error(f"{mode}: no such mode, expected some of {', '.join(MODES)}")
    if o.list:
        return
    if not o.peers or not os.path.isdir(o.peers):
        a.error(f"--peers {o.peers or 'DIR'}: no such folder")
    if "tnews" in o.works and not o.data:
        a.error("tnews: --data DIR tells where its texts are")
    if not os.access(o.ours, os.X_OK):
        a.error(f"{o.ours}: not there; ./dev build makes it")
    if min(o.threads, o.rounds, o.steps or 1) < 1:
        a.error("threads, rounds and steps: expected at least 1")


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


def run_peer(o, work, mode, start):
    autocast = "+bf16" if o.products == "bf16" else ""
    steps = o.steps or WORKS[work].steps
    return result(run(o, [o.python, os.path.join(HERE, "run_peer.py"), o.peers, start, work,
                          mode + autocast, str(o.threads), str(steps)], True))


def run_ours(o, work, start):
    return result(run(o, [o.ours, work, f"--steps={o.steps or WORKS[work].steps}",
                          f"--threads={o.threads}", f"--weights={start}", "--json", "--no-limits",
                          f"--products={o.products}"], False))


@contextlib.contextmanager
def neighbour():
    """A process that spins on the last of our cores."""
    core = max(os.sched_getaffinity(0))
    spin = (f"import os\nos.sched_setaffinity(0, {{{core}}})\n"
            f"while os.getppid() == {os.getpid()}: pass")  # never longer than we live
    process = subprocess.Popen([sys.executable, "-c", spin])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def disagreement(o, peer, ours):
    for step, key in ("first", "loss0"), ("third", "loss2"):
        a, b = peer[key], ours[key]
        if not abs(a - b) <= o.tolerance * abs(a):
            return f"losses of the {step} step differ, {a:.7g} and ours {b:.7g}: no times"
    return None


def compare(o, work, mode, start):
    time = WORKS[work].time
    alone, busy = [], []  # pairs of runs, the peer's first
    for _ in range(o.rounds):
        alone.append((run_peer(o, work, mode, start), run_ours(o, work, start)))
        why = disagreement(o, *alone[-1])
        if why:
            print(f"{work:14} {mode:8} {why}")
            return False
        if o.busy:
            with neighbour():
                busy.append((run_peer(o, work, mode, start), run_ours(o, work, start)))
    of = lambda key, pairs=alone: [a[key] / b[key] for a, b in pairs]
    middle = lambda side: statistics.median(pair[side][time] for pair in alone)
    print(f"{work:14} {mode:8} {middle(0):10.4g} {middle(1):10.4g} ms   {spread(of(time)):18} "
          f"memory {statistics.median(of('peak_mib')):.2f}   "
          f"first step {statistics.median(of('first_step_s')):.1f}   "
          f"loss {alone[0][0]['loss0']:.6g} {alone[0][1]['loss0']:.6g}", flush=True)
    if busy:
        times = [[b[side][time] / a[side][time] for a, b in zip(alone, busy)] for side in (0, 1)]
        print(f"{'':14} busy     {spread(times[0])} times as long, ours {spread(times[1])}; "
              f"peer : ours {spread(of(time, busy))}", flush=True)
    if o.json:
        with open(o.json, "a") as f:
            f.write(json.dumps({"work": work, "mode": mode, "threads": o.threads, "isa": o.isa,
                                "products": o.products, "speed": of(time),
                                "memory": of("peak_mib"), "alone": alone, "busy": busy}) + "\n")
    return True


def main():
    o = arguments()
    if o.list:
        for name, work in WORKS.items():
            print(f"{name:14} {work.steps:5} steps   {', '.join(work.modes):20} {work.doc}")
        return
    print(f"{'workload':14} {'peer':8} {'peer':>10} {'ours':>10}      peer : ours (min-max)")
    ok = True
    for work in o.works:
        with tempfile.TemporaryDirectory() as folder:
            for mode in WORKS[work].modes:
                if mode not in o.modes or (mode == "jax" and o.products == "bf16"):
                    continue
                framework = "jax" if mode == "jax" and is_of_peers(WORKS[work]) else "torch"
                start = os.path.join(folder, framework)
                if not os.path.exists(start):
                    run(o, [o.python, os.path.join(HERE, "export.py"), o.peers, framework, work,
                            start] + ([o.data] if o.data else []), True)
                ok = compare(o, work, mode, start) and ok
    sys.exit(not ok)


if __name__ == "__main__":
    main()
