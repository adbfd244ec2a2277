"""Results as a fragment of HTML, for a notebook."""

from __future__ import annotations

from html import escape

from gradparity.formatting import three
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, Training, worst

_COLOURS = {True: "#1a7f37", False: "#cf222e"}


def html(result: RunResult) -> str:
    """One table a problem: a row a backend, its verdict, its worst block, and why."""
    head = "everything agrees" if result.ok else "not everything agrees"
    parts = [f'<p><b style="color:{_COLOURS[result.ok]}">{head}</b></p>']
    for problem in result.problems:
        parts.append(f"<p><b>{escape(problem.label)}</b><br><small>{escape(problem.truth)}</small></p>")
        parts.append(_table(problem))
        parts += [
            f"<p><b>{escape(found.name)}</b>: {escape(found.finding)}. {escape(found.cure)}</p>"
            for found in problem.diagnoses
        ]
        if problem.recommendation is not None:
            parts.append(f"<p>Choose <b>{escape(' or '.join(problem.recommendation.choice))}</b></p>")
    return "".join(parts)


def _table(problem: ProblemResult) -> str:
    rows = []
    for backend in dict.fromkeys(found.backend for found in problem.findings):
        findings = [found for found in problem.findings if found.backend == backend]
        judged: list[Finding | Training] = [*findings, *(ran for ran in problem.training if ran.backend == backend)]
        bad = list(dict.fromkeys(each.verdict for each in judged if each.verdict not in GOOD))
        shown = worst(findings)
        why = "" if not bad else shown.cause or shown.rule
        block = f"{shown.quantity} {shown.parameter}".strip()
        floors = "" if shown.floors is None else three(shown.floors) if shown.floors < 1e6 else f"{shown.floors:.1e}"
        colour = _COLOURS[not bad]
        cells = [backend, ", ".join(bad) or "agrees", block, floors, why]
        rows.append(
            "<tr>" + "".join(f'<td style="color:{colour if i == 1 else "inherit"}">{escape(cell)}</td>'
            for i, cell in enumerate(cells)) + "</tr>"
        )  # fmt: skip
    head = "".join(f"<th>{name}</th>" for name in ("backend", "verdict", "worst block", "floors", "why"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
