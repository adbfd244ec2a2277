"""Nested parameters: dicts, lists and tuples of arrays, walked in one order; paths are dotted, ``layers.0.W``."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any


def below(path: str, key: object) -> str:
    """The path of what a container has under a key."""
    return f"{path}.{key}" if path else str(key)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, ``layers.0.W``; a bare array has the empty path."""
    if isinstance(tree, dict | list | tuple):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, below(path, key))
    else:
        yield path, tree


def map_tree(f: Callable[[str, Any], Any], tree: Any, path: str = "") -> Any:
    """The same structure with ``f(path, leaf)`` for each leaf; named tuples stay named."""
    if isinstance(tree, dict):
        return {key: map_tree(f, value, below(path, key)) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [map_tree(f, value, below(path, i)) for i, value in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return f(path, tree)


def structure(tree: Any, is_leaf: Callable[[Any], bool], path: str = "") -> Any:
    """The nesting of a tree in plain values that go over any wire: what `nest` builds it from again.

    Where ``is_leaf`` does not hold, a leaf is kept as the constant that it is.
    """
    if isinstance(tree, dict):
        return {"dict": [[key, structure(value, is_leaf, below(path, key))] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        parts = [structure(value, is_leaf, below(path, i)) for i, value in enumerate(tree)]
        if hasattr(tree, "_fields"):
            return {"named": [type(tree).__name__, *tree._fields], "items": parts}
        return {"list" if isinstance(tree, list) else "tuple": parts}
    return {"leaf": path} if is_leaf(tree) else {"value": tree}


def nest(form: Any, flat: Mapping[str, Any]) -> Any:
    """The tree of a `structure`, with ``flat[path]`` for every leaf; named tuples have their fields again."""
    if "leaf" in form:
        return flat[form["leaf"]]
    if "value" in form:
        return form["value"]
    if "dict" in form:
        return {key: nest(part, flat) for key, part in form["dict"]}
    if "named" in form:
        name, *fields = form["named"]
        return _named(name, tuple(fields))(*(nest(part, flat) for part in form["items"]))
    if "list" in form:
        return [nest(part, flat) for part in form["list"]]
    return tuple([nest(part, flat) for part in form["tuple"]])


def plain_values(form: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every constant that a `structure` keeps, with its path."""
    if "value" in form:
        yield path, form["value"]
    for key, part in form.get("dict", ()):
        yield from plain_values(part, below(path, key))
    for kind in ("items", "list", "tuple"):
        for i, part in enumerate(form.get(kind, ())):
            yield from plain_values(part, below(path, i))


@cache
def _named(name: str, fields: tuple[str, ...]) -> Any:
    # One class for one name: a framework that compiles for the tree's structure compares the classes.
    return namedtuple(name, fields)  # its fields are known at run time only
