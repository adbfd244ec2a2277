"""One block that disagrees, with all that may explain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import Problem
from gradparity.numerics.extended import Extended
from gradparity.truth.reference import Reference

Got: TypeAlias = npt.NDArray[Any]

#: Rows times features beyond which the closed form is not evaluated again for an explanation.
LARGE = 10**7


@dataclass(frozen=True)
class WrongBlock:
    """One block that disagrees, with all that may explain it; up to ``floors`` noise floors agree."""

    quantity: str
    parameter: str
    got: Got
    reference: Reference
    built_in: Problem | None  #: ``None`` for a model of the user's own, which no formula is known of
    agrees: Mapping[tuple[str, str], bool]  #: whether each block agrees, by quantity and parameter
    floors: float
    dtype: str = "float64"
    sizes: Mapping[str, int] = field(default_factory=dict)  #: without a problem: what may be a factor, by its name
    against: str = "the truth"  #: what a report calls the values that are expected
    at: Got | None = None  #: the parameter's own value, where it is known

    @property
    def problem(self) -> Problem:
        """The problem of a built-in model, for the explanations that are only tried on one."""
        if self.built_in is None:
            raise ValueError("no formula is known of this model")
        return self.built_in

    @property
    def recomputable(self) -> bool:
        """Whether the closed form is known, and small enough to be evaluated again."""
        return self.built_in is not None and self.built_in.cells <= LARGE and not self.built_in.on_disk

    @cached_property
    def truth(self) -> Extended:
        """The true values."""
        return self.reference.truth[self.quantity, self.parameter]

    @cached_property
    def floor(self) -> Extended:
        """The noise floor of each entry."""
        return self.reference.floor[self.quantity, self.parameter]

    @cached_property
    def value(self) -> Extended:
        """What the backend gave, in extended precision."""
        return self.got.astype(np.longdouble)

    @cached_property
    def beyond(self) -> npt.NDArray[np.bool_]:
        """Whether each entry is further from the truth than its floor allows."""
        return np.asarray(np.abs(self.value - self.truth) > self.floors * self.floor)

    def is_(self, candidate: Extended | Any, *, times: Any = 1.0) -> bool:
        """Whether a candidate explains every entry, to within the floor of values ``times`` as large."""
        return self.near(self.value, candidate, max(1.0, abs(float(times))) * self.floor)

    def near(self, got: Any, expected: Any, floor: Any) -> bool:
        """Whether all entries of ``got`` are within their noise floors of what is expected."""
        return bool((np.abs(got - expected) <= self.floors * floor).all())


def in_extended_precision(tree: Mapping[str, npt.NDArray[Any]]) -> dict[str, Extended]:
    """Parameters or tangents, each number exactly."""
    return {name: np.asarray(value, np.longdouble) for name, value in tree.items()}
