"""JAX: the jaxpr of a loss, evaluated equation by equation, and a reverse pass over what was evaluated.

Calls are descended into, whoever compiled them; a loop is unrolled and a branch taken. Each equation is pulled back by
JAX's own rule, and a function with a rule of the user's by that one: what is within it then has no cotangent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params
from gradparity.backends.traces import NOWHERE, Journal, Place, Step, place_of_function
from gradparity.backends.traces.jax_calls import Call, Site, Sites, is_variable
from gradparity.backends.traces.jax_steps import Operation, Program, host, is_key, literal

#: Results that are told, and those of one loop: of what has more, the rest is evaluated whole.
MOST_RESULTS, MOST_OF_A_LOOP = 20_000, 4000

#: Equations that call a program, by the primitive's name in some JAX, to the parameter that has the program.
CALLS = {
    **dict.fromkeys(("jit", "pjit", "remat", "remat2", "checkpoint"), "jaxpr"),
    **dict.fromkeys(("closed_call", "core_call", "core_closed_call", "custom_jvp_call"), "call_jaxpr"),
    **dict.fromkeys(("custom_vjp_call", "custom_vjp_call_jaxpr"), "call_jaxpr"),
}
#: Those that have a rule of their own.
RULED = {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}


@dataclass(eq=False)
class Known:
    """An array on the way. ``active``: the parameters move it. Its cotangent is complete when its maker is reached."""

    value: Any
    number: int | None = None
    active: bool = False
    cotangent: Any = None

    def add(self, cotangent: Any) -> None:
        """Take a cotangent from one of its readers."""
        if cotangent is not None:
            known = self.cotangent
            self.cotangent = cotangent if known is None else np.add(known, cotangent)


Knowns: TypeAlias = Sequence[Known]
#: Cotangents of what was read, from those of what was made, at the given positions.
PullBack: TypeAlias = Callable[[tuple[int, ...], list[Any]], Sequence[Any]]


def record(loss: Loss, params: Params, data: Data, journal: Journal) -> None:
    """See `gradparity.backends.traces.Recorder`."""
    program = jax.make_jaxpr(loss)(params, data)
    if any("Ref" in type(each.aval).__name__ for each in _variables(program.jaxpr)):
        raise RuntimeError("a program that writes into arrays of its own (`jax.new_ref`) cannot be recorded")
    recording = Recording(journal)
    leaves = [
        Known(host(value), journal.leaf(name, host(value)), tree is params and _differentiable(value))
        for tree in (params, data)
        for name, value in sorted(tree.items())
    ]
    outer = Site(Call(NOWHERE, 0), "", "", (True,))
    (result,) = recording.run(program, leaves, outer)
    recording.backward(result, leaves)


class Recording:
    """One evaluation, and what it takes to go back through it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._inside, self._sites = journal.inside, Sites(journal.inside)
        self._left = MOST_RESULTS
        self._constants: dict[int, Known] = {}
        self._kept: list[Any] = []
        self._operations: dict[int, Operation] = {}
        self._tape: list[tuple[list[Known], list[Known], PullBack]] = []

    def run(self, program: Any, arguments: Knowns, outer: Site, *, taped: bool = True) -> list[Known]:
        """The results of a jaxpr, closed or not, that stands for an equation at ``outer``."""
        consts = getattr(program, "consts", ())
        program = getattr(program, "jaxpr", program)
        known: dict[Any, Known] = dict(zip(program.invars, arguments, strict=True))
        known.update(zip(program.constvars, map(self._constant, consts), strict=True))

        def read(each: Any) -> Known:
            return known[each] if is_variable(each) else self._constant(literal(each))

        for equation, site in zip(program.eqns, self._sites.of(program, outer), strict=True):
            read_here = [read(each) for each in equation.invars]
            for each in read_here:
                if each.number is None and np.size(each.value) > 1:
                    self._tell(each, "constant", (), site)
            known.update(zip(equation.outvars, self._equation(equation, read_here, site, taped), strict=True))
        return [read(each) for each in program.outvars]

    def _constant(self, value: Any) -> Known:
        if np.ndim(value) == 0:
            return Known(host(value))
        known = self._constants.get(id(value))
        if known is None:  # it is kept, and so its identity
            known = self._constants[id(value)] = Known(host(value))
            self._kept.append(value)
        return known

    def _equation(self, equation: Any, read: Knowns, site: Site, taped: bool) -> Knowns:
        name, params = equation.primitive.name, equation.params
        if not equation.outvars:  # it prints
            return ()
        if name in CALLS and self._affordable(equation):
            inner = params[CALLS[name]] if CALLS[name] in params else params["fun_jaxpr"]
            below = site._replace(name=site.name or str(params.get("name", "")).strip("_"))
            if name not in RULED:
                return self.run(inner, read, below, taped=taped)
            within = self.run(inner, read, below, taped=False)
            return self._made(equation, read, [each.value for each in within], site, taped, within)
        if name == "cond" and self._affordable(equation):
            branch = int(np.clip(read[0].value, 0, len(params["branches"]) - 1))
            return self.run(params["branches"][branch], read[1:], site, taped=taped)
        if name == "scan" and params["length"] and self._affordable(equation):
            return self._scan(equation, read, site, taped)
        if name == "while" and params["cond_jaxpr"].out_avals[0].shape == ():  # under `vmap` lanes end one by one
            read = self._while(equation, read, site, taped)
            if self._left > 0:
                return read[-len(equation.outvars) :]
        try:
            values = self._operation(equation).run([each.value for each in read])
        except Exception as error:
            raise RuntimeError(f"{name} cannot be evaluated apart from its program: {error}") from error
        return self._made(equation, read, values, site, taped)

    def _operation(self, equation: Any) -> Operation:
        known = self._operations.get(id(equation))
        if known is None:  # which keeps the equation, and so its identity
            known = self._operations[id(equation)] = Operation(equation)
        return known

    def _affordable(self, equation: Any) -> bool:
        return max(map(_size, _programs(equation)), default=0) <= self._left

    def _made(
        self, equation: Any, read: Knowns, values: Sequence[Any], site: Site, taped: bool, within: Knowns = ()
    ) -> list[Known]:
        """The results of an equation that is pulled back as one; those told ``within`` it already are not again."""
        name = equation.primitive.name
        active = [i for i, each in enumerate(read) if each.active] if taped and name != "stop_gradient" else []
        made = [Known(value, active=bool(active) and _differentiable(value)) for value in values]
        rule = place_of_function(getattr(equation.params.get("bwd"), "f", None), self._inside)
        told: set[int | None] = {None, *(each.number for each in read)}
        for position, (variable, each) in enumerate(zip(equation.outvars, made, strict=True)):
            number = within[position].number if within and rule is NOWHERE else None
            if number not in told:
                each.number = number
                told.add(number)
            elif type(variable).__name__ != "DropVar":
                leaves = site.leaves[position]
                own = site.name if leaves else ""
                self._tell(each, own or name, read, site, part=not leaves and rule is NOWHERE, rule=rule)
        if any(each.active for each in made):
            operation, arguments = self._operation(equation), [each.value for each in read]

            def back(given: tuple[int, ...], cotangents: list[Any]) -> Sequence[Any]:
                return operation.pull_back(arguments, tuple(active), given, cotangents)

            self._tape.append((made, [read[i] for i in active], back))
        return made

    def _tell(
        self, each: Known, operation: str, read: Knowns, site: Site, *, part: bool = False, rule: Place = NOWHERE
    ) -> None:
        if self._left > 0 and not is_key(each.value):
            self._left -= 1
            inputs = tuple(one.number for one in read if one.number is not None)
            step = Step(operation, inputs, site.call.place, site.module, part, rule)
            each.number = self._journal.result(step, each.value)

    def _scan(self, equation: Any, read: Knowns, site: Site, taped: bool) -> list[Known]:
        """Iteration by iteration: what one takes and gives of stacked arrays are slices of them.

        Of a loop of very many the first are told, and what is left of it is evaluated as one.
        """
        params, length = equation.params, equation.params["length"]
        consts, carries = params["num_consts"], params["num_carry"]
        held, carry, stacked = read[:consts], list(read[consts:][:carries]), read[consts + carries :]
        told = min(length, max(1, min(self._left, MOST_OF_A_LOOP) // max(1, _size(params["jaxpr"].jaxpr))))
        order = [*range(length)[::-1]] if params["reverse"] else [*range(length)]
        rest = slice(0, length - told) if params["reverse"] else slice(told, length)
        where = [*order[:told], *([rest] if told < length else [])]
        slices = [_Slices(each, where, taped=taped) for each in stacked]
        self._tape += [(each.parts, [each.whole], each.back) for each in slices if each.active]
        below = site._replace(leaves=(*site.leaves[:carries], *(False for _ in equation.outvars[carries:])))
        given: list[list[Known]] = [[] for _ in equation.outvars[carries:]]
        for step, i in enumerate(where):
            for each in slices:
                self._tell(each.parts[step], "slice", [each.whole], site, part=True)
            taken = [*held, *carry, *(each.parts[step] for each in slices)]
            if isinstance(i, slice):
                whole = _shortened(equation, length - told, [each.value for each in taken])
                results = self._made(whole, taken, self._operation(whole).run([e.value for e in taken]), below, taped)
            else:
                results = self.run(params["jaxpr"], taken, below, taped=taped)
            carry = results[:carries]
            for column, one in zip(given, results[carries:], strict=True):
                column.append(one)
        stacks = (
            self._stack(column, where, length, site, leaves)
            for column, leaves in zip(given, site.leaves[carries:], strict=True)
        )
        return [*carry, *stacks]

    def _stack(self, given: list[Known], where: list[Any], length: int, site: Site, leaves: bool) -> Known:
        """The results of iterations, and maybe of the rest, as one array."""
        pieces = [
            each.value if isinstance(i, slice) else each.value[None] for i, each in zip(where, given, strict=True)
        ]
        pieces = pieces if where[0] == 0 else pieces[::-1]
        join = jnp.concatenate if is_key(given[0].value) else np.concatenate
        stack = Known(join(pieces), active=any(each.active for each in given))
        self._tell(stack, "scan", given, site, part=not leaves)
        if stack.active:

            def back(_given: tuple[int, ...], cotangents: list[Any]) -> Sequence[Any]:
                return [np.asarray(cotangents[0][i]) for i in where]

            self._tape.append(([stack], given, back))
        return stack

    def _while(self, equation: Any, read: Knowns, site: Site, taped: bool) -> Knowns:
        """What a loop reads once as many of its iterations as can be told are done, all of them as a rule."""
        params = equation.params
        first, second = params["cond_nconsts"], params["body_nconsts"]
        test, held, carry = read[:first], read[first:][:second], read[first + second :]
        goes_on = Program(params["cond_jaxpr"])
        size = _size(params["body_jaxpr"].jaxpr)
        while size <= self._left and goes_on(*(each.value for each in (*test, *carry)))[0]:
            carry = self.run(params["body_jaxpr"], [*held, *carry], site, taped=taped)
        return [*test, *held, *carry]

    def backward(self, loss: Known, leaves: Knowns) -> None:
        """Tell the cotangent of all that the parameters move and that moves the loss, the last first."""
        if not loss.active or np.shape(loss.value):
            return
        loss.cotangent = np.ones_like(loss.value)
        while self._tape:
            made, read, back = self._tape.pop()
            given = tuple(i for i, each in enumerate(made) if each.cotangent is not None)
            if not given:
                continue
            self._tell_cotangents(made)
            for each, cotangent in zip(read, back(given, [made[i].cotangent for i in given]), strict=True):
                each.add(cotangent)
            for each in made:
                each.cotangent = None
        self._tell_cotangents(leaves)

    def _tell_cotangents(self, made: Knowns) -> None:
        for each in made:
            if each.cotangent is not None and each.number is not None:
                self._journal.cotangent(each.number, np.asarray(each.cotangent))


class _Slices:
    """What iterations take of a stacked array, each its own and the last maybe all that is left."""

    def __init__(self, whole: Known, where: list[Any], *, taped: bool) -> None:
        self.whole, self._where, self.active = whole, where, whole.active and taped
        self.parts = [Known(whole.value[(i, ...)], active=self.active) for i in where]

    def back(self, _given: tuple[int, ...], _cotangents: list[Any]) -> Sequence[Any]:
        """The cotangent of the array from those of its slices."""
        found = np.zeros_like(self.whole.value)
        for i, each in zip(self._where, self.parts, strict=True):
            if each.cotangent is not None:
                found[i] = each.cotangent
        return [found]


def _shortened(equation: Any, length: int, arguments: Sequence[Any]) -> Any:
    """The same loop with fewer iterations."""
    primitive, params = equation.primitive, equation.params | {"length": length}
    kinds = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in arguments]
    return jax.make_jaxpr(lambda *each: primitive.bind(*each, **params))(*kinds).eqns[0]


def _differentiable(value: Array | HostArray) -> bool:
    return bool(jnp.issubdtype(value.dtype, jnp.inexact))


def _programs(equation: Any) -> Iterator[Any]:
    """The jaxprs within an equation."""
    for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda each: hasattr(each, "eqns")):
        inner = getattr(inner, "jaxpr", inner)
        if hasattr(inner, "eqns"):
            yield inner


def _variables(program: Any) -> Iterator[Any]:
    """What the equations of a jaxpr make, and those within."""
    for equation in program.eqns:
        yield from equation.outvars
        for inner in _programs(equation):
            yield from _variables(inner)


def _size(program: Any) -> int:
    """Results that a jaxpr has to tell, loops within unrolled as far as they are told."""
    return sum(
        len(equation.outvars)
        + min(equation.params.get("length", 1) * sum(map(_size, _programs(equation))), MOST_OF_A_LOOP)
        for equation in program.eqns
    )
