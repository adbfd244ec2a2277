"""Certified truth against mpmath: another implementation of every function, another way to every derivative.

    python -m tests.evidence.truth_graphs COUNT [--seed N] [--only I]

Random losses over the whole certified namespace (`graphs`) at random and awkward points. Value, gradient, JVP and HVP
by reverse mode in balls, by forward mode in balls, and by the same tape in extended precision, must be what mpmath has
(`mpmath_reference`), or be refused: a tie, a comparison that is undecided, no finite number. Where there is a tie
forward mode's one-sided derivatives are held against differences of mpmath's values. Prints counts and everything that
differs, with the index that ``--only`` repeats.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import flint
import mpmath
import numpy as np
from flint import arb
from mpmath import mpf

from gradparity.truth.derivatives.reverse import KinkError, differentiate
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model.floor import Tape
from gradparity.truth.numbers.context import NotCertifiableError
from gradparity.truth.numbers.enclosure import is_infinite, to_longdouble
from gradparity.truth.numbers.noise import Noise
from gradparity.truth.xp.namespace import xp
from tests.evidence import graphs
from tests.evidence.mpmath_arrays import lift
from tests.evidence.mpmath_namespace import mp_xp
from tests.evidence.mpmath_reference import STATE, Number

DIGITS = (60, 2000)
#: The same with what takes mpmath a minute to 2,000.
GAMMA_DIGITS = 1000
GAMMAS = {"beta", "betaln", "digamma", "gammaln", "polygamma"}
#: Relative agreement asked of mpmath's digits, which are lost by cancellation: a disagreement is looked at with more.
AGREE = 25
BITS = 2048
#: At ties of these a function that leaves zero as t^3 jumps, which a series of second order does not see.
JUMPS = ("argmax", "equal", "floor", "greater", "less", "not_equal", "sign")


@dataclass
class Outcome:
    """What became of one graph: `kind` is agreed, refused or differed; `details` what differed, in words."""

    kind: str
    reason: str = ""
    details: list[str] = field(default_factory=list)


def expected(graph: graphs.Graph, digits: int, side: int = 0) -> tuple[dict[Any, Any], int, int]:
    """Every entry by (quantity, path, index), and how many ties and near ties were met."""
    with mpmath.workdps(digits):
        STATE.side, STATE.ties, STATE.near = side, 0, 0
        places = [(path, index) for path, x in graph.params.items() for index in np.ndindex(x.shape)]
        params = {path: lift(x) for path, x in graph.params.items()}
        for place, (path, index) in enumerate(places):
            g = [mpf(int(i == place)) for i in range(len(places))]
            g.append(mpf(float(graph.direction[path][index])))
            params[path][index] = Number(params[path][index].v, g, [mpf(0)] * len(g))
        loss = _evaluate(graph, params)
        none = [mpf(0)] * (len(places) + 1)
        g, h = loss.g or none, loss.h or none
        out: dict[Any, Any] = {("loss", "", ()): loss.v, ("jvp", "", ()): g[-1], ("vhv", "", ()): h[-1]}
        for place, (path, index) in enumerate(places):
            out["gradient", path, index] = g[place]
            out["hvp", path, index] = h[place]
        return out, STATE.ties, STATE.near


def _evaluate(graph: graphs.Graph, params: dict[str, Any]) -> Number:
    data = {name: lift(x) for name, x in graph.data.items()}
    return np.asarray(graph.loss(params, data, mp_xp, box=_boxed), dtype=object).item()


def _boxed(x: Any) -> Any:
    """A step's result: whole numbers too become mpmath's, lest NumPy rounds them."""
    x = np.asarray(x)
    return x if x.dtype == bool else lift(x)


def judged(ball: arb, true: Any, digits: int) -> str:
    """``agrees``, ``unknown`` (no number, honestly), ``undefined`` (both have none), ``alone`` or ``differs``."""
    if mpmath.isnan(true):
        return "alone" if ball.is_finite() else "undefined"
    if mpmath.isinf(true):
        return "differs" if ball.is_finite() else "undefined"
    if not ball.is_finite():
        return "differs" if is_infinite(ball) else "unknown"
    with flint.ctx.workprec(4 * digits), mpmath.workdps(digits):
        exact = arb(mpmath.nstr(true, digits)) if true else arb(0)
        slack = abs(exact) * arb(10) ** -AGREE
        if digits > DIGITS[0]:
            slack = slack + arb(10) ** -(digits - 800)
        return "agrees" if (ball + arb(0, 1) * slack).contains(exact) else "differs"


def compare(blocks: dict[Any, arb], truth: dict[Any, Any], digits: int) -> dict[Any, str]:
    return {key: judged(ball, truth[key], digits) for key, ball in blocks.items()}


def entries(found: Any) -> dict[Any, arb]:
    """Every entry of `Derivatives` by (quantity, path, index)."""
    out = {("loss", "", ()): found.value.ball, ("jvp", "", ()): found.along.ball}
    for quantity, blocks in (("gradient", found.gradient), ("hvp", found.product)):
        for path, each in blocks.items():
            out.update({(quantity, path, index): each.balls[index] for index in np.ndindex(each.balls.shape)})
    return out


def check(graph: graphs.Graph) -> Outcome:
    """One graph by every way, against mpmath with few digits first."""
    try:
        with np.errstate(all="ignore"):
            return _check(graph)
    except NotCertifiableError as refused:
        return Outcome("refused", f"no certified form: {refused.what}")
    except (ValueError, TypeError, IndexError, ZeroDivisionError, AssertionError, KeyError) as error:
        return Outcome("differed", f"crash: {error!r}")


def _check(graph: graphs.Graph) -> Outcome:
    kink: KinkError | None = None
    found = None
    try:
        found = differentiate(graph.loss, graph.params, graph.data, graph.direction, max_bits=BITS)
    except KinkError as met:
        kink = met
    series = certify(graph.loss, graph.params, graph.data, graph.direction, max_bits=BITS)
    slow = any(name in GAMMAS for _, line in graph.lines for name in graphs.names_in(line))
    for digits in (DIGITS[0], GAMMA_DIGITS if slow else DIGITS[1]):
        outcome = _against(graph, found, kink, series, digits)
        if outcome.kind != "differed":
            break
    return outcome


def _against(graph: graphs.Graph, found: Any, kink: Any, series: Any, digits: int) -> Outcome:
    truth, ties, near = expected(graph, digits)
    if near:
        return Outcome("differed" if digits == DIGITS[0] else "refused", "too close to call for mpmath")
    smooth = True
    if ties:
        after, before = (expected(graph, digits, side)[0] for side in (1, -1))
        smooth = all(mpmath.isfinite(truth[key]) and _same(after[key], before[key], truth[key]) for key in truth)
    if kink is not None:
        return _one_sided(graph, series, digits, f"kink ({kink.kinks[0].name})" + (", though smooth" if smooth else ""))
    if found is None:
        return Outcome("refused", f"undecided: {series.reason.split(' at ')[0]}")
    got = entries(found)
    verdicts = compare(got, truth, digits)
    if series.status in ("certified", "zero_unproven", "loose") and not series.kinks:
        lines = {("loss", "", ()): series.value, ("jvp", "", ()): series.first, ("vhv", "", ()): series.second}
        forward = compare({key: each.ball for key, each in lines.items()}, truth, digits)
        verdicts |= {("forward", *key): verdict for key, verdict in forward.items()}
        got |= {("forward", *key): each.ball for key, each in lines.items()}
    if ties and not smooth:
        jumps = {key for key in truth if not _same(after[key], before[key], truth[key])}
        for key in (each for each in got if (each[1:] if each[0] == "forward" else each) in jumps):
            verdicts[key] = "alone" if got[key].is_finite() else "undefined"
    wrong = [verdict for verdict in verdicts.values() if verdict in ("differs", "alone")]
    if wrong:
        return Outcome("differed", f"{wrong[0]}", _details(got, verdicts, truth))
    if "unknown" in verdicts.values():
        key = next(key for key, verdict in verdicts.items() if verdict == "unknown")
        return Outcome("refused", f"no number for {key[0]}")
    without, by_tape = _extended(graph, got, truth)
    if by_tape:
        return Outcome("differed", "extended precision", by_tape)
    if "undefined" in verdicts.values():
        return Outcome("refused", "undefined")
    if not found.settled:
        return Outcome("refused", "wide")
    return Outcome("agreed", "with no number in extended precision" if without else "")


def _same(*values: Any) -> bool:
    return all(mpmath.isnan(v) for v in values) or max(values) - min(values) <= mpf(10) ** (5 - DIGITS[0]) * (
        1 + abs(values[0])
    )


def _details(got: Any, verdicts: Any, truth: Any) -> list[str]:
    shown = [key for key, verdict in verdicts.items() if verdict in ("differs", "alone")]
    digits = {key: mpmath.nstr(truth[key[1:] if key[0] == "forward" else key], 30) for key in shown}
    return [f"{key}: {got[key].str(30)}, mpmath {digits[key]} ({verdicts[key]})" for key in shown]


def _extended(graph: graphs.Graph, got: dict[Any, arb], truth: dict[Any, Any]) -> tuple[bool, list[str]]:
    """The tape in extended precision: whether it has a nan, and what is further off than float64's floor."""
    tape = Tape(graph.loss, graph.params, graph.data, graph.direction)
    values = tape.values()
    floor = None
    without, out = False, []
    for key in truth:
        if key[0] == "vhv" or not got[key].is_finite():
            continue
        value, exact = values[key[:2]][key[2]], to_longdouble(got[key].mid())  # which mpmath has confirmed
        if abs(value - exact) <= 1e-10 * abs(exact) + np.longdouble(2) ** -1140 or not np.isfinite(exact):
            continue
        if not np.isfinite(value):
            without = True
            continue
        if floor is None:
            floor = tape.floor({k: np.nan_to_num(x) for k, x in values.items()}, "float64", seed=0, seconds=0)
        # The rms of so few draws comes out low by a third now and then.
        if np.isnan(floor[key[:2]][key[2]]) or _turns_on_a_rounding(graph, key, value, exact):
            without = True  # in a run the entry is not resolved
        elif not abs(value - exact) <= 3 * floor[key[:2]][key[2]]:
            out.append(f"{key}: {value}, truth {exact}, floor {floor[key[:2]][key[2]]}")
    return without, out


