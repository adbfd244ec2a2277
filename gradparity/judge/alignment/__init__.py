"""Two ports' operations side by side: the last result that they have in common, and the first that they do not. Pure.

Results are paired by value: two of one size are the same to within rounding if their entries, in increasing order,
differ by at most ``DIVERGES_FLOORS`` floors, whatever the layout. From the loss the search goes back through results
that have no partner; where it meets results that have one, the ports still agree. So a step that only one of them
takes, such as the variance beside a fused layer norm, is no divergence as long as what follows is common again.

Where every value agrees up to the loss, cotangents are held against each other from the loss back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gradparity.judge.alignment.backward import backward
from gradparity.judge.alignment.cured import changed_by_cure as changed_by_cure
from gradparity.judge.alignment.forward import forward
from gradparity.judge.alignment.records import FirstDivergence as FirstDivergence
from gradparity.judge.alignment.records import Side, inverse, nearest, pairs
from gradparity.worker.messages import Traced


def first_divergence(first: Traced, second: Traced, params: Iterable[str]) -> FirstDivergence | None:
    """Where two records of one model first diverge; ``None`` where they do not, or where it cannot be told.

    Args:
        first: one port's record.
        second: another's, or that of the neutral loss.
        params: names of the parameters.
    """
    names = list(params)
    one, two = Side.of(first, names), Side.of(second, names)
    if one.loss < 0 or two.loss < 0:
        return None
    known = pairs(one.results, two.results)
    if two.loss not in known[one.loss]:  # what one loss is by chance in the other port is no partner of it
        known = [[] if a == one.loss else [b for b in partners if b != two.loss] for a, partners in enumerate(known)]
    other = inverse(known, len(two.results))
    found = backward(one, two, known, other) if two.loss in known[one.loss] else forward(one, two, known, other)
    common = tuple((a, nearest(a, partners)) for a, partners in enumerate(known) if partners)
    return None if found is None else replace(found, pairs=common)
