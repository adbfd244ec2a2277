"""Nested parameters: dicts, lists and tuples of arrays, walked in one order; paths are dotted, ``layers.0.W``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, ``layers.0.W``; a bare array has the empty path."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list | tuple):
        for i, value in enumerate(tree):
            yield from leaves(value, f"{path}.{i}" if path else str(i))
    else:
        yield path, tree


def map_tree(f: Callable[[str, Any], Any], tree: Any, path: str = "") -> Any:
    """The same structure with ``f(path, leaf)`` for each leaf; named tuples stay named."""
    if isinstance(tree, dict):
        return {key: map_tree(f, value, f"{path}.{key}" if path else str(key)) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [map_tree(f, value, f"{path}.{i}" if path else str(i)) for i, value in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return f(path, tree)
