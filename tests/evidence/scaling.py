"""How long processes of this machine take to add a bucket up, and what a model of that says of more machines.

    python -m tests.evidence.scaling [--ranks 2,3,4,5,6,7,8] [--step-ms MILLISECONDS] [--picture FILE.svg]

All-reduces by gloo over loopback, in processes that PyTorch's own launcher would start. The model is fitted to two
processes alone, and held to what they and more of them take. Beyond this machine's cores a message waits for its
process to have one, which no machine of its own does: how far off the model is there is said, and widens no interval.
Processor time of a rank knows no such wait, and by it the model's counts of messages and bytes are held to all of them.

``--picture`` needs matplotlib, which nothing else here does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from gradparity.benchmark.scaling import Link, Measured, Predicted, fitted, predicted, widened
from gradparity.processes.group import free_port
from gradparity.processes.machine import usable_cores

SIZES = (8, 4096, 40_408, 2**18, 2**23)
RANKS = (2, 3, 4, 5, 6, 7, 8)
REPEATS, ROUNDS = 10, 5

#: What each process runs: rank 0 prints, for every size, the medians of some rounds of calls.
_PROCESS = """
import json, sys, time
import torch, torch.distributed as dist
torch.set_num_threads(1)
dist.init_process_group("gloo")
sizes, repeats, rounds = json.loads(sys.argv[1])
for size in sizes:
    bucket = torch.zeros(max(1, size // 8), dtype=torch.float64)
    for _ in range(3):
        dist.all_reduce(bucket)
    for _ in range(rounds):
        dist.barrier()
        taken, cpu = [], time.process_time()
        for _ in range(repeats):
            began = time.perf_counter()
            dist.all_reduce(bucket)
            taken.append(time.perf_counter() - began)
        cpu = (time.process_time() - cpu) / repeats
        if dist.get_rank() == 0:
            print(json.dumps([size, sorted(taken)[len(taken) // 2], cpu]), flush=True)
"""


def measured(ranks: int, sizes: tuple[int, ...]) -> tuple[list[Measured], list[Measured]]:
    """All-reduces of so many processes: by the clock, and by the processor time of one rank."""
    port, words = str(free_port()), [sys.executable, "-c", _PROCESS, json.dumps([sizes, REPEATS, ROUNDS])]
    shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(words, env={**os.environ, **shared, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(ranks)
    ]
    lines = [json.loads(line) for line in started[0].communicate(timeout=300)[0].splitlines()]
    for each in started[1:]:
        each.wait(30)
    return tuple([Measured(ranks, int(line[0]), line[which]) for line in lines] for which in (1, 2))  # type: ignore[return-value]


def held(link: Link, ranks: int, found: Sequence[Measured]) -> tuple[str, float]:
    """Medians of what was measured over what the model says, as a line; and how far off the farthest is, a factor."""
    by_size: dict[int, list[float]] = defaultdict(list)
    for one in found:
        by_size[one.size].append(one.seconds)
    ratios = {size: median(seconds) / link.all_reduce_s(ranks, size) for size, seconds in by_size.items()}
    said = "  ".join(f"{size}:{1e6 * median(by_size[size]):.0f} us ({ratio:.2f})" for size, ratio in ratios.items())
    return said, max(max(ratio, 1 / ratio) for ratio in ratios.values())


def main() -> None:
    """Measure, check and predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default=",".join(map(str, RANKS)))
    parser.add_argument("--step-ms", default="141.2", help="of one machine's step, several with commas between")
    parser.add_argument("--parameters", type=int, default=5050)
    parser.add_argument("--picture", help="SVG file to draw the prediction into")
    given = parser.parse_args()
    step_s = [float(each) / 1e3 for each in given.step_ms.split(",")]
    found = {ranks: measured(ranks, SIZES) for ranks in map(int, given.ranks.split(","))}
    wall, cpu = ({ranks: each[which] for ranks, each in found.items()} for which in (0, 1))
    worst = 1.0
    for what, times in (("time", wall), ("processor time of a rank", cpu)):
        link = fitted(times[2])
        print(f"{what}, two processes: alpha {1e6 * link.latency_s:.1f} us, byte {1e9 * link.byte_s:.3f} ns")
        for ranks, each in times.items():
            said, off = held(link, ranks, each)
            print(f"{what}, {ranks} processes, measured (over the model): {said}")
            if what == "time" and ranks <= usable_cores():
                worst = max(worst, off)
    print(f"with a core for each process the model is off by up to a factor of {worst:.1f}")
    size = 8 * (given.parameters + 1)
    for machines in (2, 8, 64, 1000):
        said_of = widened(predicted(wall[2], step_s, size, machines), worst)
        step, low, high = (1e3 * seconds for seconds in (said_of.step_s, said_of.low_s, said_of.high_s))
        print(f"{machines} machines: {step:.2f} ms a step ({low:.2f} to {high:.2f}), {said_of.speedup:.1f} times one")
    if given.picture:
        draw(given.picture, [widened(predicted(wall[2], step_s, size, 2**n), worst) for n in range(11)])


def draw(path: str, steps: Sequence[Predicted]) -> None:
    """A step over the number of machines, and what no communication at all would make of it."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "gradparity", "font.size": 11, "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    machines, one = [each.machines for each in steps], 1e3 * steps[0].step_s
    axes.fill_between(machines, [1e3 * each.low_s for each in steps], [1e3 * each.high_s for each in steps], alpha=0.25)
    axes.loglog(machines, [1e3 * each.step_s for each in steps], marker="o", label="model, and where it lies")
    axes.loglog(machines, [one / each for each in machines], linestyle="--", color="grey", label="no communication")
    axes.set(xlabel="machines", ylabel="a step, ms", xticks=machines, xticklabels=machines)
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
