"""A run that is interrupted at any request and gone on with: the same rounds as of one that never was."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.model_spec.errors import InputError
from gradparity.results import NotGiven, ProblemResult, RunResult, store
from gradparity.results.blocks import CALLS, timed_of, timing_of
from gradparity.runner.observer import NullObserver
from gradparity.runner.plan import plan_of
from gradparity.runner.resume import COMPILED, JUDGED, TIMED, UNCERTIFIED, UNTIMELY, is_done, kept, require_same
from gradparity.runner.session import run
from gradparity.runner.settings import Settings
from gradparity.worker import messages as m
from gradparity.worker.wire import Request
from tests.cell_clocks import PAIR
from tests.simulated_workers import LATEST, STILL, Computer, SimulatedRun, SimulatedWorker, clocked


class Interrupted:
    """Ctrl-C at the n-th request."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, worker: SimulatedWorker, request: Request[Any]) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def rounds(problem: ProblemResult) -> Counter[tuple[str, str, int]]:
    """Rounds of each backend, kind of call and process pair."""
    found: Counter[tuple[str, str, int]] = Counter()
    for timing in [*problem.timings, *([problem.twin] if problem.twin else [])]:
        for call in ("step", "loop", "primal", "collected"):
            timed = getattr(timing, call)
            beside = call in ("primal", "collected")  # in the processes of whichever pair they were taken
            found.update(
                (timing.backend, call, -1 if beside else each.pair) for each in (timed.rounds if timed else [])
            )
    return found


def read_again(run: SimulatedRun) -> ProblemResult:
    """The problem as the next session finds it on disk."""
    return msgspec.json.decode(msgspec.json.encode(run.outcome), type=ProblemResult)


WHOLE = Computer(STILL, PAIR)
BENCH = plan_of(Settings(command="bench", out=""))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ProblemResult:
    return clocked(WHOLE, tmp_path_factory.mktemp("whole"), profile="standard").outcome


def interrupted_at(place: int, folder: Path) -> ProblemResult | None:
    """What a session leaves that is interrupted at that request; ``None`` where it ends before."""
    try:
        clocked(Computer(STILL, PAIR, fault=Interrupted(place)), folder, profile="standard")
    except KeyboardInterrupt:
        return read_again(LATEST[0])
    return None


@pytest.mark.slow
def test_a_session_after_an_interruption_at_any_request_measures_what_is_missing_and_nothing_else(
    whole: ProblemResult, tmp_path: Path
):
    requests = len(WHOLE.asked)

    @settings(max_examples=60, deadline=None)
    @given(place=st.integers(0, requests - 1))
    def holds(place: int) -> None:
        before = interrupted_at(place, tmp_path)
        second = Computer(STILL, PAIR)
        after = clocked(second, tmp_path, profile="standard", earlier=kept(before)).outcome
        assert rounds(after) == rounds(whole)
        for timing in before.timings:
            again = timing_of(after, timing.backend)
            for call in CALLS:
                old, new = timed_of(timing, call), timed_of(again, call)
                finished = [each for each in old.rounds if f"{call} {each.pair}" in before.stages] if old else []
                assert finished == (new.rounds if new else [])[: len(finished)]
        # A finished stage is not sampled again: as many blocks as the whole run has, less those.
        done = sum(count for (_, call, pair), count in rounds(before).items() if f"{call} {pair}" in before.stages)
        sampled = sum(isinstance(request, m.Sample) and request.call in ("step", "loop") for _, request in second.asked)
        everything = sum(isinstance(r, m.Sample) and r.call in ("step", "loop") for _, r in WHOLE.asked)
        assert sampled <= everything - 4 * done

    holds()


def test_what_came_to_its_end_is_on_disk_before_anybody_is_asked_anything_else(tmp_path: Path):
    asked = list[str]()

    def look(worker: SimulatedWorker, request: Request[Any]) -> None:
        ended = [each for each in LATEST[0].outcome.stages if each != TIMED]
        if ended:
            saved = msgspec.json.decode((tmp_path / store.RESULTS_FILE).read_bytes(), type=RunResult).problems[0]
            assert saved.stages == ended, request
            assert rounds(saved) >= Counter(
                {key: n for key, n in rounds(LATEST[0].outcome).items() if _ended(key, ended)}
            )
            asked.append(type(request).__name__)

    clocked(Computer(STILL, PAIR, fault=look), tmp_path, profile="standard", saves=True)
    assert {"MeasureLimits", "Sample", "Configure"} <= {*asked}


