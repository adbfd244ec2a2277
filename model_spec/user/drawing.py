"""A problem of the user's own model: parameters and data drawn from its functions, checked, and made flat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import Batch, UserProblem
from gradparity.model_spec.space import AnyDType, DType
from gradparity.model_spec.symmetry import symmetrised
from gradparity.model_spec.trees import leaves, structure
from gradparity.model_spec.user.containers import is_array, kind_of, read_tree
from gradparity.model_spec.user.layouts import check_layouts
from gradparity.model_spec.user.model import UserModel, blaming, display_path, place_of_function, random_stream
from gradparity.model_spec.user.patterns import captured, nearest
from gradparity.model_spec.user_spec import CONSTANT, UserSpec

Flat = dict[str, npt.NDArray[Any]]

#: Plain values that data may hold beside arrays; they reach the loss as they are, and a compiler as constants.
_CONSTANTS = (bool, int, float, str, type(None))


def draw_problem(model: UserModel, name: str, seed: int, dtype: AnyDType | None = None) -> UserProblem:
    """Parameters, data and a random direction, each from a stream of its own; real arrays in ``dtype`` if given.

    Raises:
        InputError: a function of the model raises, or returns what its contract does not allow.
    """
    halves: set[str] = set()
    where, tree = _returned(model, "parameters", random_stream(seed, 0), halves)
    fixed = fixed_among(model, tree)
    names = {path: f"{CONSTANT}{path}" for path in fixed}
    forms: dict[str, Any] = {"params": structure(tree, lambda _: True)}
    params = {path: checked(where, path, leaf, parameter=path not in fixed) for path, leaf in leaves(tree)}
    constants = {names[path]: params.pop(path) for path in fixed}
    if not params:
        got = "none but constants" if constants else "no arrays"
        cure = "Whole numbers are constants: make a parameter real, .astype(float)." if constants else ""
        raise InputError(where, got=got, expected="at least one parameter", cure=cure)
    where, tree = _returned(model, "data", random_stream(seed, 1), halves)
    shapes = {path: constants[name].shape for path, name in names.items()}
    forms |= {"data": structure(tree, is_array), "halves": sorted(halves), "constants": shapes}
    data = {path: checked(where, path, leaf, parameter=False) for path, leaf in leaves(tree) if is_array(leaf)}
    _check_constants(where, tree)
    forms["rows"] = rows_among(model, data)
    for path in data.keys() & constants.keys():
        raise InputError(f"{where}: {path}", got="the name of a constant among the parameters", expected="another")
    spec = UserSpec(
        path=model.path,
        parameters=tuple((path, value.shape, _dtype(value)) for path, value in params.items()),
        forms=json.dumps(forms),
    )
    check_layouts(model, spec)
    rng = random_stream(seed, 2)
    tangents = {
        path: symmetrised(rng.standard_normal(value.shape).astype(value.dtype), value) for path, value in params.items()
    }
    problem = UserProblem(name, spec, params, {**data, **constants}, tangents, seed)
    return problem if dtype is None else problem.cast(dtype)


def draw_batches(
    model: UserModel, seed: int, dtype: DType | None, steps: int, most_bytes: int
) -> tuple[list[Batch], str]:
    """The first batches that ``batches(rng)`` gives, from a stream of their own; real arrays in ``dtype`` if given.

    Returns:
        As many as there are steps, or as come before it ends or ``most_bytes`` are full; and which of these two it was,
        in words, or ``""``.

    Raises:
        InputError: it raises, or gives what is no tree of arrays, or nothing.
    """
    draw = model.function("batches", "rng")
    assert draw is not None  # noqa: S101  # asked only where there is one
    where, found, room = place_of_function(draw), list[Batch](), most_bytes
    with blaming(model.file, model.root, "batches(rng) to return", at=where):
        returned = draw(random_stream(seed, 3))
    one = isinstance(returned, Mapping | str) or is_array(returned)
    if one or not (hasattr(returned, "__iter__") or hasattr(returned, "__getitem__")):
        cure = "Yield one for each step, or return a list of them."
        raise InputError(where, got=kind_of(returned), expected="batches, one after another", cure=cure)
    given = iter(returned)
    while len(found) < steps:
        with blaming(model.file, model.root, "batches(rng) to go on"):
            tree = next(given, _ENDED)
        if tree is _ENDED:
            break
        batch = _batch(f"{where}: batch {len(found)}", tree, dtype)
        room -= sum(value.nbytes for value in batch.arrays.values())
        if room < 0:
            return found, f"with the next batch they would be over {most_bytes / 2**20:.0f} MiB"
        found.append(batch)
    if not found:
        raise InputError(where, got="no batch", expected="at least one")
    return found, f"batches(rng) ends after {len(found):,}" if len(found) < steps else ""


_ENDED = object()


def _batch(where: str, tree: Any, dtype: DType | None) -> Batch:
    tree = read_tree(where, tree, set())
    _check_constants(where, tree)
    arrays = {path: checked(where, path, leaf, parameter=False) for path, leaf in leaves(tree) if is_array(leaf)}
    if dtype is not None:
        arrays = {path: value.astype(dtype) if value.dtype.kind == "f" else value for path, value in arrays.items()}
    return Batch(json.dumps(structure(tree, is_array)), arrays)


def _returned(model: UserModel, function: str, rng: np.random.Generator, halves: set[str]) -> tuple[str, Any]:
    """Where a function is, and the tree that it returns, in plain containers with arrays of NumPy's.

    Dtypes of half precision among them, which are widened, are added to ``halves``.
    """
    draw = model.function(function, "rng")
    assert draw is not None  # noqa: S101  # `load_model` saw it
    where = place_of_function(draw)
    with blaming(model.file, model.root, f"{function}(rng) to return", at=where):
        tree = draw(rng)
    return where, read_tree(where, tree, halves)


def fixed_among(model: UserModel, tree: Any) -> list[str]:
    """Paths of what is constant among the parameters: whole numbers and truth values, statistics, and what is named so.

    Statistics are those of a batch norm of PyTorch's: ``running_mean`` and ``running_var`` beside a whole
    ``num_batches_tracked``, which no gradient reaches there.

    Raises:
        InputError: ``constants`` of the model is no list of names, or has one that no leaf has.
    """
    found = dict(leaves(tree))
    whole = {path for path, leaf in found.items() if is_array(leaf) and leaf.dtype.kind in "biu"}
    counted = {path.removesuffix(_COUNTER) for path in whole if path.endswith(_COUNTER)}
    statistics = {f"{norm}{name}" for norm in counted for name in ("running_mean", "running_var")}
    patterns = _named_constants(model)
    for pattern in patterns:
        if not any(captured(pattern, path) is not None for path in found):
            raise InputError(
                f"{display_path(model.file)}: constants",
                got=repr(pattern),
                expected="the name of a parameter, or a pattern for some",
                cure=nearest(pattern, found),
            )
    named = {path for path in found if any(captured(pattern, path) is not None for pattern in patterns)}
    return [path for path in found if path in whole | statistics | named]


def rows_among(model: UserModel, data: Flat) -> list[str]:
    """Names of the data that the model names as ``rows``, by patterns as for constants: they have as many rows.

    Raises:
        InputError: it is no list of names, one is of no array, or their leading axes differ in length.
    """
    rule, names = f"{display_path(model.file)}: rows", list[str]()
    for pattern in _listed(model, "rows", 'rows = ("X", "y")'):
        found = [path for path in data if captured(pattern, path) is not None]
        if not found:
            expected = "the name of an array among the data, or a pattern for some"
            raise InputError(rule, got=repr(pattern), expected=expected, cure=nearest(pattern, data))
        names += [path for path in found if path not in names]
    lengths = {path: len(data[path]) if data[path].ndim else 0 for path in names}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        got = ", ".join(f"{path} of shape {data[path].shape}" for path in names)
        raise InputError(rule, got=got, expected="arrays with the same number of rows, one or more, in front")
    return names


def _named_constants(model: UserModel) -> list[str]:
    """Patterns that the model names as ``constants``."""
    return _listed(model, "constants", 'constants = ["**.running_mean"]')


def _listed(model: UserModel, name: str, example: str) -> list[str]:
    """What the model names under a name."""
    given = getattr(model.module, name, ())
    if isinstance(given, str) or not isinstance(given, Iterable) or not all(isinstance(each, str) for each in given):
        where, expected = f"{display_path(model.file)}: {name}", "a list of names or patterns"
        raise InputError(where, got=repr(given)[:100], expected=expected, cure=example)
    return list(given)


#: What PyTorch's batch norm calls the number of batches that its statistics are of.
_COUNTER = "num_batches_tracked"


def checked(where: str, path: str, leaf: Any, *, parameter: bool) -> npt.NDArray[Any]:
    """One leaf as a contiguous array in the machine's byte order.

    Raises:
        InputError: it is no array of real numbers; of a parameter, it is empty, or not all finite.
    """
    rule = f"{where}: {path}"
    if not is_array(leaf):
        cure = "Make it a NumPy array: np.asarray(value)." if parameter else ""
        raise InputError(rule, got=kind_of(leaf), expected="a NumPy array", cure=cure)
    array = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if parameter:
        if array.dtype not in (np.float32, np.float64):
            cure = "Keep real and imaginary parts as two parameters." if array.dtype.kind == "c" else ""
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
                f"{where}: {path}", got=kind_of(leaf), expected="a NumPy array, or a plain number, string or None"
            )


def _dtype(value: npt.NDArray[Any]) -> DType:
    return "float32" if value.dtype == np.float32 else "float64"
