"""GradBench's ``gmm``: the logarithm of the posterior density of a Gaussian mixture with a Wishart prior.

    beta_ik = alpha_k - 1/2 |Q_k (x_i - mu_k)|^2 + sum_j q_kj
    loss = sum_i lse_k beta_ik - N (D/2 log 2 pi + lse alpha)
         + K (n D log(gamma / sqrt 2) - log Gamma_D(n / 2)) - gamma^2 / 2 sum_k |Q_k|^2 + m sum_kj q_kj,   n = D + m + 1

where Q_k has exp(q_k) on its diagonal and l_k below it, column by column, and lse is `log sum exp`. Reference: the
README of GradBench's evaluation. It draws as here, 1,000 points in up to 64 dimensions, with m = 0 and gamma = 1.
"""

import math

import numpy as np

from gradparity.backends.gradbench.wire import Wire, count, require_shape, size
from gradparity.model_spec.errors import InputError

DIMENSIONS, COMPONENTS, POINTS = (3, 2), (4, 3), (30, 24)
#: Of the prior: GradBench takes any whole number from 0 on, and any gamma over 0.
FREEDOM, PRECISION = (2, 5), (0.75, 1.75)


def parameters(rng):
    """`alpha (4,)`, means `mu (4, 3)`, and of the precisions `q (4, 3)` and `l (4, 3)`.

    Of an odd seed 3 components in 2 dimensions.
    """
    k, d = size(rng, *COMPONENTS), size(rng, *DIMENSIONS)
    return {
        "alpha": rng.standard_normal(k),
        "mu": rng.random((k, d)),
        "q": rng.standard_normal((k, d)),
        "l": rng.standard_normal((k, d * (d - 1) // 2)),
    }


def data(rng):
    """Points `x (30, 3)`, or (24, 2) of an odd seed, and of the prior `m` and `gamma`."""
    x = rng.standard_normal((size(rng, *POINTS), size(rng, *DIMENSIONS)))
    return {"x": x, "m": np.array(float(size(rng, *FREEDOM))), "gamma": np.array(rng.uniform(*PRECISION))}


def loss(params, data, xp):
    """The logarithm of the posterior density."""
    alpha, q, (points, d), k = params["alpha"], params["q"], data["x"].shape, params["alpha"].shape[0]
    m, gamma = data["m"], data["gamma"]
    diagonal, sums = xp.exp(q), xp.sum(q, axis=1)
    lower = _lower(params["l"], k, d, xp)
    centred = data["x"][None] - params["mu"][:, None]
    scaled = diagonal[:, None] * centred + centred @ xp.swapaxes(lower, 1, 2)
    beta = alpha + sums - 0.5 * xp.swapaxes(xp.sum(scaled * scaled, axis=2), 0, 1)
    likelihood = xp.sum(_lse(beta, xp)) - points * (0.5 * d * math.log(2 * math.pi) + _lse(alpha, xp))
    n = d + m + 1
    of_prior = n * d * xp.log(gamma / math.sqrt(2)) - _log_gamma(d, 0.5 * n, xp)
    squares = xp.sum(diagonal * diagonal) + xp.sum(params["l"] * params["l"])
    return likelihood + k * of_prior - 0.5 * gamma * gamma * squares + m * xp.sum(sums)


def _lower(below, k, d, xp):
    """Strictly lower triangles (K, D, D) of their entries (K, D (D - 1) / 2), column by column."""
    begins = [column * d - column * (column + 1) // 2 for column in range(d)]
    columns = [
        xp.concatenate([xp.zeros((k, column + 1)), below[:, begin : begin + d - 1 - column]], axis=1)
        for column, begin in enumerate(begins)
    ]
    return xp.stack(columns, axis=2)


def _lse(a, xp):
    """`log sum exp` of the last axis."""
    largest = xp.max(a, axis=-1, keepdims=True)
    return largest[..., 0] + xp.log(xp.sum(xp.exp(a - largest), axis=-1))


def _log_gamma(d, a, xp):
    """`log Gamma_D(a)`, the multivariate gamma function."""
    return 0.25 * d * (d - 1) * math.log(math.pi) + sum(xp.gammaln(a - 0.5 * j) for j in range(d))


class _Wire(Wire):
    primal, derivative = "objective", "jacobian"
    params, data = {"alpha": 1, "mu": 2, "q": 2, "l": 2}, {"x": 2, "gamma": 0}

    def written(self, params, data):
        (n, d), k = data["x"].shape, len(params["alpha"])
        return {**super().written(params, data), "m": int(data["m"]), "d": d, "k": k, "n": n}

    def read(self, given):
        params, data = super().read(given)
        d, k, n = (count(given, name, 1) for name in "dkn")
        shapes = {"alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2), "x": (n, d)}
        for name, shape in shapes.items():
            require_shape(name, {**params, **data}[name], shape)
        if float(data["gamma"]) <= 0:
            raise InputError("input gamma", got=float(data["gamma"]), expected="a number over 0")
        return params, {**data, "m": np.array(float(count(given, "m", 0)))}

    def answer(self, gradient, curvature):
        return dict(gradient)

    def shapes(self, params):
        return {name: params[name].shape for name in self.params}

    def understood(self, primal, answer, params, data):
        return primal, answer


WIRE = _Wire()
