"""What a program's blocks tell of the machine: its own CPU time, and whether somebody else had its core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Answers after a while of its own work.
WORKING = "import sys\nfor line in sys.stdin:\n    print(sum(range(5_000)), flush=True)"

#: Times it on one core, alone and beside a busy loop: of each block the shares of CPU and of waiting, and its verdict.
TIMED = """
import json, os, subprocess, sys, time
from gradparity.backends.asked_by_line import AskedByLine
from gradparity.benchmark.clock import Clock
from gradparity.benchmark.protocol import sample
from gradparity.benchmark.rounds import Round

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
program = AskedByLine(json.loads(sys.argv[1]))
clock = Clock(program.process_id)

def disturbed(block):
    return Round(0, 0, (block, block), (block, block)).disturbed

def blocks(count):
    found = []
    for _ in range(count):
        here, _ = sample(lambda: sum(range(20_000)), 50, Clock())
        own_ns = time.process_time_ns()
        block, _ = sample(lambda: program.ask(b"?", 100), 200, clock)
        own = (time.process_time_ns() - own_ns) / block.wall_ns
        found.append((own, block.cpu_ns / block.wall_ns, disturbed(block), disturbed(here)))
    return found

alone = blocks(20)
busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
try:
    time.sleep(0.2)
    beside = blocks(10)
finally:
    busy.kill()
program.close()
print(json.dumps([alone, beside]))
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not tell who waited")
@pytest.mark.parametrize("script", [False, True], ids=["itself", "behind a script"])
def test_a_program_is_disturbed_by_a_busy_loop_on_its_core_and_not_by_who_asks_it(tmp_path: Path, script: bool) -> None:
    words = [sys.executable, "-c", WORKING]
    if script:  # a shell that waits for it, so that it is another process than was started
        (tmp_path / "run.sh").write_text('"$@"\nexit $?\n', encoding="utf-8")
        words = ["sh", str(tmp_path / "run.sh"), *words]
    done = subprocess.run([sys.executable, "-c", TIMED, json.dumps(words)], capture_output=True, text=True, check=True)
    alone, beside = json.loads(done.stdout)
    # On a busy machine as few are left alone as of work in one process.
    calm = [(own, cpu) for own, cpu, disturbed, _ in alone if not disturbed]
    assert 2 * len(calm) >= sum(not here for *_, here in alone), alone
    assert all(cpu > own + 0.1 and own < 0.85 for own, cpu in calm), alone  # who asks is not all that counts
    assert sum(disturbed for *_, disturbed, _ in beside) >= 8, beside
