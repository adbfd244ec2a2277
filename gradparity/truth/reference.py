"""The record that verdicts are measured against: true values, and the noise floors around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gradparity.numerics.extended import Quantities

#: Seconds that the truth of a problem may take before only a subsample of the rows is certified.
BUDGET_S = 5.0


class TruthError(RuntimeError):
    """Two independent derivations of the truth disagree: a defect of gradparity, to be reported."""


@dataclass(frozen=True)
class Reference:
    """The true value of every block and its noise floor: how far roundings move each entry.

    ``blocks["gradient", "W"]`` has the shape of ``W``; scalars stand under the parameter ``""``. ``zero`` marks the
    entries proven to be exactly zero. ``certified_rows`` of the ``rows`` were certified, at ``bits`` of working
    precision; ``seconds`` is what it all took. A user's own loss has no rows that could be told apart: both are 0.
    """

    truth: Quantities
    floor: Quantities
    zero: dict[tuple[str, str], np.ndarray]
    rows: int
    certified_rows: int
    bits: int
    seconds: float
    directions: int = 0  #: directions in which the series engine confirmed the truth, in the time it had
    words: str = ""  #: what the truth is, for a loss that has neither rows nor a closed form
    #: Entries at which the loss is not differentiable, (path, index), with their one-sided derivatives, smaller first.
    kinks: Mapping[tuple[str, tuple[int, ...]], tuple[float, float]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()  #: parameters that the loss makes no use of

    def only(self, *quantities: str) -> Reference:
        """The reference of some quantities."""
        kept = [key for key in self.truth.blocks if key[0] in quantities]
        truth, floor = ({key: source.blocks[key] for key in kept} for source in (self.truth, self.floor))
        return replace(self, truth=Quantities(truth), floor=Quantities(floor))

    @property
    def method(self) -> str:
        """What the truth is, in words for a report."""
        if self.words:
            return self.words
        if self.certified_rows == self.rows:
            checked = "" if self.directions else ", the series engine out of time"
            return f"certified in ball arithmetic at {self.bits} bits{checked}"
        return (
            f"closed form in extended precision, itself certified in ball arithmetic on {self.certified_rows} of "
            f"{self.rows} rows"
        )
