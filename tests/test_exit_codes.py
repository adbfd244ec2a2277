"""Exit code 0 is that of a comparison: the file of a run says so by itself, whoever has written or edited it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from gradparity.cli.app import app
from gradparity.cli.exits import ExitCode, exit_code
from gradparity.report.facts.overview import overview
from gradparity.results import BackendInfo, Checked, Finding, RunResult, Start, store
from gradparity.results.baseline import Baseline, KnownBlock
from gradparity.runner.crew import chosen_backends
from gradparity.runner.plan import plan_of
from gradparity.runner.resume import JUDGED, is_done, kept
from gradparity.runner.settings import Settings
from tests.report.samples import problem, run, samples

Change = Callable[[RunResult], object]


def whole() -> RunResult:
    """Two problems on which two backends agree."""
    return run(*(problem(name, ["numpy", "jax"], clock=False, stages=[JUDGED]) for name in ("toy", "iris")), planned=2)


def only(result: RunResult, place: int, keep: Callable[[Finding], bool]) -> None:
    result.problems[place].findings = [found for found in result.problems[place].findings if keep(found)]


def failed(result: RunResult) -> None:
    for each in result.problems:
        each.findings = [msgspec.structs.replace(found, verdict="failed") for found in each.findings]


def uninstalled(result: RunResult) -> None:
    result.problems, result.planned = [], 0
    result.backends = [BackendInfo(name="jax", cure="pip install jax")]


def idle(result: RunResult) -> None:
    for place in range(2):
        only(result, place, lambda _: False)
        result.problems[place].idle = {"numpy": "no autodiff", "jax": "no port"}


NOTHING: dict[str, Change] = {
    "no verdict": lambda result: [only(result, place, lambda _: False) for place in range(2)],
    "no verdict on a problem": lambda result: only(result, 1, lambda _: False),
    "no verdict on a backend on a problem": lambda result: only(result, 1, lambda found: found.backend != "jax"),
    "nothing but failures": failed,
    "no problem": lambda result: (result.problems.clear(), setattr(result, "planned", 0)),
    "no backend": uninstalled,
    "nobody with anything to run": idle,
    "the end": lambda result: setattr(result, "complete", False),
    "a named backend": lambda result: result.settings.update(backends=["numpy", "jax", "torch"]),
}
KNOWN = KnownBlock(model="toy", backend="jax", block="gradient W", verdict="wrong", listed="wrong", reason="known")
LISTS = {"": None, "a list": Baseline(file="k.toml"), "a list of something": Baseline(file="k.toml", known=[KNOWN])}


@pytest.mark.parametrize("listed", LISTS)
@pytest.mark.parametrize("lacking", NOTHING)
def test_what_lacks_a_comparison_never_ends_with_0(tmp_path: Path, lacking: str, listed: str):
    result = whole()
    result.baseline = LISTS[listed]
    assert result.ok
    assert exit_code(result) == ExitCode.AGREES
    NOTHING[lacking](result)
    assert not result.ok
    assert exit_code(result) == ExitCode.BACKEND
    assert overview(result).state not in ("agrees", "known")
    assert overview(result).headline
    store.save(result, tmp_path)
    ran = CliRunner().invoke(app, ["report", str(tmp_path), "--quiet"], standalone_mode=False)
    assert ran.return_value == ExitCode.BACKEND
    assert "✓" not in ran.output


def test_the_sign_of_a_report_the_exit_code_and_ok_say_the_same():
    for name, result in samples().items():
        agrees = overview(result).state in ("agrees", "known")
        assert (exit_code(result) == ExitCode.AGREES, result.ok) == (agrees, agrees), name


def test_what_is_said_to_be_judged_and_has_no_verdict_is_judged_by_the_next_session():
    plan = plan_of(Settings(command="check", out=""))
    done = problem("toy", ["numpy", "jax"], clock=False, stages=[JUDGED])
    start = Start(pair=None, import_s=0.1, build_s=0.1, first_call_s=0.1, compile_cache="", resident_bytes=1)
    done.checked = [Checked(backend=name, peak_resident_bytes=1, start=start) for name in ("numpy", "jax")]
    assert is_done(done, plan)
    done.findings = [found for found in done.findings if found.backend != "jax"]
    assert not is_done(done, plan)
    assert [each.backend for each in kept(done).checked] == ["numpy"]
    assert JUDGED not in kept(done).stages


def test_of_a_run_that_names_no_backends_those_are_asked_that_take_part():
    names, infos, absent = chosen_backends(Settings(command="check", out=""))
    assert [info.name for info in infos if not info.cure] == names
    assert absent == []
    result = run(problem("toy", names, clock=False), backends=infos, settings={"backends": None})
    assert exit_code(result) == ExitCode.AGREES


def test_a_comparison_of_two_runs_without_a_block_in_common_ends_with_3(tmp_path: Path):
    for name in ("toy", "iris"):
        store.save(run(problem(name, ["numpy"], clock=False)), tmp_path / name)
    for old, new, code in (("toy", "toy", ExitCode.AGREES), ("toy", "iris", ExitCode.BACKEND)):
        words = ["compare", str(tmp_path / old), str(tmp_path / new)]
        assert CliRunner().invoke(app, words, standalone_mode=False).return_value == code
