"""Random losses over the certified namespace: a few lines of ``xp`` each, and inputs that like edges."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends.names import numpy_names
from tests.evidence import graph_lines


def _words(text: str) -> list[str]:
    return text.split()


UNARY = _words(
    "abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh conj copy cos cosh "
    "erf erfc exp exp2 expm1 log log10 log1p log2 negative positive reciprocal sin sinh sqrt square tan tanh sign "
    "floor ceil asarray ravel atleast_1d atleast_2d flip fliplr flipud rot90 squeeze tril triu diag diagonal trace "
    "transpose permute_dims matrix_transpose cumsum cumprod cumulative_sum sum mean var std prod max min amax amin "
    "diff linalg.inv linalg.det linalg.norm linalg.vector_norm linalg.matrix_norm linalg.trace argmax"
)
BINARY = _words(
    "add subtract multiply divide true_divide maximum minimum hypot logaddexp power pow mod remainder floor_divide "
    "dot inner matmul outer vdot vecdot linalg.solve"
)
#: Functions with options; and what people write: guards, cancellations, shifts by a maximum.
LINES = [
    *(f"xp.{name}({{a}})" for name in UNARY),
    *(f"xp.{name}({{a}}, {{b}})" for name in BINARY),
    *(f"xp.{name}({{a}}, axis={axis})" for name in _words("sum mean var std prod max min cumsum cumprod")
      for axis in (0, -1)),
    *(f"xp.{name}({{a}}, axis=-1, keepdims=True)" for name in ("sum", "mean", "max", "min", "prod")),
    *(f"{{a}} {operator} {{b}}" for operator in ("+", "-", "*", "/", "@", "**")),
    *(f"{{a}} ** {power}" for power in (0, 1, 2, 3, -1, -2, 0.5, 1.5, 2.5, -0.5)),
    *(f"xp.linalg.norm(xp.ravel({{a}}), {order})" for order in ("np.inf", "-np.inf", 1, 3, 0.5, -1)),
    *(f"xp.{name}([{{a}}, {{b}}])" for name in _words(
        "concatenate concat stack hstack vstack column_stack array")),
    *(f"xp.einsum('{subscripts}', {{a}}, {{b}})" for subscripts in ("i,i->", "ij,jk->ik", "ij,j->i", "i,j->ij",
                                                                    "ij,ij->j", "ij,kj->ik")),
    *(f"xp.where({{a}} > 0, {taken}, {other})" for taken, other in (
        ("xp.log({a})", "0.0"), ("xp.sqrt({a})", "{b}"), ("{a} ** 1.5", "1.0"), ("{b} / {a}", "{b}"), ("{a}", "{b}"))),
    "xp.where({a} != 0, xp.sin({a}) / {a}, 1.0)", "xp.where(xp.isfinite(d0), d0, {a})",
    "xp.where({a} == {b}, {a}, {a} * {b})", "xp.clip({a}, -0.5, 0.5)", "xp.clip({a}, {b}, 2.0)",
    "xp.clip({a}, 0.0, np.inf)", "xp.clip({a}, 1e-07, 1 - 1e-07)", "xp.einsum('ii->i', {a})",
    "xp.tensordot({a}, {b}, 1)", "xp.tensordot({a}, {b}, 0)", "xp.split({a}, 2)[1]",
    "xp.broadcast_arrays({a}, {b})[0]", "xp.broadcast_to({a}, (2, 3))", "xp.reshape({a}, (-1, 1))",
    "xp.swapaxes({a}, 0, 1)", "xp.moveaxis({a}, 0, -1)", "xp.roll({a}, 1)", "xp.repeat({a}, 2)", "xp.tile({a}, 2)",
    "xp.expand_dims({a}, 0)", "xp.take({a}, [0, -1, 0])", "xp.take({a}, xp.argmax({a}))",
    "xp.full((2,), xp.sum({a}))", "xp.full_like({a} * 1.0, xp.sum({b}))",
    "xp.take_along_axis({a}, np.array([[0]]), axis=-1)", "xp.linspace(xp.sum({a}), 1.0, 3)",
    "xp.astype({a}, xp.float64)", "xp.linalg.cholesky({a} @ xp.matrix_transpose({a}) + np.eye(2))",
    "xp.linalg.slogdet({a})[1]", "xp.linalg.matrix_power({a}, 3)", "xp.linalg.matrix_power({a}, -1)",
    "xp.linalg.solve({a} + np.eye(2), {b})", "xp.linalg.cholesky({a})", "xp.linalg.norm({a}, axis=-1)",
    "xp.linalg.vector_norm({a}, axis=0, ord=1)", "{a}[0]", "{a}[..., None]", "{a}[::-1]", "{a}[[0, 0]]", "{a}[1:]",
    "({a} - {a}) + {b}", "({a} + {b}) - {a}", "({a} + 700.0) - 700.0", "{a} * 0.0 + {b}", "{a} * 1e-300",
    "{a} * 700.0", "{a} + 1.0", "{a} * 0.1", "{a} - 2", "xp.exp({a}) * xp.exp(-{a})", "xp.log(xp.exp({a}))",
    "xp.exp({a} - xp.max({a}))", "xp.log(1 + xp.exp({a}))", "xp.logaddexp(0.0, {a})", "xp.logaddexp(-np.inf, {a})",
    "xp.sum({a} ** 2) - xp.sum({a}) ** 2", "1 / (1 + xp.exp(-{a}))", "xp.exp(-{a} ** 2)", "xp.sqrt(xp.sum({a} ** 2))",
    "xp.arctan({a}) * 2 / xp.pi", "{a} * xp.tanh(xp.logaddexp(0.0, {a}))", "xp.log(xp.abs({a}) + 1)",
    "xp.sqrt({a} * {a} + 1)", "xp.abs({a}) ** {b}", "2.0 ** {a}", "xp.arcsin(xp.tanh({a}))",
    "xp.arccosh({a} * {a} + 1.5)", "xp.log(xp.abs({a}))", "xp.maximum({a}, 0.0)", "xp.minimum({a}, {a})", "{a} ** k0",
    "xp.abs({a}) ** xp.asarray([0.0, 0.5, 1.0])", "{a}[..., None] ** np.arange(3)", "xp.stack([{a}, {a} * 1.0])",
    # Ties of equal data: the engine shares the results of equal numbers from there on.
    "{a} * xp.max(xp.exp(d0))",
    # Square matrices, which seldom come by themselves.
    "xp.linalg.det({a} + np.eye(2))", "xp.linalg.inv({a} + np.eye(2))", "xp.linalg.slogdet({a} - np.eye(2))[1]",
    "xp.linalg.solve({a} * np.eye(2), {a} + np.eye(2))", "xp.linalg.matrix_power({a} + np.eye(2), 2)",
    "xp.linalg.cholesky(xp.exp(-{a} ** 2) + np.eye(2))",
    "xp.linalg.multi_dot([{a} + np.eye(2), {b} * np.eye(2)])", "xp.linalg.multi_dot([{a}, {a} + np.eye(2), {a}])",
    "xp.linalg.det(xp.stack([{a}, {a} + np.eye(2)]))", "xp.linalg.inv(xp.stack([{a}, {a} + np.eye(2)]))",
    "xp.linalg.solve(xp.stack([{a}, {a} + np.eye(2)]), {b}[..., None])",
    "xp.linalg.cholesky(xp.stack([{a} @ xp.matrix_transpose({a}), xp.exp({a})]) + np.eye(2))",
    *graph_lines.LINES,
]  # fmt: skip

SHAPES: list[tuple[int, ...]] = [(), (1,), (2,), (3,), (2, 2), (1, 2), (2, 1), (2, 3)]
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 700.0, -700.0, 5e-324, -1e-310, 1e-8, 3.0]
LARGEST = 12


@dataclass(frozen=True)
class Graph:
    """A loss: assignments in turn, then the sum of what nothing used.

    Attributes:
        lines: (name, expression) of each step.
        ends: names whose weighted sums are the loss.
        params: what is differentiated.
        data: constants, some infinite or whole.
        direction: of JVP and HVP.
    """

    lines: tuple[tuple[str, str], ...]
    ends: tuple[str, ...]
    params: dict[str, Any]
    data: dict[str, Any]
    direction: dict[str, Any]

    def loss(self, params: Any, data: Any, xp: Any, box: Callable[[Any], Any] = lambda x: x) -> Any:
        """The loss itself, neutral; `box` is put around every step's result."""
        names = {"xp": xp, "np": np, **data, **params}
        for name, expression in self.lines:
            names[name] = box(eval(expression, names))  # noqa: S307 (our own lines)
        parts = [xp.sum(names[name] * (0.5 + i)) for i, name in enumerate(self.ends)]
        return sum(parts[1:], parts[0])

    def __str__(self) -> str:
        steps = [f"    {name} = {expression}" for name, expression in self.lines]
        ends = " + ".join(f"xp.sum({name}) * {0.5 + i}" for i, name in enumerate(self.ends))
        return "\n".join([
            *steps, f"    loss = {ends}", f"    params = {self.params}", f"    data = {self.data}",
            f"    direction = {self.direction}",
        ])  # fmt: skip


