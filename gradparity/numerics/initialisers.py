"""Which scheme starts a block of parameters, from what it draws over seeds: scale with its interval, shape, and name.

A scheme is named where the interval of the variance holds no other's. A torch weight has its outputs first,
``(out, in, *kernel)``; Flax and Haiku have them last, ``(*kernel, in, out)``: the fans follow from that.

References: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010; He et al.,
Delving deep into rectifiers, 2015; LeCun et al., Efficient BackProp, 1998; Saxe et al., Exact solutions to the
nonlinear dynamics of learning in deep linear neural networks, 2014, for orthogonal; torch.nn.init's and
jax.nn.initializers' documentation, whose names are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.numerics.two_samples import fixed_entries, spread_of

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Distribution = Literal["uniform", "normal", "truncated normal", "constant", "orthogonal", "fixed", ""]

#: An interval misses what it is of once in so many times, and so does a test of a distribution that is the right one.
NAMED_ODDS = 1e-3
#: A normal truncated at two of its standard deviations has this one, relative to the untruncated: what JAX divides by.
TRUNCATED_STD = 0.87962566103423978


class Initialised(msgspec.Struct, frozen=True):
    """What a block starts from, over seeds.

    Attributes:
        shape: of the block.
        seeds: how many.
        std: of all entries that are drawn, over seeds.
        std_range: (low, high), in which the standard deviation lies but once in a thousand times.
        distribution: ``""`` where none of those known, or several, are supported; ``fixed`` where every seed gives the
            same, which is no single number.
        schemes: the names whose scale and distribution are supported: it is one where it is told.
    """

    shape: Shape
    seeds: int
    std: float
    std_range: tuple[float, float]
    distribution: Distribution
    schemes: tuple[str, ...]

    def __str__(self) -> str:
        if self.distribution in ("constant", "fixed"):
            return " or ".join(self.schemes)
        name = " or ".join(self.schemes) or "no known scheme"
        kind = self.distribution or "of no known distribution"
        scale = f"std {self.std:.4g} ({self.std_range[0]:.4g} to {self.std_range[1]:.4g})"
        return f"{name}: {kind}, {scale}" if kind not in name else f"{name}: {scale}"


@dataclass(frozen=True)
class Draws:
    """What a block was drawn as: (seeds, n), its own ``shape``, and the gain of orthogonal rows or columns, if it is.

    Of a block with more entries the n are some of them, the same at every seed.
    """

    entries: Array
    shape: Shape
    gain: float | None = None

    @classmethod
    def of(cls, draws: Array) -> Draws:
        """Those of whole blocks, (seeds, *shape).

        Raises:
            ValueError: there is no seed, or no entry.
        """
        if draws.size == 0:
            raise ValueError(f"no seed or no entry, in {draws.shape}")
        return cls(draws.reshape(len(draws), -1), draws.shape[1:], orthogonal_gain(draws))

    @property
    def fixed(self) -> bool:
        """Whether every seed gives the same."""
        return bool(np.all(self.entries == self.entries[:1]))

    @property
    def constant(self) -> bool:
        """Whether it is a single number."""
        return bool(np.ptp(self.entries) == 0)


def initialised(samples: Mapping[str, Draws], *, outputs_first: bool | None = None) -> dict[str, Initialised]:
    """What each block starts from.

    Args:
        samples: by name, dotted where it nests.
        outputs_first: of weights of two axes and more, as torch has them, or last; ``None`` goes by names (``weight``,
            ``kernel``) and biases beside, and where these do not tell, says both.
    """
    shapes = {name: draws.shape for name, draws in samples.items()}
    return {name: _block(name, draws, shapes, outputs_first) for name, draws in samples.items()}


def _block(name: str, draws: Draws, shapes: Mapping[str, Shape], outputs_first: bool | None) -> Initialised:
    seeds, x = len(draws.entries), draws.entries.astype(np.float64)
    if draws.constant:
        value = float(x.flat[0])
        word = {0.0: "zeros", 1.0: "ones"}.get(value, f"constant {value:.6g}")
        return Initialised(draws.shape, seeds, 0.0, (0.0, 0.0), "constant", (word,))
    if seeds > 1 and draws.fixed:
        word = f"the same at every seed, {x.min():.4g} to {x.max():.4g}"
        return Initialised(draws.shape, seeds, float(x.std()), (float(x.std()),) * 2, "fixed", (word,))
    if seeds == 1:
        x = x.reshape(-1, 1)  # entries are taken for independent, of which one seed says nothing
    x = x[:, ~fixed_entries(x)]
    std = float(x.std())
    low, high = spread_of(x).std_range(NAMED_ODDS)
    if draws.gain is not None:
        of = "" if abs(draws.gain - 1) < 1e-4 else f", gain {draws.gain:.6g}"
        return Initialised(draws.shape, seeds, std, (low, high), "orthogonal", (f"orthogonal{of}",))
    kind = _distribution(x.ravel(), std)
    found = tuple(_supported(name, kind, (low, high), shapes, outputs_first))
    return Initialised(draws.shape, seeds, std, (low, high), kind, found)


def _distribution(x: Array, std: float) -> Distribution:
    """The one of the known that the draws may be of, centred and of their own scale; ``""`` for none or several."""
    from scipy.special import ndtr

    ordered, edge, outside = np.sort(x) / std, 2 / TRUNCATED_STD, 2 * NormalDist().cdf(-2)
    chance: dict[Distribution, Array] = {
        "uniform": np.clip((ordered / math.sqrt(3) + 1) / 2, 0, 1),
        "normal": ndtr(ordered),
        "truncated normal": np.clip((ndtr(ordered * TRUNCATED_STD) - outside / 2) / (1 - outside), 0, 1),
    }
    extreme, places = float(np.abs(ordered).max()), np.arange(len(x) + 1) / len(x)
    # The edge of a distribution that ends is passed by rounding, and by the scale being measured
    slack = 1 + 6 / math.sqrt(len(x))
    ends = {"uniform": math.sqrt(3), "normal": math.inf, "truncated normal": edge}
    # P(D > d) <= 2 exp(-2 N d^2), of Kolmogorov's D (Massart, The tight constant in the DKW inequality, 1990)
    most = math.sqrt(math.log(2 / NAMED_ODDS) / (2 * len(x)))
    fits = [
        name for name, cdf in chance.items()
        if extreme <= ends[name] * slack and max((places[1:] - cdf).max(), (cdf - places[:-1]).max()) <= most
    ]  # fmt: skip
    # P(no entry of N is past the edge) of a normal: where that is small, it is the one that ends there
    if {"normal", "truncated normal"} <= {*fits} and (1 - 2 * NormalDist().cdf(-edge)) ** len(x) < NAMED_ODDS:
        fits.remove("normal")
    return fits[0] if len(fits) == 1 else ""


def _supported(
    name: str,
    kind: Distribution,
    spread: tuple[float, float],
    shapes: Mapping[str, Shape],
    outputs_first: bool | None,
) -> list[str]:
    """The schemes whose standard deviation is in the interval, with the distribution that they come in."""
    found = dict.fromkeys(
        words
        for words, std, kinds in _schemes(name, shapes, outputs_first)
        if spread[0] <= std <= spread[1] and (not kind or kind in kinds)
    )
    return [f"{words}, {kind}" for words in found] if kind else list(found)


_ANY = ("uniform", "normal", "truncated normal")


def _schemes(
    name: str, shapes: Mapping[str, Shape], outputs_first: bool | None
) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    """Names, standard deviations and the distributions that they come in."""
    shape = shapes[name]
    if len(shape) >= 2:
        known = outputs_first if outputs_first is not None else outputs_are_first(name, shapes)
        for first in (True, False) if known is None else (known,):
            of = "" if known is not None or shape[0] == shape[-1] else f" if outputs are {'first' if first else 'last'}"
            yield from _by_fans(*fans(shape, outputs_first=first), of)
    elif len(shape) == 1:
        for other, size in _beside(name, shapes):
            known = outputs_first if outputs_first is not None else outputs_are_first(other, shapes)
            for first in (True, False) if known is None else (known,):
                words = f"torch.nn.Linear's bias, U(-1/sqrt(fan in), 1/sqrt(fan in)) of {other}"
                if size[0 if first else -1] == shape[0]:
                    yield words, math.sqrt(1 / (3 * fans(size, outputs_first=first)[0])), ("uniform",)
    for std in (1.0, 0.02, 0.01):
        yield f"std {std:g}", std, ("normal",)
        yield f"std {std:g} before it is cut at two of them", std * TRUNCATED_STD, ("truncated normal",)


def _by_fans(fan_in: int, fan_out: int, of: str) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    equal = fan_in == fan_out
    either = " or out" if equal else ""
    yield f"Kaiming/He, fan in{either}{of}", math.sqrt(2 / fan_in), _ANY
    yield "Xavier/Glorot", math.sqrt(2 / (fan_in + fan_out)), _ANY
    yield f"LeCun, fan in{either}{of}", math.sqrt(1 / fan_in), _ANY
    linear = f"torch.nn.Linear's default, U(-1/sqrt(fan in), 1/sqrt(fan in)){of}"
    yield linear, math.sqrt(1 / (3 * fan_in)), ("uniform",)
    if not equal:
        yield f"Kaiming/He, fan out{of}", math.sqrt(2 / fan_out), _ANY
        yield f"variance 1/fan out{of}", math.sqrt(1 / fan_out), _ANY
        yield "Kaiming/He, average fan", math.sqrt(4 / (fan_in + fan_out)), _ANY


def outputs_are_first(name: str, shapes: Mapping[str, Shape]) -> bool | None:
    """Whether a weight has its outputs first: by its name, or by the bias beside it; ``None`` where neither tells."""
    last, shape = name.rpartition(".")[2], shapes[name]
    if last.endswith(("weight", "kernel")):
        return last.endswith("weight")
    ends = {shape[0]: True, shape[-1]: False} if shape[0] != shape[-1] else {}
    told = {ends[size[0]] for _, size in _beside(name, shapes) if len(size) == 1 and size[0] in ends}
    return told.pop() if len(told) == 1 else None


def _beside(name: str, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    """Weights of the layer that a vector is in, or vectors of that of a weight: only their last part differs."""
    prefix, matrix = name.rpartition(".")[0], len(shapes[name]) >= 2
    for other, shape in shapes.items():
        if other.rpartition(".")[0] == prefix and (len(shape) == 1 if matrix else len(shape) >= 2):
            yield other, shape


def correlation(one: Array, other: Array) -> float:
    """The magnitude of Pearson's correlation of numbers in the same places, of all seeds: two of (seeds, n)."""
    seeds, n = (min(sizes) for sizes in zip(one.shape, other.shape, strict=True))
    a, b = (each[:seeds, :n].astype(np.float64).ravel() for each in (one, other))
    a, b = a - a.mean(), b - b.mean()
    with np.errstate(all="ignore"):
        return float(abs(a @ b) / np.sqrt((a @ a) * (b @ b)))


