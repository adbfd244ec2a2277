"""Many models on one page: causes with the models that have them, what they are filtered by, a section for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gradparity.formatting import large
from gradparity.report.facts import campaign_said as said
from gradparity.report.facts import words
from gradparity.report.facts.campaign import Campaign, Cause, Model, State
from gradparity.report.facts.verdicts import status
from gradparity.report.facts.view import Cell, Head, Kind, Table
from gradparity.report.page.view import Panel

#: Causes that are unfolded, and models of each.
MOST_CAUSES, MOST_MODELS = 8, 6


@dataclass(frozen=True)
class Entry:
    """A model under a cause: ``of`` says by what it is filtered, and ``number`` which of all it is."""

    name: str
    seeds: str
    number: int
    of: str
    link: str


@dataclass(frozen=True)
class Listed:
    """A cause as the page lists it: ``shown`` models, and those that are ``folded`` away."""

    cause: Cause
    mark: str
    kind: Kind
    what: str
    shown: Sequence[Entry]
    folded: Sequence[Entry]


@dataclass(frozen=True)
class Many:
    """The causes of a campaign, ``first`` those that are unfolded; its ``counts`` in words; and what there is to choose.

    Each choice is a key, which what is filtered by has among its own, and words.
    """

    total: int
    counts: Sequence[tuple[str, str, str]]
    first: Sequence[Listed]
    others: Sequence[Listed]
    verdicts: Sequence[tuple[str, str]]
    backends: Sequence[tuple[str, str]]
    causes: Sequence[tuple[str, str]]


class Keys:
    """Short keys of states, verdicts and backends: names from outside are no part of an attribute."""

    def __init__(self, found: Campaign) -> None:
        self.campaign = found
        self.states = {state: f"s{place}" for place, state in enumerate(found.counts)}
        verdicts = dict.fromkeys(cause.verdict for cause in found.causes)
        self.verdicts = {verdict: f"v{place}" for place, verdict in enumerate(verdicts)}
        self.backends = {name: f"b{place}" for place, name in enumerate(found.backends)}
        self._causes = {seen.group: cause.key for cause in found.causes for _, seen in cause.found}

    def of(self, model: Model, cause: Cause | None = None) -> str:
        """What a model is filtered by, or what it has of one cause: state, verdict, backend and cause of each thing."""
        found = {
            ".".join([
                self.states[seen.state], self.verdicts[seen.verdict], self.backends.get(seen.backend, "b"),
                self._causes[seen.group],
            ]): None
            for seen in model.seen
            if cause is None or self._causes[seen.group] == cause.key
        }  # fmt: skip
        whole = [] if cause is not None or model.seen else [self.states[model.state]]
        return " ".join([*whole, *found])


def many(found: Campaign, *, linked: bool) -> Many:
    """What stands first on the page; ``linked`` where models have sections that their names lead to."""
    keys, places = Keys(found), {id(model): place for place, model in enumerate(found.models)}
    causes = [_listed(cause, keys, places, linked=linked) for cause in found.causes]
    counts = [
        (keys.states[state], said.counted(found, state), words.mark(state))
        for state, count in found.counts.items()
        if count
    ]
    return Many(
        total=len(found.models),
        counts=counts,
        first=causes[:MOST_CAUSES],
        others=causes[MOST_CAUSES:],
        verdicts=[(keys.verdicts[verdict], verdict) for verdict in keys.verdicts],
        backends=[(key, name) for name, key in keys.backends.items()],
        causes=[(cause.key, cause.title) for cause in found.causes],
    )


def _listed(cause: Cause, keys: Keys, places: dict[int, int], *, linked: bool) -> Listed:
    first = {id(model): seen for model, seen in reversed(cause.found)}
    entries = [
        Entry(model.name, _seeds(model.at_seeds(first[id(model)])), places[id(model)], keys.of(model, cause),
              f"m{places[id(model)]}" if linked else "")
        for model in cause.models
    ]  # fmt: skip
    model, seen = cause.worst
    worst = "" if seen.floors is None else f"up to {large(seen.floors)} floors, in {seen.block} of {model.name}"
    what = "; ".join(filter(None, [said.whose(cause), cause.word, worst]))
    kind = "warn" if cause.state == "known" else words.kind(cause.verdict)
    return Listed(cause, words.mark(cause.verdict), kind, what, entries[:MOST_MODELS], entries[MOST_MODELS:])


def _seeds(text: str) -> str:
    return "" if text.startswith("all") else text


def models(found: Campaign, links: Sequence[str]) -> Table:
    """Every model in a row, with what it is filtered by."""
    keys = Keys(found)
    tags = [(place, keys.of(model)) for place, model in enumerate(found.models)]
    return replace(said.models_table(found, links), tags=tags)


def seeds(model: Model) -> Panel:
    """A row for each seed of a model; nothing where it has one."""
    rows = [
        [Cell(str(problem.seed)), Cell(found, kind=kind, mark=mark)]
        for problem in model.problems
        for found, kind, mark in [status(problem)]
    ]
    table = Table("Seeds", [Head("seed"), Head("verdict")], rows)
    return Panel("seeds", "", tables=[table] if len(rows) > 1 else [])


def standing(model: Model) -> tuple[str, Kind, str]:
    """A model in a word: who does not agree, and how."""
    groups: dict[str, dict[str, None]] = {}
    for seen in model.seen:
        groups.setdefault(seen.verdict, {})[seen.backend] = None
    text = "; ".join(": ".join(filter(None, [", ".join(filter(None, names)), each])) for each, names in groups.items())
    looks: dict[State, Kind] = {"disagrees": "bad", "failed": "bad", "agrees": "good"}
    return text or model.state, looks.get(model.state, "warn"), words.mark(model.state)


def gist(found: Campaign, model: Model) -> str:
    """Its causes, in the words that they have for all."""
    return "; ".join(cause.title for cause in found.causes if any(each is model for each, _ in cause.found))


def told(model: Model) -> Iterator[int]:
    """Places of those of its problems that are told in full: the worst of each cause."""
    yield from dict.fromkeys(seen.problem for seen in model.seen)