class _Floats:
    """NumPy, with the names that only the certified namespace has: how a graph is drawn so that it has a value."""

    def __getattr__(self, name: str) -> Any:
        return numpy_names.NAMES.get(name) or getattr(np, name)

    def floor_divide(self, a: Any, b: Any) -> Any:
        """Not by a whole zero, of which NumPy alone has a number."""
        if np.asarray(a).dtype.kind in "ib" and np.asarray(b).dtype.kind in "ib" and not np.all(b):
            raise ZeroDivisionError
        return np.floor_divide(a, b)

    def remainder(self, a: Any, b: Any) -> Any:
        """Likewise."""
        return a - b * self.floor_divide(a, b)

    mod = remainder

    def einsum(self, subscripts: str, *operands: Any) -> Any:
        """Without broadcasting, which few frameworks have."""
        sizes: dict[str, int] = {}
        for labels, x in zip(subscripts.partition("->")[0].split(","), operands, strict=True):
            if any(sizes.setdefault(c, n) != n for c, n in zip(labels, x.shape, strict=True)):
                raise ValueError(subscripts)
        return np.einsum(subscripts, *operands)


FLOATS = _Floats()


def _values(rng: np.random.Generator, shape: tuple[int, ...], *, infinite: bool) -> Any:
    kind = rng.integers(5)
    if kind == 0:
        x = rng.standard_normal(shape)
    elif kind == 1:
        x = rng.integers(-6, 7, shape) / 4  # ties, exact sums
    elif kind == 2:
        x = rng.uniform(0.1, 0.9, shape)
    elif kind == 3:
        x = np.full(shape, rng.choice([0.3, 1.0, 2.5, -1.2]))
    else:
        x = np.where(rng.random(shape) < 0.4, rng.choice(EDGES, shape), rng.standard_normal(shape))
    if infinite:
        x = np.where(rng.random(shape) < 0.4, rng.choice([np.inf, -np.inf], shape), x)
    return np.asarray(x, np.float64)


