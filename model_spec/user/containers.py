"""What the user's functions return, read: any mapping, arrays of any framework, names with dots or nesting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.trees import below, leaves

#: Dtypes that are widened to float32, which has all their values.
HALVES = ("float16", "bfloat16")
#: Of a key, which stands in every table.
MOST_CHARACTERS = 1000


def read_tree(where: str, tree: Any, halves: set[str]) -> Any:
    """A tree in dicts, lists and tuples, with arrays of NumPy's; other leaves as they are.

    Dtypes of half precision, which are widened to float32, are added to ``halves``.

    Raises:
        InputError: what is at the top is no such container, a key is no string that can be shown, an array cannot be
            read, or two leaves have one name; naming it.
    """
    plain = _plain(where, tree, halves)
    seen = set()
    for path, _ in leaves(plain):
        if path in seen:
            raise InputError(
                f"{where}: {path}",
                got="two leaves of that name, one by a key with dots and one by nesting",
                expected="one",
                cure="Rename one of them: a leaf is known by its keys joined with dots.",
            )
        seen.add(path)
    return plain


def _plain(where: str, tree: Any, halves: set[str], path: str = "") -> Any:
    if not path and not isinstance(tree, Mapping | list | tuple):
        raise InputError(where, got=f"{kind_of(tree)}", expected="a dict of arrays", cure='Give it a name: {"w": ...}.')
    if isinstance(tree, Mapping):
        for key in tree:
            if not isinstance(key, str) or not key or not key.isprintable() or len(key) > MOST_CHARACTERS:
                raise InputError(
                    f"{where}: key{f' in {path}' if path else ''}",
                    got=repr(key)[:100],
                    expected=f"a string of up to {MOST_CHARACTERS:,} characters that can be shown",
                    cure="Reports join the names of nested parameters with dots: layers.0.W.",
                )
        return {key: _plain(where, _entry(where, tree, key, path), halves, below(path, key)) for key in tree}
    if isinstance(tree, list | tuple):
        parts = [_plain(where, value, halves, below(path, i)) for i, value in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    try:
        leaf = _host(tree)
    except Exception as error:  # a framework's own
        raise InputError(
            f"{where}: {path}", got=f"{kind_of(tree)} ({error})", expected="an array on the host"
        ) from error
    if is_array(leaf) and leaf.dtype.name in HALVES:
        halves.add(leaf.dtype.name)
        return leaf.astype(np.float32)
    return leaf


def _entry(where: str, tree: Mapping[str, Any], key: str, path: str) -> Any:
    """What a mapping has under a key: a file of arrays reads it now."""
    try:
        return tree[key]
    except ValueError as error:  # NumPy's, of objects in a file: they are pickled
        got, cure = f"{str(error).rstrip('.')}", "Save it as plain numbers; nothing is unpickled."
        raise InputError(f"{where}: {below(path, key)}", got=got, expected="an array of numbers", cure=cure) from error


def _host(leaf: Any) -> Any:
    """An array of NumPy's with the values of a framework's; anything else as it is.

    Known by what an array has, so that no framework is imported here. A framework's exceptions pass. PyTorch's bfloat16
    becomes float32, since NumPy has no name for it.
    """
    if is_array(leaf) or not all(hasattr(leaf, name) for name in ("__array__", "dtype", "shape")):
        return leaf
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu()
        leaf = leaf.float() if str(leaf.dtype) == "torch.bfloat16" else leaf
    return np.asarray(leaf)


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array of NumPy's, or one of its scalars."""
    return isinstance(leaf, np.ndarray | np.generic)


def kind_of(value: Any) -> str:
    """What a value is, for messages: ``0.5, a float``, ``a torch.Tensor``, ``None``."""
    if value is None:
        return "None"
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    article = "an" if name[0] in "aeiou" else "a"
    plain = isinstance(value, bool | int | float | complex)
    return f"{value!r}, {article} {name}" if plain else f"{article} {name}"


#: Keys of a container that are named.
_SHOWN = 3


def described(value: Any) -> str:
    """What a value is, with the form that it has: ``a dict of w, b``, ``a list of 2``, ``an array of shape (3,)``."""
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        return f"a dict of {', '.join(keys[:_SHOWN])}{more}" if keys else "an empty dict"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return f"an array of shape {tuple(shape)}" if isinstance(shape, tuple) else kind_of(value)
