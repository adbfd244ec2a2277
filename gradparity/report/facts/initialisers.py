"""The ports' own initialisers: which blocks start otherwise and how, or that they agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Column, Note, Table, missing, tabulated
from gradparity.results import ProblemResult, RunResult
from gradparity.results.initialisers import MODEL, SHARED, InitialBlock, InitialDifference, Initialisers

#: Differing blocks that are named where there is little room.
_NAMED = 3


def initialisers_notes(problem: ProblemResult) -> Iterable[Note]:
    """Initialisers that gave nothing, pairs that start otherwise, and those that do not follow their seed."""
    found = problem.initialisers
    if found is None:
        return
    for backend, reason in found.missing.items():
        name = f"{backend}'s initialise is not compared"
        yield Note(name, f"on {problem.label}: {reason}", (), "bad", words.mark("failed"))
    pairs = dict.fromkeys(each.backends for each in found.differences)
    for pair in pairs:
        mine = [each for each in found.differences if each.backends == pair]
        first, *others = mine[:_NAMED]
        more = f"and {words.counted(len(mine) - _NAMED, 'more block')}" if len(mine) > _NAMED else ""
        reasons = [first.said, first.hint, *(_sides(found, each) for each in others), more]
        text = f"on {problem.label} in {_sides(found, first)}"
        name = f"{_named(pair)} start otherwise"
        yield Note(name, text, [each for each in reasons if each], "bad", words.mark("wrong"))
    for run in found.runs:
        if run.again:
            cure = "Draw from a generator that the seed makes: torch.manual_seed(seed), jax.random.key(seed)."
            name = f"{run.backend}'s initialise is no function of its seed"
            if run.again.endswith(SHARED):
                cure = "Give each block random numbers of its own: jax.random.split(key), one generator for all."
                name = f"{run.backend}'s initialise starts two blocks alike, and another does not"
            yield Note(name, f"on {problem.label}: {run.again}", [cure], "bad", words.mark("impure"))
    if found.verdict == "unresolved":
        name = f"the initialisers of {words.listed([run.backend for run in found.runs])} are unresolved"
        yield Note(name, f"on {problem.label}", found.notes[:_NAMED], "warn", words.mark("unresolved"))


def initialisers_remarks(problem: ProblemResult) -> Iterable[str]:
    """What else there is to know: blocks that little is known of, how the model starts, what one alone follows."""
    found = problem.initialisers
    if found is None:
        return
    if found.verdict != "unresolved":
        yield from found.notes
    if found.beside:
        blocks = ", ".join(each.block for each in found.beside[:_NAMED])
        more = f" and {len(found.beside) - _NAMED} more" * (len(found.beside) > _NAMED)
        yield f"parameters(rng), where gradients are compared, is another in {blocks}{more}, which is not counted"
    if found.verdict == "alone":
        for each in found.blocks[:_NAMED]:
            yield f"{_who(each.backend)} starts {each.block} from {_start(each)}; nothing is there to hold it against"


def initialisers_said(result: RunResult) -> str:
    """For the headline: that initialisers agree, or in what they do not; ``""`` where there are none to compare."""
    found = [problem.initialisers for problem in result.problems if problem.initialisers is not None]
    bad = [each for each in found if not each.ok]
    for each in bad:
        if each.differences:
            first = each.differences[0]
            blocks = list(dict.fromkeys(one.block for one in each.differences))
            others = f" and {words.counted(len(blocks) - 1, 'more block')}" * (len(blocks) > 1)
            return f"{_named(first.backends)} initialise {first.block}{others} otherwise"
    for each in bad:
        for run in each.runs:
            if run.again:
                return f"{_who(run.backend)}'s initialiser: {run.again}"
    if bad:
        return "their initialisers are not held together"
    silent = list(dict.fromkeys(name for each in found for name in each.missing))
    if silent:
        return f"{words.listed([f'the initialiser of {name}' for name in silent])} is not compared"
    agreeing = [each for each in found if each.verdict == "agrees"]
    if not agreeing:
        return ""
    told, whole = sum(each.compared for each in agreeing), sum(_count(each) for each in agreeing)
    return f"their initialisers agree in {f'{told} of ' * (told < whole)}{words.counted(whole, 'block')}"


def initialisers_status(problem: ProblemResult) -> Iterable[tuple[str, str]]:
    """Backends whose initialiser is no agreement, with a word for it."""
    found = problem.initialisers
    if found is None:
        return
    for backend in [*(run.backend for run in found.runs), *found.missing]:
        verdict = found.verdict_of(backend)
        if verdict not in ("agrees", "alone") and backend != MODEL:
            yield backend, f"initialiser {verdict}"


def initialisers_table(found: Initialisers, most: int | None = None) -> Table:
    """A row a block, a column an initialiser: the scheme that its draws support and their standard deviation.

    Of more than ``most`` blocks those that differ come first, and the others are counted.
    """
    known = {(each.backend, each.block): each for each in found.blocks}
    names = list(dict.fromkeys(each.block for each in found.blocks))
    bad = {(name, each.block) for each in found.differences for name in each.backends}
    if most is not None and len(names) > most:
        names = sorted(names, key=lambda name: not any(block == name for _, block in bad))[:most]
    backends = list(dict.fromkeys(each.backend for each in found.blocks))
    left = len({each.block for each in found.blocks}) - len(names)
    shapes = {each.block: "x".join(map(str, each.shape)) or "scalar" for each in found.blocks}

    def column(backend: str) -> Column[str]:
        return Column(_who(backend), lambda name: _cell(known.get((backend, name)), bad=(backend, name) in bad))

    columns = [
        Column[str]("block", lambda name: Cell(name)),
        Column[str]("shape", lambda name: Cell(shapes[name])),
        *map(column, backends),
    ]
    seeds = ", ".join(f"{_who(run.backend)} {run.seeds:,}" for run in found.runs if run.seeds)
    notes = [f"and {words.counted(left, 'more block')}"] * (left > 0) + [*found.notes, f"Seeds: {seeds}."]
    return tabulated("Initialisers: what each block starts from, over seeds", names, columns, notes)


def _cell(each: InitialBlock | None, *, bad: bool) -> Cell:
    if each is None:
        return missing()
    scale = "" if each.std is None or each.distribution in ("constant", "fixed") else f"std {each.std:.4g}"
    return Cell(_scheme(each), each.std, scale, kind="bad" if bad else "", mark=words.mark("wrong") if bad else "")


def _scheme(each: InitialBlock) -> str:
    if 0 < len(each.schemes) <= _NAMED:
        return " or ".join(each.schemes)
    return ", ".join(filter(None, [each.distribution, "one of several schemes" if each.schemes else "no known scheme"]))


def _start(each: InitialBlock) -> str:
    scale = "" if each.distribution in ("constant", "fixed") or each.std is None else f" (std {each.std:.4g})"
    return _scheme(each) + scale


def _sides(found: Initialisers, each: InitialDifference) -> str:
    known = {one.backend: _start(one) for one in found.blocks if one.block == each.block}
    sides = [known[name] for name in each.backends]
    return f"{each.block}: {' against '.join(sides)}" if len({*sides}) > 1 else f"{each.block}: {each.said}"


def _count(found: Initialisers) -> int:
    return len({each.block for each in found.blocks})


def _who(backend: str) -> str:
    return "parameters(rng)" if backend == MODEL else backend


def _named(backends: Sequence[str]) -> str:
    return words.listed([_who(each) for each in backends])
