"""Figures and text as a person reads them: one formatter each for times, sizes and ratios; text made fit to print."""

from __future__ import annotations

import re

#: Control sequences of terminals (ECMA-48): colours, cursor movements, window titles.
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_DURATIONS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))
#: How a rule begins by which a JVP was had where the backend has none.
BY_GRADIENT = "the gradient times the direction"
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def duration(nanoseconds: float) -> str:
    """A time with three significant digits and its unit: ``12.3 us``."""
    for scale, unit in _DURATIONS:
        if abs(nanoseconds) >= 0.9995 * scale or unit == "ns":
            return f"{three(nanoseconds / scale)} {unit}"
    raise AssertionError("unreachable: ns takes everything")


def size(count: float) -> str:
    """A number of bytes with its unit: ``212 MiB``."""
    for scale, unit in _SIZES:
        if abs(count) >= scale or unit == "B":
            return f"{three(count / scale)} {unit}"
    raise AssertionError("unreachable: B takes everything")


def ratio(value: float) -> str:
    """How many times: ``3.12x``."""
    return f"{three(value)}x"


def three(value: float) -> str:
    """Three significant digits without an exponent, from a thousand on whole."""
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:,.0f}"
    if magnitude >= 9.995:
        return f"{value:.1f}"
    if magnitude >= 0.9995 or magnitude == 0:
        return f"{value:.2f}"
    return f"{value:.3g}"


def large(value: float) -> str:
    """A figure of any size: from a million on with an exponent."""
    return three(value) if abs(value) < 1e6 else f"{value:.1e}"


def apart(*values: float, digits: int = 6) -> list[str]:
    """The values with as few significant digits, six or more, as show that those which differ do."""
    for count in range(digits, 18):
        shown = [f"{value:.{count}g}" for value in values]
        if len(set(shown)) == len(set(values)):
            break
    return shown


def printable(text: str) -> str:
    """The text on one line: control sequences left out, other unprintable characters as Python escapes them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in _SEQUENCES.sub("", text))


def shortened(text: str, limit: int) -> str:
    """The text, or as much of its beginning as ``limit`` characters hold."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def first_line(text: str) -> str:
    """The first line of a message; where it only announces what went wrong, what does is added.

    So it is with one that ends in a colon, whose last line says it, with Keras's of the layer that was called, whose
    next does, and with TensorFlow's, which quotes a traceback of the code that it has translated.
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()] or [""]
    if lines[0] == "in user code:":
        frames = [number for number, line in enumerate(lines) if line.startswith('File "')]
        lines = lines[frames[-1] + 2 :] or lines if frames else lines  # past the line of code that the last one quotes
    if lines[0].endswith(":") and len(lines) > 1:
        return f"{lines[0]} {lines[-1]}"
    return " ".join(lines[: 2 if "Exception encountered when calling" in lines[0] else 1])
