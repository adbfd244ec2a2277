"""Who watches a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gradparity.progress import Tally
from gradparity.results import Finding, ProblemResult, Training


class Observer(Protocol):
    """Is told of a run's progress, from several threads."""

    def planned(self, problems: int) -> None:
        """Take the number of problems that are to be done in all."""

    def expect(self, seconds: float) -> None:
        """Take how many more seconds the problem that is under way will need."""

    def begin(self, problem: str, stage: str, backend: str) -> None:
        """Take a stage that starts."""

    def advance(self, backend: str, what: str, done: int, of: int) -> None:
        """Take how many are done of what the stage that a backend is in counts; see `gradparity.progress`."""

    def end(self, problem: str, backend: str) -> None:
        """Take that the last stage of a backend is over, and no other follows yet."""

    def judged(self, problem: str, findings: Sequence[Finding], training: Sequence[Training]) -> None:
        """Take what is found on one backend and in its training so far, which the comparison at the end may revise."""

    def finished(self, result: ProblemResult) -> None:
        """Take a problem that is done."""

    def remark(self, text: str) -> None:
        """Take something that is to be said of the whole run; ``""`` is nothing."""

    def tally(self, tally: Tally) -> None:
        """Take how far a campaign is, whose stages nobody sees here."""


class NullObserver:
    """Watches nothing."""

    def planned(self, problems: int) -> None:
        """Ignore the event."""

    def expect(self, seconds: float) -> None:
        """Ignore the event."""

    def begin(self, problem: str, stage: str, backend: str) -> None:
        """Ignore the event."""

    def advance(self, backend: str, what: str, done: int, of: int) -> None:
        """Ignore the event."""

    def end(self, problem: str, backend: str) -> None:
        """Ignore the event."""

    def judged(self, problem: str, findings: Sequence[Finding], training: Sequence[Training]) -> None:
        """Ignore the event."""

    def finished(self, result: ProblemResult) -> None:
        """Ignore the event."""

    def remark(self, text: str) -> None:
        """Ignore the event."""

    def tally(self, tally: Tally) -> None:
        """Ignore the event."""
