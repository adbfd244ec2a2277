"""GradBench's ``det``: the determinant by expansion by minors.

    det A = sum_j (-1)^j A_0j det M_j,   M_j without row 0 and column j

Minors of the last rows are shared by all that have them, and computed for all choices of columns at once: of L rows
there are 2^L, and L 2^(L-1) products in place of the L! terms of the recursion. GradBench draws as here, 5 to 11 rows.
"""

from functools import cache
from itertools import combinations

import numpy as np

from gradparity.backends.gradbench.wire import Wire, count, require_shape, size

ROWS = 5, 4


def parameters(rng):
    """`A (5, 5)`, or (4, 4) of an odd seed."""
    rows = size(rng, *ROWS)
    return {"A": rng.random((rows, rows))}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """`det A`."""
    A = params["A"]
    rows = A.shape[0]
    minors = A[rows - 1]
    for chosen in range(2, rows + 1):
        columns, smaller, signs = _expansion(rows, chosen)
        minors = xp.sum(A[rows - chosen][columns] * minors[smaller] * xp.asarray(signs), axis=1)
    return minors[0]


@cache
def _expansion(rows, chosen):
    """For each choice of columns: these, where the choice without each is in the list of those, and signs."""
    choices = list(combinations(range(rows), chosen))
    places = {choice: place for place, choice in enumerate(combinations(range(rows), chosen - 1))}
    smaller = [[places[choice[:j] + choice[j + 1 :]] for j in range(chosen)] for choice in choices]
    return np.array(choices), np.array(smaller), (-1.0) ** np.arange(chosen)


class _Wire(Wire):
    params, data = {"A": 1}, {}

    def written(self, params, data):
        return {"A": params["A"].ravel().tolist(), "ell": len(params["A"])}

    def read(self, given):
        params, _ = super().read(given)
        rows = count(given, "ell", 1, 16)
        require_shape("A", params["A"], (rows * rows,))
        return {"A": params["A"].reshape(rows, rows)}, {}

    def answer(self, gradient, curvature):
        return gradient["A"].ravel()

    def shapes(self, params):
        return (params["A"].size,)

    def understood(self, primal, answer, params, data):
        return primal, {"A": answer.reshape(params["A"].shape)}


WIRE = _Wire()
