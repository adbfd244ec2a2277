"""What sharded backends share: whose rows are whose, and how the losses of the blocks make the loss of all rows.

A sharded backend is as many processes as there are ranks, each with all parameters and one block of the data's rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from gradparity.model_spec.errors import InputError

#: Loss and gradient on the host: ``value_and_gradient(params, data)``.
OnHost: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[Any, Mapping[str, Any]]]
Kind: TypeAlias = Literal["sum", "mean"]

#: Roundings of what is added up that are no difference; how often inputs are moved by one rounding each, to see what
#: more is none, and how many times as much as is seen.
ROUNDINGS, DRAWS, NOISES = 1e3, 3, 32.0


def blocks(rows: int, ranks: int) -> list[slice]:
    """Contiguous blocks of rows, one a rank, as even as can be: the first ones have a row more.

    Raises:
        InputError: there are more ranks than rows.
    """
    if ranks > rows:
        cure = f"--ranks {rows}, or fewer." if rows else ""
        raise InputError("--ranks", got=f"{ranks} for {rows} rows", expected="a row for every rank", cure=cure)
    ends = [rank * (rows // ranks) + min(rank, rows % ranks) for rank in range(ranks + 1)]
    return [slice(*ends[rank : rank + 2]) for rank in range(ranks)]


@dataclass(frozen=True)
class Rank:
    """One process of a sharded backend, and how many there are, by what ``torchrun`` sets: ``RANK``, ``WORLD_SIZE``.

    A process that was not launched as one of several is alone.
    """

    rank: int
    ranks: int

    @classmethod
    def here(cls) -> Rank:
        """That of this process."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    def block(self, rows: int) -> slice:
        """Its rows, of so many.

        Raises:
            InputError: there are more ranks than rows.
        """
        return blocks(rows, self.ranks)[self.rank]


