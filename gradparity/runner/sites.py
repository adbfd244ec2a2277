"""Results of a record as places in the user's files, with the text that stands there."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from gradparity.formatting import shortened
from gradparity.judge.alignment import FirstDivergence, changed_by_cure
from gradparity.results.lines import Cure, Lines, Site
from gradparity.worker import messages as m

#: Characters of an expression that are said, and lines of source around those that are.
MOST_TEXT, AROUND = 72, 6


def in_words(
    divergence: FirstDivergence, names: tuple[str, str], traced: tuple[m.Traced, m.Traced], root: Path
) -> Lines:
    """What is kept of a divergence, with places and text in place of numbers."""

    def sites(numbers: Sequence[int | None]) -> list[Site]:
        each = zip(names, traced, numbers, strict=True)
        return [_site(name, record, number, root) for name, record, number in each if number is not None]

    def rules(found: list[Site]) -> list[Site]:
        """Where a value is differentiated by a rule of the user's, that is where its cotangent is computed."""
        records = dict(zip(names, zip(traced, divergence.here, strict=True), strict=True))
        return [_rule(each, *records[each.backend], root) for each in found]

    here = sites(divergence.here)
    here = rules(here) if divergence.direction == "backward" else here
    agree = sites(divergence.agree) if divergence.agree is not None else []
    joined = {
        (traced[0].results[a].place[1], traced[1].results[b].place[1])
        for a, b in divergence.pairs
        if traced[0].results[a].place[1] and traced[1].results[b].place[1]
    }
    return Lines(
        direction=divergence.direction,
        backend=names[0],
        against=names[1],
        agree=agree,
        reordered=sites(divergence.reordered) if divergence.reordered is not None else [],
        here=here,
        relative=divergence.relative,
        floors=divergence.floors,
        silent=list(itertools.compress(names, divergence.missing)),
        joined=sorted(joined),
        excerpts={
            name: _excerpt(record, [site for site in (*agree, *here) if site.backend == name], root)
            for name, record in zip(names, traced, strict=True)
        },
    )


def _site(name: str, traced: m.Traced, number: int, root: Path, *, whole: bool = False) -> Site:
    result = traced.results[number]
    file, line, end_line, column, end_column = result.place
    source = lines_of(traced.sources.get(file, ""))
    text = ""
    if 0 < line <= len(source):
        lines = [each.encode() for each in source[line - 1 : end_line]]
        if not whole and end_column > 0 and (end_line > line or end_column > column):
            lines[-1] = lines[-1][:end_column]
            lines[0] = lines[0][column:]
        else:
            lines = lines[:1]
        text = " ".join(b" ".join(lines).decode(errors="replace").split())
    if result.name:
        text = result.name
    caller, line_of_call = result.caller
    return Site(
        backend=name,
        file=shown_file(file, root),
        line=line if source else 0,
        text=text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 4] + " ...",
        operation=result.operation or "input",
        module=result.module,
        called=f"{shown_file(caller, root)}:{line_of_call}"
        if source and caller in traced.sources and (caller, line_of_call) != (file, line)
        else "",
    )


def _rule(site: Site, traced: m.Traced, number: int | None, root: Path) -> Site:
    file, line, _ = ("", 0, 0) if number is None else traced.results[number].rule
    source = lines_of(traced.sources.get(file, ""))
    if not 0 < line <= len(source):
        return site
    first = next((n for n in range(line, len(source) + 1) if "def " in source[n - 1]), line)  # behind decorators
    text = shortened(" ".join(source[first - 1].split()), MOST_TEXT)
    return msgspec.structs.replace(site, file=shown_file(file, root), line=first, text=text, called=site.place)


def lines_of(text: str) -> list[str]:
    """The lines of a source as Python counts them: a form feed ends none."""
    return re.split("\r\n|\r|\n", text)


def shown_file(file: str, root: Path) -> str:
    """A path as it is said: within the model's folder, and without ``backends/`` of a port's file."""
    if not file:
        return ""
    within = os.path.relpath(file, root)
    return within.removeprefix("backends" + os.sep)


