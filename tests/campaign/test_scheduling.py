"""A campaign on a cluster that is played: what is lost, too late or gone, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from gradparity.model_spec.errors import InputError
from gradparity.progress import Tally
from gradparity.report.facts.overview import overview
from gradparity.report.terminal.tally import Count
from gradparity.results import ProblemResult, store
from gradparity.runner import campaign, shipping
from gradparity.runner.plan import plan_of
from gradparity.runner.record import Record
from gradparity.runner.remote import Answer, Asked, facts
from gradparity.runner.session import found_earlier
from gradparity.runner.settings import settings_from
from tests.campaign.played import Future, Played, Watched, agrees, measured, on_disk, result_of
from tests.conftest import Clock
from tests.user_model.models import HEAD, LOSS

distributed = pytest.importorskip("distributed")


def test_results_are_in_the_order_of_the_command_whichever_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    late: list[tuple[Future, Callable[[Any], None]]] = []

    def play(client: Played, asked: Asked, times: int) -> Any:
        return result_of(asked)

    def keep(self: Future, call: Callable[[Any], None]) -> None:
        late.append((self, call))
        if len(late) == 3:
            for future, each in reversed(late):
                each(future)

    monkeypatch.setattr(Future, "add_done_callback", keep)
    watched = Watched()
    result = measured(Played(play), tmp_path, monkeypatch, watched)  # type: ignore[arg-type]
    assert watched.done == ["c.py", "b.py", "a.py"]
    assert [problem.name for problem in result.problems] == ["a.py", "b.py", "c.py"]
    assert [problem.place.job for problem in result.problems if problem.place] == [0, 1, 2]
    assert result.complete and on_disk(tmp_path) == result  # noqa: PT018
    assert list(result.machines) == [facts().host]


def test_a_job_whose_worker_is_lost_each_time_has_failed_and_the_others_have_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Dask runs it again by itself: what is seen here is that it begins, three times, and then once more."""

    def play(client: Played, asked: Asked, times: int) -> Any:
        if asked.name != "b.py":
            return agrees(client, asked, times)
        for number in range(4):
            client.began((0.0, [asked.number, f"tcp://w{number}:1"]))
        return None

    client = Played(play)
    result = measured(client, tmp_path, monkeypatch)
    assert len(client.cancelled) == 1
    assert [len(problem.troubles) for problem in result.problems] == [0, 2, 0]
    lost = result.problems[1]
    assert {trouble.reason for trouble in lost.troubles} == {"lost with its worker 3 times, last on tcp://w3:1"}
    assert [trouble.backend for trouble in lost.troubles] == ["numpy", "autograd"]
    assert {found.verdict for found in lost.findings} == {"failed"}
    assert overview(result).headline == "numpy and autograd failed on b.py; what else was checked agrees."
    assert on_disk(tmp_path) == result


@pytest.mark.parametrize(
    "error",
    [distributed.KilledWorker("key", None, 2), RuntimeError("no such function"), CancelledError()],
    ids=["killed", "raised", "cancelled by another"],
)
def test_what_ends_a_task_is_a_failure_of_that_job_alone(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def play(client: Played, asked: Asked, times: int) -> Any:
        return error if asked.name == "a.py" else agrees(client, asked, times)

    result = measured(Played(play), tmp_path, monkeypatch)
    assert [bool(problem.troubles) for problem in result.problems] == [True, False, False]
    assert result.complete


def test_a_model_whose_files_cannot_be_sent_has_failed_and_the_others_have_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shipping, "MOST_BYTES", 2000)
    real = shipping.shipment_of

    def grown(job: Any, folder: Path) -> Any:
        if job.name == "b.py":
            (tmp_path / "b.py").write_bytes(bytes(3000))
        return real(job, folder)

    monkeypatch.setattr(campaign, "shipment_of", grown)
    result = measured(Played(agrees), tmp_path, monkeypatch)
    assert [bool(problem.troubles) for problem in result.problems] == [False, True, False]
    assert "files of b.py" in result.problems[1].troubles[0].reason
    assert result.complete