def draw(
    seed: int | tuple[int, ...], lines: Iterator[str] | None = None, *,
    sizes: Sequence[tuple[int, ...]] = SHAPES, largest: int = LARGEST,
) -> Graph:  # fmt: skip
    """A graph from its seed; `lines` are what its steps are taken from, in turn, of arrays of so many elements."""
    rng = np.random.default_rng(seed)
    deck = lines or iter(lambda: LINES[rng.integers(len(LINES))], None)
    shape = sizes[rng.integers(len(sizes))]
    shapes = [shape, shape if rng.random() < 0.5 else sizes[rng.integers(len(sizes))]]
    params = {f"p{i}": _values(rng, each, infinite=False) for i, each in enumerate(shapes[: rng.integers(1, 3)])}
    data = {"d0": _values(rng, shapes[1], infinite=rng.random() < 0.1)}
    data["k0"] = rng.integers(-2, 4, shape if rng.random() < 0.5 else ())
    direction = {name: rng.integers(-8, 9, x.shape) / 4 for name, x in params.items()}
    if rng.random() < 0.2:
        direction = {name: np.zeros_like(x) for name, x in direction.items()}
        direction["p0"] = direction["p0"] + 1.0
    pool: dict[str, Any] = {**params, **data}
    depends = set(params)
    unused: list[str] = []
    steps: list[tuple[str, str]] = []
    wanted = int(rng.integers(2, 8))
    with np.errstate(all="ignore"):
        for line in itertools.islice(deck, 3 * wanted):
            made = _step(rng, line, pool, depends, largest)
            if made is None:
                continue
            expression, value, used = made
            name = f"a{len(steps)}"
            steps.append((name, expression))
            pool[name] = value
            unused = [each for each in unused if each not in used]
            if depends & set(used):
                depends.add(name)
                unused.append(name)
            if len(steps) == wanted:
                break
    ends = tuple(name for name in unused if pool[name].dtype.kind == "f") or ("p0",)
    return Graph(tuple(steps), ends, params, data, direction)


