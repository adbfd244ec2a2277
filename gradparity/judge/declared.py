"""A gradient that one port stops with `gradparity.stop`, and another with a stop of its framework, or not. Pure.

What is declared is held fixed where the backend's own loss is differentiated by differences, and what is not declared
moves: then a gradient that stops at the same place is denied by its own loss, and no mistake for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gradparity.judge.distances import BlockAnswers, Key
from gradparity.judge.own import Answers, one_rule
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.results import OwnDerivative

#: Why a derivative of the own loss is nothing to compare with.
STOPPED = "stopped as another backend declares"

_Blocks = Mapping[Key, BlockAnswers]


def as_declared(
    answers: Mapping[str, Answers], own: Sequence[OwnDerivative], blocks: _Blocks, sizes: Mapping[str, int]
) -> list[OwnDerivative]:
    """The same; nothing is denied of a backend that agrees with one which declares its stop, where they agree.

    The declared gradient has to be the derivative of its own loss wherever the other's is denied. Where a compiler has
    the values to hold, that is not known, and the same factor in all blocks is no stop.
    """
    declaring = [name for name, answer in answers.items() if answer.through]

    def alike(each: OwnDerivative, by: str) -> bool:
        same = (key for key in blocks if key[0] in ("loss", "gradient"))
        if not all(_agree(blocks, key, by, each.backend) for key in (*same, (each.quantity, each.parameter))):
            return False
        if not answers[by].own:
            return not one_rule(each.backend, own, sizes)
        denied = [o.parameter for o in own if o.backend == each.backend and _gradient(o) is False]
        return bool(denied) and all(_consistent(own, by, parameter) for parameter in denied)

    return [
        msgspec.structs.replace(each, kind=STOPPED, consistent=None)
        if each.consistent is False and not answers[each.backend].through and any(alike(each, by) for by in declaring)
        else each
        for each in own
    ]


def which_is_meant(
    answers: Mapping[str, Answers], own: Sequence[OwnDerivative], blocks: _Blocks, primal: _Blocks
) -> dict[str, str]:
    """The question that is left, by backend: one and the same loss whose gradient some stop, and others do not.

    ``own`` is what `as_declared` gives: who is still denied has another mistake.
    """
    denied = {each.backend for each in own if _gradient(each) is False}
    sound = [name for name in answers if name not in denied]
    quiet = {each.backend for each in own if each.kind == STOPPED}
    stopping = [name for name in sound if answers[name].through or name in quiet]
    found: dict[str, dict[str, None]] = {}
    for a in (name for name in stopping if answers[name].through):
        for b in (name for name in sound if name != a):
            apart = [key[1] for key in blocks if key[0] == "gradient" and not _agree(blocks, key, a, b)]
            losses = all(
                _agree(each, key, a, b) for each, key in _losses(blocks, primal) if {a, b} <= set(each[key].values)
            )
            rules = all(_consistent(own, n, p) for n in (a, b) for p in apart if answers[n].own and n not in quiet)
            if apart and losses and rules:
                found.setdefault(a, {})[b] = None
                found.setdefault(b, {})[a] = None
    through = [name for name in found if name not in stopping]
    cut = [name for name in stopping if not through or name in found or name in quiet]
    if not through:
        words = f"{_list(cut)} stop the gradient at different values: which is meant?"
    else:
        do, go = ("stops" if len(cut) == 1 else "stop"), ("does" if len(through) == 1 else "do")
        words = f"{_list(cut)} {do} the gradient (gradparity.stop), and {_list(through)} {go} not: which is meant?"
    return dict.fromkeys([name for name in answers if name in found or (found and name in cut)], words)


def _losses(blocks: _Blocks, primal: _Blocks) -> list[tuple[_Blocks, Key]]:
    return [*((blocks, key) for key in blocks if key[0] == "loss"), *((primal, key) for key in primal)]


def _gradient(each: OwnDerivative) -> bool | None:
    return each.consistent if each.quantity == "gradient" else None


def _consistent(own: Sequence[OwnDerivative], name: str, parameter: str) -> bool:
    return any(o.backend == name and o.parameter == parameter and _gradient(o) is True for o in own)


def _agree(blocks: _Blocks, key: Key, a: str, b: str) -> bool:
    return key in blocks and blocks[key].apart.get((a, b), float("inf")) <= AGREES_FLOORS


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
