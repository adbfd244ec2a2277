"""Timings for pytest-benchmark: its own command is what the file is held to."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.model_spec.errors import InputError
from gradparity.report.export import benchmarks, export_to, write_export
from gradparity.results import BackendInfo, RunResult, Start, Timed, Timing
from tests.conftest import Command, python
from tests.report import samples

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPEC = {"kind": "projected_logistic", "features": 3, "projection": 2, "formulation": "as_written", "dtype": "float64"}


def block(step_ns: int, inner: int = 10) -> Block:
    return Block(step_ns * inner, step_ns * inner, inner, minor_faults=0, context_switches=0, stolen_ns=None)


def rounds(reference_ns: list[int], challenger_ns: list[int], inner: int) -> list[Round]:
    """Rounds of two blocks each, from nanoseconds per step."""
    ours, theirs = [block(ns) for ns in reference_ns], [block(ns, inner) for ns in challenger_ns]
    return [Round(0, i // 2, (ours[i], ours[i + 1]), (theirs[i], theirs[i + 1])) for i in range(0, len(ours), 2)]


def timing(backend: str, step: Timed, loop: Timed | None = None) -> Timing:
    start = Start(pair=0, import_s=1.5, build_s=0.25, first_call_s=0.75, compile_cache="", resident_bytes=1)
    return Timing(backend=backend, starts=[start], step=step, loop=loop)


def run(*, name: str = "synthetic:9x3", scale: int = 1, **fields: Any) -> RunResult:
    """NumPy is the reference; jax and a twin were timed against it, in steps and, but for the twin, in loops of 5."""
    jax_step = rounds([100, 110, 120, 130], [50 * scale, 51 * scale, 52 * scale, 53 * scale], inner=20)
    jax_loop = rounds([90, 91, 92, 93], [30 * scale, 31 * scale, 32 * scale, 33 * scale], inner=50)
    timings = [
        timing("numpy", Timed(inner=[10]), Timed(inner=[10])),
        # The last block is of a round that a lost worker left unfinished.
        timing(
            "jax",
            Timed(inner=[20], rounds=jax_step, blocks=[block(70, 20)]),
            Timed(steps=5, inner=[10], rounds=jax_loop),
        ),
    ]
    twin = timing("numpy~twin", Timed(inner=[10], rounds=rounds([140, 150], [1, 2], inner=10)))
    found: dict[str, Any] = {"reference": "numpy", "timings": timings, "twin": twin}
    found["findings"] = [samples.finding("jax", bad=True)]
    made = samples.problem(name, [], clock=False, rows=9, spec=SPEC | fields, **found)
    machine = {"cpu": "A processor", "cores": 2, "system": "Linux 6.1 x86_64", "python": "3.12.1"}
    backends = [BackendInfo(name="jax", versions={"jax": "0.10", "jaxlib": "0.11"})]
    return samples.run(made, settings={"profile": "quick"}, machine=machine, backends=backends)


def by_name(result: RunResult) -> dict[str, Any]:
    return {found["name"]: found for found in benchmarks(result, NOW)["benchmarks"]}


def test_every_block_is_there_in_seconds_per_step_the_references_from_the_rounds_of_the_others() -> None:
    found = by_name(run())
    assert list(found) == ["step[numpy-9x3x2]", "step[jax-9x3x2]", "loop[numpy-9x3x2]", "loop[jax-9x3x2]"]
    data = {name: [round(1e9 * value) for value in each["stats"]["data"]] for name, each in found.items()}
    assert data["step[numpy-9x3x2]"] == [100, 110, 120, 130, 140, 150]
    assert data["step[jax-9x3x2]"] == [70, 50, 51, 52, 53]
    assert data["loop[numpy-9x3x2]"] == [90, 91, 92, 93]
    assert data["loop[jax-9x3x2]"] == [30, 31, 32, 33]
    stats = found["step[jax-9x3x2]"]["stats"]
    assert (stats["median"], stats["rounds"], stats["iterations"]) == (pytest.approx(52e-9), 5, 20)


def test_a_benchmark_says_what_it_is_of_and_whether_its_gradient_is_right() -> None:
    found = by_name(run(formulation="blocked", dtype="float32"))["step[jax-9x3x2-blocked-float32]"]
    assert found["group"] == "9x3x2, blocked, float32"
    assert found["fullname"] == "gradparity bench::step[jax-9x3x2-blocked-float32]"
    assert found["param"] == "jax-9x3x2-blocked-float32"
    known = {"backend": "jax", "rows": 9, "features": 3, "projection": 2, "formulation": "blocked", "dtype": "float32"}
    assert found["params"] == {**known, "numerics": None, "reduction": None, "threads": 1}
    extra = found["extra_info"]
    assert (extra["verdict"], extra["profile"], extra["reference"]) == ("wrong", "quick", "numpy")
    assert extra["versions"] == {"jax": "0.10", "jaxlib": "0.11"}
    assert (extra["import_s"], extra["build_s"], extra["first_call_s"]) == (1.5, 0.25, 0.75)


def test_two_files_of_one_name_stay_apart() -> None:
    result = run()
    result.problems += run().problems
    names = list(by_name(result))
    assert len(names) == len(set(names)) == 8
    assert "step[jax-9x3x2-(2)]" in names


def test_a_backend_without_a_block_has_no_benchmark() -> None:
    result = run()
    result.problems[0].timings.append(Timing(backend="torch", starts=result.problems[0].timings[0].starts))
    assert not [name for name in by_name(result) if "torch" in name]


def test_the_fields_are_those_that_pytest_benchmark_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', [1])\ndef test_one(benchmark, n): benchmark(len, 'word')\n"
    )
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # beside which it times nothing
    arguments = ["-q", "--benchmark-json=theirs.json", "--benchmark-max-time=0.01", "--benchmark-min-rounds=2"]
    assert python("-m", "pytest", "-p", "no:cacheprovider", *arguments, cwd=tmp_path).returncode == 0
    theirs, ours = json.loads((tmp_path / "theirs.json").read_text()), benchmarks(run(), NOW)
    assert set(ours) == set(theirs)
    assert set(ours["commit_info"]) == set(theirs["commit_info"]) - {"error"}
    assert set(ours["machine_info"]) <= set(theirs["machine_info"])
    (one,) = theirs["benchmarks"]
    for each in ours["benchmarks"]:
        assert set(each) == set(one)
        assert set(each["stats"]) == set(one["stats"])
        assert set(each["options"]) <= set(one["options"])
    assert datetime.fromisoformat(ours["datetime"]).tzinfo is not None


def compare(*arguments: str, cwd: Path) -> list[str]:
    """What the real command prints, by line."""
    ran = python("-m", "pytest_benchmark", "compare", *arguments, cwd=cwd, PY_COLORS="0")
    assert ran.returncode == 0, ran.stderr
    assert "Failed to load" not in ran.stdout + ran.stderr
    return ran.stdout.splitlines()


def test_pytest_benchmark_compares_one_file_by_problem_and_two_by_backend(tmp_path: Path) -> None:
    both = run()
    both.problems += run(formulation="blocked").problems
    for name, result in (("one.json", both), ("two.json", run(scale=3))):
        write_export(result, export_to("pytest-benchmark", str(tmp_path / name), "out"))
    alone = compare("one.json", "--columns", "median,rounds,iterations", "--sort", "mean", cwd=tmp_path)
    heads = [line for line in alone if line.startswith("-") and "benchmark" in line]
    assert [head.strip("- ") for head in heads] == [
        "benchmark '9x3x2': 4 tests",
        "benchmark '9x3x2, blocked': 4 tests",
    ]
    rows = [line.split() for line in alone if line.startswith(("step[", "loop["))]
    # Median of the blocks in nanoseconds, against the least of the group; rounds; steps a block.
    assert [word for word in rows[0] if word != "(one)"] == ["loop[jax-9x3x2]", "31.5000", "(1.0)", "4", "50"]
    between = compare("one.json", "two.json", "--between", "median", "-k", "jax and not blocked", cwd=tmp_path)
    rows = [line.split() for line in between if line.startswith(("step[", "loop["))]
    # Thrice 31.5; and from 52 (with the loose block of 70) to 153.
    assert rows == [
        ["loop[jax-9x3x2]", "31.5000", "94.5000", "+200.0%"],
        ["step[jax-9x3x2]", "52.0000", "153.0000", "+194.2%"],
    ]
    by_backend = compare("one.json", "--group-by", "func,param:backend,param:threads", cwd=tmp_path)
    assert any("'step backend=jax threads=1': 2 tests" in line for line in by_backend)


@pytest.mark.parametrize(
    ("kind", "file", "words"),
    [
        ("pytest", "x.json", "'pytest', expected pytest-benchmark"),
        ("pytest-benchmark", "missing/x.json", "No such file or directory"),
        ("pytest-benchmark", "taken/x.json", "Not a directory"),
        ("pytest-benchmark", ".", "which is no file"),
        ("pytest-benchmark", os.devnull, "which is no file"),
        ("pytest-benchmark", "out/results.json", "the run's own results"),
        ("pytest-benchmark", "", "which is no file"),
        ("pytest-benchmark", 300 * "x", "File name too long"),
        ("pytest-benchmark", "a\0b", "the name of a file"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_before_anything_runs(
    kind: str, file: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    code, _, said = command("bench", "--backends", "numpy", "--out", "out", "--export", kind, file)
    assert code == 2
    assert words in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_without_pytest_benchmark_it_is_said_what_adds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("gradparity.report.export.version", missing)
    with pytest.raises(InputError, match="Add it with: pip install pytest-benchmark"):
        export_to("pytest-benchmark", str(tmp_path / "x.json"), "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["mine", "[1]", '{"mine": 1}', '{"benchmarks": [], "commit_info": {"project": "mine"}}']
)
def test_a_file_that_is_no_export_is_not_written_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(InputError, match="no export has written"):
        export_to("pytest-benchmark", str(tmp_path / "mine.json"), "out")
    assert (tmp_path / "mine.json").read_text() == content


def test_an_earlier_file_stays_whole_until_the_new_one_is_there(tmp_path: Path) -> None:
    path = tmp_path / "earlier.json"
    before = '{"benchmarks": [], "commit_info": {"project": "gradparity"}}'
    path.write_text(before)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    export = export_to("pytest-benchmark", str(link), "out")
    assert path.read_text() == before
    write_export(run(), export)
    assert link.is_symlink()
    assert len(json.loads(path.read_text())["benchmarks"]) == 4
    assert {entry.name for entry in tmp_path.iterdir()} == {"earlier.json", "link.json"}


def test_a_file_that_can_be_written_no_more_is_the_users_to_put_right(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    export = export_to("pytest-benchmark", str(folder / "x.json"), "out")
    folder.rmdir()
    folder.touch()
    with pytest.raises(InputError, match="File exists"):
        write_export(run(), export)
