"""Whom a time budget pays for: seconds that backends need to start and to be checked, seen or assumed."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradparity.benchmark.schedule import is_twin
from gradparity.processes.deadline import affordable
from gradparity.runner.cases import Cell
from gradparity.runner.crew import Crew

#: Seconds that a backend needs to start, in the process to be timed and in the one that is checked, where no cell
#: before has shown it; and more for every GB of X, which the truth takes too.
BARE_START_S, START_S, COMPILER_START_S, S_PER_GB = 1.0, 3.5, 40.0, 40.0
#: Share of a cell's budget that starting may take.
START_SHARE = 0.7


@dataclass
class StartTimes:
    """Seconds to start and to check each backend, as the last cell has shown."""

    seen_s: dict[str, float] = field(default_factory=dict)

    def needed_s(self, name: str, cell: Cell, crew: Crew) -> float:
        """Seconds that a backend, or the reference's twin, will need in a cell."""
        kind = crew.registration(name)
        assumed_s = COMPILER_START_S if kind.compiler else START_S if kind.requires else BARE_START_S
        return self.seen_s.get(name, assumed_s) + S_PER_GB * cell.problem.data_bytes / 1e9

    def affordable(self, names: list[str], cell: Cell, crew: Crew) -> tuple[list[str], dict[str, str]]:
        """Whom the budget's share for starting pays for, and of the others why not.

        The reference and its twin come first, then the quickest to start.
        """
        needed_s = {name: self.needed_s(name, cell, crew) for name in names}
        kept = affordable(needed_s, START_SHARE * crew.deadline.left_s(), first=(crew.reference, crew.control))
        left_out = {
            name: f"{name}: it takes about {needed_s[name]:.0f} s to start and to check"
            for name in names
            if name not in kept and not is_twin(name)
        }
        return [name for name in names if name in kept and (crew.reference in kept or not is_twin(name))], left_out

    def learn(self, took_s: dict[str, float], crew: Crew) -> None:
        """Take what starting the processes to be timed took, and checking the others."""
        for name, start_s in took_s.items():
            checked_s = crew.members[name].took_s if name in crew.members else 0.0
            self.seen_s[name] = start_s + (checked_s or start_s)
