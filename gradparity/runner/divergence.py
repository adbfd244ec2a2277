"""Where the backends of one problem diverge: asked of the workers once something disagrees, since it evaluates anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.divergence import divergences
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.peer import WorkerFailed
from gradparity.results import GOOD, Finding
from gradparity.results.divergence import Divergences
from gradparity.worker import messages as m
from gradparity.worker.messages import Recorded


def find_divergences(
    workers: Mapping[str, WorkerProcess], findings: Iterable[Finding], seed: int
) -> Divergences | None:
    """The first tap at which backends diverge, forward and backward; ``None`` for a model without taps.

    Those that agree come first, since the others are then what diverges from them. A worker that fails here is left
    out: it has answered everything that it is judged by.
    """
    bad = {found.backend for found in findings if found.verdict not in GOOD}
    recorded: dict[str, Recorded] = {}
    for name in sorted((name for name in workers if not is_twin(name)), key=lambda name: name in bad):
        try:
            tapped = workers[name].ask(m.Record(seed))
        except WorkerFailed:
            continue
        if tapped.values:
            recorded[name] = tapped
    return divergences(recorded) if recorded else None


def with_places(findings: Iterable[Finding], found: Divergences) -> list[Finding]:
    """The same findings; where one disagrees for no known reason, its cause says where its backend diverges first."""
    places = {divergence.backend: divergence.place for divergence in reversed(found.found)}
    return [
        msgspec.structs.replace(each, cause=f"diverges {places[each.backend]}")
        if each.verdict not in GOOD and not each.cause and each.backend in places
        else each
        for each in findings
    ]
