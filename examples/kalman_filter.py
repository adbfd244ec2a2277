"""Negative log-likelihood of a local linear trend, by the Kalman filter.

    state: level and slope, x_{t+1} = F x_t + q_t,  F = [[1, 1], [0, 1]],  q ~ N(0, diag(exp(2 log_state)))
    y_t = x_t[0] + N(0, exp(2 log_observation));   with v = y_t - m[0] and S = P[0, 0] + exp(2 log_observation)
    loss = sum_t (log(2 pi S) + v^2 / S) / 2,   K = P[:, 0] / S,   m = F (m + K v),   P = F (P - K P[0, :]) F^T + Q

Source: A. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989), sections 3.2 and 3.4.

What goes wrong when it is ported: logarithms of standard deviations in one port and of variances in the other,
which doubles a gradient; update and prediction in the other order, so that the first observation is predicted
twice; the first steps left out of the likelihood in one port ("burn-in"); a `log S` that is missing, as it is in
least squares.
"""

import math

import numpy as np

STEPS = 8


def parameters(rng):
    """Logarithms of standard deviations: `log_observation (1,)` and `log_state (2,)`, of level and slope."""
    return {
        "log_observation": -0.5 + 0.2 * rng.standard_normal(1),
        "log_state": np.array([-1.0, -2.0]) + 0.2 * rng.standard_normal(2),
    }


def data(rng):
    """The series `y (8,)`, the transition `F (2, 2)`, and the first state's `m (2,)` and covariance `P (2, 2)`."""
    trend = np.cumsum(0.2 + 0.1 * rng.standard_normal(STEPS))
    return {
        "y": trend + 0.5 * rng.standard_normal(STEPS),
        "F": np.array([[1.0, 1.0], [0.0, 1.0]]),
        "m": np.zeros(2),
        "P": np.diag([4.0, 1.0]),
    }


def loss(params, data, xp):
    """Negative log-likelihood of the series."""
    F, m, P = data["F"], data["m"], data["P"]
    noise = xp.exp(2.0 * params["log_observation"])
    Q = xp.diag(xp.exp(2.0 * params["log_state"]))
    total = 0.0
    for t in range(STEPS):
        v, S = data["y"][t] - m[:1], P[0, :1] + noise  # of shape (1,)
        total = total + 0.5 * (xp.log(2.0 * math.pi * S) + v**2 / S)
        K = P[:, 0] / S
        m = F @ (m + K * v)
        P = F @ (P - K[:, None] * P[0, :]) @ F.T + Q
    return xp.sum(total)
