"""The processes of a sharded backend, one a rank, as their parent sees them: one that is asked, and others beside it.

Every request goes to every rank, and every rank answers. What is the same on all ranks is compared, bit by bit.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import numpy as np
import psutil

from gradparity.backends import Registration
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.launch import Launch
from gradparity.processes.peer import OutOfTime, WorkerFailed
from gradparity.worker import messages as m
from gradparity.worker.wire import Arrays, Request

#: Seconds for the other ranks to answer where one has failed: those that failed alike do at once, others wait for it.
GRACE_S = 2.0
#: Seconds for a process to write where it is.
LOOK_S = 0.5
#: Files in whose code a rank waits for the others.
_WAITING = re.compile(r"/torch/(distributed|nn/parallel|autograd)/|/jax/|/jaxlib/|/gradparity/(worker|backends)/")
#: Files that are none of the user's.
_LIBRARY = re.compile(r"/site-packages/|/lib/python3|/gradparity/|<")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (\S+)$', re.MULTILINE)


def started(
    backend: str, registration: Registration, launch: Launch, ranks: int, *, one_core: bool = False
) -> WorkerProcess:
    """The process of a backend, or the processes of a sharded one: begun to import, to be asked."""
    if registration.sharded:
        return WorkerGroup(backend, registration, launch, ranks, one_core=one_core)
    return WorkerProcess(backend, registration, launch, one_core=one_core)


def launches(launch: Launch, ranks: int) -> list[Launch]:
    """How each rank is started: with the variables that ``torchrun`` sets, and a log of its own but for rank 0."""
    port = free_port()
    found = []
    for rank in range(ranks):
        log = launch.log.with_name(f"{launch.log.stem}.rank{rank}{launch.log.suffix}") if rank else launch.log
        found.append(
            msgspec.structs.replace(
                launch,
                log=log,
                variables={
                    **launch.variables,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(ranks),
                    "LOCAL_WORLD_SIZE": str(ranks),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                    **({"GLOO_SOCKET_IFNAME": "lo"} if Path("/sys/class/net/lo").exists() else {}),
                },
                listener=launch.listener if not rank else None,
            )
        )
    return found


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class _Rank(WorkerProcess):
    """One of the processes: before it is ended for its silence, everybody is looked at."""

    before_end: Callable[[], None] | None = None

    def _overdue(self, limit: Any) -> WorkerFailed:
        if self.before_end is not None:
            self.before_end()
        return super()._overdue(limit)


class WorkerGroup(WorkerProcess):
    """The processes of a sharded backend, asked like one: the answer is that of rank 0.

    Args:
        backend: name for messages.
        registration: where the backend lives, and in which interpreter.
        launch: how its processes are started; the log is that of rank 0.
        ranks: how many they are.
        one_core: tie each process to one core.
    """

    def __init__(
        self, backend: str, registration: Registration, launch: Launch, ranks: int, *, one_core: bool = False
    ) -> None:  # none of one process's own: there are several
        self.backend, self.launch = backend, launch
        self._pending = m.Configure
        self._places: dict[int, tuple[str, bool]] | None = None
        self._looking = Lock()
        self._all = [
            _Rank(backend, registration, each, one_core=one_core, rank=rank, ranks=ranks)
            for rank, each in enumerate(launches(launch, ranks))
        ]
        for each in self._all:
            each.before_end = self._look

    @property
    def ranks(self) -> int:
        """How many processes there are."""
        return len(self._all)

    @property
    def pid(self) -> int:
        """Process id of rank 0."""
        return self._all[0].pid

    def send(self, request: Request[Any]) -> None:
        """Send a request to every rank; raises as one process does, with the rank that is at fault.

        What is done for as long as some seconds allow is done to its end: each rank would stop elsewhere.
        """
        limits: dict[type[Request[Any]], float | None] = {m.Perturb: np.inf, m.Extrapolate: np.inf}
        limits |= dict.fromkeys((m.Descend, m.Train))
        if type(request) in limits:
            request = msgspec.structs.replace(request, seconds=limits[type(request)])
        self._pending = type(request)
        for rank, each in enumerate(self._all):
            try:
                each.send(request)
            except WorkerFailed as failure:
                raise self._fault({rank: failure}) from None

    def receive(self, *, timeout_s: float | None = None, share_s: float | None = None) -> Any:
        """The answer of rank 0, once every rank has answered.

        Raises:
            WorkerFailed: a rank has failed, and all are ended; or all have raised the same, and live.
        """
        self._places = None
        with ThreadPoolExecutor(self.ranks) as pool:
            waited = [pool.submit(each.receive, timeout_s=timeout_s, share_s=share_s) for each in self._all]
            if wait(waited, return_when=FIRST_EXCEPTION).not_done:
                wait(waited, timeout=GRACE_S)
            late = {rank for rank, each in enumerate(waited) if not each.done()}
            if late:
                self.kill()
        failures = {rank: error for rank, each in enumerate(waited) if (error := _failure(each)) is not None}
        if not failures:
            return self._alike([each.result() for each in waited])
        alike = len({(each.kind, each.reason, each.alive) for each in failures.values()}) == 1
        if alike and len(failures) == self.ranks and failures[0].alive:
            raise failures[0]
        raise self._fault({rank: each for rank, each in failures.items() if rank not in late})

    def _fault(self, failed: dict[int, WorkerFailed]) -> WorkerFailed:
        """The failure of the rank that is to blame, after which no process is left."""
        self.kill()
        late = next((each for each in failed.values() if isinstance(each, OutOfTime)), None)
        if late is not None:
            where = self._where()
            return OutOfTime(late.backend, f"{late.stage}{f' ({where})' if where else ''}", late.share_s)
        dead = {rank: each for rank, each in failed.items() if not each.alive}
        overdue = {rank for rank, each in dead.items() if each.reason.startswith("no answer")}
        if overdue and overdue == set(dead):
            return self._of_silent(dead)
        # One that ended is at fault before those that raised, since they lost their connection to it.
        rank, failure = next(
            iter({rank: each for rank, each in (dead or failed).items() if rank not in overdue}.items())
        )
        return WorkerFailed(
            *(self.backend, failure.stage, f"rank {rank} of {self.ranks}: {failure.reason}"),
            detail=failure.detail,
            kind=failure.kind,
        )

    def _of_silent(self, dead: dict[int, WorkerFailed]) -> WorkerFailed:
        """The failure of ranks that did not answer."""
        first, where = next(iter(dead.values())), self._where()
        return WorkerFailed(self.backend, first.stage, f"{first.reason}{f': {where}' if where else ''}")

    def _where(self) -> str:
        """Which ranks wait for no other, and where they are: at fault for a silence. ``""`` where none is told."""
        seen = self._places or {}
        busy = {rank: place for rank, (place, waits) in seen.items() if place and not waits}
        all_wait = bool(seen) and all(waits for _, waits in seen.values())
        places = {rank: place for rank, (place, _) in seen.items() if place} if all_wait else busy
        where = "; ".join(f"rank {rank} of {self.ranks} is {place}" for rank, place in sorted(places.items()))
        if where and all_wait:
            return f"all wait: {where}"
        if where and len(busy) < self.ranks:
            where += ", and the others wait for it" if len(busy) == 1 else ", and the others wait for them"
        return where

    def _look(self) -> None:
        """Find out, once, where each rank is, and whether it waits for another; before any is ended."""
        with self._looking:
            if self._places is None:
                self._places = dict(enumerate(_whereabouts(self._all)))

    def _alike(self, answers: list[Any]) -> Any:
        """The first answer, with what in the others should be the same and is not."""
        first = answers[0]
        if isinstance(first, m.Evaluated):
            ranks = {
                rank: apart
                for rank, each in enumerate(answers[1:], 1)
                if (apart := _apart(first.quantities, each.quantities))
            }
            unsound = next((each for each in answers if each.impurity), first)
            return msgspec.structs.replace(first, ranks=ranks, impurity=unsound.impurity, verdict=unsound.verdict)
        if isinstance(first, m.MeasuredMemory):
            return m.MeasuredMemory(sum(each.peak_bytes for each in answers))
        if isinstance(first, m.Configured):
            return msgspec.structs.replace(first, resident_bytes=sum(each.resident_bytes for each in answers))
        replicated = [_replicated(each) for each in answers]
        for rank, each in enumerate(replicated[1:], 1):
            for name, value in _apart({"": replicated[0]}, {"": each}).get("", {}).items():
                words = f"rank {rank}'s {name} {difference(replicated[0][name], value)}: it is not replicated"
                raise WorkerFailed(self.backend, self._stage, words, alive=True)
        return first

    def kill(self) -> None:
        """End all ranks, and what they started."""
        for each in self._all:
            each.kill()

    def close(self) -> None:
        """Kill what has not ended, and let go of the channels."""
        for each in self._all:
            each.close()


def _failure(answer: Future[Any]) -> WorkerFailed | None:
    error = answer.exception()
    if error is None or isinstance(error, WorkerFailed):
        return error
    raise error


def _replicated(answer: Any) -> Arrays:
    """What of an answer every rank should have alike."""
    if isinstance(answer, m.Descended):
        return {"loss along training": answer.losses, **{f"trained {n}": value for n, value in answer.params.items()}}
    if isinstance(answer, m.Trained):
        path = answer.path
        return {"loss along training": np.asarray(path.losses), "trained parameters": np.asarray(path.params)}
    if isinstance(answer, m.Sampled):
        return {name or "loss": value for name, value in answer.output.items()}
    return {}


def difference(first: Any, other: Any) -> str:
    """How far an array of another rank is from rank 0's, in words."""
    if first.shape != other.shape or first.dtype != other.dtype:
        return f"is {other.dtype} of shape {other.shape}, rank 0's {first.dtype} of shape {first.shape}"
    finite = [bool(np.isfinite(each).all()) for each in (first, other)]
    if not all(finite):
        which = "both have entries" if not any(finite) else f"{'rank 0' if finite[1] else 'it'} has entries"
        return f"differs from rank 0's, and {which} that are not finite"
    return f"differs from rank 0's by up to {float(np.abs(other - first).max()):.3g}"