def _excerpt(traced: m.Traced, sites: Sequence[Site], root: Path) -> tuple[int, list[str]]:
    """The source around some places of one file."""
    files = {shown_file(file, root): lines_of(text) for file, text in traced.sources.items()}
    known = [site for site in sites if site.line and site.file in files]
    if not known:
        return 0, []
    source = files[known[-1].file]
    numbers = [site.line for site in known if site.file == known[-1].file]
    first, last = max(1, min(numbers) - AROUND), min(len(source), max(numbers) + AROUND)
    while first < last and not source[first - 1].strip():  # ends at the places themselves
        first += 1
    return first, source[first - 1 : last]


def beside_cures(
    lines: Lines,
    found: Iterable[tuple[str, m.Cured]],
    records: Mapping[str, m.Traced],
    params: Iterable[str],
    root: Path,
) -> Lines:
    """The same at the first line whose values a proven edit changes, and at the line of the other port that has them.

    Without the edit a port may be seen to diverge at a step before, which only one of the two takes. Where an edit of
    either is proven they have to tell of the same lines.
    """
    names, places = list(params), list[dict[str, Site]]()
    for port, answer in found:
        other = lines.against if port == lines.backend else lines.backend
        if answer.traced is None:
            continue
        edit = answer.found[0]
        place = edit.file, edit.line, edit.column, edit.column + len(edit.new.encode())
        pair = changed_by_cure(
            records[port], answer.traced, records[other], place, names, by_order=edit.kind == "permutation"
        )
        if pair is not None and (edit.kind != "permutation" or answer.traced.results[pair[0]].place[:2] == place[:2]):
            edited = m.Traced(answer.traced.results, records[port].sources)  # the user's text is said, by whole lines
            sites = _site(port, edited, pair[0], root, whole=True), _site(other, records[other], pair[1], root)
            places.append({site.backend: site for site in sites})
    if len({tuple(sorted((name, site.place) for name, site in each.items())) for each in places}) != 1:
        return lines  # either port can be edited, each at lines of its own: nothing tells which
    return msgspec.structs.replace(lines, here=[places[0][site.backend] for site in lines.here])


def at_its_cures(lines: Lines, found: Iterable[tuple[str, m.Cured]], root: Path, sources: Mapping[str, str]) -> Lines:
    """The same with its cures; a place at which an edit is proven is where its port diverges.

    Values, and cotangents, are seen to diverge where they are computed, or where what reads them is. A number or
    an option stands where it is given, which need not be where anything is computed.
    """
    cures, tried, here = list[Cure](), 0, list(lines.here)
    for port, answer in found:
        tried += answer.tried
        for each in answer.found:
            fields = {name: getattr(each, name) for name in ("line", "column", "kind", "old", "new", "phrase", "about")}
            cure = Cure(backend=port, file=shown_file(each.file, root), also=list(each.also), **fields)
            cures.append(cure)
            source = lines_of(sources.get(each.file, ""))
            text = source[cure.line - 1] if 0 < cure.line <= len(source) else ""
            if cure.kind not in ("number", "option"):
                whole = shortened(" ".join((text or cure.old).split()), MOST_TEXT)
                site = Site(backend=port, file=cure.file, line=cure.line, text=whole, operation=cure.kind)
                moved = [known for known in here if known.backend == port and known.place != site.place]
                here = [site if known in moved else known for known in here]
    agree = lines.agree
    if any(one.file == two.file and one.line > two.line for one, two in _pairs(agree, here)) or any(
        one.place == two.place and one.text == two.text for one, two in _pairs(agree, here)
    ):
        agree = [] if lines.direction == "forward" else agree  # what lies behind a divergence is no last agreement
    return msgspec.structs.replace(lines, cures=cures, tried=tried, here=here, agree=agree)


def _pairs(agree: Sequence[Site], here: Sequence[Site]) -> list[tuple[Site, Site]]:
    return [(one, two) for one in agree for two in here if one.backend == two.backend]