def _turns_on_a_rounding(graph: graphs.Graph, key: Any, value: Any, exact: Any) -> bool:
    """Whether draws that may take any branch move an entry by as much: a branch that no double decides."""
    tape, rng = Tape(graph.loss, graph.params, graph.data, graph.direction), np.random.default_rng(0)
    moved = [tape.draw(Noise("float64", rng))[key[:2]][key[2]] for _ in range(8)]
    return bool(max(abs(each - value) for each in moved) >= abs(value - exact) / 3)


def _one_sided(graph: graphs.Graph, series: Any, digits: int, reason: str) -> Outcome:
    """Forward mode at a tie: its two sides against mpmath's values a little to the right and to the left."""
    if series.status not in ("certified", "zero_unproven"):
        return Outcome("refused", f"{reason}; forward mode {series.status}")
    details = []
    for name, side, sign in (("right", series.right, 1), ("left", series.left, -1)):
        step = mpf(10) ** (-20 if digits == DIGITS[0] else -400)
        near, nearer = (_differences(graph, sign * h, max(120, digits)) for h in (step, step / 1000))
        for quantity, ball, *values in zip(
            ("value", "first", "second"),
            (side.value.ball, side.first.ball, side.second.ball),
            near,
            nearer,
            strict=True,
        ):
            low, high = values
            if not all(map(mpmath.isfinite, values)) or not ball.is_finite():
                continue
            with mpmath.workdps(digits):
                unsure = abs(low - high)
                if unsure > mpf(10) ** -8 * max(abs(high), mpf(10) ** -15):
                    continue  # not finite, or less smooth than the differences take it for
                middle, radius = (mpf(x.str(40, radius=False)) for x in (ball.mid(), ball.rad()))
                gap = abs(middle - high) - radius
                if gap > 10 * unsure + mpf(10) ** -10 * (abs(high) + mpf(10) ** -10):
                    details.append(f"{name} {quantity}: {ball.str(25)}, mpmath {mpmath.nstr(high, 25)}")
    if details and any(kink.name in JUMPS and not kink.active for kink in series.kinks):
        return Outcome("refused", f"{reason}; perhaps a jump above second order")
    return Outcome("differed", "one-sided", details) if details else Outcome("refused", reason)


