"""Enclosures of whole arrays against balls: every entry of random losses is contained, or said not to be known.

    python -m tests.evidence.enclosed_graphs COUNT [--seed N] [--only I]

Random losses over the whole certified namespace (`graphs`), with arrays of one element to some hundreds. Value,
gradient, JVP and HVP by reverse mode over enclosures (`midrad`) must contain what balls of `BITS` have; a tie that
the one finds the other finds as well, and what the one knows the other does. Prints counts and everything that differs,
with the index that ``--only`` repeats.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

import flint
import numpy as np
from flint import arb

from gradparity.model_spec.trees import map_tree
from gradparity.truth.derivatives.certificate import Derivatives
from gradparity.truth.derivatives.inputs import constant, lines_of
from gradparity.truth.derivatives.reverse import KinkError, enclosed_at, enclosed_whole
from gradparity.truth.numbers.balls import exact_balls
from gradparity.truth.numbers.context import Context, NotCertifiableError, UndecidedError
from gradparity.truth.numbers.enclosure import Enclosures
from gradparity.truth.numbers.midrad import MidRad
from tests.evidence import graphs

#: Of the balls; more where they know less: two float64 numbers hold 1 + 2^-1000.
BITS = (640, 4096)
SIZES = [*graphs.SHAPES, (7,), (40,), (5, 6), (12, 12), (3, 50), (4, 5, 6), (60, 2)]
LARGEST = 600


def by_balls(graph: graphs.Graph, bits: int) -> Derivatives | None:
    """The same pass in balls; None where a comparison is undecided.

    Raises:
        KinkError: a tie.
    """
    data = map_tree(lambda _, leaf: constant(leaf), graph.data)
    lines = lines_of(graph.params, graph.direction, exact_balls)
    for share in (False, True):
        context = Context(bits=bits, order=1, share=share)
        try:
            found = enclosed_at(graph.loss, graph.params, lines, data, context)
        except UndecidedError:
            continue
        if context.kinks:
            raise KinkError(tuple(dict.fromkeys(context.kinks)))
        return found
    return None


def entries(each: Enclosures) -> tuple[list[arb], list[arb]]:
    """Midpoints and radii; the radius of what is not known is none."""
    if isinstance(each.balls, MidRad):
        high, low, radius = (part.ravel().tolist() for part in each.balls.parts)
        return [arb(h) + arb(x) for h, x in zip(high, low, strict=True)], [arb(r) for r in radius]
    balls = each.balls.ravel()
    return [x.mid() for x in balls], [x.rad() for x in balls]


def compared(found: Derivatives, expected: Derivatives) -> tuple[list[str], int, int]:
    """What is wrong, in words, and how many entries are known and are not."""
    wrong, known, unknown = [], 0, 0
    with flint.ctx.workprec(4 * BITS[-1]):
        for key, each in found.blocks.items():
            true = expected.blocks[key]
            rows = zip(*entries(each), *entries(true), each.is_zero.ravel(), strict=True)
            for place, (mid, radius, value, slack, zero) in enumerate(rows):
                if not (mid.is_finite() and radius.is_finite()):
                    unknown += 1
                    continue
                known += 1
                if not value.is_finite():
                    wrong.append(f"{key} {place}: {mid.str(20)} where balls have no number")
                elif not abs(mid - value) <= radius + slack or (zero and not value.is_zero()):
                    wrong.append(f"{key} {place}: {mid.str(40)} +- {radius.str(5)}, but {value.str(40)}")
    return wrong, known, unknown


def check(graph: graphs.Graph) -> tuple[str, list[str]]:
    """What became of one graph, and what is wrong."""
    for bits in BITS:
        kind, wrong = _against(graph, bits)
        if not wrong:
            break
    return kind, wrong


def _against(graph: graphs.Graph, bits: int) -> tuple[str, list[str]]:
    kinks: list[Any] = [None, None]
    found: list[Any] = [None, None]
    ways = (
        lambda: enclosed_whole(graph.loss, graph.params, graph.data, graph.direction),
        lambda: by_balls(graph, bits),
    )
    for i, way in enumerate(ways):
        try:
            found[i] = way()
        except KinkError as met:
            kinks[i] = met
        except NotCertifiableError:
            return "refused", []
    if kinks[0]:
        return "tie", [] if kinks[1] or found[1] is None else ["a tie that balls do not have"]
    if found[0] is None:
        return "undecided", []
    if found[1] is None or kinks[1]:
        # A root of what may be zero is not known; balls prove it to be zero.
        decided = kinks[1] and all(each.is_finite.all() for each in found[0].blocks.values())
        return "alone", ["all known where balls have a tie"] if decided else []
    wrong, known, unknown = compared(*found)
    return "contained" if known and not unknown else "contained in part" if known else "not known", wrong


def campaign(count: int, seed: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Counts of what became of graphs, and what is wrong with them."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for index in range(first, first + count):
        graph = graphs.draw((seed, index), sizes=SIZES, largest=LARGEST)
        with np.errstate(all="ignore"):
            kind, lines = check(graph)
        counts["wrong" if lines else kind] += 1
        if lines:
            wrong.append(f"{index}\n{graph}\n" + "\n".join(lines[:5]))
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    counts, wrong = campaign(1 if options.only is not None else options.count, options.seed, options.only or 0)
    sys.stdout.write("\n\n".join([*wrong, str(dict(counts))]) + "\n")


if __name__ == "__main__":
    main()