def test_a_job_that_its_machine_cannot_do_is_sent_to_others_twice_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def play(client: Played, asked: Asked, times: int) -> Any:
        client.began((0.0, [asked.number, f"tcp://w{times - 1}:1"]))
        if asked.name == "a.py" or (asked.name == "b.py" and times < 2):
            return Answer(fault="host: No space left on device", unfit=True, worker=f"tcp://w{times - 1}:1")
        return result_of(asked)

    watched, client = Watched(), Played(play, workers=5)
    result = measured(client, tmp_path, monkeypatch, watched)  # type: ignore[arg-type]
    assert client.sent.count("a.py") == 3
    assert client.sent.count("b.py") == 2
    unfit = [each for each in client.where if each is not None]
    assert all("tcp://w0:1" not in each for each in unfit)
    assert {trouble.reason for trouble in result.problems[0].troubles} == {"host: No space left on device"}
    place = result.problems[1].place
    assert place is not None
    assert place.again == 1
    assert watched.remarks[0] == "a.py: host: No space left on device; it is sent elsewhere"


def test_where_no_other_worker_is_left_it_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def play(client: Played, asked: Asked, times: int) -> Any:
        return Answer(fault="host: No space left on device", unfit=True, worker="tcp://w0:1")

    result = measured(Played(play, workers=1), tmp_path, monkeypatch)
    assert all(problem.troubles for problem in result.problems)


def test_a_scheduler_that_goes_away_ends_the_run_with_what_has_come_back_and_the_next_session_does_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def play(client: Played, asked: Asked, times: int) -> Any:
        if asked.name == "a.py":
            return agrees(client, asked, times)
        client.status = "connecting"
        return distributed.client.FutureCancelledError("key", "scheduler-connection-lost")

    with pytest.raises(InputError, match=r"tcp://here:1, which has gone away.*--resume"):
        measured(Played(play), tmp_path, monkeypatch)
    saved = on_disk(tmp_path)
    assert [problem.name for problem in saved.problems] == ["a.py"]
    assert not saved.complete
    again = Played(agrees)
    result = measured(again, tmp_path, monkeypatch, resume=True)
    assert again.sent == ["b.py", "c.py"]
    assert [problem.name for problem in result.problems] == ["a.py", "b.py", "c.py"]
    assert result.problems[0] == saved.problems[0]
    assert len(result.sessions) == 2
    third = Played(agrees)
    assert measured(third, tmp_path, monkeypatch, resume=True).problems == result.problems
    assert third.sent == []