def _differences(graph: graphs.Graph, h: Any, digits: int) -> tuple[Any, Any, Any]:
    """Limit of the loss at t = 0, first and second derivative in t, from its values at h, 2h and 3h."""
    with mpmath.workdps(digits):
        values = []
        STATE.near = 0
        for k in (1, 2, 3):
            params = {path: lift(x) for path, x in graph.params.items()}
            for path, x in params.items():
                for index in np.ndindex(x.shape):
                    x[index] = x[index] + Number(k * h * mpf(float(graph.direction[path][index])))
            values.append(_evaluate(graph, params).v)
        a, b, c = values if not STATE.near else [mpf("nan")] * 3
        return 3 * a - 3 * b + c, (-5 * a + 8 * b - 3 * c) / (2 * h), (a - 2 * b + c) / (h * h)


def campaign(
    count: int, seed: int, *, only: int | None = None, show: str = "differed"
) -> tuple[Counter[str], Counter[str]]:
    """Counts of outcomes by kind and reason, and of names in the graphs."""
    outcomes: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for index in [only] if only is not None else range(count):
        graph = graphs.draw((seed, index))
        began = time.monotonic()
        outcome = check(graph)
        outcomes[outcome.kind] += 1
        if outcome.reason:
            outcomes[f"{outcome.kind}: {outcome.reason}"] += 1
        names.update(name for _, line in graph.lines for name in graphs.names_in(line))
        slow = time.monotonic() - began
        if (show and show in f"{outcome.kind} {outcome.reason}") or only is not None or slow > 10:
            print(f"--seed {seed} --only {index}: {outcome.kind} {outcome.reason} ({slow:.1f} s)\n{graph}")
            print(*(f"  {line}" for line in outcome.details), sep="\n", flush=True)
    return outcomes, names


def main() -> None:
    """Run it, print what became of the graphs."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.truth_graphs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", default="differed", help="print the graphs whose outcome has these words")
    parser.add_argument("--only", type=int, help="index of one graph, shown")
    arguments = parser.parse_args()
    began = time.monotonic()
    outcomes, names = campaign(arguments.count, arguments.seed, only=arguments.only, show=arguments.show)
    for reason, count in sorted(outcomes.items()):
        print(f"{count:6} {reason}")
    missing = graphs.differentiable(xp) - set(names) if arguments.only is None else ()
    print(f"{sum(names.values())} calls of {len(names)} names, missing {sorted(missing)}")
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(1 if outcomes["differed"] else 0)


if __name__ == "__main__":
    main()
