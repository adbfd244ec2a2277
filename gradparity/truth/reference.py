"""The record that verdicts are measured against: true values, and the noise floors around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gradparity.numerics.extended import Blocks

#: Seconds that the truth of a problem may take before only a subsample of the rows is certified.
BUDGET_S = 5.0


class TruthError(RuntimeError):
    """Two independent derivations of the truth disagree: a defect of gradparity, to be reported."""


@dataclass(frozen=True)
class Reference:
    """The true value of every block and its noise floor: how far roundings move each entry."""

    truth: Blocks
    floor: Blocks
    method: str  #: what the truth is, in words for a report
    seconds: float = 0.0  #: what it all took
    directions: int = 0  #: directions in which the series engine confirmed the truth, in the time it had
    #: Entries at which the loss is not differentiable, (path, index), with their one-sided derivatives, smaller first.
    kinks: Mapping[tuple[str, tuple[int, ...]], tuple[float, float]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()  #: parameters that the loss makes no use of

    def only(self, *quantities: str) -> Reference:
        """The reference of some quantities."""
        truth, floor = (
            {key: value for key, value in blocks.items() if key[0] in quantities} for blocks in (self.truth, self.floor)
        )
        return replace(self, truth=truth, floor=floor)
