"""A port's own layout of the parameters, stated once in the model: other names, another nesting, other orders of axes.

``layouts = {"jax": {"**.weight": ("params/**/kernel", "T"), "**": "params/**"}}``: from names of parameters, or
patterns for them, to names in the port, where a slash nests. What a port gets is computed inside of its loss, from the
parameters as everyone has them, so that all derivatives are of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.model_spec.user.containers import described
from gradparity.model_spec.user.model import UserModel, display_path
from gradparity.model_spec.user.moves import Move, MoveError, Shape, move
from gradparity.model_spec.user.patterns import captured, filled, nearest, stars
from gradparity.model_spec.user_spec import UserSpec

_RULE = "a name in the port, (name, order of axes), or None for a constant that it does not take"


@dataclass(frozen=True)
class _Place:
    """Where one parameter, or constant, is in the port: whole, or along its first axis under several names."""

    name: str
    moved: Move
    targets: tuple[str, ...]
    apart: bool


class Layout:
    """The parameters and constants as a port has them: here as `parameters` returns them.

    Arrays are known by their path on one side, and on the other by a name in the port, which here is the same.
    """

    #: Whether it is that of `parameters`.
    as_given = True

    def __init__(self, spec: UserSpec) -> None:
        self.spec = spec

    def into(self, flat: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays of any framework, by name in the port, from those by path."""
        return dict(flat)

    def back(self, flat: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Host arrays by path, from those by name in the port.

        Raises:
            InputError: one has another shape.
        """
        return dict(flat)

    def nest(self, flat: Mapping[str, Any]) -> Any:
        """The tree that the port takes, from arrays by name in the port."""
        return self.spec.nest_params(flat)

    def nested(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """A port's ``loss(params, data, *rest)`` of trees as a function of named parameters and data."""
        spec = self.spec

        @wraps(loss)
        def call(params: Mapping[str, Any], data: Mapping[str, Any], *rest: Any) -> Any:
            return loss(self.nest(self.into(spec.whole(params, data))), spec.nest_data(data), *rest)

        return call

    def as_it_is(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """The same of parameters by name in the port, in its own orders: nothing is moved but constants."""
        spec = self.spec

        @wraps(loss)
        def call(params: Mapping[str, Any], data: Mapping[str, Any], *rest: Any) -> Any:
            constants = self.into(spec.whole({}, data))
            return loss(self.nest({**params, **constants}), spec.nest_data(data), *rest)

        return call

    def flat(self, where: str, tree: Any, kind: str) -> dict[str, Any]:
        """Arrays by name in the port, from a tree that the port returned; constants left out.

        Raises:
            InputError: a name is missing or unknown.
        """
        found, wanted, constants = (
            dict(self._leaves(tree)),
            self._names(self.spec.shapes),
            self._names(self.spec.constants),
        )
        unknown = [name for name in found if name not in constants and name not in wanted]
        lacking = [name for name in wanted if name not in found]
        if unknown or lacking:
            words = [*([f"no {', '.join(lacking)}"] if lacking else []), *unknown]
            near = nearest(unknown[0], lacking or wanted) if unknown else ""
            got = " and ".join(words) if near or len(lacking) < len(wanted) else described(tree)
            raise InputError(where, got=got, expected=f"a {kind} for each of {', '.join(wanted)}", cure=near)
        return {name: found[name] for name in wanted}

    def constants(self, tree: Any) -> dict[str, Any]:
        """The constants in a tree that the port returned, by name in the port: those that are there."""
        names = set(self._names(self.spec.constants))
        return {name: leaf for name, leaf in self._leaves(tree) if name in names}

    def replaced(self, tree: Any, flat: Mapping[str, Any]) -> Any:
        """The same tree with other arrays, by name in the port; constants as they are."""
        return map_tree(lambda path, leaf: flat.get(path, leaf), tree)

    def _names(self, paths: Iterable[str]) -> list[str]:
        return list(paths)

    def _leaves(self, tree: Any) -> Iterator[tuple[str, Any]]:
        return leaves(tree)


class _StatedLayout(Layout):
    """Another, which the model states."""

    as_given = False

    def __init__(self, spec: UserSpec, places: Sequence[_Place]) -> None:
        super().__init__(spec)
        self._places = {place.name: place for place in places}

    def into(self, flat: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, place in self._places.items():
            if path in flat:
                array = place.moved.into(flat[path])
                parts = [array[i] for i in range(len(place.targets))] if place.apart else [array]
                found.update(zip(place.targets, parts, strict=True))
        return found

    def back(self, flat: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        found = {}
        for path, place in self._places.items():
            parts = [np.asarray(flat[target]) for target in place.targets if target in flat]
            shape = place.moved.merged[1:] if place.apart else place.moved.merged
            for target, part in zip(place.targets, parts, strict=False):
                if part.shape != shape:
                    raise InputError(f"{target} of a port", got=f"shape {part.shape}", expected=f"shape {shape}")
            if parts:
                found[path] = place.moved.back(np.stack(parts) if place.apart else parts[0])
        return found

    def nest(self, flat: Mapping[str, Any]) -> Any:
        tree: dict[str, Any] = {}
        for target, array in flat.items():
            *parents, last = target.split("/")
            inner = tree
            for key in parents:
                inner = inner.setdefault(key, {})
            inner[last] = array
        return _with_lists(tree)

    def replaced(self, tree: Any, flat: Mapping[str, Any]) -> Any:
        return super().replaced(tree, {name.replace("/", "."): array for name, array in flat.items()})

    def _names(self, paths: Iterable[str]) -> list[str]:
        return [target for path in paths if path in self._places for target in self._places[path].targets]

    def _leaves(self, tree: Any) -> Iterator[tuple[str, Any]]:
        return _named(tree)


def layout_of(model: UserModel, spec: UserSpec, names: Sequence[str]) -> Layout:
    """The layout of a backend, by any of its ``names``.

    Raises:
        InputError: what the model has as ``layouts`` is none.
    """
    layouts = _stated(model)
    name = next((name for name in names if name in layouts), None)
    return (
        Layout(spec) if name is None else _layout(f"{display_path(model.file)}: layouts[{name!r}]", layouts[name], spec)
    )


def check_layouts(model: UserModel, spec: UserSpec) -> None:
    """Read every layout of a model, and take every parameter there and back.

    Raises:
        InputError: one is of no port, or is none for these parameters.
    """
    known = [name.replace("_", "-") for name in model.written_for()]
    known += ["numpy"] if model.function("gradient", "params, data") is not None and "numpy" not in known else []
    for name in _stated(model):
        if name not in known:
            raise InputError(
                f"{display_path(model.file)}: layouts",
                got=repr(name),
                expected=f"a backend that has a loss of its own: {', '.join(known) or 'none has'}",
                cure=nearest(name, known) or "The neutral loss takes the parameters as they are.",
            )
        layout = layout_of(model, spec, (name,))
        indices = {path: np.arange(np.prod(shape, dtype=int)).reshape(shape) for path, shape in spec.shapes.items()}
        again = layout.back(layout.into(indices))
        assert all(np.array_equal(again[path], value) for path, value in indices.items())  # noqa: S101  # by making


def _stated(model: UserModel) -> Mapping[str, Any]:
    found = getattr(model.module, "layouts", {})
    if not isinstance(found, Mapping) or not all(isinstance(each, Mapping) for each in found.values()):
        where, expected = f"{display_path(model.file)}: layouts", "a dict from names of backends to dicts"
        raise InputError(where, got=type(found).__name__, expected=expected, cure='layouts = {"jax": {"w": "kernel"}}')
    return found


def _layout(where: str, rules: Mapping[str, Any], spec: UserSpec) -> Layout:
    shapes: dict[str, Shape] = {**spec.shapes, **spec.constant_shapes}
    used, places = set(), []
    for name, shape in shapes.items():
        pattern = next((each for each in rules if isinstance(each, str) and captured(each, name) is not None), None)
        if pattern is None:
            cure = nearest(name, rules) + ' "**": "**" takes all others as they are.'
            raise InputError(f"{where}: {name}", got="nothing", expected=_RULE, cure=cure.strip())
        used.add(pattern)
        place = _place(f"{where}[{pattern!r}]", rules[pattern], name, shape, captured(pattern, name) or ())
        if place is not None:
            places.append(place)
        elif name not in spec.constants:
            raise InputError(f"{where}: {name}", got="None", expected="a name, since a parameter has a gradient")
    for pattern in rules:
        if pattern not in used:
            taken = any(isinstance(pattern, str) and captured(pattern, name) is not None for name in shapes)
            cure = (
                "Rules are tried in order, and others take all that it matches."
                if taken
                else nearest(str(pattern), shapes)
            )
            raise InputError(
                where, got=repr(pattern), expected="the name of a parameter, or a pattern for some", cure=cure
            )
    _require_apart(where, places)
    return _StatedLayout(spec, places)


def _place(where: str, rule: Any, name: str, shape: Shape, found: Sequence[str]) -> _Place | None:
    """What a rule says of one parameter."""
    if rule is None:
        return None
    parts = (rule,) if isinstance(rule, str | list) else rule
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3:
        raise InputError(where, got=repr(rule), expected=_RULE)
    target, how, sizes = (*parts, "", {})[:3] if len(parts) == 1 else (*parts, {})[:3]
    targets = [target] if isinstance(target, str) else target
    if not isinstance(targets, list) or not targets or not all(isinstance(each, str) and each for each in targets):
        raise InputError(where, got=repr(target), expected="a name in the port, or a list of names")
    for each in targets:
        if stars(each) != len(found):
            got = f"{each!r} with {stars(each)} stars"
            raise InputError(where, got=got, expected=f"as many as the pattern has, {len(found)}")
    try:
        moved = move(how, shape, sizes if isinstance(sizes, Mapping) else {})
    except MoveError as error:
        raise InputError(
            f"{where}: {name}",
            got=str(error),
            expected="an order of axes",
            cure='Such are "T", "oihw -> hwio", "(h d) e -> e h d" with {"h": 4}, and a shape.',
        ) from None
    apart = not isinstance(target, str)
    if apart and moved.merged[:1] != (len(targets),):
        expected = f"{len(targets)} along the first axis, one for each name"
        raise InputError(f"{where}: {name}", got=f"shape {moved.merged}", expected=expected)
    return _Place(name, moved, tuple(_spelled(each, found) for each in targets), apart)


def _spelled(target: str, found: Sequence[str]) -> str:
    """A name in the port. Where it nests, so do dots in what ``**`` stands for; a slash in front says that alone."""
    nested = "/" in target
    return filled(target.removeprefix("/"), [each.replace(".", "/") if nested else each for each in found])


def _require_apart(where: str, places: Sequence[_Place]) -> None:
    """Raise unless every name in the port is of one array, and no array is where a container is."""
    owner: dict[str, str] = {}
    for place in places:
        for target in place.targets:
            dotted = target.replace("/", ".")
            if dotted in owner:
                got = f"{owner[dotted]} and {place.name} under one name, {target}"
                raise InputError(where, got=got, expected="a name for each")
            owner[dotted] = place.name
    targets = [target for place in places for target in place.targets]
    for target in targets:
        parents = target.split("/")[:-1]
        for end in range(1, len(parents) + 1):
            if (parent := "/".join(parents[:end])) in targets:
                raise InputError(where, got=f"{target} below {parent}, which is an array", expected="one of them")


def _with_lists(tree: Any) -> Any:
    """Dicts whose keys are 0, 1, 2, ... as lists."""
    if not isinstance(tree, dict):
        return tree
    inner = {key: _with_lists(value) for key, value in tree.items()}
    if inner and set(inner) == {str(i) for i in range(len(inner))}:
        return [inner[str(i)] for i in range(len(inner))]
    return inner


def _named(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their keys joined with slashes."""
    if isinstance(tree, Mapping | list | tuple):
        for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from _named(value, f"{path}/{key}" if path else str(key))
    else:
        yield path, tree
