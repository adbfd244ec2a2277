"""A connection to a Dask cluster: one that is there, or one of this machine's own; and what its workers have."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from gradparity.model_spec.errors import InputError
from gradparity.processes.machine import usable_cores
from gradparity.processes.scratch import scratch_folder
from gradparity.runner.observer import Observer
from gradparity.runner.parsing import LOCAL
from gradparity.runner.remote import Facts, describe, differing, facts

#: What is at fault.
OPTION = "--scheduler"
#: Seconds within which a scheduler answers, a local one starts, and a first worker is there.
CONNECT_S, START_S, WORKERS_S = 10.0, 60.0, 60.0
#: Seconds after which a look is taken at who is there.
LOOK_S = 1.0
#: Cores that a job of a check keeps busy, mostly.
CORES_EACH = 2


@contextmanager
def connected(address: str, observer: Observer) -> Iterator[Any]:
    """A client of the cluster, at least one of whose workers is there; what is local ends when it is left.

    Raises:
        InputError: Dask is not installed, nobody answers at the address, or there are no workers.
    """
    if find_spec("distributed") is None:
        cure = "pip install 'gradparity[dask]'"
        raise InputError(OPTION, got="no package distributed here", expected="Dask's", cure=cure)
    with ExitStack() as stack:
        stack.enter_context(_quietly())
        from distributed import Client, Security

        encrypted, asked = address.startswith(("tls:", "wss:")), Security().get_connection_args("client")
        if asked["require_encryption"] and not encrypted:
            cure = "tls://host:port, of a scheduler that has certificates."
            expected = (
                "one that is encrypted, as distributed.comm.require-encryption in Dask's own configuration has it"
            )
            raise InputError(OPTION, got=address, expected=expected, cure=cure)
        if encrypted and asked["ssl_context"] is None:
            cure = "https://distributed.dask.org/en/stable/tls.html has how."
            expected = "certificates in Dask's own configuration, distributed.comm.tls"
            raise InputError(OPTION, got=f"{address} and no certificates", expected=expected, cure=cure)
        local, workers, place = LOCAL.fullmatch(address), 1, address
        if local:
            workers = int(local[1] or max(1, usable_cores() // CORES_EACH))
            observer.begin(OPTION, f"starting a scheduler and {workers} worker{'s' * (workers > 1)}", "")
            place = stack.enter_context(_local(workers))
        observer.begin(OPTION, f"connecting to {place}", "")
        try:
            client = stack.enter_context(Client(place, timeout=CONNECT_S, set_as_default=False, name="gradparity"))
        except (OSError, ValueError, TimeoutError, RuntimeError) as error:
            first = str(error).partition("\n")[0].rstrip(".")
            said = "nobody answers there" if "imed out" in first or isinstance(error, OSError) else first
            expected = f"a scheduler that answers within {CONNECT_S:g} s"
            cure = "dask scheduler starts one."
            raise InputError(OPTION, got=f"{address}, and {said}", expected=expected, cure=cure) from None
        observer.begin(OPTION, "waiting for workers", "")
        try:
            client.wait_for_workers(workers, timeout=WORKERS_S)
        except TimeoutError:
            raise no_workers(address) if not local else _too_few(client, workers) from None
        observer.end(OPTION, "")
        yield client


class Workers:
    """The workers of a cluster: what they have, how many jobs they take at once, and which cannot do any.

    Raises:
        InputError: they have different versions, or another gradparity than this one.
    """

    def __init__(self, client: Any, address: str) -> None:
        self.client, self.address = client, address
        found = facts_of(client, address)
        self.said = other_than_here(found)
        self.facts = next(iter(found.values()))
        self.unfit = set[str]()
        self._threads: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._seen_s = self._looked_s = time.monotonic()
        self.look(now=True)

    def look(self, *, now: bool = False) -> None:
        """See who is there, from time to time.

        Raises:
            InputError: the scheduler has gone away, or there has been no worker for a while.
        """
        at_s = time.monotonic()
        if not now and at_s - self._looked_s < LOOK_S:
            return
        if self.client.status != "running":
            raise gone(self.address)
        try:
            self._threads = dict(self.client.nthreads())
        except (OSError, TimeoutError):
            raise gone(self.address) from None
        self._looked_s = at_s
        if self._threads:
            self._seen_s = at_s
        elif at_s - self._seen_s > WORKERS_S:
            raise no_workers(self.address, begun=True)

    @property
    def slots(self) -> int:
        """Jobs that they take at once."""
        return max(1, sum(self._threads.values()))

    @property
    def fit(self) -> list[str]:
        """Those that have not been found unfit."""
        return [each for each in self._threads if each not in self.unfit]

    def machine(self, facts: Facts, worker: str) -> str:
        """What a worker's machine is called: by its host's name, and where two have one also by the worker's."""
        if facts.kernel not in self._names:
            taken = facts.host in self._names.values()
            self._names[facts.kernel] = f"{facts.host} ({worker})" if taken else facts.host
        return self._names[facts.kernel]


