"""What a backend has answered on a problem, whole or as far as it came before it failed."""

from __future__ import annotations

from typing import NamedTuple, Self

import msgspec

from gradparity.results import Start
from gradparity.runner.crew import Member
from gradparity.worker import messages as m
from gradparity.worker.wire import Arrays

SECOND = ("jvp", "hvp")


class Answer(NamedTuple):
    """What a backend has answered before anything is judged."""

    evaluation: m.Evaluated
    peak_bytes: int
    start: Start

    def without(self, why: str) -> Self:
        """The same with a reason for what of JVP and HVP did not come."""
        lacking = {what: why for what in SECOND if what not in self.evaluation.quantities}
        return self._with(without={**lacking, **self.evaluation.without})

    def first_order(self, why: str) -> Self:
        """Loss and gradient alone, with a reason."""
        kept = {name: tree for name, tree in self.evaluation.quantities.items() if name in ("loss", "gradient")}
        return self._with(quantities=kept).without(why)

    def _with(self, **changed: dict[str, Arrays] | dict[str, str]) -> Self:
        return self._replace(evaluation=msgspec.structs.replace(self.evaluation, **changed))


def kept(known: Answer | None, member: Member) -> Answer | None:
    """What a backend had given before it failed; ``None`` where loss and gradient are not among it.

    Args:
        known: what it has answered to a request of its own, if it has.
        member: its process, with what that sent ahead of an answer that did not come.
    """
    given = dict(member.worker.given)
    if known is None and member.loaded is not None and given.keys() >= {"loss", "gradient"}:
        return Answer(m.Evaluated(given), 0, member.start(None, beside=True))
    if known is None or known.evaluation.impurity:
        return known
    return known._replace(
        evaluation=msgspec.structs.replace(
            known.evaluation,
            quantities=given | known.evaluation.quantities,
            without={what: why for what, why in known.evaluation.without.items() if what not in given},
        )
    )
