"""A rank that dies, raises, hangs or is slow: one row that says which, exit code 3 in time, no process left."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Command
from tests.sharded.models import RIGHT, written

#: What rank 1 does the third time that it is asked for a gradient, and what the row says.
FAULTS = {
    "dies": ("import os\n        os._exit(7)", "rank 1 of 2: exited with code 7"),
    "is killed": (
        "import os, signal\n        os.kill(os.getpid(), signal.SIGKILL)",
        "rank 1 of 2: killed by SIGKILL",
    ),
    "raises": ("raise ValueError('out of rows')", "rank 1 of 2: ValueError: out of rows"),
    "hangs": ("import time\n        time.sleep(1000)", "rank 1 of 2 is in torch-distributed.py, line"),
    "is stopped": (
        "import os, signal\n        os.kill(os.getpid(), signal.SIGSTOP)",
        "rank 1 of 2 is stopped by a signal",
    ),
    "waits for what no one sends": (
        "dist.recv(torch.zeros(1), src=0)",
        "all wait: rank 0 of 2 is in torch-distributed.py, line 24, gradient; rank 1 of 2 is in",
    ),
    "is slow": (
        "for _ in range(10**9):\n            pass",
        "rank 1 of 2 is in torch-distributed.py, line",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n if n in ("is killed", "hangs") else pytest.param(n, marks=pytest.mark.variation) for n in FAULTS]
)
def test_a_rank_that_fails_is_named_and_none_is_left(command: Command, tmp_path: Path, name: str) -> None:
    does, said = FAULTS[name]
    body = f"""
    global count
    count = globals().get("count", 0) + 1
    if dist.get_rank() == 1 and count == 3:
        {does}
    {RIGHT.strip()}
    """
    folder = written(tmp_path / "model", body)
    before = {each.pid for each in psutil.Process().children(recursive=True)}
    words = ("--backends", "torch-distributed", "--steps", "1", "--timeout", "step=4", "--json")
    began = time.monotonic()
    code, out, err = command("check", str(folder), *words, "--out", str(tmp_path / "out"))
    assert code == 3, err
    assert time.monotonic() - began < 30
    (trouble,) = json.loads(out)["problems"][0]["troubles"]
    assert said in trouble["reason"]
    assert not {each.pid for each in psutil.Process().children(recursive=True)} - before