def no_workers(address: str, *, begun: bool = False) -> InputError:
    """What is said where nobody is there to measure, or nobody any more."""
    expected = f"a worker within {WORKERS_S:g} s"
    cure = "" if LOCAL.fullmatch(address) else f"dask worker {address} starts one."
    cure += " What has come back is saved: go on with --resume." * begun
    return InputError(OPTION, got=f"{address}, which has no workers", expected=expected, cure=cure.strip())


def _too_few(client: Any, workers: int) -> InputError:
    got = f"{len(client.nthreads())} of the {workers} workers of local:{workers}"
    return InputError(OPTION, got=got, expected=f"all of them within {START_S:g} s")


def gone(address: str) -> InputError:
    """What is said where the scheduler is not there any more."""
    expected = "a scheduler that stays until all is measured"
    cure = "What has come back is saved: start one, then go on with --resume."
    return InputError(OPTION, got=f"{address}, which has gone away", expected=expected, cure=cure)


def facts_of(client: Any, address: str) -> dict[str, Facts]:
    """What each worker has, by its address.

    Raises:
        InputError: gradparity is not there, in another version than here, or two workers have different versions.
    """
    found = dict[str, Facts]()
    for worker, answer in client.run(describe, on_error="return").items():
        if isinstance(answer, BaseException):
            said = " ".join(str(answer).split()) or type(answer).__name__
            cure = "Install there what is installed here."
            raise InputError(OPTION, got=f"{worker}: {said}", expected="gradparity on every worker", cure=cure)
        found[worker] = msgspec.msgpack.decode(answer, type=Facts)
    if not found:
        raise no_workers(address)
    first, *others = found.items()
    if first[1].gradparity != facts().gradparity:
        got = f"gradparity {first[1].gradparity} on {first[0]}"
        raise InputError(OPTION, got=got, expected=f"{facts().gradparity}, which is here")
    for worker, each in others:
        if said := differing(each.versions, first[1].versions):
            got = f"{worker} with {said} as on {first[0]}"
            raise InputError(OPTION, got=got, expected="the same versions on every worker")
    return found


def other_than_here(found: Mapping[str, Facts]) -> str:
    """What the workers have in other versions than this machine, in words; ``""`` where nothing."""
    said = differing(next(iter(found.values())).versions, facts().versions)
    return f"the workers have {said} as here" if said else ""


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Dask's own words on standard error: what is to be said of it is said here, once."""
    import distributed  # noqa: F401  # it gives each of its loggers a level and a handler

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("distributed", "tornado")]
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="distributed")
        warnings.filterwarnings("ignore", message="(?s).*Mismatched versions found")
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


@contextmanager
def _local(workers: int) -> Iterator[str]:
    """The address of a scheduler on the loopback interface, with so many workers of one thread, all of our own.

    They are processes of Dask's own commands: a pool of ``multiprocessing`` would run a user's script once more.

    Raises:
        InputError: one of them did not start.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        file, said = folder / "scheduler.json", folder / "said"
        common = ("--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard")
        nodes = [stack.enter_context(_node(said, "scheduler", "--port", "0", *common))]
        own = ("--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--local-directory", str(folder))
        nodes += [stack.enter_context(_node(said, "worker", *common, *own)) for _ in range(workers)]
        address, until_s = "", time.monotonic() + START_S
        while not address:
            if time.monotonic() > until_s or any(node.poll() is not None for node in nodes):
                words = said.read_text("utf-8", "replace").strip().splitlines()
                got = f"local, and one that did not start: {words[-1] if words else 'it says nothing'}"
                raise InputError(OPTION, got=got, expected=f"a scheduler and workers within {START_S:g} s")
            with contextlib.suppress(OSError, ValueError):  # not yet there, or half of it
                address = json.loads(file.read_bytes())["address"]
            time.sleep(0.02)
        yield address


@contextmanager
def _node(said: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler or worker, ended when it is left, and with this process."""
    with said.open("ab") as output:
        node = subprocess.Popen(
            [sys.executable, "-P", "-m", "gradparity.runner.local_node", *words],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2"},
            start_new_session=True,  # Ctrl-C is for the parent alone
        )
    try:
        yield node
    except BaseException:
        node.kill()  # what it does is not wanted any more, and an interruption has little time
        raise
    finally:
        assert node.stdin is not None  # noqa: S101
        node.stdin.close()
        node.kill()  # jobs that it has under way end by themselves
        node.wait()
