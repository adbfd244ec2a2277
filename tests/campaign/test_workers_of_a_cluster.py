"""What a cluster's workers have, and what is said of those that lack it, differ or go away; on one that is played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradparity.model_spec.errors import InputError
from gradparity.report.facts.receipt import receipt_line, receipt_tables
from gradparity.results import ProblemResult
from gradparity.runner import cluster
from gradparity.runner.remote import Asked, facts
from tests.campaign.played import Played, Watched, agrees, measured, on_disk, result_of

distributed = pytest.importorskip("distributed")


def test_workers_that_all_go_away_are_waited_for_and_then_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "WORKERS_S", 0.05)
    monkeypatch.setattr(cluster, "LOOK_S", 0.01)

    class Leaving(Watched):
        def finished(self, result: ProblemResult) -> None:
            client.workers = {}

    def play(client: Played, asked: Asked, times: int) -> Any:
        return agrees(client, asked, times) if asked.name == "a.py" else None

    client = Played(play)
    with pytest.raises(InputError, match="tcp://here:1, which has no workers"):
        measured(client, tmp_path, monkeypatch, Leaving())  # type: ignore[arg-type]
    assert [problem.name for problem in on_disk(tmp_path).problems] == ["a.py"]


OTHER = msgspec.structs.replace(facts(), packages={**facts().packages, "jax": "0.1.0"})


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (OTHER, r"tcp://w1:1 with jax 0\.1\.0 and not [0-9.]+ as on tcp://w0:1"),
        (msgspec.structs.replace(facts(), python="3.9.0"), r"tcp://w1:1 with Python 3\.9\.0 and not"),
        (msgspec.structs.replace(facts(), gradparity="0.0.1"), r"gradparity 0\.0\.1 and not"),
        (ModuleNotFoundError("No module named 'gradparity'"), "tcp://w1:1: No module named 'gradparity'"),
    ],
    ids=["framework", "python", "gradparity", "none"],
)
def test_workers_with_different_versions_are_refused_in_a_line(
    second: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client = Played(agrees)
    client.facts["tcp://w1:1"] = second
    with pytest.raises(InputError, match=said) as refused:
        measured(client, tmp_path, monkeypatch)
    assert "\n" not in str(refused.value)
    assert client.sent == []


def test_another_gradparity_than_here_is_refused_and_another_framework_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client = Played(agrees)
    client.facts = dict.fromkeys(client.facts, msgspec.structs.replace(facts(), gradparity="0.0.1"))
    with pytest.raises(InputError, match=r"gradparity 0\.0\.1 on tcp://w0:1, expected"):
        measured(client, tmp_path, monkeypatch)
    watched, client = Watched(), Played(agrees)
    client.facts = dict.fromkeys(client.facts, OTHER)
    measured(client, tmp_path, monkeypatch, watched)  # type: ignore[arg-type]
    assert watched.remarks == [f"the workers have jax 0.1.0 and not {facts().packages['jax']} as here"]


def test_backends_are_those_of_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    client = Played(lambda client, asked, times: RuntimeError())
    cures = {"numpy": "", "torch": "pip install torch"}  # and one that takes part only where it is named
    own = msgspec.structs.replace(facts(), cures=cures | {"jax-distributed": ""})
    client.facts = dict.fromkeys(client.facts, own)
    result = measured(client, tmp_path, monkeypatch, backends=None)
    assert {info.name: info.cure for info in result.backends} == cures
    assert {trouble.backend for trouble in result.troubles} == {"numpy"}


def test_machines_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kinds = [msgspec.structs.replace(facts(), kernel=kernel) for kernel in ("one", "two", "one")]

    def play(client: Played, asked: Asked, times: int) -> Any:
        answer = result_of(asked)
        answer.facts, answer.worker = kinds[asked.number], f"tcp://w{asked.number}:1"
        return answer

    result = measured(Played(play), tmp_path, monkeypatch)
    assert "measured on " in receipt_line(result)
    table = next(table for table in receipt_tables(result) if table.caption == "Machines that measured")
    assert [row[-1].text for row in table.rows] == ["2", "1"]
    host = facts().host
    names = [problem.place.machine for problem in result.problems if problem.place]
    assert names == [host, f"{host} (tcp://w1:1)", host]
    assert list(result.machines) == [host, f"{host} (tcp://w1:1)"]


def test_it_is_of_one_package_more_and_that_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with (
        pytest.raises(InputError, match=r"pip install 'gradparity\[dask\]'"),
        cluster.connected("local", Watched()),  # type: ignore[arg-type]
    ):
        pass
