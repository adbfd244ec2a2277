"""Two runs side by side, on results written down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.protocol import WarmUp
from bench.stats import MedianInterval
from gradparity import results
from gradparity.cli import main
from gradparity.compare import compare_runs
from gradparity.results import BackendInfo, Finding, ProblemResult, RunResult, Timing


def run(step_us: float, *, verdict: Any = "agrees", spread: float = 0.01, version: str = "1", **spec: Any) -> RunResult:
    step = MedianInterval(1e3 * step_us, 1e3 * step_us * (1 - spread), 1e3 * step_us * (1 + spread), 16, 0.95)
    timing = Timing(
        backend="jax",
        import_s=1.0,
        first_call_s=0.1,
        compile_cache="",
        warm_up=WarmUp(calls=3, seconds=0.2, converged=True, call_s=step_us / 1e6),
        inner=1,
        blocks=[],
        step_ns=step,
    )
    finding = Finding(backend="jax", quantity="gradient", parameter="W", verdict=verdict, rule="")
    problem = ProblemResult(
        name="toy", source="", digest="d", rows=4, spec=spec, truth="", findings=[finding], timings=[timing]
    )
    return RunResult(
        gradparity_version="0",
        command="run",
        settings={"threads": 1},
        machine={"cpu": "c", "cores": 2},
        backends=[BackendInfo(name="jax", versions={"jax": version})],
        problems=[problem],
        complete=True,
    )


@pytest.mark.parametrize(
    ("new_us", "spread", "speed"),
    [
        (50.0, 0.01, "faster"),
        (200.0, 0.01, "slower"),
        (101.0, 0.01, "equivalent"),
        (104.0, 0.01, "undecided"),  # the interval reaches beyond the 5% that is not called
        (90.0, 0.1, "undecided"),
    ],
)
def test_a_speed_is_called_only_where_the_interval_allows(new_us: float, spread: float, speed: str) -> None:
    (change,) = compare_runs(run(100.0, spread=spread), run(new_us, spread=spread)).changes
    assert change.speed == speed
    assert change.ratio == pytest.approx(100 / new_us)


def test_a_changed_verdict_is_no_success_whatever_the_speed() -> None:
    found = compare_runs(run(100.0), run(50.0, verdict="wrong"))
    assert not found.ok
    assert (found.changes[0].old_verdict, found.changes[0].new_verdict) == ("agrees", "wrong")


def test_other_versions_threads_and_machines_are_said() -> None:
    new = run(100.0, version="2")
    new.settings["threads"], new.machine["cpu"] = 2, "d"
    assert compare_runs(run(100.0), new).surroundings == ["cpu: c -> d", "threads: 1 -> 2", "jax: 1 -> 2"]


def test_another_model_under_the_same_name_is_another_problem() -> None:
    found = compare_runs(run(100.0, formulation="as_written"), run(50.0, formulation="blocked"))
    assert [(c.old_verdict, c.new_verdict, c.speed) for c in found.changes] == [
        ("agrees", "absent", None),
        ("absent", "agrees", None),
    ]
    assert found.ok


def command(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("sys.argv", ["gradparity", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_command_reads_files_or_folders_and_ends_1_on_a_changed_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, result in (("old", run(100.0)), ("new", run(50.0)), ("bad", run(50.0, verdict="wrong"))):
        (tmp_path / name).mkdir()
        results.save(result, tmp_path / name)
    old, new, bad = (str(tmp_path / name) for name in ("old", "new", "bad"))
    assert command("compare", old, f"{new}/results.json", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert "2.00x [1.96, 2.04]" in out
    assert "faster" in out
    assert command("compare", old, bad, monkeypatch=monkeypatch) == 1
    assert "agrees -> wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"{", "a file that is none"),
        (b'{"schema_version": 1}', "a file that is none"),
        (b"\xff", "none"),
    ],
)
def test_a_file_that_is_no_result_is_the_users_to_put_right(
    content: bytes | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)
    assert command("compare", str(path), str(path), monkeypatch=monkeypatch) == 2
    assert words in capsys.readouterr().err


def test_a_result_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    newer = run(1.0)
    newer.schema_version = results.SCHEMA_VERSION + 1
    results.save(newer, tmp_path)
    with pytest.raises(results.InputError, match="schema version 2"):
        results.read(str(tmp_path))