def test_what_failed_is_measured_again_and_a_model_that_has_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def play(client: Played, asked: Asked, times: int) -> Any:
        return RuntimeError() if asked.name == "b.py" else agrees(client, asked, times)

    measured(Played(play), tmp_path, monkeypatch)
    again = Played(agrees)
    assert not measured(again, tmp_path, monkeypatch, resume=True).troubles
    assert again.sent == ["b.py"]
    before = (tmp_path / "out" / "results.json").read_bytes()
    written = HEAD + LOSS + "\n# since\n"

    def changing(client: Played, asked: Asked, times: int) -> Any:
        raise AssertionError("nothing is measured")

    monkeypatch.setattr("tests.campaign.played.HEAD", written.removesuffix(LOSS))
    with pytest.raises(InputError, match=r"--resume.*a\.py, whose files changed since"):
        measured(Played(changing), tmp_path, monkeypatch, resume=True)
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_what_was_half_measured_elsewhere_is_not_gone_on_with_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Half of its backends would be timed on another machine than the rest."""

    def play(client: Played, asked: Asked, times: int) -> Any:
        return RuntimeError() if asked.name == "b.py" else agrees(client, asked, times)

    measured(Played(play), tmp_path, monkeypatch)
    paths = [str(tmp_path / f"{name}.py") for name in "abc"]
    here = settings_from("check", {"out": tmp_path / "out", "backends": "numpy,autograd"}, paths)
    record = Record(here, [], tmp_path / "out", Watched())  # type: ignore[arg-type]
    assert [problem.name for problem in found_earlier(record, plan_of(here))] == ["a.py", "c.py"]


def test_what_was_measured_here_is_measured_again_where_the_rest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    result = measured(Played(agrees), tmp_path, monkeypatch)
    result.problems[1].place = None
    result.complete = False
    store.save(result, tmp_path / "out")
    again = Played(agrees)
    assert measured(again, tmp_path, monkeypatch, resume=True).complete
    assert again.sent == ["b.py"]


def test_an_interruption_cancels_what_is_under_way_and_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Interrupting(Watched):
        def finished(self, result: ProblemResult) -> None:
            raise KeyboardInterrupt

    def play(client: Played, asked: Asked, times: int) -> Any:
        return agrees(client, asked, times) if asked.name == "a.py" else None

    client = Played(play)
    with pytest.raises(KeyboardInterrupt) as caught:
        measured(client, tmp_path, monkeypatch, Interrupting())  # type: ignore[arg-type]
    assert store.SAVED in caught.value.__notes__
    assert len(client.cancelled) == 2
    assert [problem.name for problem in on_disk(tmp_path).problems] == ["a.py"]


def test_a_budget_that_is_over_leaves_jobs_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[float | None] = []

    def play(client: Played, asked: Asked, times: int) -> Any:
        seen.append(asked.settings.budget_s)
        return agrees(client, asked, times)

    result = measured(Played(play), tmp_path, monkeypatch, budget=1e-9)
    assert result.left_out == ["a.py", "b.py", "c.py"]
    assert seen == []
    again = measured(Played(play, workers=1), tmp_path / "out", monkeypatch, budget=300.0)
    assert again.left_out == []
    assert seen[0] == pytest.approx(100, rel=0.1)  # one after the other: a third each
    assert all(each is not None and math.isfinite(each) for each in seen)


def test_what_disagrees_and_what_failed_is_counted_as_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def play(client: Played, asked: Asked, times: int) -> Any:
        client.began((0.0, [asked.number, "tcp://w0:1"]))
        return RuntimeError() if asked.name == "c.py" else result_of(asked, "wrong" if asked.name == "b.py" else "kink")

    watched = Watched()
    measured(Played(play), tmp_path, monkeypatch, watched)  # type: ignore[arg-type]
    assert watched.tallies[0] == Tally(0, 0, 0, 3, 0)
    assert watched.tallies[-1] == Tally(3, 1, 1, 3, 2)


def test_no_variable_of_here_and_no_baseline_is_left_to_the_other_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HIDDEN", "a-secret")
    sent: list[Asked] = []

    def play(client: Played, asked: Asked, times: int) -> Any:
        sent.append(asked)
        return agrees(client, asked, times)

    result = measured(Played(play), tmp_path, monkeypatch, env=["HIDDEN", "A=1", "ABSENT"])
    assert sent[0].settings.environment == ("HIDDEN=a-secret", "A=1")
    assert sent[0].settings.scheduler is None
    assert "a-secret" not in store.encode(result).decode()


def test_the_rate_is_of_this_session_and_the_rest_follows_from_it(clock: Clock):
    count = Count(clock)
    assert not count.known
    count.take(Tally(0, 0, 0, 1500, 0))
    count.take(Tally(100, 2, 0, 1500, 0))  # an earlier session's
    clock.now_s += 60
    count.take(Tally(100, 2, 0, 1500, 4))
    assert count.line() == "100 of 1,500 done: 2 disagree, 0 failed, 1,400 left; 4 at once"
    clock.now_s += 60
    count.take(Tally(220, 3, 1, 1500, 4))
    assert count.line().endswith("3 disagree, 1 failed, 1,280 left; 4 at once, 60 a minute, about 21 min left")
    assert count.table().row_count == 1
