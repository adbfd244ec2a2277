"""The report of many models: how large it is, how long it takes to make and to read, and what is left out of it.

``python -m tests.evidence.many_models RESULTS... [--models 500] [--wrong 80] [--twice jax] [--out DIR]`` takes the
``results.json`` of checks of the same models, one a seed, and multiplies their models by renaming: ``--wrong`` of them
are such as do not agree at every seed; ``--twice`` has the findings of one backend under another name, too. Seconds are
of the processor, the least of three times. With ``--out`` the files are kept.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs
from rich.console import Console

from gradparity.judge.speed.compare import compare_runs
from gradparity.report.facts.overview import overview
from gradparity.report.markdown import markdown
from gradparity.report.page import document
from gradparity.report.terminal.first_screen import print_first_screen
from gradparity.report.terminal.tables import text
from gradparity.results import ProblemResult, RunResult, store
from gradparity.results.validation import require_sound


def multiplied(runs: Sequence[RunResult], models: int, wrong: int) -> RunResult:
    """So many models over as many seeds as there are runs, made of those that the runs have."""
    seeds = [{problem.model_label: problem for problem in run.problems} for run in runs]
    names = [name for name in seeds[0] if all(name in each for each in seeds)]
    bad = [name for name in names if any(each[name].not_good or each[name].troubles for each in seeds)]
    good = [name for name in names if name not in bad]
    problems: list[ProblemResult] = []
    for place in range(models):
        is_wrong = place * wrong // models < (place + 1) * wrong // models
        kind = bad if is_wrong and bad else good
        name = kind[(place * 7) % len(kind)]
        for seed, each in enumerate(seeds):
            called = f"team{place % 9}/{name.removesuffix('.py')}-{place:03}"
            problems.append(structs.replace(each[name], name=called, seed=seed if len(runs) > 1 else None))
    return structs.replace(runs[0], problems=problems, planned=len(problems))


def with_one_more(result: RunResult, backend: str) -> RunResult:
    """Every problem with the findings of one backend twice, under another name too."""
    problems = []
    for problem in result.problems:
        again = [structs.replace(f, backend=f"{backend}-old") for f in problem.findings if f.backend == backend]
        problems.append(structs.replace(problem, findings=[*problem.findings, *again]))
    return structs.replace(result, problems=problems)


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    took, found = [], None
    for _ in range(3):
        began_s = time.process_time()
        found = call()
        took.append(time.process_time() - began_s)
    return min(took), found


def _screen(result: RunResult) -> str:
    out = io.StringIO()
    print_first_screen(Console(file=out, width=120, markup=False, emoji=False, highlight=False), overview(result))
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+")
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--wrong", type=int, default=80)
    parser.add_argument("--twice", default="", metavar="BACKEND")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    result = multiplied([store.read(name) for name in asked.results], asked.models, asked.wrong)
    result = with_one_more(result, asked.twice) if asked.twice else result

    def read(content: bytes) -> RunResult:
        found = msgspec.json.decode(content, type=RunResult)
        require_sound(found)
        return found

    took_s, content = _timed(lambda: store.encode(result))
    made: dict[str, tuple[float, bytes]] = {"results.json": (took_s, content)}
    print(f"{'read':14} {_timed(lambda: read(content))[0]:6.2f} s")
    print(f"{'compare':14} {_timed(lambda: compare_runs(result, result))[0]:6.2f} s")
    for name, form in (("report.html", document), ("report.md", markdown), ("screen.txt", _screen), ("all.txt", text)):
        took_s, said = _timed(lambda form=form: form(result))  # type: ignore[misc]
        made[name] = took_s, said.encode()
    for name, (took_s, written) in made.items():
        print(f"{name:14} {took_s:6.2f} s {len(written):12,} bytes {len(written.splitlines()):8,} lines")
        if asked.out is not None:
            asked.out.mkdir(parents=True, exist_ok=True)
            (asked.out / name).write_bytes(written)


if __name__ == "__main__":
    main()
