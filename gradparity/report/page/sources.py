"""Two ports' sources side by side, the lines joined that have a common result."""

from __future__ import annotations

from gradparity.report.page.view import Line, Listing, Panel, SideBySide
from gradparity.results import ProblemResult
from gradparity.results.lines import Lines

#: Lines that are shown before and after those that are marked or edited.
_AROUND = 3


def sources(problem: ProblemResult) -> Panel | None:
    """The sources around each place where two ports diverge."""
    found = [] if problem.divergences is None else problem.divergences.lines
    pairs = [pair for place, lines in enumerate(found) if (pair := _pair(lines, f"{problem.label}-ports-{place}"))]
    if not pairs:
        return None
    about = (
        "Lines that are joined have a common result; where the ports diverge is marked with ✗, the last common with ✓."
    )
    return Panel("sources", "Line by line", about, sources=pairs)


def _pair(lines: Lines, key: str) -> SideBySide | None:
    listings = [_listing(lines, name) for name in (lines.backend, lines.against)]
    if not all(listing.lines for listing in listings):
        return None
    one, two = listings
    rows = [{line.number: row for row, line in enumerate(listing.lines)} for listing in listings]
    joins = [(rows[0][a], rows[1][b]) for a, b in lines.joined if a in rows[0] and b in rows[1]]
    said = [each for each in lines.said if "diverge at" not in each]  # which the reason above says
    return SideBySide(key, "; ".join(said), one, two, joins)


def _listing(lines: Lines, name: str) -> Listing:
    first, source = lines.excerpts.get(name, (0, []))
    here = {site.line for site in lines.here if site.backend == name}
    agree = {site.line for site in lines.agree if site.backend == name} - here
    files = [site.file for site in (*lines.here, *lines.agree) if site.backend == name]
    cured = {cure.line for cure in lines.cures if cure.backend == name}
    marked = here | agree | cured
    near = range(min(marked) - _AROUND, max(marked) + _AROUND + 1) if marked else range(first, first + len(source))
    shown = [
        Line(number, text, "bad", "✗")
        if number in here
        else Line(number, text, "good", "✓")
        if number in agree
        else Line(number, text)
        for number, text in enumerate(source, first)
        if number in near
    ]
    return Listing(f"{name}: {files[0]}" if files else name, shown)
