"""The entries of one array in another order: ``T``, ``oihw -> hwio``, ``(h d) e -> e h d``, another shape. Exact."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Shape: TypeAlias = tuple[int, ...]


class MoveError(ValueError):
    """A way to write an order that is none, or that an array of some shape has not."""


@dataclass(frozen=True)
class Move:
    """What takes an array of one ``shape`` to another: ``split`` into axes, these in an ``order``, and ``merged``."""

    shape: Shape
    split: Shape
    order: tuple[int, ...]
    merged: Shape

    def into(self, array: Any) -> Any:
        """The array in the other order, of any framework whose arrays have ``reshape`` and ``transpose``."""
        return _shaped(_ordered(_shaped(array, self.split), self.order), self.merged)

    def back(self, array: Any) -> Any:
        """The array that `into` gave this one for."""
        inverse = tuple(self.order.index(axis) for axis in range(len(self.order)))
        split = tuple(self.split[axis] for axis in self.order)
        return _shaped(_ordered(_shaped(array, split), inverse), self.shape)


def move(how: Any, shape: Shape, sizes: Mapping[str, int]) -> Move:
    """What a word or a shape means for arrays of one shape.

    Args:
        how: ``""`` for as it is; ``"T"`` for all axes reversed; axes by letters, or by words between spaces, before and
            after an arrow, those that are one axis together in brackets, and ``1`` for an axis of length 1; or a shape.
        shape: of the array.
        sizes: of axes by name, where brackets leave more than one open.

    Raises:
        MoveError: it means nothing, or nothing for that shape.
    """
    axes = tuple(range(len(shape)))
    if how == "":
        return Move(shape, shape, axes, shape)
    if how == "T":
        return Move(shape, shape, axes[::-1], shape[::-1])
    if isinstance(how, list | tuple) and all(isinstance(size, int) for size in how):
        if math.prod(how) != math.prod(shape):
            raise MoveError(f"shape {tuple(how)} for an array of shape {shape}")
        return Move(shape, shape, axes, tuple(how))
    if not isinstance(how, str) or how.count("->") != 1:
        raise MoveError(repr(how))
    words = any(re.search(r"[^\s()]\s+[^\s()]", side.strip()) for side in how.split("->"))
    before, after = (_groups(how, side, words=words) for side in how.split("->"))
    if len(before) != len(shape):
        raise MoveError(f"{len(before)} axes in {how!r} for an array of shape {shape}")
    found = _lengths(how, before, shape, sizes)
    names, moved = (["".join(name) for group in side for name in group if name != "1"] for side in (before, after))
    if sorted(names) != sorted(moved) or len(set(names)) < len(names):
        raise MoveError(f"{how!r}, whose two sides have not the same axes, each once")
    merged = tuple(math.prod(found[name] for name in group) for group in after)
    return Move(shape, tuple(found[name] for name in names), tuple(names.index(name) for name in moved), merged)


def _groups(how: str, side: str, *, words: bool) -> list[list[str]]:
    """Names of the axes that each dimension is made of."""
    groups = []
    for each in re.findall(r"\([^()]*\)|[^\s()]+" if words else r"\([^()]*\)|[^\s()]", side):
        inside = each.strip("()")
        groups.append(inside.split() if words else list(inside.replace(" ", "")))
    alone = re.search(r"[()]", re.sub(r"\([^()]*\)", "", side))
    if alone or not all(name.isidentifier() or name == "1" for group in groups for name in group):
        raise MoveError(repr(how))
    return groups


def _lengths(how: str, groups: Sequence[Sequence[str]], shape: Shape, sizes: Mapping[str, int]) -> dict[str, int]:
    """The length of every axis: those that are given, and one open one in each dimension."""
    found = {"1": 1}
    for group, length in zip(groups, shape, strict=True):
        known = {name: 1 if name == "1" else sizes[name] for name in group if name == "1" or name in sizes}
        left, open_ = length // max(math.prod(known.values()), 1), [name for name in group if name not in known]
        if len(open_) > 1:
            raise MoveError(f"{how!r} without the lengths of {', '.join(open_[1:])}")
        found |= known | dict.fromkeys(open_, left)
        if math.prod(found[name] for name in group) != length:
            lengths = {name: size for name, size in known.items() if name != "1"}
            raise MoveError(f"{how!r}{f' with {lengths}' if lengths else ''} for an array of shape {shape}")
    return found


def _shaped(array: Any, shape: Shape) -> Any:
    return array if tuple(array.shape) == shape else array.reshape(shape)


def _ordered(array: Any, order: tuple[int, ...]) -> Any:
    if order == tuple(range(len(order))):
        return array
    return (array.permute if hasattr(array, "permute") else array.transpose)(order)  # PyTorch's transpose swaps two
