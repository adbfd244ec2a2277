"""What a Dask worker does for a campaign: say what it has, and have a job measured by a process of gradparity's own.

No code of the user's and no framework runs in the worker itself. What goes to and fro is bytes of msgspec's.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import msgspec

from gradparity.backends import missing, registered
from gradparity.processes import machine
from gradparity.processes.lifeline import GRACE_S
from gradparity.runner.settings import Settings
from gradparity.runner.shipping import Shipment
from gradparity.version import __version__

#: Packages that what is measured depends on; a worker need not have all.
PACKAGES = ("numpy", "scipy", "python-flint", "msgspec", "autograd", "jax", "jaxlib", "torch")
#: Seconds between two looks at whether a job is still wanted.
_LOOK_S = 0.2
#: Bytes of what a process of a job said last that are kept.
LAST_WORDS = 4096
#: The process that measures a job.
PROCESS = "gradparity.runner.job_process"
#: States of a worker that gives nothing back any more.
_ENDING = frozenset({"closing", "closed", "failed", "stopping"})


class Facts(msgspec.Struct, frozen=True):
    """What a worker has: versions, what would add the backends that are missing, and its machine.

    ``kernel`` tells machines apart where two have one name: containers of one machine share it.
    """

    gradparity: str
    python: str
    packages: dict[str, str]
    cures: dict[str, str]
    machine: dict[str, Any]
    host: str
    kernel: str

    @property
    def versions(self) -> dict[str, str]:
        """Whatever must be alike on all workers."""
        return {"gradparity": self.gradparity, "Python": self.python, **self.packages}


class Asked(msgspec.Struct, frozen=True):
    """A job as it is sent.

    Attributes:
        settings: of the job alone; paths in them are those of the machine that asks.
        name: what its problem is called.
        number: its place among the jobs.
        shipment: its files.
        versions: those that the worker must have.
        topic: under which the worker says that it has begun.
        alone: whether no other job of gradparity may run on the machine meanwhile.
    """

    settings: Settings
    name: str
    number: int
    shipment: Shipment
    versions: dict[str, str]
    topic: str
    alone: bool


class Answer(msgspec.Struct):
    """What a job has come to: results, or why there are none.

    Attributes:
        facts: of the worker.
        worker: its address.
        result: ``results.json`` of the job alone; empty where there is a fault.
        fault: in a line.
        unfit: whether the fault is the machine's, and the job may do elsewhere.
        detail: what its process said last.
        logs: the last words of its processes' logs, by file, where one failed.
    """

    facts: Facts | None = None
    worker: str = ""
    result: bytes = b""
    fault: str = ""
    unfit: bool = False
    detail: str = ""
    logs: dict[str, str] = {}


@cache
def facts() -> Facts:
    """Of this process: nothing is imported for it."""
    found = dict[str, str]()
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    cures = {name: missing(registration) or "" for name, registration in registered().items()}
    return Facts(__version__, platform.python_version(), found, cures, machine.describe(), platform.node(), _kernel())


def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return hashlib.sha256(platform.node().encode()).hexdigest()


def describe() -> bytes:
    """The `Facts` of a worker, as bytes."""
    return msgspec.msgpack.encode(facts())


def measure(request: bytes) -> bytes:
    """Have a job measured: a task of a Dask worker's. Takes an `Asked` and gives an `Answer`, as bytes.

    It ends, and the job with it, once nobody wants its result any more.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    asked = msgspec.msgpack.decode(request, type=Asked)

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing" and worker.status.name not in _ENDING

    with _machine_of_its_own(wanted) if asked.alone else nullcontext(True) as mine:
        worker.log_event(asked.topic, [asked.number, worker.address])
        answer = _differing(asked) or (_measured(request, wanted) if mine else Answer())
    answer.facts, answer.worker = facts(), str(worker.address)
    return msgspec.msgpack.encode(answer)


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """What two sets of versions differ in, in words such as ``jax 0.9.1 and not 0.10.0``; ``""`` where in nothing."""
    names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
    return ", ".join(f"{name} {one.get(name, 'missing')} and not {other.get(name, 'none')}" for name in names)


def _differing(asked: Asked) -> Answer | None:
    """The answer of a worker that came later and has other versions; ``None`` where they are those that are asked for.

    Between two that differ a campaign would compare versions, and not backends.
    """
    found = differing(facts().versions, asked.versions)
    return Answer(fault=f"{facts().host} has {found}", unfit=True) if found else None


@contextmanager
def _machine_of_its_own(wanted: Callable[[], bool]) -> Iterator[bool]:
    """While this is held no other job that is timed runs on the machine; false where nobody waits any more.

    A worker that is lost gives it back when its lease ends, half a minute later.
    """
    from distributed import Lock

    lock = Lock(f"gradparity-{facts().kernel}")
    while not lock.acquire(timeout=1):
        if not wanted():
            yield False
            return
    try:
        yield True
    finally:
        lock.release()


def _measured(request: bytes, wanted: Callable[[], bool]) -> Answer:
    """The answer of a process that measures the job, which is told to end as soon as nobody wants it."""
    try:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
            code = _run(request, wanted, out, said)
            out.seek(0)
            content = out.read()
            said.seek(max(0, said.seek(0, 2) - LAST_WORDS))
            words = said.read().decode("utf-8", "replace")
    except OSError as error:
        return Answer(fault=_unfit(error), unfit=True)
    try:
        return msgspec.msgpack.decode(content, type=Answer)
    except msgspec.MsgspecError:
        return Answer(fault=f"the process that measured it on {facts().host} ended with {code}", detail=words)


def _unfit(error: OSError) -> str:
    return f"{facts().host}: {error.strerror or error}"


def _run(request: bytes, wanted: Callable[[], bool], out: IO[bytes], said: IO[bytes]) -> int:
    command = [sys.executable, "-P", "-m", PROCESS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=said, start_new_session=True)
    assert process.stdin is not None  # noqa: S101
    try:
        with suppress(BrokenPipeError):  # it has ended, and said why
            process.stdin.write(b"%d\n" % len(request) + request)
            process.stdin.flush()
        while process.poll() is None and wanted():
            time.sleep(_LOOK_S)
        with suppress(BrokenPipeError):
            process.stdin.close()  # by which it ends, if it has not
        return process.wait(2 * GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
