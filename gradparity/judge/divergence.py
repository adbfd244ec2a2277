"""Where backends diverge: the first tapped value, going forward, and the first cotangent, going backward. Pure.

Two entries are the same to within rounding if they differ by at most ``DIVERGES_FLOORS`` floors. The floor is the tap's
own: how far that entry and its block move in that backend when every input moves by one ulp, over some draws, in
quadrature for the two that are compared (`gradparity.worker.recording`, `gradparity.judge.tap_difference`).

Going forward is the order in which the truth, or the first backend, met the taps, and going backward is its reverse: no
cotangent depends on one of an earlier tap, so this is an order of the backward pass too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gradparity.judge.tap_difference import Block, difference
from gradparity.results.divergence import Difference, Direction, Divergence, Divergences
from gradparity.worker.recording import Recorded


def divergences(recorded: Mapping[str, Recorded], truth: Recorded | None = None) -> Divergences:
    """Where each backend first diverges from the truth, or without one from those that agree with each other.

    Args:
        recorded: what each backend's taps saw; one that saw nothing is left out.
        truth: the same of an evaluation that is known to be right; its floors may be empty.
    """
    seen = {name: recording for name, recording in recorded.items() if recording.values}
    everyone = dict(seen) if truth is None else {"truth": truth, **seen}
    keys = _order(everyone)
    forward = {key: _Column(key, {name: Block.value(r, key) for name, r in everyone.items()}) for key in keys}
    backward = {key: _Column(key, {name: Block.cotangent(r, key) for name, r in everyone.items()}) for key in keys}
    calls = Counter(_split(key)[0] for key in keys)
    found = [
        *_firsts("forward", [forward[key] for key in keys], calls),
        *_firsts("backward", [backward[key] for key in reversed(keys)], calls),
    ]
    compared = sum(column.compared for column in forward.values())
    return Divergences(taps=compared, found=found, notes=list(_notes(everyone, calls)))


class _Column:
    """One tap over all backends that have it: which of them agree, and how another differs from those."""

    def __init__(self, key: str, blocks: Mapping[str, Block | None]) -> None:
        self.key = key
        self.blocks = {name: block for name, block in blocks.items() if block is not None}
        self.compared = len(self.blocks) > 1
        self.group = self._group()

    def _group(self) -> list[str]:
        """The truth; or the largest set of backends each of which agrees with its first; of equals the earliest."""
        if "truth" in self.blocks:
            return ["truth"]
        groups = [
            [other for other in self.blocks if other == name or difference(self.blocks[other], block) is None]
            for name, block in self.blocks.items()
        ]
        return max(groups, key=len, default=[])

    def outliers(self) -> Iterator[tuple[str, list[str], Difference]]:
        """Every backend that diverges from the group: its name, the group, and the figures."""
        for name, block in self.blocks.items() if self.compared else ():
            figures = None if name in self.group else difference(block, self.blocks[self.group[0]])
            if figures is not None:
                yield name, self.group, figures


def _firsts(direction: Direction, columns: Sequence[_Column], calls: Counter[str]) -> Iterator[Divergence]:
    diverged: set[str] = set()
    for column in columns:
        tap, occurrence = _split(column.key)
        for name, group, figures in column.outliers():
            # Of two backends that diverge, neither is the odd one: said once.
            if name in diverged or (group != ["truth"] and len(group) == 1 and group[0] in diverged):
                continue
            diverged.add(name)
            yield Divergence(
                direction=direction,
                tap=tap,
                occurrence=occurrence,
                of=calls[tap],
                backend=name,
                against=group,
                **msgspec.structs.asdict(figures),
            )


def _order(recorded: Mapping[str, Recorded]) -> list[str]:
    """Every key: those of the first recording in its order, each that it lacks after the one before it elsewhere."""
    keys: list[str] = []
    for recording in recorded.values():
        previous = -1
        known = {key: i for i, key in enumerate(keys)}
        late: list[tuple[int, str]] = []
        for key in recording.values:
            if key in known:
                previous = known[key]
            else:
                late.append((previous, key))
        for after, key in reversed(late):
            keys.insert(after + 1, key)
    return keys


def _notes(recorded: Mapping[str, Recorded], calls: Counter[str]) -> Iterator[str]:
    """Taps that some lack, or meet another number of times."""
    counts = {name: Counter(_split(key)[0] for key in r.values) for name, r in recorded.items()}
    for tap in calls:
        numbers = {name: count[tap] for name, count in counts.items()}
        if len(set(numbers.values())) > 1:
            yield f"`{tap}` is met " + ", ".join(f"{n} times by {name}" for name, n in numbers.items())


def _split(key: str) -> tuple[str, int]:
    name, _, occurrence = key.rpartition("#")
    return name, int(occurrence)
