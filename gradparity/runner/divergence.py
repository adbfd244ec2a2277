"""Where backends diverge, and in which precision: asked of workers once something disagrees; they evaluate anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.causes.precision import may_be_rounding, spacings
from gradparity.judge.divergence import between, divergences
from gradparity.numerics.perturbation import Values
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.peer import WorkerFailed
from gradparity.results import GOOD, Finding
from gradparity.results.divergence import Divergences
from gradparity.worker import messages as m
from gradparity.worker.messages import Recorded


def find_divergences(
    workers: Mapping[str, WorkerProcess], findings: Iterable[Finding], seed: int
) -> tuple[Divergences, dict[tuple[str, str], str]] | None:
    """The first tap at which backends diverge, forward and backward, and where a fault lies if none does.

    ``None`` for a model without taps.

    Those that agree come first, since the others are then what diverges from them. A worker that fails here is left
    out: it has answered everything that it is judged by.
    """
    findings = list(findings)
    bad = {found.backend for found in findings if found.verdict not in GOOD}
    recorded: dict[str, Recorded] = {}
    for name in sorted((name for name in workers if not is_twin(name)), key=lambda name: name in bad):
        try:
            tapped = workers[name].ask(m.Record(seed))
        except WorkerFailed:
            continue
        if tapped.values:
            recorded[name] = tapped
    if not recorded:
        return None
    found = divergences(recorded)
    return found, between(findings, recorded, found)


def scattered(
    workers: Mapping[str, WorkerProcess], findings: Iterable[Finding], dtype: str
) -> tuple[dict[str, dict[str, list[Values]]], dict[str, list[str]]]:
    """What those that may compute in a format give along its line, by backend and format; and their dtypes."""
    lines: dict[str, dict[str, list[Values]]] = {}
    seen: dict[str, list[str]] = {}
    apart = spacings(dtype)
    asked = dict.fromkeys(each.backend for each in findings if may_be_rounding(each, dtype))
    for name in (name for name in asked if name in workers):
        try:
            found = workers[name].ask(m.Scatter(list(apart.values())))
        except WorkerFailed:
            continue
        lines[name] = {fmt: list(line) for fmt, line in zip(apart, found.lines, strict=True)}
        seen |= {} if found.dtypes is None else {name: found.dtypes}
    return lines, seen


def with_places(findings: Iterable[Finding], found: Divergences, lies: Mapping[tuple[str, str], str]) -> list[Finding]:
    """The same findings; where one disagrees for no known reason, its cause says where its backend diverges first.

    Where no tap does, it says between which two places the fault lies, behind the reason if one is known.
    """
    places = {divergence.backend: divergence.place for divergence in reversed(found.found)}

    def cause(each: Finding) -> str:
        if each.verdict in GOOD:
            return each.cause
        if (each.backend, each.block) in lies:
            return "; ".join(filter(None, (each.cause, lies[each.backend, each.block])))
        return each.cause or (f"diverges {places[each.backend]}" if each.backend in places else "")

    return [msgspec.structs.replace(each, cause=cause(each)) for each in findings]
