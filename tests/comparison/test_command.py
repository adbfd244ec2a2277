"""Which problem is held against which, and what the command prints and ends with."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from gradparity.judge.speed.compare import compare_runs
from gradparity.report.terminal.compare import print_comparison, verdict_of
from gradparity.results import (
    store,
)
from tests.comparison.runs import run
from tests.conftest import Command


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
    assert (found.ok, found.compared, found.worse) == (False, False, False)  # nothing is worse, of nothing
    assert verdict_of(found) == ("warn", "Nothing was compared: there is no block that both runs have.")


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


def test_the_command_reads_files_or_folders_and_ends_1_where_one_is_worse(tmp_path: Path, command: Command) -> None:
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
    assert "✗ Worse: jax on toy.\n" in out
    assert "worse: jax in gradient W: agrees -> wrong" in out
    code, out, _ = command("compare", bad, old)  # what is mended fails no pull request
    assert code == 0
    assert "✓ Nothing is worse; better: jax on toy.\n" in out
    code, out, _ = command("compare", bad, bad)  # and what was wrong before is said
    assert code == 0
    assert "✓ Nothing is worse; no better than before: jax on toy.\n" in out
    assert "still: jax in gradient W: wrong" in out
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
