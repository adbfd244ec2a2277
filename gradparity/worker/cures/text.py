"""Python as people write it: numbers, and expressions put where another stood."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator

from gradparity.worker.cures.sources import Source

#: What a number is worth that is neither round nor known: it is solved for, and said to be about so much.
UNKNOWN = 12
_LOG_2PI = math.log(2 * math.pi)
#: Numbers that are written with all their digits, or computed: of densities, activations, angles and entropies.
CONSTANTS = (
    *(math.pi, 2 * math.pi, math.pi / 2, math.pi / 4, math.pi**2, 1 / math.pi, math.pi / 180, 180 / math.pi),
    *(math.sqrt(math.pi), math.sqrt(2 * math.pi), 1 / math.sqrt(2 * math.pi), math.sqrt(2 / math.pi)),
    *(_LOG_2PI, _LOG_2PI / 2, 1 + _LOG_2PI, (1 + _LOG_2PI) / 2, math.log(math.pi), math.e, 1 / math.e),
    *(math.log(2), 1 / math.log(2), math.log(10), 1 / math.log(10), 2 / math.sqrt(math.pi), 0.5772156649015329),
    *(1.0507009873554805, 1.6732632423543772, 1.7580993408473766),  # of SELU: scale, alpha, and their product
)

#: Whole by itself, whatever stands around it.
_ATOMS = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.List, ast.Dict, ast.Set, ast.Constant)


def written(number: float, *, like: str = "1.0") -> str:
    """A number as ``1e-5`` and ``0.25``; a whole one as the text that it stands for is written."""
    if number == 0:
        return "0.0" if "." in like or "e" in like else "0"
    short = repr(float(number)).removesuffix(".0")
    if re.fullmatch(r"-?\d0{5,}", short):
        short = f"{number:.0e}"
    if "e" in short:
        mantissa, _, exponent = short.partition("e")
        return f"{mantissa}e{int(exponent)}"
    return short if "." in short or not re.search(r"[.e]", like) else f"{short}.0"


def rounder(number: float, radius: float) -> Iterator[tuple[int, str]]:
    """Texts of numbers within ``radius`` of one, the roundest first, with how many digits each is worth.

    Last the number itself, which is worth `UNKNOWN` digits: nobody writes it.
    """
    if abs(number) <= radius:
        yield 0, "0"
    told = set[float]()
    for digits in range(1, 7):
        short = float(f"{number:.{digits}g}")
        if abs(short - number) <= radius and short not in told:
            told.add(short)
            yield digits, f"{number:.{digits}g}"
    for value, text in _closed_forms():
        for sign, front in ((1, ""), (-1, "-")):
            if abs(sign * value - number) <= radius:
                yield 4, f"{front}{text}"
    yield UNKNOWN, repr(float(number))


def _closed_forms() -> Iterator[tuple[float, str]]:
    for q in (3, 6, 7, 9, 11, 12, 13, 14, 15, 18, 24):
        for p in range(1, 2 * q):
            if math.gcd(p, q) == 1:
                yield p / q, f"{p} / {q}"
    for n in (2, 3, 5, 6, 7, 8, 10, 12, 24, 32, 48, 96, 128):
        yield math.sqrt(n), f"{n} ** 0.5"
        yield 1 / math.sqrt(n), f"{n} ** -0.5"
    for value in CONSTANTS:
        yield value, repr(value)


def closed(source: Source, node: ast.expr) -> str:
    """A node's text, in parentheses where something put behind it would take only a part of it."""
    text = source.of(node)
    number = isinstance(node, ast.Constant) and not isinstance(node.value, str)
    return text if isinstance(node, _ATOMS) and not number else f"({text})"


def stands_alone(source: Source, node: ast.expr) -> bool:
    """Whether any expression may stand in a node's place without parentheses."""
    above = source.parents.get(node)
    if isinstance(above, ast.Call):
        return node is not above.func
    return isinstance(above, ast.keyword | ast.Assign | ast.Return | ast.List | ast.AnnAssign | ast.AugAssign)


def put_in(source: Source, node: ast.expr, text: str) -> str:
    """An expression as it may stand in a node's place."""
    atom = isinstance(ast.parse(text, mode="eval").body, _ATOMS)
    return text if atom or stands_alone(source, node) else f"({text})"
