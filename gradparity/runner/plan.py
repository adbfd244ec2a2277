"""What a command asks of every problem, decided once: nothing behind this looks at the command's name again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradparity.processes.interpreters import TOOL, variants
from gradparity.runner.settings import Command, Settings


@dataclass(frozen=True)
class Plan:
    """What is judged, trained and timed on each problem of a run.

    ``second_order``: JVP and HVP are judged beside loss and gradient.
    ``trains``: with ``all`` optimisers over all steps that are asked for; in the backend's own ``loop`` over the few
    steps that show that it is right; or ``nothing``.
    ``timed``: the clock follows.
    ``apart``: what is timed are processes of their own, started one after the other with the machine to themselves, and
    not those that were checked.
    ``closely``: loops are timed as long as steps, and beside the step the loss alone, the garbage collector and the
    other formulations.
    ``shared``: one process a backend serves all problems.
    ``elsewhere``: it is asked at the points of other seeds, too, where training would ask at others.
    """

    second_order: bool = True
    trains: Literal["all", "loop", "nothing"] = "all"
    timed: bool = False
    apart: bool = False
    closely: bool = False
    shared: bool = False
    elsewhere: bool = False


_PLANS: dict[Command, Plan] = {
    "check": Plan(),
    # It says which backend to choose.
    "run": Plan(timed=True),
    # It is for who wants to know the loop as closely as the step.
    "bench": Plan(second_order=False, trains="loop", timed=True, apart=True, closely=True),
}
#: To start a framework for each of some sixty problems would take many times as long as to check them.
_STRESS = Plan(trains="nothing", shared=True)
#: A tool of GradBench knows an evaluation's gradient at its inputs, and no parameters beside them.
_ANSWERS = Plan(trains="nothing", elsewhere=True)


def plan_of(settings: Settings) -> Plan:
    """The plan of a command and its options."""
    if any(each.target == TOOL for each in variants(settings.interpreters).values()):
        return _ANSWERS
    return _STRESS if settings.stress_suite else _PLANS[settings.command]
