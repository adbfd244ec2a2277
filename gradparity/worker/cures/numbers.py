"""Numbers of the source as unknowns: each is solved for what is wanted, and the roundest that does is told."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from gradparity.worker.cure_messages import Kind
from gradparity.worker.cures.scope import Site, module_of, resolve
from gradparity.worker.cures.sources import Edit, Hypothesis
from gradparity.worker.cures.text import put_in, rounder, stands_alone, written

#: How far a hypothesis is from what is wanted, and how much that is worth as agreement.
Residual: TypeAlias = Callable[[Hypothesis], float | None]

#: Steps of the secant method, and of the bisection between two values of different signs.
STEPS, HALVINGS = 14, 60
_OPERATORS: dict[type[ast.operator], Callable[..., int | float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
#: Options of calls that only whole numbers make sense for.
WHOLE = frozenset(
    {
        "axis",
        "dim",
        "dims",
        "axes",
        "num_heads",
        "groups",
        "stride",
        "padding",
        "dilation",
        "length",
        "num_groups",
        "axis1",
        "axis2",
        "dim0",
        "dim1",
        "correction",
        "ddof",
        "kernel_size",
    }
)


@dataclass(frozen=True)
class Unknown:
    """A number that may be another: where it stands, and its value now.

    ``make`` gives the hypothesis with a text in its place. ``whole``: no fraction makes sense. ``usual``: values that
    are tried where the nearest solution is none.
    """

    value: float
    like: str
    make: Callable[[str, int], Hypothesis]
    whole: bool = False

    @property
    def usual(self) -> Iterator[float]:
        """Values that people take in place of one another."""
        v = self.value
        near = [v / 10, 10 * v, 2 * v, v / 2, -v, v / 100, 100 * v, v * v, 1 - v]
        near += [1 / v] if v else []
        near += [math.sqrt(v)] if v > 0 else []
        small = [1e-5, 1e-6, 1e-8, 1e-3, 1e-7, 1e-12, 1e-10, 1e-4, 1e-9, 1e-2]
        plain = [0.0, 1.0, 0.5, 2.0, -1.0, 0.1, 0.2, 0.9, 0.99, 0.999, 0.3, 0.25, 0.05, 3.0, 4.0, 10.0]
        plain = [-1e9, *plain] if v <= -5 else plain
        first = [*plain[:2], *small] if 0 < abs(v) < 0.02 else plain
        yield from dict.fromkeys(x for x in [*first, *near, *plain, *small] if x != v and math.isfinite(x))


def literals(site: Site) -> Iterator[Unknown]:
    """The number that a piece of the source is, or that it makes of names of numbers, as ``math.sqrt(WIDTH)`` does."""
    if not isinstance(site.node, ast.Name):
        yield from _unknown(site)


def names(site: Site) -> Iterator[Unknown]:
    """The number that a name means, at one of its uses: what it is defined as may serve others."""
    if isinstance(site.node, ast.Name):
        yield from _unknown(site)


def _unknown(site: Site) -> Iterator[Unknown]:
    source, node = site.source, site.node
    above = source.parents.get(node)
    if not isinstance(node, ast.expr) or (isinstance(above, ast.UnaryOp) and isinstance(above.op, ast.USub)):
        return
    number = _number(node)
    if number is None and isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
        return
    number = computed(site) if number is None else number
    if number is None:
        return
    span, old = source.span(node), source.of(node)

    def make(text: str, digits: int) -> Hypothesis:
        whole = text if re.fullmatch(r"[\w.]+(e-?\d+)?", text) or stands_alone(source, node) else f"({text})"
        phrase = f"{old} were {text}"
        return Hypothesis(source, (Edit(*span, whole),), kind, phrase, span, site.level, site.place, digits)

    kind: Kind = "number"
    if isinstance(above, ast.Slice) and node is above.step:
        kind = "permutation"
    if isinstance(above, ast.keyword) and isinstance(number, int) and above.arg in WHOLE:
        kind = "option"
    like = old if _number(node) is not None else repr(number)
    yield Unknown(float(number), like, make, isinstance(number, int) and _is_index(site))


def factors(site: Site) -> Iterator[Unknown]:
    """A factor that a value may lack."""
    source, node = site.source, site.node
    if not isinstance(node, ast.expr) or not is_value(site):
        return
    span, old = source.span(node), source.of(node)
    inner = old if isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript) else f"({old})"

    def make(text: str, digits: int) -> Hypothesis:
        new = put_in(source, node, f"{text if text[0] != '-' else f'({text})'} * {inner}")
        phrase = f"{old} were multiplied by {text}" if digits else f"{old} were left out"
        return Hypothesis(source, (Edit(*span, new),), "number", phrase, span, site.level, site.place, digits)

    yield Unknown(1.0, "1.0", make)


def whole_numbers(unknown: Unknown) -> Iterator[Hypothesis]:
    """The neighbours of a whole number, and what else it might be."""
    v = int(unknown.value)
    for other in dict.fromkeys((v - 1, v + 1, -v, 0, 1, v - 2, v + 2, 2 * v, v // 2)):
        if other != v:
            yield unknown.make(str(other), 1)


def solve(unknown: Unknown, residual: Residual, tolerance: float, base: float) -> Iterator[Hypothesis]:
    """Hypotheses with which the residual is within the tolerance, by the secant method from the present value."""

    def at(number: float) -> float | None:
        return residual(unknown.make(written(number, like="1.0"), 17))

    v = unknown.value
    x0, f0 = v, base
    x1 = v * 1.1 if v else 1e-3
    f1 = at(x1)
    if f1 is None or f1 == f0:
        return
    for _ in range(STEPS):
        if f1 == f0:
            return
        slope = (f1 - f0) / (x1 - x0)
        if abs(f1) <= tolerance:
            yield from rounded(unknown, x1 - f1 / slope, slope, tolerance)
            return
        x2, f2 = x1 - f1 / slope, None
        for _ in range(4):
            f2 = at(x2) if math.isfinite(x2) else None
            if f2 is not None:
                break
            x2 = (x2 + x1) / 2
        if f2 is None:
            return
        x0, f0, x1, f1 = x1, f1, x2, f2


def search(unknown: Unknown, residual: Residual, tolerance: float, base: float) -> Iterator[Hypothesis]:
    """The same by values that people usually take, and by bisection between two of them."""
    known: dict[float, float] = {unknown.value: base}
    for number in unknown.usual:
        text = written(number, like=unknown.like)
        got = residual(unknown.make(text, 1))
        if got is None:
            if len(known) == 1 and number == 0.5:  # a fraction is refused
                return
            continue
        known[number] = got
        if abs(got) <= tolerance:
            yield unknown.make(text, sum(map(str.isdigit, text)))
    points = sorted(known.items())
    for (low, below), (high, above) in pairwise(points):
        if below * above < 0 and min(abs(below), abs(above)) > tolerance:
            yield from _between(unknown, residual, tolerance, (low, below), (high, above))


def _between(
    unknown: Unknown,
    residual: Residual,
    tolerance: float,
    low: tuple[float, float],
    high: tuple[float, float],
) -> Iterator[Hypothesis]:
    """A zero between two values of different signs, by the Illinois variant of the false position."""
    (a, fa), (b, fb) = low, high
    for _ in range(HALVINGS):
        c = (a * fb - b * fa) / (fb - fa)
        fc = residual(unknown.make(written(c, like="1.0"), 17))
        if fc is None:
            return
        if abs(fc) <= tolerance:
            slope = (fb - fa) / (b - a)
            yield from rounded(unknown, c - fc / slope, slope, tolerance)
            return
        if fc * fb < 0:
            a, fa = b, fb
        else:
            fa /= 2
        b, fb = c, fc
        if a == b:
            return


def rounded(unknown: Unknown, number: float, slope: float, tolerance: float) -> Iterator[Hypothesis]:
    """The roundest numbers near a solution with which the residual could be as small."""
    radius = 4 * tolerance / abs(slope) + 4e-16 * abs(number)
    for digits, text in rounder(number, radius):
        plain = re.fullmatch(r"[-\d.e+]+", text)
        yield unknown.make(written(float(text), like=unknown.like) if plain else text, digits)


def is_value(site: Site) -> bool:
    """Whether a piece is a value that is computed with: no callee, no target, no literal, no index."""
    node, above = site.node, site.source.parents.get(site.node)
    if not isinstance(node, ast.Name | ast.Call | ast.BinOp | ast.Attribute | ast.Subscript | ast.UnaryOp):
        return False
    if isinstance(above, ast.Attribute) or (isinstance(above, ast.Call) and node is above.func):
        return False
    if isinstance(above, ast.Subscript) or isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
        return False
    return not isinstance(above, ast.Expr) and _number(node) is None


#: Functions of ``math``, or of NumPy with the same name, that a file's numbers are computed with.
_FUNCTIONS = {"sqrt", "log", "exp", "log2", "log10", "sin", "cos", "tanh", "floor", "ceil"}


def computed(site: Site) -> int | float | None:
    """The number that an expression makes of the file's own numbers, with Python's and `math`'s functions alone."""
    node = site.node
    if not isinstance(node, ast.Name | ast.Call | ast.BinOp | ast.UnaryOp) or site.source.parents.get(node) is None:
        return None
    module = module_of(site.source)
    local = _own_names(site)

    def value(node: ast.AST) -> int | float | None:
        number = _number(node)
        if number is not None:
            return number
        if isinstance(node, ast.Name) and node.id not in local:
            meant = resolve(module, node)
            return meant if type(meant) in (int, float) else None
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            operate = _OPERATORS.get(type(node.op))
            if left is None or right is None or operate is None:
                return None
            return operate(float(left), float(right)) if isinstance(node.op, ast.Pow) else operate(left, right)
        if isinstance(node, ast.Call) and not node.keywords:
            function, arguments = resolve(module, node.func), [value(each) for each in node.args]
            own = getattr(function, "__module__", None) or type(function).__module__  # never one of the user's
            known = own.partition(".")[0] in {"math", "numpy"} and getattr(function, "__name__", "") in _FUNCTIONS
            if known and arguments and None not in arguments:
                return float(getattr(math, function.__name__)(*arguments))
        return None

    try:
        number = value(node)
        return number if number is None or math.isfinite(number) else None
    except (ArithmeticError, ValueError, TypeError, RecursionError, AttributeError):
        return None


def _own_names(site: Site) -> set[str]:
    """Names that the functions around a piece give a meaning of their own."""
    found, function = set[str](), site.source.enclosing(site.node, (ast.FunctionDef, ast.Lambda))
    while function is not None:
        found |= {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)}
        found |= {e.id for e in ast.walk(function) if isinstance(e, ast.Name) and isinstance(e.ctx, ast.Store)}
        function = site.source.enclosing(function, (ast.FunctionDef, ast.Lambda))
    return found


def _number(node: ast.AST) -> int | float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    return None


def _is_index(site: Site) -> bool:
    """Whether a whole number counts or names axes: in an index, a shape, an option of that kind."""
    node: ast.AST = site.node
    above = site.source.parents.get(node)
    while isinstance(above, ast.expr | ast.keyword | ast.Slice):
        if isinstance(above, ast.keyword):
            return above.arg in WHOLE
        if isinstance(above, ast.Subscript):
            return node is above.slice
        if isinstance(above, ast.Call):
            name = getattr(above.func, "attr", getattr(above.func, "id", ""))
            return name in {"range", "arange", "reshape", "view", "swapaxes", "transpose", "permute", "split", "chunk"}
        node, above = above, site.source.parents.get(above)
    return False
