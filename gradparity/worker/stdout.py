"""What the user's code prints: passed on to the log, and remembered."""

from __future__ import annotations

import io
from typing import Any, TextIO


class Printed(io.TextIOBase):
    """A standard output that knows whether anything was written to it, and keeps nothing: it is the user's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.any = False

    def write(self, text: str) -> int:
        """Pass the text on."""
        self.any |= bool(text.strip())
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
