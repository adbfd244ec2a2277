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
    """The true value of every block and its noise floor: how far roundings move each entry.

    An entry whose truth or floor is not a finite number is not known: no backend is right or wrong there.
    """

    truth: Blocks
    floor: Blocks
    method: str  #: what the truth is, in words for a report
    seconds: float = 0.0  #: what it all took
    directions: int = 0  #: directions in which the series engine confirmed the truth, in the time it had
    #: Entries that a kink of the loss leaves two values of: (quantity, path, index), and both, smaller first; of those
    #: that it leaves none, minus and plus infinity.
    kinks: Mapping[tuple[str, str, tuple[int, ...]], tuple[float, float]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()  #: parameters that the loss makes no use of
    #: Why entries of a block are not known, and what may be done about it: (quantity, path), and words for a report.
    unknown: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def only(self, *quantities: str) -> Reference:
        """The reference of some quantities."""
        truth, floor = (
            {key: value for key, value in blocks.items() if key[0] in quantities} for blocks in (self.truth, self.floor)
        )
        return replace(self, truth=truth, floor=floor)
