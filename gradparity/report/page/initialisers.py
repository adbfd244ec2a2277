"""What parameters start from: the schemes of each initialiser, with blocks that differ marked."""

from __future__ import annotations

from gradparity.report.facts.initialisers import initialisers_notes, initialisers_table
from gradparity.report.page.view import Panel
from gradparity.results import ProblemResult

#: Rows that are open; all are folded below.
MOST_ROWS = 12


def initialisers(problem: ProblemResult) -> Panel | None:
    """The first differing blocks, or the first of all, and the whole table."""
    found = problem.initialisers
    if found is None:
        return None
    about = (
        "Each port's initialise(seed) over seeds. Standard deviations, the largest entries, distributions and what does "
        "not depend on the seed are held together: two that are the same are said to differ in a block once in a million "
        "times."
    )
    short, whole = initialisers_table(found, MOST_ROWS), initialisers_table(found)
    folded = [whole] if len(whole.rows) > len(short.rows) else []
    return Panel("initialisers", "Initialisers", about, [*initialisers_notes(problem)], [short], folded=folded)
