"""GradBench's ``kmeans``: the sum of squared distances to the nearest centroid, and a step of Newton's method.

    loss = sum_i min_j |C_j - P_i|^2,   dir = J / H,   J its gradient, H the diagonal of its Hessian

H_j is twice the number of points that are nearest to C_j, a whole number; so ``dir`` is held to the truth as the
gradient H dir. Points lie about corners of a cube and have a centroid each, so that none is without points; GradBench
has 1,000 or more, all over the cube, and some of them as centroids.
"""

import numpy as np

from gradparity.backends.gradbench.wire import Wire, require_shape, size
from gradparity.model_spec.errors import InputError

POINTS, DIMENSIONS = (60, 48), (4, 3)


def parameters(rng):
    """`centroids (5, 4)`, each near a corner; of an odd seed (4, 3)."""
    corners = _corners(rng)
    return {"centroids": corners + rng.uniform(-0.15, 0.15, corners.shape)}


def data(rng):
    """`points (60, 4)`, about the corners in turn; of an odd seed (48, 3)."""
    corners = _corners(rng)
    about = corners[np.arange(size(rng, *POINTS)) % len(corners)]
    return {"points": about + rng.uniform(-0.15, 0.15, about.shape)}


def _corners(rng):
    """The origin, and those one step along an axis from it."""
    dimensions = size(rng, *DIMENSIONS)
    return np.concatenate([np.zeros((1, dimensions)), np.eye(dimensions)])


def loss(params, data, xp):
    """The sum of squared distances to the nearest centroid."""
    nearest = _nearest(params["centroids"], data["points"], xp)
    difference = params["centroids"][nearest] - data["points"]
    return xp.sum(difference * difference)


def _nearest(centroids, points, xp):
    """Which centroid is nearest to each point: by `|C|^2 - 2 P C`, since `|P|^2` makes no difference."""
    return xp.argmin(xp.sum(centroids * centroids, axis=1) - 2.0 * (points @ centroids.T), axis=1)


class _Wire(Wire):
    primal, derivative, curvature = "cost", "dir", True
    params, data = {"centroids": 2}, {"points": 2}

    def read(self, given):
        params, data = super().read(given)
        require_shape("centroids", params["centroids"], (len(params["centroids"]), data["points"].shape[1]))
        if not params["centroids"].size:
            raise InputError("input centroids", got="none", expected="one or more")
        return params, data

    def answer(self, gradient, curvature):
        with np.errstate(divide="ignore", invalid="ignore"):  # a centroid without points has no step: not finite
            return gradient["centroids"] / curvature["centroids"]

    def shapes(self, params):
        return params["centroids"].shape

    def understood(self, primal, answer, params, data):
        nearest = _nearest(params["centroids"], data["points"], np)
        points = np.bincount(nearest, minlength=len(params["centroids"]))
        return primal, {"centroids": 2.0 * points[:, None] * answer}


WIRE = _Wire()
