"""A program of any language that answers each line on its standard input with one line on its standard output.

What it writes to standard error goes to this process's own. It is in this process's group, and ends with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from gradparity.formatting import printable, shortened
from gradparity.threads import Thread

#: Bytes that are read or written at once, and of its last words that are kept.
CHUNK, LAST = 1 << 16, 4096
#: Seconds between two looks at whether it lives, and those that it has to end, or its last words to arrive.
LOOK_S, ENDS_S = 0.2, 1.0
#: Digits of a file's SHA-256 that stand for its version.
DIGITS = 12


class ProgramFailed(Exception):
    """It said that it cannot, or answered something else than it was asked for; it can be asked again."""


class ProgramLost(BaseException):
    """It ended, or broke the order of question and answer; no exception of a model's, which might be tried again."""


def files_of(words: Sequence[str]) -> dict[str, str]:
    """The files that a command names, with the beginnings of their SHA-256: what stands for a version."""
    found = {}
    for word in filter(os.path.isfile, words):  # a pipe would be read in vain
        with contextlib.suppress(OSError), Path(word).open("rb") as file:
            found[Path(word).name] = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:DIGITS]}"
    return found


def quoted(text: bytes | bytearray) -> str:
    """The beginning of what a program wrote, for a message."""
    return f"'{shortened(printable(text[:200].decode(errors='replace')), 60)}'"


class AskedByLine:
    """One such program, started at once; after what broke the order of question and answer it is asked no more.

    Args:
        words: what starts it.
        without: variables of this process's environment that it does not get.

    Raises:
        ProgramFailed: it cannot be started.
    """

    def __init__(self, words: Sequence[str], without: Collection[str] = ()) -> None:
        self._broken = ""
        self._tail = b""
        pipe, environment = subprocess.PIPE, {name: os.environ[name] for name in os.environ if name not in without}
        try:
            self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment)
        except OSError as error:
            raise ProgramFailed(f"{words[0]} could not be started: {error.strerror}") from None
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for each in (self._to, self._from):
            os.set_blocking(each, False)
        self._listening = Thread(target=self._pass_on, daemon=True)
        self._listening.start()

    def ask(self, question: bytes, most: int) -> bytes:
        """The answer to a question, both without the end of the line; of an answer at most so many bytes.

        Raises:
            ProgramLost: it has ended, or did not answer one line with one line; nor will it be asked again.
        """
        if self._broken:
            raise ProgramLost(self._broken)
        if early := self._read().strip():
            raise self.broken(f"wrote {quoted(early)} before it was asked, or beside an answer")
        left, heard = memoryview(question + b"\n"), bytearray()
        with selectors.DefaultSelector() as events:
            events.register(self._from, selectors.EVENT_READ)
            events.register(self._to, selectors.EVENT_WRITE)
            while True:
                ready = {key.fd for key, _ in events.select(LOOK_S)}
                if self._to in ready:
                    left = self._write(left)
                    if not left:
                        events.unregister(self._to)
                if self._from in ready:
                    heard += (more := self._read())
                    if not more:
                        raise self._ended("closed its standard output")
                    line, end, rest = heard.lstrip().partition(b"\n") if b"\n" in more else (heard, b"", b"")
                    if end and (rest.strip() or left):
                        what = "with more than one line" if rest.strip() else "before it had read the question"
                        raise self.broken(f"answered {what}: {quoted(line)}")
                    if end:
                        return bytes(line)
                    if len(heard) > most:
                        raise self.broken(f"answers with a line of more than {most:,} bytes: {quoted(line)}")
                elif self._process.poll() is not None:  # whose output another process may hold open
                    raise self._ended("")

    @property
    def process_id(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def broken(self, how: str) -> ProgramLost:
        """End it: whatever it says next would be taken for the answer to another question."""
        self._broken = f"the program {how}"
        self.close()
        return ProgramLost(self._broken)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # noqa: S101
            pipe.close()

    def _read(self) -> bytes:
        try:
            return os.read(self._from, CHUNK)
        except BlockingIOError:
            return b""

    def _write(self, left: memoryview) -> memoryview:
        try:
            return left[os.write(self._to, left[:CHUNK]) :]
        except BlockingIOError:
            return left
        except BrokenPipeError:
            raise self._ended("closed its standard input") from None

    def _ended(self, otherwise: str) -> ProgramLost:
        """How it ended, with its last words, or what it did where it lives."""
        try:
            code = self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            return self.broken(otherwise)
        self._listening.join(ENDS_S)
        words = self._tail.decode(errors="replace").strip().splitlines()
        said = f": {shortened(printable(words[-1]), 200)}" if words else ", and said nothing on standard error"
        how = f"ended with code {code}" if code >= 0 else f"was killed by {_name(-code)}"
        return self.broken(f"{how} before it had answered{said}")

    def _pass_on(self) -> None:
        """Copy its standard error, and keep the end of it."""
        assert self._process.stderr is not None  # noqa: S101
        with self._process.stderr as pipe:
            while more := os.read(pipe.fileno(), CHUNK):
                self._tail = (self._tail + more)[-LAST:]
                sys.stderr.buffer.write(more)
                sys.stderr.buffer.flush()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
