"""A problem of the user's own model: parameters and data drawn from its functions, checked, and made flat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.space import DType
from gradparity.model_spec.symmetry import symmetrised
from gradparity.model_spec.trees import below, leaves, structure
from gradparity.model_spec.user.model import UserModel, blaming, place_of_function, random_stream
from gradparity.model_spec.user_spec import UserSpec

Flat = dict[str, npt.NDArray[Any]]

#: Plain values that data may hold beside arrays; they reach the loss as they are, and a compiler as constants.
_CONSTANTS = (bool, int, float, str, type(None))


def draw_problem(model: UserModel, name: str, seed: int, dtype: DType | None = None) -> UserProblem:
    """Parameters, data and a random direction, each from a stream of its own; real arrays in ``dtype`` if given.

    Raises:
        InputError: a function of the model raises, or returns what its contract does not allow.
    """
    trees, forms = {}, {}
    for which, (kind, function) in enumerate((("params", "parameters"), ("data", "data"))):
        draw = model.function(function)
        assert draw is not None  # noqa: S101  # `load_model` saw it
        with blaming(model.file, model.root, f"{function}(rng) to return"):
            tree = draw(random_stream(seed, which))
        where = place_of_function(draw)
        check_containers(where, tree)
        is_leaf = is_array if kind == "data" else lambda _: True
        forms[kind] = structure(tree, is_leaf)
        trees[kind] = {
            path: _checked(where, path, leaf, parameter=kind == "params")
            for path, leaf in leaves(tree)
            if is_leaf(leaf)
        }
        if kind == "params" and not trees[kind]:
            raise InputError(where, got="no arrays", expected="at least one parameter")
        if kind == "data":
            _check_constants(where, tree)
    params = trees["params"]
    spec = UserSpec(
        path=str(model.folder or model.file),
        parameters=tuple((path, value.shape, _dtype(value)) for path, value in params.items()),
        forms=json.dumps(forms),
    )
    rng = random_stream(seed, 2)
    tangents = {
        path: symmetrised(rng.standard_normal(value.shape).astype(value.dtype), value) for path, value in params.items()
    }
    problem = UserProblem(name, spec, params, trees["data"], tangents, seed)
    return problem if dtype is None else problem.cast(dtype)


def check_containers(where: str, tree: Any, path: str = "") -> None:
    """Refuse what is no dict, list or tuple at the top, and keys that no dotted path could have.

    Raises:
        InputError: naming the key.
    """
    if not path and not isinstance(tree, dict | list | tuple):
        raise InputError(where, got=f"{_kind(tree)}", expected="a dict of arrays", cure='Give it a name: {"w": ...}.')
    if isinstance(tree, dict):
        for key in tree:
            if not isinstance(key, str) or not key or "." in key or not key.isprintable():
                raise InputError(
                    f"{where}: key{f' in {path}' if path else ''}",
                    got=repr(key),
                    expected="a name without dots",
                    cure="Reports join the names of nested parameters with dots: layers.0.W.",
                )
    if isinstance(tree, dict | list | tuple):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            check_containers(where, value, below(path, key))


def flat_tree(where: str, tree: Any, shapes: Mapping[str, tuple[int, ...]], kind: str) -> dict[str, Any]:
    """A tree that the user's code returned, by path, with the paths of the parameters and no other.

    Raises:
        InputError: a path is missing or unknown.
    """
    found = dict(leaves(tree))
    if set(found) != set(shapes):
        lacking, unknown = sorted(set(shapes) - set(found)), sorted(set(found) - set(shapes))
        words = [*([f"no {', '.join(lacking)}"] if lacking else []), *([f"{', '.join(unknown)}"] if unknown else [])]
        raise InputError(where, got=" and ".join(words), expected=f"a {kind} for each of {', '.join(shapes)}")
    return {name: found[name] for name in shapes}


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array of NumPy's, or one of its scalars."""
    return isinstance(leaf, np.ndarray | np.generic)


def _checked(where: str, path: str, leaf: Any, *, parameter: bool) -> npt.NDArray[Any]:
    """One leaf as a contiguous array in the machine's byte order."""
    rule = f"{where}: {path}"
    if not is_array(leaf):
        cure = "Make it a NumPy array: np.asarray(value)." if parameter else ""
        raise InputError(rule, got=_kind(leaf), expected="a NumPy array", cure=cure)
    array = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if parameter:
        if array.dtype not in (np.float32, np.float64):
            cure = "Make it real: .astype(float)." if array.dtype.kind in "biu" else ""
            if array.dtype.kind == "c":
                cure = "Keep real and imaginary parts as two parameters."
            raise InputError(rule, got=f"dtype {array.dtype}", expected="float64 or float32", cure=cure)
        if not array.size:
            raise InputError(rule, got=f"shape {array.shape}", expected="an array with entries")
        if not np.isfinite(array).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise InputError(rule, got=f"{array[at]} at {at}", expected="finite numbers")
    elif array.dtype.kind not in "biu" and array.dtype not in (np.float32, np.float64):
        cure = "Keep real and imaginary parts as two arrays." if array.dtype.kind == "c" else ""
        raise InputError(rule, got=f"dtype {array.dtype}", expected="float64, float32, integers or booleans", cure=cure)
    return array


def _check_constants(where: str, tree: Any) -> None:
    for path, leaf in leaves(tree):
        if not is_array(leaf) and not isinstance(leaf, _CONSTANTS):
            raise InputError(
                f"{where}: {path}", got=_kind(leaf), expected="a NumPy array, or a plain number, string or None"
            )


def _dtype(value: npt.NDArray[Any]) -> DType:
    return "float32" if value.dtype == np.float32 else "float64"


def _kind(value: Any) -> str:
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    return f"{value!r}, a {name}" if isinstance(value, bool | int | float | complex) else f"a {name}"
