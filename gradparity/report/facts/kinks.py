"""Kinks of a problem: where the loss has two derivatives, what each backend gave there, and what was not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradparity.formatting import apart
from gradparity.report.facts import words
from gradparity.results import Finding, ProblemResult


@dataclass(frozen=True)
class Kink:
    """One block at a kink: the entry with the widest sides, and what the backends gave there."""

    entry: str
    sides: tuple[float, float] | None
    given: tuple[tuple[str, float | None], ...]
    rule: str

    @property
    def differ(self) -> bool:
        """Whether backends gave different derivatives, each by its convention."""
        values = [value for _, value in self.given if value is not None]
        if self.sides is None or not values:
            return False
        low, high = self.sides
        return max(values) - min(values) > 1e-6 * (high - low)

    def __str__(self) -> str:
        """``gradient b[1]: jax 0.5, torch 0, where 0 to 1 is right``; or what was not judged."""
        if self.sides is None:
            return f"{self.entry}: {self.rule}"
        low, high = apart(*self.sides)
        given = ", ".join(f"{name} {value:.6g}" for name, value in self.given if value is not None)
        return f"{self.entry}: {given}, where anything from {low} to {high} is right"


def kinks(problem: ProblemResult) -> list[Kink]:
    """The kinks of a problem, those at which backends differ first; blocks with the same words together."""
    blocks: dict[tuple[str, tuple[int, ...], tuple[float, float] | None], list[Finding]] = {}
    for found in problem.findings:
        if found.verdict == "kink":
            blocks.setdefault((found.block, found.worst_index, found.sides), []).append(found)
    told = [
        Kink(words.entry(group[0]), sides, tuple((f.backend, f.got) for f in group), group[0].rule)
        for (_, _, sides), group in blocks.items()
        if sides is not None
    ]
    return [*sorted(told, key=lambda kink: not kink.differ), *_not_judged(list(blocks.values()))]


def _not_judged(groups: Sequence[Sequence[Finding]]) -> list[Kink]:
    by_rule: dict[str, list[str]] = {}
    for group in groups:
        if group[0].sides is None:
            by_rule.setdefault(group[0].rule, []).append(group[0].block)
    return [Kink(words.listed(blocks), None, (), rule) for rule, blocks in by_rule.items()]
