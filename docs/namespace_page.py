"""The page of the certified namespace: every function with what it is, and what the engine finds at its edges."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity import special
from gradparity.truth.derivatives.certificate import Certificate
from gradparity.truth.derivatives.series import certify
from gradparity.truth.numbers.arrays import METHODS
from gradparity.truth.numbers.context import NotCertifiableError
from gradparity.truth.xp.namespace import xp

#: Where functions of one number are asked for; few have an edge elsewhere.
POINTS = (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0)
#: Not a function of each element: a reduction, a change of shape, or a question.
SKIPPED = {"argmax", "argmin", "argsort", "asarray", "array", "astype", "copy", "isfinite", "isinf", "isnan", "nonzero"}

_METHODS = ", ".join(f"`{name}`" for name in sorted(METHODS))

INTRODUCTION = f"""\
What `loss(params, data, xp)` may call, and still have a certified truth. `xp` is a backend's own namespace with every
name here: a test holds `autograd`, `jax`, `numpy` and `torch` to that. Generated from the code.

Arrays have operators, indexing and a few methods. Methods differ between frameworks (`x.std()` is PyTorch's own), so
write `xp.std(x)`. Certified arrays have {_METHODS}.

The last column is what the certified engine finds where a function of one number has an edge, of a few numbers that it
is asked at. At a kink or a tie the truth has both one-sided derivatives, and a backend that gives one of them, or what
lies between, is `kink`. A jump, or a value or slope that is not finite, is `unresolved`. Equal numbers are ties for a
maximum, minimum, order or median, and for a comparison. Data may be infinite."""

OF_SPECIAL = """\
The same functions by the framework of their arguments, for ports too (`from gradparity import special`): those of
`jax.nn` and `jax.scipy.special`, of `torch.nn.functional` and `torch.special`, and for NumPy and autograd SciPy's. In
float64 PyTorch's `polygamma(1, x)` is off by a relative 1e-9, and with it the gradient of its `digamma` and the Hessian
of its `gammaln`, which gradparity finds."""


def rows() -> list[tuple[str, str, str]]:
    """Every name, what it is, and its edges."""
    spaces = [("", xp), ("linalg.", xp.linalg)]
    spaces += [(f"{name}.", getattr(xp, name)) for name in ("fft",) if hasattr(xp, name)]
    found = []
    for prefix, space in spaces:
        for name in dir(space):
            function = getattr(space, name)
            if not name.startswith("_") and inspect.isfunction(function):
                found.append((f"`{prefix}{name}`", said(name, function), "" if prefix else edges(name)))
    return found


def special_rows() -> list[tuple[str, str]]:
    """The functions of `gradparity.special` as they are called."""
    functions = {name: f for name, f in vars(special).items() if inspect.isfunction(f) and not name.startswith("_")}
    return [(f"`{name}{_plain_signature(f)}`", said(name, f)) for name, f in sorted(functions.items())]


def _plain_signature(function: Any) -> str:
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def said(name: str, function: Any) -> str:
    """The first line of its docstring."""
    return (inspect.getdoc(function) or f"As numpy.{name}.").splitlines()[0]


def edges(name: str) -> str:
    """Where a function of one number has no derivative, and what it has there."""
    if name in SKIPPED:
        return ""
    said_at: dict[str, list[str]] = {}
    for point in POINTS:
        try:
            found = certify(lambda p, _, xp: getattr(xp, name)(p), np.array(point), {}, np.array(1.0), max_bits=2048)
        except (NotCertifiableError, TypeError, ValueError, IndexError, AttributeError, AssertionError):
            return ""
        except Exception as error:
            if type(error).__name__ == "InputError":  # no number for a number
                return ""
            raise
        if words := _words(found):
            said_at.setdefault(words, []).append(f"{point:g}")
    jumps = [points for words, points in said_at.items() if words.startswith("a jump")]
    if len(jumps) > 2:
        places = ", ".join(point for points in jumps for point in points)
        said_at = {words: points for words, points in said_at.items() if not words.startswith("a jump")}
        return "; ".join([f"jumps, as at {places}", *_phrases(said_at)])
    return "; ".join(_phrases(said_at))


def _phrases(said_at: dict[str, list[str]]) -> list[str]:
    return [f"at {', '.join(points)} {words}" for words, points in said_at.items()]


def _words(found: Certificate) -> str:
    sides = found.left, found.right
    if found.status == "undecided":
        return "undecided"
    if not found.value.is_finite:
        return "no finite value" if found.value.ball.is_nan() else f"{float(found.value.mid):g}"
    if any(not side.first.is_finite for side in sides):
        return "no finite slope"
    if not any(kink.active for kink in found.kinks):
        return ""
    values, slopes = ([getattr(side, part).as_float() for side in sides] for part in ("value", "first"))
    if values[0] != values[1]:
        return f"a jump from {values[0]:g} to {values[1]:g}"
    return f"a kink, slopes {slopes[0]:.3g} and {slopes[1]:.3g}" if slopes[0] != slopes[1] else "a tie, slopes alike"


def page(table: Callable[..., str], plain: Callable[[str], str]) -> str:
    """The page, by functions that make a table and a cell of it."""
    names = ((name, plain(what), edge) for name, what, edge in rows())
    functions = ((name.replace("|", "\\|"), plain(what)) for name, what in special_rows())
    parts = [
        "# Namespace of a neutral loss", INTRODUCTION, table(("xp.", "what it is", "edges"), names),
        "## gradparity.special", OF_SPECIAL, table(("function", "what it is"), functions),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"
