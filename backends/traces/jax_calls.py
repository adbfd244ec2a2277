"""JAX: which line each equation of a jaxpr comes from, and which equations are steps within one call of JAX's.

A call of the user's (`jax.nn.gelu`) becomes many equations, all with the frame in which it was made. Those whose
results nothing outside of that call reads are its parts; the others are what it returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from gradparity.backends.traces import NOWHERE, Place

#: What a scope's name looks like where it is a module's, and not a transformation's or an `einsum`'s.
_MODULE = re.compile(r"[A-Za-z_][\w.]*")


#: Functions of JAX that differentiate what they are given, by the names that their frames have.
_DIFFERENTIATE = {"value_and_grad_f", "vjp", "_vjp", "linearize"}

#: Code and instruction.
Frame: TypeAlias = tuple[Any, int]


#: The transformations of what is in a scope.
_TRANSFORMED = re.compile(r"^(\w+\()+")


class Call(NamedTuple):
    """One call in the user's code: the expression, and a number that tells it from others of the same expression."""

    place: Place
    number: int


class Site(NamedTuple):
    """Where an equation stands: its call, and the name of what was called where it is known; the path of the module.

    ``leaves``: of each of its results, whether it is read outside of the call.
    """

    call: Call
    name: str
    module: str
    leaves: tuple[bool, ...]


class Sites:
    """The sites of a program's equations; each program is looked at once, as often as it may run."""

    def __init__(self, inside: Callable[[str], bool]) -> None:
        self._inside = inside
        self._known: dict[Any, list[Site]] = {}
        self._calls = 0

    def of(self, program: Any, outer: Site) -> list[Site]:
        """Those of a jaxpr that stands for an equation at ``outer``; ``outer.leaves`` are of its results."""
        key = id(program), outer
        if key not in self._known:
            self._known[key] = self._look(program, outer)
        return self._known[key]

    def _look(self, program: Any, outer: Site) -> list[Site]:
        calls = list(self._calls_of(program, outer.call))
        readers: dict[Any, set[int]] = {}
        for equation, call in zip(program.eqns, calls, strict=True):
            for each in equation.invars:
                if is_variable(each):
                    readers.setdefault(each, set()).add(call.number)
        results = [each for each in zip(program.outvars, outer.leaves, strict=True) if is_variable(each[0])]
        returned, left = {each for each, _ in results}, {each for each, leaves in results if leaves}

        def leaves(variable: Any, call: Call) -> bool:
            others = readers.get(variable, set()) - {call.number}
            return bool(others) or variable in (left if call == outer.call else returned)

        return [
            Site(
                call,
                outer.name if call == outer.call else "",
                _module(outer.module, equation),
                tuple(leaves(each, call) for each in equation.outvars),
            )
            for equation, call in zip(program.eqns, calls, strict=True)
        ]

    def _calls_of(self, program: Any, outer: Call) -> Iterator[Call]:
        """The call of each equation. Where its very first line of JAX runs again it was made again, as in a loop.

        Not so in a backward pass, which has the lines of the way forward more than once.
        """
        call, last, first = outer, tuple[Any, ...](), tuple[Any, ...]()
        for equation in program.eqns:
            frames = _frames(equation.source_info.traceback)
            backward = str(equation.source_info.name_stack).count("transpose(")
            stack = tuple(self._from_the_user(frames, backward))
            if not stack:
                yield outer
                continue
            line = (equation.primitive, *frames)
            if (backward, *stack) != last or (line == first and not backward):
                self._calls += 1
                place = _place(*stack[0])._replace(caller=self._caller(stack[1:]))
                call, last, first = Call(place, self._calls), (backward, *stack), line
            yield call

    def _caller(self, frames: Sequence[Frame]) -> tuple[str, int]:
        place = next((_place(*frame) for frame in frames if self._inside(frame[0].co_filename)), NOWHERE)
        return place.file, place.line

    def _from_the_user(self, frames: Sequence[Frame], backward: int) -> Sequence[Frame]:
        """The innermost frame in the user's code, and those around it.

        An equation of a backward pass within the loss has the frames of the way forward; its call is the one that asked
        for the derivative, the nth around it for a derivative of the nth order.
        """
        found, differentiates = 0, not backward
        for position, (code, _) in enumerate(frames):
            if not self._inside(code.co_filename):
                differentiates = differentiates or code.co_name in _DIFFERENTIATE
            elif differentiates:
                found, differentiates = found + 1, False
                if found >= backward:
                    return frames[position:]
        return [] if not backward else self._from_the_user(frames, backward - 1)


def is_variable(each: Any) -> bool:
    """Whether what an equation reads is a variable, and no literal."""
    return not hasattr(each, "val")


def _frames(traceback: Any) -> Sequence[Frame]:
    """Code and instruction of every frame, the innermost first."""
    if traceback is None:
        return []
    if hasattr(traceback, "raw_frames"):
        return list(zip(*traceback.raw_frames(), strict=True))
    found, each = [], traceback.as_python_traceback()
    while each is not None:
        found.append((each.tb_frame.f_code, each.tb_lasti))
        each = each.tb_next
    return found[::-1]


def _place(code: Any, instruction: int) -> Place:
    if instruction < 0:
        return NOWHERE
    line, end_line, column, end_column = list(code.co_positions())[instruction // 2]
    if line is None:
        return NOWHERE
    return Place(code.co_filename, line, end_line or line, column or 0, end_column or 0)


def _module(outer: str, equation: Any) -> str:
    """The path of `jax.named_scope`, as Flax and others open one for each module."""
    names = [_TRANSFORMED.sub("", name).rstrip(")") for name in str(equation.source_info.name_stack).split("/")]
    names = [name for name in names if _MODULE.fullmatch(name)]
    return ".".join(filter(None, (outer, *names)))
