"""Results as a fragment of HTML, for a notebook."""

from __future__ import annotations

from gradparity.report.facts.campaign import told
from gradparity.report.facts.overview import overview
from gradparity.report.facts.verdicts import verdicts
from gradparity.report.page.render import template
from gradparity.results import RunResult

#: Blocks up to which each is a column; more are a row each.
_MOST_COLUMNS = 8


def html(result: RunResult) -> str:
    """The first screen, and the errors of each problem; of many models, of the worst of each cause."""
    problems = [(problem.label, problem.truth, verdicts(problem, most=_MOST_COLUMNS)) for problem in told(result)]
    return template("notebook.html").render(overview=overview(result), problems=problems)
