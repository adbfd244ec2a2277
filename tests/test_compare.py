"""Two runs side by side, on results written down by hand."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.stats import Comparison, MedianInterval, control
from gradparity.judge.speed.compare import compare_runs
from gradparity.report.terminal.compare import print_comparison
from gradparity.results import (
    BackendInfo,
    Finding,
    RunResult,
    Start,
    Timed,
    Timing,
    Verdict,
    store,
)
from tests.conftest import Command
from tests.report import samples

START = Start(pair=0, import_s=1.0, build_s=0.0, first_call_s=0.1, compile_cache="", resident_bytes=1)
CALM = Block(wall_ns=100, cpu_ns=100, inner=1, minor_faults=0, context_switches=0, stolen_ns=None)
#: The processor was elsewhere for half of it.
LOST = replace(CALM, cpu_ns=50)


def median_of(us: float, spread: float = 0.01, count: int = 16) -> MedianInterval:
    return MedianInterval(1e3 * us, 1e3 * us * (1 - spread), 1e3 * us * (1 + spread), count, 0.95)


def timed(us: float | None, *, spread: float = 0.01, pairs: int = 1, count: int = 16) -> Timed | None:
    if us is None:
        return None
    return Timed(inner=[1] * pairs, step_ns=median_of(us, spread, count))


def run(
    step_us: float | None,
    *,
    loop_us: float | None = None,
    verdict: Verdict = "agrees",
    version: str = "1",
    threads: int = 1,
    spread: float = 0.01,
    pairs: int = 1,
    count: int = 16,
    name: str = "toy",
    **spec: Any,
) -> RunResult:
    """A run of jax alone on one problem."""
    shared: dict[str, Any] = {"spread": spread, "pairs": pairs, "count": count}
    timing = Timing(backend="jax", starts=[START], step=timed(step_us, **shared), loop=timed(loop_us, **shared))
    finding = Finding(backend="jax", quantity="gradient", parameter="W", verdict=verdict, rule="")
    model = {"features": 3, "formulation": "as_written", "reduction": "mean", "dtype": "float64", **spec}
    found: dict[str, Any] = {"control": None, "reference": "numpy", "findings": [finding], "timings": [timing]}
    made = samples.problem(name, [], clock=False, spec=model, threads=threads, **found)
    settings = {"threads": threads, "thread_counts": [], "profile": "quick"}
    backends = [BackendInfo(name="jax", versions={"jax": version})]
    machine = {"cpu": "c", "cores": 2}
    return samples.run(made, gradparity_version="0", settings=settings, machine=machine, backends=backends)


@pytest.mark.parametrize("call", ["step", "loop"])
@pytest.mark.parametrize(
    ("new_us", "spread", "speed"),
    [
        (50.0, 0.01, "faster"),
        (200.0, 0.01, "slower"),
        (100.2, 0.01, "equivalent"),
        (104.0, 0.01, "undecided"),  # the interval reaches beyond the 5% that is not called
        (90.0, 0.1, "undecided"),
    ],
)
def test_a_speed_is_called_only_where_the_interval_allows(call: str, new_us: float, spread: float, speed: str) -> None:
    old, new = (
        run(us if call == "step" else 7.0, loop_us=us if call == "loop" else None, spread=spread)
        for us in (100.0, new_us)
    )
    (change,) = compare_runs(old, new).changes
    found = getattr(change, call)
    assert found.verdict == speed
    assert found.ratio == pytest.approx(100 / new_us)
    assert (found.old_ns, found.new_ns) == (1e5, 1e3 * new_us)


def test_the_interval_has_the_scatter_between_processes_that_no_run_saw_within_itself() -> None:
    # Medians without any spread: what is left is 1.6% between two processes, assumed with 4 degrees of freedom a run.
    # Student's t for the 8 of both is 2.306 in any table: 1.016 ** 2.306 is about 1.0376.
    (alone,) = compare_runs(run(100.0, spread=0.0), run(100.0, spread=0.0)).changes
    (many,) = compare_runs(run(100.0, spread=0.0, pairs=4), run(100.0, spread=0.0, pairs=4)).changes
    assert alone.step is not None
    assert alone.step.high == pytest.approx(1.0376, abs=2e-4)
    assert alone.step.low == pytest.approx(1 / 1.0376, abs=2e-4)
    assert many.step is not None
    assert many.step.high == pytest.approx(1.0186, abs=2e-4)  # four processes: half as wide


def test_no_speed_is_called_on_three_blocks() -> None:
    (change,) = compare_runs(run(100.0, count=3), run(50.0, count=3)).changes
    assert change.step is not None
    assert (change.step.verdict, change.step.low, change.step.high) == ("undecided", None, None)


def test_the_larger_floor_of_the_two_runs_decides_and_the_loop_has_its_own() -> None:
    old, new = run(100.0, loop_us=100.0), run(80.0, loop_us=80.0)
    new.problems[0].control = replace(control(), floor=0.3)
    (change,) = compare_runs(old, new).changes
    assert change.step is not None
    assert change.loop is not None
    assert (change.step.verdict, change.loop.verdict) == ("undecided", "faster")


def test_a_time_that_either_run_could_not_trust_is_unstable_and_the_references_too() -> None:
    old, new = run(100.0), run(50.0)
    half_disturbed = [Round(0, index, (CALM, CALM), (LOST if index < 2 else CALM, CALM)) for index in range(4)]
    (jax,) = new.problems[0].timings
    assert jax.step is not None
    for problem in (old.problems[0], new.problems[0]):
        problem.timings.append(structs.replace(jax, backend="numpy"))
        problem.findings.append(structs.replace(problem.findings[0], backend="numpy"))
    new.problems[0].timings[0] = structs.replace(jax, step=structs.replace(jax.step, rounds=half_disturbed))
    found = {change.backend: change.step for change in compare_runs(old, new).changes}
    assert {backend: speed and speed.verdict for backend, speed in found.items()} == {
        "jax": "unstable",
        "numpy": "unstable",
    }


def against_numpy(numpy_us: float, jax_us: float, numpy_version: str = "2") -> RunResult:
    """A run in which jax was timed in turns with numpy, their ratio to 1%."""
    result = run(jax_us)
    (problem,), (jax,) = result.problems, result.problems[0].timings
    ratio = Comparison(numpy_us / jax_us, None, None, 0.01, pairs=1, rounds=8, discarded=0, within_process=True)
    assert jax.step is not None
    problem.timings = [
        structs.replace(jax, backend="numpy", step=timed(numpy_us)),
        structs.replace(jax, step=structs.replace(jax.step, ratio=ratio)),
    ]
    problem.findings.insert(0, structs.replace(problem.findings[0], backend="numpy"))
    result.backends.insert(0, BackendInfo(name="numpy", versions={"numpy": numpy_version}))
    return result


def steps_of(old: RunResult, new: RunResult) -> dict[str, tuple[str, float | None]]:
    return {
        change.backend: (change.step.verdict, change.step.against_reference)
        for change in compare_runs(old, new).changes
        if change.step
    }


def test_a_machine_that_was_twice_as_fast_makes_no_backend_faster() -> None:
    both = steps_of(against_numpy(100.0, 30.0), against_numpy(50.0, 15.0))
    assert both == {"numpy": ("undecided", 1.0), "jax": ("undecided", pytest.approx(1.0))}
    # Eight times as fast, of which two are the machine's.
    jax = steps_of(against_numpy(100.0, 80.0), against_numpy(50.0, 10.0))["jax"]
    assert jax == ("faster", pytest.approx(4.0))
    # As fast as before, on a machine twice as fast: slower by one reading, equivalent by the other.
    assert steps_of(against_numpy(100.0, 30.0), against_numpy(50.0, 30.0))["jax"] == ("undecided", pytest.approx(0.5))


def test_a_reference_of_another_version_or_machine_says_nothing_of_drift() -> None:
    old, new = against_numpy(100.0, 30.0), against_numpy(50.0, 15.0, numpy_version="3")
    assert steps_of(old, new) == {"numpy": ("faster", None), "jax": ("faster", None)}
    elsewhere = against_numpy(50.0, 15.0)
    elsewhere.machine["cpu"] = "d"
    assert steps_of(old, elsewhere) == {"numpy": ("faster", None), "jax": ("faster", None)}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"W": ["agrees"]}, {"W": ["wrong"]}, ["gradient W: agrees -> wrong"]),
        (  # another block is wrong, of a backend that was wrong before
            {"W": ["wrong"], "w": ["agrees"]},
            {"W": ["agrees"], "w": ["wrong"]},
            ["gradient W: wrong -> agrees", "gradient w: agrees -> wrong"],
        ),
        # What was timed last is judged once more: that outranks the first verdict.
        ({"W": ["agrees"]}, {"W": ["agrees", "nonfinite"]}, ["gradient W: agrees -> nonfinite"]),
    ],
)
def test_a_changed_verdict_of_any_block_is_no_success_whatever_the_speed(
    before: dict[str, list[Verdict]], after: dict[str, list[Verdict]], changed: list[str]
) -> None:
    old, new = run(100.0), run(50.0)
    for result, blocks in ((old, before), (new, after)):
        (finding,) = result.problems[0].findings
        result.problems[0].findings = [
            structs.replace(finding, parameter=parameter, verdict=verdict)
            for parameter, verdicts in blocks.items()
            for verdict in verdicts
        ]
    found = compare_runs(old, new)
    assert not found.ok
    assert [change.changed for change in found.changes] == [changed]


def test_what_only_one_run_checked_is_no_change() -> None:
    old = run(100.0)
    trained = structs.replace(samples.training("jax"), verdict="unstable")
    old.problems[0].training.append(trained)
    found = compare_runs(old, run(100.0))
    assert found.ok
    assert found.changes[0].old_verdict == "agrees"
    new = run(100.0)
    new.problems[0].training.append(structs.replace(trained, verdict="agrees"))
    assert compare_runs(old, new).changes[0].changed == ["training with gd, own loop: unstable -> agrees"]


def test_other_versions_profiles_threads_and_machines_are_said() -> None:
    new = run(100.0, version="2", threads=2)
    new.settings["profile"], new.machine["cpu"], new.gradparity_version, new.complete = "full", "d", "1", False
    assert compare_runs(run(100.0), new).surroundings == [
        "the new run was not finished",
        "cpu: c -> d",
        "threads: 1 -> 2",
        "profile: quick -> full",
        "gradparity: 0 -> 1",
        "jax: 1 -> 2",
    ]
    assert compare_runs(run(100.0), run(50.0)).surroundings == []


def test_runs_with_one_number_of_threads_each_are_compared_by_it() -> None:
    found = compare_runs(run(100.0, threads=1), run(50.0, threads=2))
    assert found.surroundings == ["threads: 1 -> 2"]
    (change,) = found.changes
    assert change.step is not None
    assert (change.problem, change.step.verdict) == ("toy", "faster")


def test_with_several_numbers_of_threads_each_is_a_problem_of_its_own() -> None:
    old, new = run(100.0, threads=1), run(100.0, threads=1)
    old.settings["thread_counts"], new.settings["thread_counts"] = [1, 2], [1]
    old.problems += run(50.0, threads=2).problems
    found = compare_runs(old, new)
    assert found.surroundings == ["threads: 1 and 2 -> 1"]
    assert [(change.problem, change.new_verdict) for change in found.changes] == [
        ("toy", "agrees"),
        ("toy, 2 threads", "absent"),
    ]


def test_another_model_under_the_same_name_is_another_problem() -> None:
    found = compare_runs(run(100.0, formulation="as_written"), run(50.0, formulation="blocked"))
    assert [(c.problem, c.old_verdict, c.new_verdict, c.step) for c in found.changes] == [
        ("toy", "agrees", "absent", None),
        ("toy, blocked", "absent", "agrees", None),
    ]
    assert found.ok


def test_sizes_formulations_and_dtypes_are_matched_each_with_its_own() -> None:
    models = [
        {"projection": 2, "formulation": formulation, "dtype": dtype}
        for formulation in ("as_written", "blocked")
        for dtype in ("float64", "float32")
    ]
    old, new = run(1.0), run(1.0)
    old.problems = [run(100.0, name="synthetic:9x3", **model).problems[0] for model in models]
    changed = list(zip((50.0, 100.0, 200.0, 100.0), models, strict=True))
    new.problems = [run(us, name="synthetic:9x3", **model).problems[0] for us, model in reversed(changed)]
    assert {c.problem: c.step and c.step.verdict for c in compare_runs(old, new).changes} == {
        "9x3x2": "faster",
        "9x3x2, float32": "equivalent",
        "9x3x2, blocked": "slower",
        "9x3x2, blocked, float32": "equivalent",
    }


def test_the_table_fits_80_columns_with_every_row_on_one_line() -> None:
    old = run(1.0)
    old.problems = [
        run(
            123.456, loop_us=98.7, name="synthetic:1000000x200x100", projection=100, formulation="reassociated", **more
        ).problems[0]
        for more in ({"dtype": "float32"}, {"dtype": "float64"})
    ]
    for problem in old.problems:
        problem.timings = [structs.replace(problem.timings[0], backend="torch-compile")]
        problem.findings = [structs.replace(problem.findings[0], backend="torch-compile")]
    console = Console(file=io.StringIO(), width=80)
    print_comparison(console, compare_runs(old, old))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    rows = [line for line in lines if line.startswith("torch-compile")]
    assert [row.split()[:2] for row in rows] == 2 * [["torch-compile", "step"], ["torch-compile", "loop"]]
    assert all("equivalent" in row or "undecided" in row for row in rows)
    assert max(map(len, lines)) <= 80


def test_the_command_reads_files_or_folders_and_ends_1_on_a_changed_verdict(tmp_path: Path, command: Command) -> None:
    runs = {
        "old": run(100.0, loop_us=100.0, pairs=400),
        "new": run(50.0, loop_us=200.0, pairs=400),
        "bad": run(50.0, verdict="wrong"),
        "untimed": run(None),
    }
    for name, result in runs.items():
        (tmp_path / name).mkdir()
        store.save(result, tmp_path / name)
    old, new, bad, untimed = (str(tmp_path / name) for name in runs)
    code, out, _ = command("compare", old, f"{new}/results.json")
    assert code == 0
    step, loop = [line for line in out.splitlines() if line.startswith("jax")]
    # 1% to either side of both medians: twice or half, times exp(0.01 sqrt 2).
    assert "2.00x [1.97, 2.03]" in step
    assert "faster" in step
    assert "0.5x [0.493, 0.507]" in loop
    assert "slower" in loop
    code, out, _ = command("compare", old, bad)
    assert code == 1
    assert "agrees -> wrong" in out
    assert "jax, gradient W: agrees -> wrong" in out
    code, out, _ = command("compare", old, untimed)
    assert code == 0
    assert "not timed in both" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"{", "a file that is none"),
        (b"{}", "a file that is none"),
        (b'{"schema_version": 3}', "a file that is none"),
        (b'{"schema_version": 2}', "a file that is none"),
        (b'{"schema_version": 1}', "schema version 1, expected 2 to 3"),
        (
            b'{"schema_version": 4}',
            "schema version 4, expected 2 to 3. Read it with the gradparity that wrote it",
        ),
        (b"\xff", "none"),
    ],
)
def test_a_file_that_is_no_result_is_the_users_to_put_right(
    content: bytes | None, words: str, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)
    code, _, said = command("compare", str(path), str(path))
    assert code == 2
    assert words in said