class Shard(dict[str, Any]):
    """Data with one block of rows, of the ``rows`` that there are; ``placed`` is what a backend makes of it once."""

    placed: Any = None

    def __init__(self, data: Mapping[str, Any], names: Sequence[str], rank: Rank) -> None:
        self.rows = len(data[names[0]])
        self.names, self.block = names, rank.block(self.rows)
        super().__init__(self.of(data))

    @property
    def own(self) -> int:
        """Number of the rows that it has."""
        return self.block.stop - self.block.start

    def of(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Other arrays of the same rows, as the shard has them: views."""
        return {name: value[self.block] if name in self.names else value for name, value in data.items()}

    def filled(self, data: Mapping[str, Any]) -> Shard:
        """The same rows in other arrays."""
        self.clear()
        self.update(data)
        return self


def rows_of(loss: Any) -> tuple[str, ...]:
    """Names of the data that have rows: those of the built-in model, or what a model of the user's says.

    Raises:
        InputError: it says nothing.
    """
    if hasattr(loss, "spec"):
        return "X", "y"
    names: tuple[str, ...] = getattr(loss, "rows", ())
    if not names:
        raise no_rows()
    return names


def no_rows() -> InputError:
    """What is said of a model that does not say which of its data have rows."""
    return InputError(
        "rows of the model",
        got="none",
        expected="the names of the data with a leading axis of rows, which a sharded backend divides",
        cure='Write rows = ("X", "y") into its file, where its loss is a sum or a mean over these rows.',
    )


@dataclass(frozen=True)
class Combination:
    """How the losses of blocks of rows make the loss of all: a sum or a mean.

    ``constant``: a part of it has no rows, a penalty; of the losses in a sum each has that.
    """

    kind: Kind
    constant: bool = False

    def weight(self, shard: Shard) -> float:
        """What the loss of some rows counts in that of all: in a mean its share of the rows."""
        return shard.own / shard.rows if self.kind == "mean" else 1.0

    def surplus(self, ranks: int) -> float:
        """How much too much each rank has of the part without rows."""
        return 1 - 1 / ranks if self.kind == "sum" and self.constant else 0.0


def combination_of(loss: Any) -> Combination:
    """That of a loss: the built-in model's by its specification, a user's as it was found and written down there."""
    if hasattr(loss, "spec"):
        return Combination(loss.spec.reduction, bool(loss.spec.l2))
    found: Combination = loss.combination
    return found


def tried(on_host: OnHost, points: Sequence[Any], data: Mapping[str, Any], names: Sequence[str], n: int) -> Combination:
    """How a loss over rows is combined, by trying: loss and gradient of the blocks must make those of all rows.

    Args:
        on_host: loss and gradient of the model, in float64.
        points: parameters to try it at.
        data: all of the data.
        names: of those that have rows.
        n: number of blocks.

    Raises:
        InputError: they make it neither by a mean nor by a sum; with what does not add up.
    """
    rows = len(data[names[0]])
    parts = blocks(rows, n)
    if n == 1:
        return Combination("mean")
    is_mean = is_sum = True
    constant = False
    for point in points:
        whole = _flat(on_host(point, data))
        each = [_flat(on_host(point, _rows(data, names, part))) for part in parts]
        mean = sum((part.stop - part.start) / rows * value for part, value in zip(parts, each, strict=True))
        total = sum(each)
        allowed = _noise(on_host, point, data, whole) + ROUNDINGS * np.finfo(float).eps * sum(map(np.abs, each))
        if not _within(total, whole, allowed):
            without = _without_rows(on_host, point, data, names)
            constant = without is not None and _within(
                total - (n - 1) * without, whole, allowed + n * abs(without) * 1e-12
            )
            is_sum = is_sum and constant
        is_mean = is_mean and _within(mean, whole, allowed)
        if not (is_mean or is_sum):
            said = f"{whole[0]:.12g} of all rows; as a mean of {n} blocks {mean[0]:.12g}, as a sum {total[0]:.12g}"
            if _within(mean[0], whole[0], allowed[0]) or _within(total[0], whole[0], allowed[0]):
                said += ", whose gradients are another"
            raise InputError(
                f"the loss that each rank runs, over rows of {', '.join(names)}",
                got=said,
                expected="a sum or a mean over rows",
                cure="A batch norm, pairs of rows, weights over their sum, or a row left out, make another function of "
                "each rank's rows: that cannot be divided. Beside it may be only what has no rows, as a penalty.",
            )
    return Combination("mean") if is_mean else Combination("sum", constant)


def _rows(data: Mapping[str, Any], names: Sequence[str], part: slice) -> dict[str, Any]:
    return {name: value[part] if name in names else value for name, value in data.items()}


def _without_rows(on_host: OnHost, point: Any, data: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Loss and gradient of no rows; None where there are none."""
    try:
        found = _flat(on_host(point, _rows(data, names, slice(0, 0))))
    except Exception:  # a framework's own
        return None
    return found if np.isfinite(found).all() else None


def _flat(found: tuple[Any, Mapping[str, Any]]) -> Any:
    return np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in (found[0], *found[1].values())])


def _within(got: Any, expected: Any, allowed: Any) -> bool:
    return bool(np.all(np.abs(got - expected) <= allowed))


def _noise(on_host: OnHost, point: Any, data: Mapping[str, Any], whole: Any) -> Any:
    """What moving every real input by one rounding does to loss and gradient, some times over."""
    rng, noise = np.random.default_rng(0), np.zeros_like(whole)
    for _ in range(DRAWS):
        noise = np.maximum(noise, np.abs(_flat(on_host(_by_one(point, rng), _by_one(data, rng))) - whole))
    return NOISES * noise


def _by_one(tree: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    real = {name: value for name, value in tree.items() if value.dtype.kind == "f"}
    signs = {name: rng.choice(np.array([-1, 1], value.dtype), value.shape) for name, value in real.items()}
    return {**tree, **{name: value * (1 + np.finfo(value.dtype).eps * signs[name]) for name, value in real.items()}}