def _ended(key: tuple[str, str, int], stages: list[str]) -> bool:
    return f"{key[1]} {key[2]}" in stages


def test_a_session_that_is_killed_at_its_first_save_has_lost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = Settings(command="check", out=str(tmp_path), data=("toy",), backends=["numpy"], steps=2)
    found = run(settings, NullObserver())
    store.save(msgspec.structs.replace(found, complete=False), tmp_path)
    save = store.save

    def killed(result: RunResult, folder: Path, **how: bool) -> None:
        save(result, folder, **how)
        monkeypatch.setattr(store, "save", lambda *_, **__: None)  # nothing is written by who was killed
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(settings, NullObserver(), resume=True)
    assert msgspec.json.encode(store.read(str(tmp_path)).problems) == msgspec.json.encode(found.problems)


def test_what_a_finished_problem_left_is_not_touched(whole: ProblemResult):
    assert TIMED in whole.stages
    whole.stages.append(JUDGED)
    assert is_done(whole, BENCH)
    whole.left_out = ["loops"]
    assert not is_done(whole, BENCH)
    assert TIMED not in kept(whole).stages


def test_what_was_judged_without_a_truth_for_want_of_time_is_judged_anew(whole: ProblemResult):
    whole = msgspec.structs.replace(whole, stages=[*whole.stages, JUDGED, UNCERTIFIED])
    whole.left_out = ["truth, no answer in its share of the budget, 5 s"]
    assert kept(whole).checked == whole.checked != []  # a model without a loss to certify has no more to come
    whole.stages.append(UNTIMELY)
    assert not kept(whole).checked
    assert not kept(whole).findings
    assert not {JUDGED, UNCERTIFIED, UNTIMELY} & {*kept(whole).stages}


def test_a_backend_whose_training_or_compilation_was_cut_short_is_checked_anew(whole: ProblemResult):
    whole = msgspec.structs.replace(whole, stages=[*whole.stages, JUDGED, TIMED], left_out=[])
    names = [each.backend for each in whole.checked]
    assert len(names) > 1
    assert is_done(whole, BENCH)
    whole.left_out = [f"{names[0]}: training: 37 of 1000 steps"]
    assert [each.backend for each in kept(whole).checked] == names[1:]
    assert JUDGED not in kept(whole).stages
    whole.left_out = []
    whole.not_given = [NotGiven(backend=names[1], quantity=COMPILED["hvp"], reason="slow", cure="scan")]
    assert not is_done(whole, BENCH)
    assert [each.backend for each in kept(whole).checked] == [name for name in names if name != names[1]]


def test_a_backend_that_was_lost_is_timed_later_in_as_many_pairs_as_the_others(whole: ProblemResult, tmp_path: Path):
    """As if jax had been lost in its import: nothing of it was timed."""
    lost = msgspec.json.decode(msgspec.json.encode(whole), type=ProblemResult)
    lost.timings = [timing for timing in lost.timings if timing.backend != "jax"]
    after = clocked(Computer(STILL, PAIR), tmp_path, profile="standard", earlier=lost).outcome
    pairs = {pair for name, call, pair in rounds(after) if (name, call) == ("jax", "step")}
    assert len(pairs) == len({pair for name, call, pair in rounds(whole) if (name, call) == ("jax", "step")})
    assert min(pairs) > 0  # pairs of their own, with the reference started again


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {"steps": 2}}, "steps: 2, which was 1"),
        ({"machine": {"cpu": "another"}}, "cpu: 'another', which was 'one'"),
        ({"command": "run"}, "command: 'run', which was 'check'"),
        ({"gradparity_version": "2"}, "gradparity: '2', which was '1'"),
    ],
)
def test_what_differs_is_named(change: dict[str, object], said: str):
    usual = {
        "gradparity_version": "1",
        "command": "check",
        "settings": {"steps": 1, "out": "a"},
        "machine": {"cpu": "one"},
    }
    with pytest.raises(InputError, match=said):
        require_same(RunResult(**usual), RunResult(**usual | change))


def test_where_it_is_written_and_what_it_may_spend_can_differ():
    usual = {"gradparity_version": "1", "command": "check", "machine": {}}
    require_same(
        RunResult(**usual, settings={"out": "a", "budget_s": 1}),
        RunResult(**usual, settings={"out": "b", "budget_s": 9}),
    )


def test_a_file_in_the_making_is_gone_after_a_failure_and_what_was_there_stays(tmp_path: Path, monkeypatch):
    path = tmp_path / "results.json"
    store.replace_file(path, b"before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match="No space left on device"):
        store.replace_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
