"""The search: from the lines under suspicion outwards, the cheap and likely first, until something is proven."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby

import numpy as np

from gradparity.backends.protocol import Backend
from gradparity.model_spec.problem import AnyProblem, UserProblem
from gradparity.worker.cure_messages import Cure, Cured, Found, Lines, Wanted
from gradparity.worker.cures import exchanges, numbers, options, permutations, rearrangements, stops
from gradparity.worker.cures.scope import MEANT, ON, Scope, Site
from gradparity.worker.cures.sources import Hypothesis
from gradparity.worker.cures.text import UNKNOWN
from gradparity.worker.cures.trials import Trials
from gradparity.worker.user_loss import user_loss

#: Others that prove the same and are mentioned.
ALSO = 3
#: After something is proven, so many of the same step may still be tried for a simpler one.
MORE = 40
#: Lines of which factors come before what is rare.
FIRST = 2
#: What the names on a line mean is tried when so many further lines have been.
MEANT_LATER = 2


def cure(
    backend: Backend,
    names: Sequence[str],
    problem: UserProblem,
    places: Sequence[Lines],
    wanted: Sequence[Wanted],
    seconds: float = 20.0,
) -> Cured:
    """The simplest change of the source that makes a port agree at every point, if one is found in some seconds.

    Args:
        backend: configured, of the port.
        names: what a model calls it, its own name first.
        problem: at whose data the port is evaluated, and at whose parameters unless a point has its own.
        places: file, first and last line, in order of suspicion.
        wanted: at two points or more: at one alone a number is found by chance.
        seconds: that all may take.
    """
    trials = Trials(backend, names, problem, wanted, seconds)
    if len(wanted) < 2:
        return Cured([], 0, notes="asked about fewer than two points: nothing could be proven")
    with contextlib.suppress(Exception):  # what its names mean is looked up where it is loaded
        user_loss(problem.spec, backend, names)
    present = trials.gradients({})
    if present is None:
        return Cured([], trials.tried, notes="the port cannot be evaluated where its source may be edited")
    trials.differentiated = trials.loss({}) is None
    agree = [trials.loss_agrees(each, loss) for each, (loss, _) in zip(wanted, present, strict=True)]
    if all(agree) and all(
        trials.gradient_agrees(each, block) for each, (_, block) in zip(wanted, present, strict=True)
    ):
        return Cured([], trials.tried, notes="it agrees as it is")
    return Search(trials, Scope(places, trials.root).sites(), present, by_gradient=all(agree)).run()


def cured(backend: Backend, names: Sequence[str], problem: AnyProblem, request: Cure) -> Cured:
    """The answer to a request about the loaded problem. The built-in models have no lines to suspect."""
    if not isinstance(problem, UserProblem):
        return Cured([], 0, notes="not a model of the user's own")
    return cure(backend, names, problem, request.places, request.wanted, request.seconds)


class Search:
    """Hypotheses in the order in which they are tried, and what was proven."""

    def __init__(
        self,
        trials: Trials,
        sites: list[Site],
        present: list[tuple[float, dict[str, np.ndarray]]],
        *,
        by_gradient: bool,
    ) -> None:
        self._trials, self._sites, self._by_gradient = trials, sites, by_gradient
        wanted = trials.wanted[0]
        loss, gradient = present[0]
        if by_gradient:
            names = [name for name, block in wanted.gradient.items() if name in gradient]
            off = {name: gradient[name] - wanted.gradient[name] for name in names}
            worst = max(off, key=lambda name: float(np.abs(off[name]).max(initial=0)))
            self._block, self._direction = worst, off[worst] / max(float(np.vdot(off[worst], off[worst]).real), 1e-300)
            self._base, self._tolerance = 1.0, 1e-9
        else:
            self._base, self._tolerance = loss - wanted.loss, trials.tolerance(wanted)
        self.proven: list[Hypothesis] = []
        self._seen: set[tuple[object, ...]] = set()

    def run(self) -> Cured:
        """Step by step; one is gone through, as far as `MORE`, once something in it is proven that people write."""
        for step in self._steps():
            left = MORE
            for hypothesis in step:
                if self._trials.over():
                    return self._told(cut=not self.proven)
                self._try(hypothesis)
                left -= self._written()
                if left <= 0:
                    break
            if self._written():
                break
        return self._told()

    def _written(self) -> bool:
        """Whether something is proven that is not only a number that was solved for."""
        return any(each.digits < UNKNOWN for each in self.proven)

    def _steps(self) -> Iterator[Iterator[Hypothesis]]:
        """What is tried together: a line, and a little later what the names in it mean; the usual before the rare.

        In between one use of a number, and a factor, at the first lines; then these at all; then what is around.
        """

        def nearness(site: Site) -> tuple[int, int, int]:
            far = site.place + MEANT_LATER * site.level if site.level <= MEANT else len(self._sites)
            return far, site.level, site.place

        ordered = sorted(self._sites, key=nearness)
        near, around = [[s for s in ordered if (s.level > MEANT) == far] for far in (False, True)]
        ways = (self._stopped, self._stopped_rarely) if self._by_gradient else (self._usual, self._rare)
        usual, rare = ways
        on = [site for site in self._sites if site.level == ON]
        for _, sites in groupby(near, nearness):
            yield usual(list(sites))
        for first in (True, False):
            some = [site for site in on if (site.place < FIRST) == first]
            yield self._unknowns(numbers.names, some, numbers.solve)
            yield self._unknowns(numbers.factors, some, numbers.solve)
            for _, sites in groupby(near if first else (), nearness):
                yield rare(list(sites))
        for _, sites in groupby(around, nearness):
            some = list(sites)
            yield chain.from_iterable(way(some) for way in ways)

    def _stopped(self, sites: list[Site]) -> Iterator[Hypothesis]:
        yield from _each(stops.removed, sites)
        yield from _each(stops.added, sites)
        yield from _each(exchanges.ties, sites)
        yield from _each(options.operators, sites)
        yield from _each(options.functions, sites)
        yield from _each(stops.narrow, sites)
        yield from exchanges.together(stops.removed, sites)

    def _stopped_rarely(self, sites: list[Site]) -> Iterator[Hypothesis]:
        yield from _each(permutations.orders, sites)
        yield from exchanges.both(list(_each(stops.removed, sites)), list(_each(stops.added, sites)))
        near = [site for site in self._sites if site.level <= max(each.level for each in sites)]
        yield from exchanges.two_values(stops.added, near)
        yield from _each(options.words, sites)
        yield from _each(options.not_given, sites)
        yield from self._unknowns(numbers.literals, sites, numbers.solve)

    def _usual(self, sites: list[Site]) -> Iterator[Hypothesis]:
        yield from self._unknowns(numbers.literals, sites, numbers.solve)
        yield from _each(options.options, sites)
        yield from _each(stops.narrow, sites)
        yield from exchanges.together(stops.narrow, sites)
        yield from self._unknowns(options.unknown_options, sites, numbers.solve)
        yield from _each(permutations.orders, sites)
        yield from _each(lambda site: exchanges.keys(site, self._trials.shapes), sites)

    def _rare(self, sites: list[Site]) -> Iterator[Hypothesis]:
        yield from _each(permutations.transposed, sites)
        yield from exchanges.parts_exchanged(sites)
        yield from _each(exchanges.names_exchanged, sites)
        yield from _each(exchanges.axes_moved, sites)
        yield from rearrangements.pairs(sites)
        yield from _each(rearrangements.regrouped, sites)
        yield from self._unknowns(numbers.literals, sites, numbers.search)
        yield from _each(permutations.arrangements, sites)
        yield from self._unknowns(options.unknown_options, sites, numbers.search)

    def _unknowns(
        self,
        unknowns: Callable[[Site], Iterable[numbers.Unknown]],
        sites: list[Site],
        method: Callable[..., Iterator[Hypothesis]],
    ) -> Iterator[Hypothesis]:
        for unknown in (unknown for site in sites for unknown in unknowns(site)):
            if unknown.whole or (float(unknown.value).is_integer() and unknown.like.lstrip("-").isdigit()):
                if method is numbers.solve:
                    yield from numbers.whole_numbers(unknown)
                if unknown.whole:
                    continue
            before = len(self.proven)
            span = unknown.make("0", 1).shown
            if any(each.shown == span for each in self.proven):
                continue
            for hypothesis in method(unknown, self._residual, self._tolerance, self._base):
                yield hypothesis
                if len(self.proven) > before:  # the roundest that does
                    break

    def _residual(self, hypothesis: Hypothesis) -> float | None:
        """How far from what is wanted at the first point: the loss; where that agrees, the gradient along its error."""
        if self._trials.over():
            return None
        texts = {hypothesis.source.file: hypothesis.text}
        if not self._by_gradient:
            loss = self._trials.loss(texts)
            return None if loss is None else loss - self._trials.wanted[0].loss
        found = self._trials.gradients(texts, 1)
        if found is None or self._block not in found[0][1]:
            return None
        off = found[0][1][self._block] - self._trials.wanted[0].gradient[self._block]
        along = float(np.vdot(self._direction, off).real) if off.shape == self._direction.shape else np.nan
        return along if np.isfinite(along) else None

    def _try(self, hypothesis: Hypothesis) -> None:
        key = hypothesis.source.file, hypothesis.edits
        if key in self._seen:
            return
        self._seen.add(key)
        try:
            text = hypothesis.text
            compile(text, "", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return
        if self._trials.proves({hypothesis.source.file: text}):
            self.proven.append(hypothesis)

    def _told(self, *, cut: bool = False) -> Cured:
        if not self.proven:
            return Cured([], self._trials.tried, cut)
        proven = sorted(self.proven, key=lambda each: each.order)
        while proven and not self._trials.confirms({proven[0].source.file: proven[0].text}):
            del proven[0]
        if not proven:
            return Cured([], self._trials.tried, cut)
        best = proven[0].told_apart()
        others = [each for each in proven[1:] if each.digits < UNKNOWN]
        line, column = best.source.place(best.shown[0])
        also = tuple(
            f"line {other.source.place(other.shown[0])[0]}: {other.old} -> {other.new}" for other in others[:ALSO]
        )
        file, about = str(best.source.file), best.digits >= UNKNOWN
        found = Found(file, line, column, best.old, best.new, best.kind, best.phrase, also, about)
        return Cured([found], self._trials.tried, cut, traced=self._trials.traced({best.source.file: best.text}))


def _each(ways: Callable[[Site], Iterable[Hypothesis]], sites: list[Site]) -> Iterator[Hypothesis]:
    return (hypothesis for site in sites for hypothesis in ways(site))
