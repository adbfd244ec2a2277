"""Text from elsewhere (a framework's last words, a file's name, an exception), made fit for a terminal."""

from __future__ import annotations

import re

#: Control sequences of terminals (ECMA-48): colours, cursor movements, window titles.
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def printable(text: str) -> str:
    """The text on one line: control sequences left out, other unprintable characters as Python escapes them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in _SEQUENCES.sub("", text))


def shortened(text: str, limit: int) -> str:
    """The text, or as much of its beginning as ``limit`` characters hold."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
