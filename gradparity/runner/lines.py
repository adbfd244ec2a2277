"""Where two ports part, to the line: their operations are recorded once something disagrees, and never before."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.alignment import Parting, part
from gradparity.model_spec.user.model import find_model
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.peer import WorkerFailed
from gradparity.results import DIFFERS, Finding
from gradparity.results.lines import Lines, Site
from gradparity.worker import messages as m

#: What a neutral loss is called where a port is held against it.
TRUTH = "truth"
#: Characters of an expression that are said, and lines of source around those that are.
MOST_TEXT, AROUND = 72, 6


def find_lines(
    workers: Mapping[str, WorkerProcess],
    findings: Iterable[Finding],
    params: Iterable[str],
    path: str,
    seed: int,
    truth: m.Traced | None = None,
) -> tuple[list[Lines], list[str]]:
    """Where each backend that disagrees parts from one that does not, or from the neutral loss.

    ``path`` is the model's, ``params`` the names of its parameters. Of two backends that disagree with each other,
    neither is the odd one: said once.

    Returns:
        What was found, and why nothing was of some.
    """
    root = find_model(path)[0].parent
    bad = list(dict.fromkeys(found.backend for found in findings if found.verdict in DIFFERS))
    names = [name for name in workers if not is_twin(name)]
    recorded: dict[str, m.Traced] = {} if truth is None or not truth.results else {TRUTH: truth}
    notes: list[str] = []

    def record(name: str) -> m.Traced | None:
        if name not in recorded and name in workers:
            try:
                recorded[name] = workers[name].ask(m.Trace(seed))
            except WorkerFailed as failure:
                notes.append(f"{name} cannot be recorded: {failure.reason}")
                recorded[name] = m.Traced()
        return recorded.get(name)

    found: list[Lines] = []
    for name in (name for name in bad if name in names):
        mine = record(name)
        others = [TRUTH] * (TRUTH in recorded) + [each for each in names if each not in bad]
        others += [each for each in bad if each != name and each in names]
        for other in others:
            if any({each.backend, each.against} == {name, other} for each in found):
                break
            theirs = record(other)
            if mine is None or theirs is None or not (mine.results and theirs.results):
                continue
            parting = part(mine, theirs, params)
            if parting is not None:
                found.append(_lines(parting, (name, other), (mine, theirs), root))
            break
    notes += [f"{name}: {note}" for name, traced in recorded.items() for note in traced.notes]
    return found, notes


def _lines(parting: Parting, names: tuple[str, str], traced: tuple[m.Traced, m.Traced], root: Path) -> Lines:
    """The record of a parting, with places and text in place of numbers."""

    def sites(numbers: Sequence[int | None]) -> list[Site]:
        each = zip(names, traced, numbers, strict=True)
        return [_site(name, record, number, root) for name, record, number in each if number is not None]

    here = sites(parting.here)
    agree = sites(parting.agree) if parting.agree is not None else []
    joined = {
        (traced[0].results[a].place[1], traced[1].results[b].place[1])
        for a, b in parting.pairs
        if traced[0].results[a].place[1] and traced[1].results[b].place[1]
    }
    return Lines(
        direction=parting.direction,
        backend=names[0],
        against=names[1],
        agree=agree,
        reordered=sites(parting.reordered) if parting.reordered is not None else [],
        here=here,
        relative=parting.relative,
        floors=parting.floors,
        silent=list(itertools.compress(names, parting.missing)),
        joined=sorted(joined),
        excerpts={
            name: _excerpt(record, [site for site in (*agree, *here) if site.backend == name], root)
            for name, record in zip(names, traced, strict=True)
        },
    )


def _site(name: str, traced: m.Traced, number: int, root: Path) -> Site:
    result = traced.results[number]
    file, line, end_line, column, end_column = result.place
    source = traced.sources.get(file, "").splitlines()
    text = ""
    if 0 < line <= len(source):
        lines = [each.encode() for each in source[line - 1 : end_line]]
        if end_column > 0 and (end_line > line or end_column > column):
            lines[-1] = lines[-1][:end_column]
            lines[0] = lines[0][column:]
        else:
            lines = lines[:1]
        text = " ".join(b" ".join(lines).decode(errors="replace").split())
    if result.name:
        text = result.name
    return Site(
        backend=name,
        file=shown_file(file, root),
        line=line if source else 0,
        text=text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 4] + " ...",
        operation=result.operation or "input",
        module=result.module,
    )


def shown_file(file: str, root: Path) -> str:
    """A path as it is said: within the model's folder, and without ``backends/`` of a port's file."""
    if not file:
        return ""
    within = os.path.relpath(file, root)
    return within.removeprefix("backends" + os.sep)


def _excerpt(traced: m.Traced, sites: Sequence[Site], root: Path) -> tuple[int, list[str]]:
    """The source around some places of one file."""
    files = {shown_file(file, root): text.splitlines() for file, text in traced.sources.items()}
    known = [site for site in sites if site.line and site.file in files]
    if not known:
        return 0, []
    source = files[known[-1].file]
    numbers = [site.line for site in known if site.file == known[-1].file]
    first, last = max(1, min(numbers) - AROUND), min(len(source), max(numbers) + AROUND)
    return first, source[first - 1 : last]
