"""What the user's code prints: passed on to the log, and remembered."""

from __future__ import annotations

import io
from typing import Any, TextIO


class Printed(io.TextIOBase):
    """A standard output that keeps the first line that was written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._ended = False
        self.first = ""

    def write(self, text: str) -> int:
        """Pass the text on, and keep its first line, which may come in parts."""
        if not self._ended:
            line, end, _ = (self.first + text).lstrip().partition("\n")
            self.first, self._ended = line[:200], bool(end)
        return self._stream.write(text)

    def flush(self) -> None:
        """Flush the output itself."""
        self._stream.flush()

    def fileno(self) -> int:
        """Descriptor of the output itself."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
