"""A cluster that is played: what becomes of each job is what a test says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradparity.progress import Tally
from gradparity.results import Finding, ProblemResult, RunResult, store
from gradparity.runner import cluster
from gradparity.runner.observer import Observer
from gradparity.runner.remote import Answer, Asked, facts
from gradparity.runner.session import run
from gradparity.runner.settings import settings_from
from tests.user_model.models import HEAD, LOSS, model_file


class Watched:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.tallies: list[Tally] = []
        self.done: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks += [text] if text else []

    def tally(self, tally: Tally) -> None:
        self.tallies.append(tally)

    def finished(self, result: ProblemResult) -> None:
        self.done.append(result.name)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Future:
    def __init__(self, found: Any) -> None:
        self.found = found

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        if self.found is not None:
            call(self)

    def result(self, timeout: float) -> bytes:
        if isinstance(self.found, BaseException):
            raise self.found
        return msgspec.msgpack.encode(self.found)


class Played:
    """A client: what becomes of a job is what ``play`` says of it and of how often it was sent."""

    status = "running"

    def __init__(self, play: Callable[[Played, Asked, int], Any], workers: int = 2) -> None:
        self.play = play
        self.workers = {f"tcp://w{number}:1": 1 for number in range(workers)}
        self.facts = dict.fromkeys(self.workers, facts())
        self.sent: list[str] = []
        self.where: list[Any] = []
        self.cancelled: list[Any] = []

    def run(self, function: Any, on_error: str) -> dict[str, Any]:
        return {worker: encoded(found) for worker, found in self.facts.items()}

    def nthreads(self) -> dict[str, int]:
        return self.workers

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        self.began = handler

    def submit(self, function: Any, request: bytes, **options: Any) -> Future:
        asked = msgspec.msgpack.decode(request, type=Asked)
        self.sent.append(asked.name)
        self.where.append(options["workers"])
        return Future(self.play(self, asked, self.sent.count(asked.name)))

    def cancel(self, futures: list[Any], force: bool) -> None:
        self.cancelled += futures


def encoded(found: Any) -> Any:
    return found if isinstance(found, BaseException) else msgspec.msgpack.encode(found)


def result_of(asked: Asked, verdict: str = "agrees") -> Answer:
    found = Finding(backend="numpy", quantity="loss", parameter="", verdict=verdict, rule="")  # type: ignore[arg-type]
    problem = ProblemResult(
        name=asked.name, source="", digest="d", rows=1, spec={"parameters": []}, truth="t", findings=[found],
        stages=["judged"],
    )  # fmt: skip
    result = RunResult(
        gradparity_version="", command="check", settings={}, machine={}, problems=[problem], complete=True
    )
    return Answer(result=msgspec.json.encode(result), facts=facts(), worker="tcp://w0:1")


def agrees(client: Played, asked: Asked, times: int) -> Answer:
    client.began((0.0, [asked.number, "tcp://w0:1"]))
    return result_of(asked)


def measured(
    client: Played, folder: Path, monkeypatch: pytest.MonkeyPatch, watched: Observer | None = None, **options: Any
) -> RunResult:
    """What a check of three models on that cluster comes to."""

    @contextmanager
    def connected(address: str, observer: Observer) -> Iterator[Played]:
        yield client

    monkeypatch.setattr(cluster, "connected", connected)
    paths = [model_file(folder, HEAD + LOSS, f"{name}.py") for name in "abc"]
    again = {name: options.pop(name, False) for name in ("resume", "force")}
    given = {"out": folder / "out", "scheduler": "tcp://here:1", "backends": "numpy,autograd", **options}
    return run(settings_from("check", given, paths), watched or Watched(), **again)  # type: ignore[arg-type]


def on_disk(folder: Path) -> RunResult:
    return store.read(folder / "out")
