"""Initialisers of ports against each other, block by block, at the odds of `gradparity.numerics.two_samples`. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import combinations, groupby

import msgspec

from gradparity.judge.figures import finite
from gradparity.numerics.initialisers import TRUNCATED_STD, Draws, correlation, fans, initialised
from gradparity.numerics.two_samples import Compared, compared
from gradparity.results.initialisers import MODEL, SHARED, InitialBlock, InitialDifference, Initialisers, InitialRun
from gradparity.worker.step_messages import StartsDrawn

Shapes = Mapping[str, tuple[int, ...]]

#: Blocks that are named of those of which a note says the same.
NAMED = 3
IGNORED = "every seed gives the same"
#: Of 8 numbers at each of several seeds a correlation as large comes by chance less than once in 1e12; half precision
#: leaves one of it.
FEWEST_SHARED, SAME_NUMBERS = 8, 0.9999
#: Pairs of blocks that are looked at.
MOST_PAIRS = 5000


def judged(drawn: Mapping[str, StartsDrawn], shapes: Shapes, missing: Mapping[str, str]) -> Initialisers:
    """What all initialisers come to.

    Args:
        drawn: by backend, and that of the model.
        shapes: of the parameters.
        missing: why there is none of a backend, or of the model.
    """
    samples = {name: _draws(given, shapes) for name, given in drawn.items()}
    stuck = {name for name, blocks in samples.items() if _ignores_the_seed(blocks)}
    runs = [
        InitialRun(backend=name, seeds=given.seeds, again=IGNORED if name in stuck else given.again)
        for name, given in drawn.items()
    ]
    odd = {run.backend: run.again for run in runs if run.again} | {**missing}
    notes = [f"parameters(rng) is held against nothing: {odd[MODEL]}"] if MODEL in odd else []  # it need be none
    runs = [run for run in runs if run.backend != MODEL or MODEL not in odd]
    held = {name: blocks for name, blocks in samples.items() if name in {run.backend for run in runs} - stuck}
    shared = {name: _share_numbers(blocks) for name, blocks in held.items()}
    by_intent = frozenset.intersection(*shared.values()) if shared else frozenset()
    runs = [_with_shared(run, shared.get(run.backend, by_intent) - by_intent) for run in runs]
    ports = [name for name in held if name != MODEL]
    alone = len({*drawn, *missing} - {MODEL}) == 1  # another whose draws cannot be used is no reason to accuse this one
    described = [each for name, blocks in held.items() for each in _described(name, blocks)]
    named = {(each.backend, each.block) for each in described if len(each.schemes) == 1}
    differences, beside = list[InitialDifference](), list[InitialDifference]()
    unseen = dict[str, str]()
    for block in shapes:
        found = {name: blocks[block] for name, blocks in held.items()}
        groups = list(_alike(found, ports, block, unseen))
        most = max(groups, key=len, default=[])
        for group in groups:
            if group is not most:
                differences += [_difference(found, (name, most[0]), block) for name in group]
        if MODEL in found and ports:
            said = _compared(found[most[0]], found[MODEL])
            if said.unseen:
                unseen.setdefault(block, said.unseen)
            if said.what:
                (differences if alone else beside).append(_difference(found, (most[0], MODEL), block))
    together = len(held) > 1
    return Initialisers(
        runs=runs,
        compared=len(shapes) - len(unseen) if together else 0,
        blocks=described,
        differences=[_without_hint(each, named) for each in differences],
        beside=beside,
        missing={name: reason for name, reason in missing.items() if name != MODEL},
        notes=[*notes, *_unseen(unseen)] if together else notes,
    )


def _draws(given: StartsDrawn, shapes: Shapes) -> dict[str, Draws]:
    return {name: Draws(given.entries[name], shape, given.gains.get(name)) for name, shape in shapes.items()}


def _ignores_the_seed(blocks: Mapping[str, Draws]) -> bool:
    """Whether something is drawn, once for all seeds."""
    return all(each.fixed for each in blocks.values()) and not all(each.constant for each in blocks.values())


def _share_numbers(blocks: Mapping[str, Draws]) -> frozenset[tuple[str, str]]:
    """Blocks of one initialiser that begin with the same random numbers, but for location and scale."""
    whole = {
        name: each.entries
        for name, each in blocks.items()
        if not each.fixed and each.entries.shape[1] == math.prod(each.shape) >= FEWEST_SHARED
    }
    pairs = list(combinations(whole, 2))[:MOST_PAIRS]
    return frozenset(pair for pair in pairs if correlation(*map(whole.__getitem__, pair)) > SAME_NUMBERS)


def _with_shared(run: InitialRun, pairs: Set[tuple[str, str]]) -> InitialRun:
    """A fault of a port that not all of them have: one key, or one generator started again, for two blocks."""
    if run.again or run.backend == MODEL or not pairs:
        return run
    one, other = min(pairs)
    return msgspec.structs.replace(run, again=f"{one} and {other} {SHARED}")


def _alike(found: Mapping[str, Draws], names: Sequence[str], block: str, unseen: dict[str, str]) -> Iterator[list[str]]:
    """Those that start a block alike, group by group; each is held against the first of a group."""
    left = list(names)
    while left:
        first, *others = left
        group, left = [first], []
        for name in others:
            said = _compared(found[first], found[name])
            (left if said.what else group).append(name)
            if said.unseen:
                unseen.setdefault(block, said.unseen)
        yield group


def _compared(one: Draws, other: Draws) -> Compared:
    return compared(one.entries, other.entries, (one.gain, other.gain))


def _difference(found: Mapping[str, Draws], names: tuple[str, str], block: str) -> InitialDifference:
    one, other = (found[name] for name in names)
    said = _compared(one, other)
    assert said.what  # noqa: S101  # the caller has seen it
    factor = said.factor if said.what == "scale" else None
    return InitialDifference(
        backends=names,
        block=block,
        what=said.what,
        said=said.said,
        factor=finite(factor[0]) if factor else None,
        factor_range=(finite(factor[1]), finite(factor[2])) if factor else (None, None),
        hint=_hint(factor, one) if factor else "",
    )


def _without_hint(each: InitialDifference, named: Set[tuple[str, str]]) -> InitialDifference:
    """Without it where the names of both schemes say more."""
    both = all((name, each.block) in named for name in each.backends)
    return msgspec.structs.replace(each, hint="") if both else each


def _hint(factor: tuple[float, float, float], one: Draws) -> str:
    """What a factor of two standard deviations may come of, where one cause alone has it in its interval."""
    _, low, high = factor
    std = float(one.entries.std())
    known = {
        "a gain of sqrt(2) in one of them": math.sqrt(2),
        "the end of a uniform distribution taken for its standard deviation, or a gain of sqrt(3)": math.sqrt(3),
        "a normal cut at two standard deviations whose scale is not corrected": TRUNCATED_STD,
    }
    both = [(words, each) for words, value in known.items() for each in (value, 1 / value)]
    # s^2 against s is a factor of s, and s against s^2 of 1 / s
    both += [("a variance taken for a standard deviation", each) for each in (math.sqrt(std), 1 / std)]
    if len(one.shape) >= 2 and one.shape[0] != one.shape[-1]:
        fan_in, fan_out = fans(one.shape, outputs_first=True)
        both += [("fan in taken for fan out", math.sqrt(each)) for each in (fan_in / fan_out, fan_out / fan_in)]
        both += [(f"sqrt({each:,}) in one of them", each**sign) for each in {fan_in, fan_out} for sign in (0.5, -0.5)]
    fits = list(dict.fromkeys(words for words, value in both if low <= value <= high))
    return f"as from {fits[0]}" if len(fits) == 1 else ""


def _described(name: str, blocks: Mapping[str, Draws]) -> Iterator[InitialBlock]:
    for block, each in initialised(blocks).items():
        yield InitialBlock(
            backend=name,
            block=block,
            shape=each.shape,
            numbers=int(blocks[block].entries.size),
            distribution=each.distribution,
            schemes=list(each.schemes),
            std=finite(each.std),
            std_range=(finite(each.std_range[0]), finite(each.std_range[1])),
        )


def _unseen(unseen: Mapping[str, str]) -> Iterator[str]:
    """What is not known of which blocks."""
    for said, group in groupby(sorted(unseen.items(), key=lambda each: each[1]), key=lambda each: each[1]):
        blocks = [block for block, _ in group]
        more = f" and {len(blocks) - NAMED} more" if len(blocks) > NAMED else ""
        yield f"{', '.join(blocks[:NAMED])}{more}: not known is {said}"
