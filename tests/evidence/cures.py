"""What is found for each broken port when the true lines are given: named and proven, otherwise, or nothing.

    python -m tests.evidence.cures [--seconds 20] [--other] [NAME ...]

Each port in tests/evidence/ports is held against one of the others, whose answers are what is wanted. With ``--other``
the port without the fault is to be made agree with the broken one. One process a port; a line each, then a table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PORTS = Path(__file__).parent / "ports"


def lines(given: int | list[int]) -> list[int]:
    return [given] if isinstance(given, int) else given


def measured(folder: Path, port: str, other: str, at: list[int], seconds: float) -> dict[str, Any]:
    """The answer for one port, in this process."""
    import msgspec
    import numpy as np

    from gradparity.model_spec.user.drawing import draw_problem
    from gradparity.model_spec.user.model import load_model
    from gradparity.worker.cure_messages import Lines, Wanted
    from gradparity.worker.cures.search import cure
    from gradparity.worker.user_loss import user_loss
    from tests.conftest import configured

    problem = draw_problem(load_model(folder), folder.name, 0)
    backend, rng, wanted = configured(other), np.random.default_rng(1), []
    program = backend.program(user_loss(problem.spec, backend, (other,)))
    beside = {key: value * (1 + 0.2 * rng.standard_normal(value.shape)) for key, value in problem.params.items()}
    for params in (None, beside):
        placed = backend.put(problem.params if params is None else params), backend.put(problem.data)
        value, gradient = program.value_and_gradient(*placed)
        host = {key: np.array(block) for key, block in backend.get(gradient).items()}
        wanted.append(Wanted(float(np.asarray(backend.get({"": value})[""])), host, params))
    own = configured(port)
    user_loss(problem.spec, own, (port,))
    fault = tomllib.loads((folder / "expect.toml").read_text())["fault"]
    file = str(folder / "backends" / fault.get("file", {}).get(port, f"{port}.py"))
    places: list[Lines] = [(file, line, line) for line in at]
    began, began_cpu = time.perf_counter(), time.process_time()
    answer = cure(own, (port,), problem, places, wanted, seconds)
    found = answer.found[0] if answer.found else None
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu": round(time.process_time() - began_cpu, 1),
        "tried": answer.tried,
        "cut": answer.cut,
        "notes": answer.notes,
        "found": found and {**msgspec.structs.asdict(found), "file": Path(found.file).name},
    }


def sides(name: str, *, other: bool) -> list[tuple[str, str, list[int]]]:
    """Which port is to be cured, against which, at which lines."""
    fault = tomllib.loads((PORTS / name / "expect.toml").read_text())["fault"]
    if other:
        return [(port, fault["backend"], lines(at)) for port, at in fault["other_line"].items()]
    return [(fault["backend"], next(iter(fault["other_line"])), lines(fault["line"]))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--other", action="store_true")
    parser.add_argument("--one", nargs=4)
    parser.add_argument("-j", type=int, default=2)
    given = parser.parse_args()
    if given.one:
        name, port, against, at = given.one
        print(json.dumps(measured(PORTS / name, port, against, json.loads(at), given.seconds)))
        return
    names = given.names or sorted(path.name for path in PORTS.iterdir() if (path / "expect.toml").is_file())
    jobs = [(name, *side) for name in names for side in sides(name, other=given.other)]

    def run(job: tuple[str, str, str, list[int]]) -> dict[str, Any]:
        name, port, against, at = job
        command = [sys.executable, "-m", "tests.evidence.cures", "--seconds", str(given.seconds)]
        done = subprocess.run(
            [*command, "--one", name, port, against, json.dumps(at)],
            capture_output=True, encoding="utf-8", check=False, env=os.environ,
        )  # fmt: skip
        try:
            answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            return {"seconds": 0, "cpu": 0, "tried": 0, "cut": False, "found": None, "notes": done.stderr[-300:]}
        return answer

    table: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor(given.j) as pool:
        for (name, port, against, _), answer in zip(jobs, pool.map(run, jobs), strict=True):
            fault = tomllib.loads((PORTS / name / "expect.toml").read_text())["fault"]
            found = answer["found"]
            outcome = f"line {found['line']}, {found['kind']}: {found['old']!r} -> {found['new']!r}" if found else "-"
            table[fault["kind"], "proven" if found else "cut" if answer["cut"] else "none"] += 1
            spent = f"{answer['cpu']} of {answer['seconds']} s, {answer['tried']} tried"
            print(f"{name} ({fault['kind']}) {port}/{against} {spent}: {outcome}", end="")
            print(f"  [{fault['replace'][0]!r} -> {fault['replace'][1]!r}] {answer['notes']}", flush=True)
    for kind in dict.fromkeys(kind for kind, _ in sorted(table)):
        print(kind, {outcome: table[kind, outcome] for outcome in ("proven", "none", "cut") if table[kind, outcome]})


if __name__ == "__main__":
    main()
