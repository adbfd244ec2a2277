"""Bytes to read: anything at all, and valid files that were damaged a little; and how many of them each reader gets."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TypeVar

import psutil
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

#: How many inputs each target reads with GRADPARITY_LARGE=1, and a quarter of them without, which are the first of the
#: same: what is drawn does not change from run to run. `test_counts` asserts the sum.
ALL_EXAMPLES = {
    "csv": 3000,
    "parquet": 2000,
    "npy": 2000,
    "npz": 2000,
    "svmlight": 2000,
    "row file": 1000,
    "results.json, damaged": 1000,
    "results.json, of any shape": 500,
    "requests": 1500,
    "replies": 1500,
    "model's requests": 1000,
    "model's replies": 1000,
    "arrays": 1500,
}
TOTAL = 20_000
#: A quarter of them, unless asked for; but all arrays, of which few are accepted.
WHOLE = ALL_EXAMPLES.keys() if "GRADPARITY_LARGE" in os.environ else {"arrays"}
EXAMPLES = {key: n if key in WHOLE else n // 4 for key, n in ALL_EXAMPLES.items()}

#: One input takes milliseconds; with this much, a busy machine is not taken for a hang.
DEADLINE = timedelta(seconds=5)
HANG_S = 30.0
#: What reading inputs of a few kilobytes may add to the memory of the process, most of it caches of libraries.
MEMORY_BYTES = 256 * 2**20

_Input, _Found = TypeVar("_Input"), TypeVar("_Found")

#: What damaged files have in them: numbers at the edges of their types, and words that parsers know.
_TELLING = (
    *(bytes([byte]) * count for byte in (0, 0x7F, 0x80, 0xFF) for count in (1, 4, 8)),
    *(b"9" * 20, b"-1", b"nan", b"inf", b"1e999", b"null", b'"', b",", b"\n", b"\r", b"{", b"[[[[", b":", b"true"),
)


def damaged(valid: bytes, plan: bytes) -> bytes:
    """The bytes with one change for every eight of the plan: flipped, overwritten, spliced, cut, duplicated, ended.

    Reading a plan is several times as fast as drawing every choice by a strategy of its own.
    """
    for begin in range(0, len(plan) - 7, 8):
        if not valid:
            break
        kind, length, telling, value = plan[begin : begin + 4]
        place, other = (int.from_bytes(plan[begin + at : begin + at + 2], "big") % len(valid) for at in (4, 6))
        new = _TELLING[telling % len(_TELLING)] if length % 2 else plan[begin + 3 :][: 1 + length % 8]
        match kind % 8:
            case 0:
                valid = valid[:place] + bytes([valid[place] ^ (1 << value % 8)]) + valid[place + 1 :]
            case 1 | 2:
                valid = valid[:place] + new + valid[place + len(new) :]
            case 3:
                valid = valid[:place] + new + valid[place:]
            case 4:
                valid = valid[:place] + valid[place + 1 + length % 64 :]
            case 5:
                valid = valid[: place + 1 + length % 64] + valid[place:]
            case 6:
                valid = valid[:place] + valid[other : other + 1 + length % 64] + valid[place:]
            case _:
                valid = valid[:place]
    return valid


def anything_or(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Mostly valid bytes that are `damaged` in one place to four; or any bytes, also after a valid beginning."""

    def made(given: bytes) -> bytes:
        choice, plan = given[0] if given else 0, given[1:]
        one = valid[choice % len(valid)]
        match choice // len(valid) % 8:
            case 0:
                return plan
            case 1:
                return one[: len(plan) * 2] + plan
            case _:
                return damaged(one, plan)

    return st.binary(max_size=33).map(made)


class Hung(BaseException):
    """An input that took longer than any may."""


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Interrupt what hangs in Python code, where the system can."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise Hung(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(
    target: str,
    inputs: st.SearchStrategy[_Input],
    read: Callable[[_Input], _Found],
    use: Callable[[_Found], object],
    refusal: type[Exception],
    *,
    named: str = "",
    accepted: int = 25,
) -> None:
    """Read as many inputs as the target has, and use what is read: none may hang or take much memory.

    Args:
        target: key of `ALL_EXAMPLES`.
        inputs: what to read.
        read: the reader.
        use: what is made of an input that was accepted, in which nothing may be raised.
        refusal: what the reader may raise, and nothing else.
        named: how the words of every refusal begin.
        accepted: of `ALL_EXAMPLES`, how many must be accepted and more, so that most of the reader is reached.

    Raises:
        AssertionError: fewer inputs were read or accepted, or memory grew.
    """
    done = taken = 0

    @settings(
        max_examples=EXAMPLES[target],
        derandomize=True,
        database=None,
        deadline=DEADLINE,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(inputs)
    def each(data: _Input) -> None:
        nonlocal done, taken
        done += 1
        with no_longer_than(HANG_S):
            try:
                found = read(data)
            except refusal as error:
                words = str(error)
                assert words.startswith(named), words
                return
            taken += 1
            use(found)

    before_bytes = _resident_bytes()
    each()
    grown_bytes = _resident_bytes() - before_bytes
    assert done >= EXAMPLES[target], f"{target}: {done} inputs, and there are no more"
    assert taken * ALL_EXAMPLES[target] > accepted * EXAMPLES[target], (
        f"{target}: hardly any input got past its first byte"
    )
    assert grown_bytes < MEMORY_BYTES, f"{target}: {grown_bytes / 2**20:.0f} MiB more than before"


def written_anew(path: Path, content: bytes) -> None:
    """A new file in place of the old: to empty one and fill it again takes ext4 milliseconds."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
