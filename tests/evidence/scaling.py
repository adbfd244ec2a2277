"""How long processes of this machine take to add a bucket up, and what a model of that says of more machines.

    python -m tests.evidence.scaling [--ranks 2,3,4,5,6,7,8] [--sizes 8,...] [--step-ms MILLISECONDS]

All-reduces by gloo over loopback, in processes that PyTorch's own launcher would start. The model is fitted to two
processes alone, and held to what they and more of them take. Beyond this machine's cores a message waits for its
process to have one, which no machine of its own does: how far off the model is there is said, and widens no interval.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from statistics import median

from gradparity.benchmark.scaling import Measured, fitted, predicted, widened
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
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            dist.all_reduce(bucket)
            taken.append(time.perf_counter() - began)
        if dist.get_rank() == 0:
            print(json.dumps([size, sorted(taken)[len(taken) // 2]]), flush=True)
"""


def measured(ranks: int, sizes: tuple[int, ...]) -> list[Measured]:
    """All-reduces of so many processes."""
    port, words = str(free_port()), [sys.executable, "-c", _PROCESS, json.dumps([sizes, REPEATS, ROUNDS])]
    shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(words, env={**os.environ, **shared, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(ranks)
    ]
    lines = started[0].communicate(timeout=300)[0].splitlines()
    for each in started[1:]:
        each.wait(30)
    return [Measured(ranks, int(size), seconds) for size, seconds in map(json.loads, lines)]


def main() -> None:
    """Measure, check and predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", default=",".join(map(str, RANKS)))
    parser.add_argument("--step-ms", default="46.6", help="of one machine's step, several with commas between")
    parser.add_argument("--parameters", type=int, default=5050)
    given = parser.parse_args()
    step_s = [float(each) / 1e3 for each in given.step_ms.split(",")]
    found = {ranks: measured(ranks, SIZES) for ranks in map(int, given.ranks.split(","))}
    link = fitted(found[2])
    print(f"two processes: alpha {1e6 * link.latency_s:.1f} us, beta + gamma / 2 {1e9 * link.byte_s:.3f} ns a byte")
    worst = 1.0
    for ranks, each in found.items():
        by_size: dict[int, list[float]] = defaultdict(list)
        for one in each:
            by_size[one.size].append(one.seconds)
        ratios = {size: median(seconds) / link.all_reduce_s(ranks, size) for size, seconds in by_size.items()}
        off = max(max(ratio, 1 / ratio) for ratio in ratios.values())
        worst = max(worst, off) if ranks <= usable_cores() else worst
        said = "  ".join(f"{size}:{1e6 * median(by_size[size]):.0f} us ({ratio:.2f})" for size, ratio in ratios.items())
        print(f"{ranks} processes, measured (over the model): {said}")
    print(f"with a core for each process the model is off by up to a factor of {worst:.1f}")
    size = 8 * (given.parameters + 1)
    for machines in (2, 8, 64, 1000):
        said = widened(predicted(found[2], step_s, size, machines), worst)
        step, low, high = (1e3 * seconds for seconds in (said.step_s, said.low_s, said.high_s))
        print(f"{machines} machines: {step:.2f} ms a step ({low:.2f} to {high:.2f}), {said.speedup:.1f} times one")


if __name__ == "__main__":
    main()