def fans(shape: Shape, *, outputs_first: bool) -> tuple[int, int]:
    """Fan in and fan out of a weight: inputs and outputs, each times the kernel's size."""
    if outputs_first:
        kernel = math.prod(shape[2:])
        return shape[1] * kernel, shape[0] * kernel
    kernel = math.prod(shape[:-2])
    return shape[-2] * kernel, shape[-1] * kernel


def orthogonal_gain(draws: Array) -> float | None:
    """The gain of (seeds, *shape) whose rows or columns are orthogonal and of one length, the same at every seed."""
    if draws.ndim < 3 or min(draws.shape[1], math.prod(draws.shape[2:])) < 2:
        return None
    gains = []
    for draw in draws:
        for matrix in (draw.reshape(draw.shape[0], -1), draw.reshape(-1, draw.shape[-1])):
            wide = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T).astype(np.float64)
            found = _row_length(wide[:4]) and _row_length(wide)  # most are none, which few rows show
            if found:
                gains.append(found)
                break
        else:
            return None
    return gains[0] if np.ptp(gains) <= 1e-4 * gains[0] else None


def _row_length(matrix: Array) -> float:
    """The length of all rows, where they are orthogonal; 0 where they are not, or of several lengths."""
    product = matrix @ matrix.T
    scale = float(np.trace(product)) / len(product)
    return math.sqrt(scale) if np.abs(product - scale * np.eye(len(product))).max() < 1e-4 * scale else 0.0