def _step(
    rng: np.random.Generator, line: str, pool: dict[str, Any], depends: set[str], most: int
) -> tuple[str, Any, tuple[str, ...]] | None:
    """An expression that has a value at these numbers, mostly of something that depends on a parameter."""
    generous = rng.random()
    names = list(pool)
    recent = np.arange(1, len(names) + 1) / sum(range(1, len(names) + 1))
    for _ in range(12):
        a, b = rng.choice(names, 2, p=recent)
        if not depends & {a, b} and rng.random() < 0.8:
            continue
        if "axis=" in line and not pool[a].ndim:
            continue  # NumPy's alone
        if "linalg" in line and not (np.isfinite(pool[a]).all() and np.isfinite(pool[b]).all()):
            continue  # elimination has a limit, cofactors have none
        if "linalg" in line and max(pool[a].ndim, pool[b].ndim) > 2 and "norm" not in line and "trace" not in line:
            continue  # no batches
        if "linalg" in line and pool[a].ndim > 1 and min(pool[a].shape[-2:]) > 2:
            continue  # polynomials of higher degree have no formula
        expression = line.format(a=a, b=b)
        try:
            value = np.asarray(eval(expression, {"xp": FLOATS, "np": np, **pool}))  # noqa: S307 (our own lines)
        except Exception:  # noqa: S112 (shapes that do not fit, in as many ways as NumPy has)
            continue
        if value.dtype.kind not in "fib" or not 0 < value.size <= most or value.ndim > 3:
            continue
        largest = np.abs(value.astype(float)).max()
        limit = np.inf if generous < 0.3 else 1e9
        if not (largest < limit or generous < 0.02 or (generous < 0.07 and np.isinf(largest))):
            continue
        used = tuple(name for name in (a, b) if name in expression)
        return expression, value, used
    return None


def names_in(line: str) -> list[str]:
    """Names of the namespace that an expression calls."""
    return [name.removeprefix("linalg.") for name in re.findall(r"xp\.((?:linalg\.)?\w+)", line)]


def differentiable(space: Any) -> set[str]:
    """All names that have a derivative."""
    from tests.truth.test_reverse import CONSTANT

    return (set(dir(space)) | set(dir(space.linalg))) - CONSTANT