def _apart(first: Any, other: Any) -> Any:
    """Of some trees of arrays those of another rank that differ in a bit, or in shape."""
    return {
        quantity: apart
        for quantity, tree in other.items()
        if (apart := {name: value for name, value in tree.items() if _differs(first[quantity].get(name), value)})
    }


def _differs(first: Any, other: Any) -> bool:
    return first is not None and (first.shape != other.shape or first.tobytes() != other.tobytes())


def _whereabouts(ranks: list[Any]) -> list[tuple[str, bool]]:
    """Where each rank is, in words, and whether it waits for another there; ``""`` where it is not known."""
    found, asked = dict[int, tuple[str, bool]](), dict[int, int]()
    for place, each in enumerate(ranks):
        with contextlib.suppress(psutil.Error, OSError):
            if psutil.Process(each.pid).status() == psutil.STATUS_STOPPED:
                found[place] = "stopped by a signal", False
                continue
            asked[place] = each.launch.log.stat().st_size
            os.kill(each.pid, signal.SIGUSR1)
    time.sleep(LOOK_S)
    for place, before in asked.items():
        with contextlib.suppress(OSError), ranks[place].launch.log.open("rb") as log:
            log.seek(before)
            frames = _FRAME.findall(log.read().decode(errors="replace"))
            waits = bool(frames and _WAITING.search(frames[0][0]))
            file, line, function = next(
                (each for each in frames if not (waits and _LIBRARY.search(each[0]))), ("",) * 3
            )
            found[place] = f"in {Path(file).name}, line {line}, {function}" if file else "", waits
    return [found.get(place, ("", False)) for place in range(len(ranks))]
