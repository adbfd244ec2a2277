"""What is found on each backend while a run goes on: a table that fills on a terminal, a line each elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from gradparity.report.facts import words
from gradparity.results import GOOD, Finding, Training, worst

#: Problems that are shown at once: those that were begun last.
_MOST = 3


class SoFar:
    """Verdicts by problem and backend, of problems that are not done yet.

    What does not agree has no name here: that the comparison at the end gives, which may find the truth's own formula
    to be the odd one.
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}

    def take(self, problem: str, findings: Sequence[Finding], training: Sequence[Training]) -> str:
        """Keep what is found on one backend, and say them in a line: ``toy: numpy agrees, 0.3 floors``."""
        said = _said(findings)
        if any(each.verdict not in GOOD for each in training):
            said += "; its training does not" if worst(findings).verdict in GOOD else ", and in training"
        self._found.setdefault(problem, {})[findings[0].backend] = said
        return f"{problem}: {findings[0].backend} {said}"

    def forget(self, problem: str) -> None:
        """Drop a problem, whose results are there."""
        self._found.pop(problem, None)

    @property
    def known(self) -> bool:
        """Whether there is anything to show."""
        return bool(self._found)

    def table(self) -> Table:
        """A row a backend, a column a problem."""
        problems = [*self._found][-_MOST:]
        table = Table("so far", *problems, box=None, pad_edge=False, header_style="dim")
        for name in dict.fromkeys(name for problem in problems for name in self._found[problem]):
            table.add_row(name, *(self._found[problem].get(name, "") for problem in problems))
        return table


def _said(findings: Sequence[Finding]) -> str:
    shown = worst(findings)
    if shown.verdict in GOOD:
        return (
            f"{shown.verdict}, {words.sized(shown.floors).text} floors" if shown.floors is not None else shown.verdict
        )
    if shown.verdict == "failed":
        return "failed"
    off = list(dict.fromkeys(each.block for each in findings if each.verdict not in GOOD))
    more = f" and {len(off) - 1} more" if len(off) > 1 else ""
    return f"does not agree in {shown.block}{more}; the comparison says why"
