"""The noise floor: how far each value moves when the inputs, and every step of the closed form, round once.

Three sources of rounding, in quadrature, for one problem in one dtype of unit roundoff ``u``:

* *Inputs and row values.* Seeded draws move every entry of X, the parameters and the tangents by one rounding (random
  sign), each row's logit by the roundings of its sum, and its loss, slope and curvature by those of their formulas. A
  backward stable evaluation cannot be told from one at perturbed inputs.
* *Long sums.* Adding n terms in their order rounds every partial sum: a variance of ``u^2 sum_k s_k^2``, the random
  walk of the ``s_k`` (`walks`). This is what grows with the number of rows, and why no tolerance has to.
* *The entry itself*, rounded once.

What underflow makes of the values is added as a bound, not in quadrature: it is no random matter.

Reference: Higham, Accuracy and Stability of Numerical Algorithms, 2002, sections 1.5, 2.8 and 4.2; the draws are those
of Monte Carlo arithmetic (Parker, 1997), taken as differences from the closed form so that float64 resolves them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import Problem
from gradparity.numerics.extended import Blocks
from gradparity.truth.logistic.extended import row_blocks, sigmoid, softplus
from gradparity.truth.logistic.underflow import underflow
from gradparity.truth.numbers.walks import Walk, expected_walk, walk

Array: TypeAlias = npt.NDArray[Any]

#: Random perturbations: as many as the cells allow, since their rms over few draws can come out low by accident.
MOST_DRAWS, FEWEST_DRAWS = 32, 2
#: Cells of X times draws that are worth about a second.
CELLS_DRAWN = 10**7
#: Cells of X up to which the floor is computed in extended precision, whose range no square of a float64 leaves.
EXTENDED_CELLS = 10**5
#: Roundings in a row's loss, slope or curvature given its logit: exp, 1 + t, a quotient or a product, a scale.
ROW_ROUNDINGS = 4


def floor(problem: Problem, truth: Blocks, draws: int | None = None) -> Blocks:
    """The noise floor of every entry of ``truth``; see the module. ``draws`` is chosen by size if not given."""
    u = np.longdouble(np.finfo(problem.spec.dtype).eps) / 2
    moves = _Moves(problem, draws or affordable_draws(problem))
    for rows in row_blocks(problem):
        moves.add(rows)
    squares = moves.squares()
    lost = underflow(problem)
    return {key: np.sqrt(squares[key] + (u * value) ** 2) + lost[key] for key, value in truth.items()}


def affordable_draws(problem: Problem) -> int:
    """Perturbations for a problem of this size; where they are few, long sums make most of the floor."""
    return int(np.clip(CELLS_DRAWN // problem.data["X"].size, FEWEST_DRAWS, MOST_DRAWS))


@dataclass
class _Inputs:
    """A problem's inputs in the precision that the floor is computed in; without a projection, W is None."""

    problem: Problem
    work: type[np.floating[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.work = np.longdouble if self.problem.data["X"].size <= EXTENDED_CELLS else np.float64
        spec, params, tangents = self.problem.spec, self.problem.params, self.problem.tangents
        self.w, self.v = self.cast(params["w"]), self.cast(tangents["w"])
        self.W = self.cast(params["W"]) if "W" in params else None
        self.V = self.cast(tangents["W"]) if "W" in tangents else None
        self.c, self.l2 = self.work(spec.logit_scale), self.work(spec.l2)
        self.scale = 1 / self.work(self.problem.rows) if spec.reduction == "mean" else self.work(1)
        self.as_written = self.W is not None and spec.formulation == "as_written"

    def cast(self, value: npt.ArrayLike) -> Array:
        return np.asarray(value, self.work)

    def rows(self, rows: slice) -> tuple[Array, Array]:
        """X of some rows, and the signs ``s = 1 - 2 y``."""
        data = self.problem.data
        return self.cast(data["X"][rows]), 1 - 2 * self.cast(data["y"][rows])

    def direction(self) -> Array:
        """``u = W w``, or w."""
        return self.w if self.W is None else self.W @ self.w

    def direction_tangent(self) -> Array:
        """``t = W v + V w``, or v."""
        return self.v if self.W is None or self.V is None else self.W @ self.v + self.V @ self.w


class _Moves:
    """Sums over rows, block by block: of every draw's differences, and of the walks of partial sums.

    With ``z = X u``, ``Z = X t``, ``r = s c sigmoid(m)``, ``q = c^2 sigmoid(m) sigmoid(-m) Z``: ``g = X^T r`` and
    ``h = X^T q`` are what every derivative is made of.
    """

    def __init__(self, problem: Problem, draws: int) -> None:
        at = self.at = _Inputs(problem)
        self.draws, self.rng = draws, np.random.default_rng([problem.seed, 5])
        self.unit = at.work(np.finfo(problem.spec.dtype).eps) / 2
        self.u, self.t = at.direction(), at.direction_tangent()
        self.moved = {name: self._signs(value, draws) for name, value in self._parameters().items()}
        self.du, self.dt = self._moved_directions()
        rounded = np.dtype(problem.spec.dtype).type
        # c and l2 are rounded to the dtype: a difference that all rows share, relative for c.
        self.dc = at.work(rounded(at.c)) / at.c - 1
        self.dl2 = at.work(rounded(at.l2)) - at.l2
        features, width = problem.data["X"].shape[1], len(at.w)
        self.dg, self.dh = at.cast(np.zeros((features, draws))), at.cast(np.zeros((features, draws)))
        self.dloss, self.djvp = at.cast(np.zeros(draws)), at.cast(np.zeros(draws))
        shapes: dict[str, tuple[int, ...]] = {"loss": (), "jvp": (), "g": (features,), "h": (features,)}
        if at.as_written:
            shapes |= dict.fromkeys(("Pr", "Pq", "Qr"), (width,))
        zeros = {name: np.zeros(shape, at.work) for name, shape in shapes.items()}
        self.sums = {name: Walk(zero, problem.spec.dtype, at.scale) for name, zero in zeros.items()}

    def add(self, rows: slice) -> None:
        """One block of rows."""
        at, unit, c = self.at, self.unit, self.at.c
        X, s = at.rows(rows)
        z, Z = X @ self.u, X @ self.t
        dz, dZ = X @ self.du, X @ self.dt
        noise_z, noise_Z = walk(X * self.u, 1) + z * z, walk(X * self.t, 1)
        m = s * c * z
        r, k = s * c * sigmoid(m), c * c * sigmoid(m) * sigmoid(-m)
        q = k * Z
        if at.as_written:
            noise_z, noise_Z = self._as_written(X, r, q, noise_z, noise_Z)
        for draw in range(self.draws):
            dX = self._signs(X)
            dz[:, draw] += dX @ self.u
            dZ[:, draw] += dX @ self.t
            self.dg[:, draw] += r @ dX
            self.dh[:, draw] += q @ dX
        dz += unit * np.sqrt(noise_z)[:, None] * self._normal(dz.shape) + self.dc * z[:, None]
        dZ += unit * np.sqrt(noise_Z)[:, None] * self._normal(dZ.shape)
        dm = (s * c)[:, None] * dz
        rounding = unit * np.sqrt(at.work(ROW_ROUNDINGS))
        loss, m, r, k, Z = softplus(m), m[:, None], r[:, None], k[:, None], Z[:, None]
        dsigmoid = _sigmoid_difference(m, dm)
        dr = (s * c)[:, None] * dsigmoid + r * (self.dc + rounding * self._normal(dm.shape))
        # sigmoid(m) sigmoid(-m) at m + dm, less that at m.
        dk = c * c * dsigmoid * (sigmoid(-m) - sigmoid(m + dm)) + k * (2 * self.dc + rounding * self._normal(dm.shape))
        dq = k * dZ + dk * (Z + dZ)
        self.dg += X.T @ dr
        self.dh += X.T @ dq
        self.dloss += (_softplus_difference(m, dm) + rounding * loss[:, None] * self._normal(dm.shape)).sum(0)
        self.djvp += (r * dZ + dr * (Z + dZ)).sum(0)
        self.sums["loss"].extend(loss)
        self.sums["jvp"].extend((r * Z)[:, 0])
        self.sums["g"].extend(X * r)
        self.sums["h"].extend(X * q[:, None])

    def _as_written(self, X: Array, r: Array, q: Array, noise_z: Array, noise_Z: Array) -> tuple[Array, Array]:
        """The same logits by way of ``P = X W`` and ``Q = X V``: their roundings, and the sums over rows of them."""
        at = self.at
        assert at.W is not None and at.V is not None  # noqa: S101, PT018
        P, Q = X @ at.W, X @ at.V
        noise_P, noise_Q = (
            expected_walk(X**2 @ factor**2, sums, X.shape[-1]) for factor, sums in ((at.W, P), (at.V, Q))
        )
        self.sums["Pr"].extend(P * r[:, None], noise_P * (r * r)[:, None])
        self.sums["Pq"].extend(P * q[:, None], noise_P * (q * q)[:, None])
        self.sums["Qr"].extend(Q * r[:, None], noise_Q * (r * r)[:, None])
        return (
            noise_z + noise_P @ at.w**2 + walk(P * at.w, 1),
            noise_Z + noise_P @ at.v**2 + noise_Q @ at.w**2 + walk(P * at.v, 1) + walk(Q * at.w, 1),
        )

    def squares(self) -> dict[tuple[str, str], Array]:
        """The squared floor of every entry, without the entry's own rounding and without underflow."""
        at, scale, unit = self.at, self.at.scale, self.unit
        g, h = scale * self.sums["g"].total, scale * self.sums["h"].total
        dg, dh = scale * self.dg, scale * self.dh
        walks = {name: sum_.squares(unit) for name, sum_ in self.sums.items()}
        moved = self.moved
        parameters = [(at.w, at.v, moved["w"], moved["v"])]
        if at.W is None or at.V is None:
            differences = {("gradient", "w"): dg, ("hvp", "w"): dh}
            long = {("gradient", "w"): walks["g"], ("hvp", "w"): walks["h"]}
            terms = g * at.v
        else:
            parameters.append((at.W, at.V, moved["W"], moved["V"]))
            dW, dV, w, v = moved["W"], moved["V"], at.w, at.v
            differences = {
                ("gradient", "w"): at.W.T @ dg + _contract(dW, g),
                ("gradient", "W"): dg[:, None] * w[:, None] + g[:, None, None] * moved["w"],
                ("hvp", "w"): at.W.T @ dh + at.V.T @ dg + _contract(dW, h) + _contract(dV, g),
                ("hvp", "W"): dh[:, None] * w[:, None] + dg[:, None] * v[:, None]
                + h[:, None, None] * moved["w"] + g[:, None, None] * moved["v"],
            }  # fmt: skip
            over_features = unit**2 * walk(at.W.T * g, 1), unit**2 * (walk(at.W.T * h, 1) + walk(at.V.T * g, 1))
            long = {
                ("gradient", "w"): walks["g"] @ at.W**2 + over_features[0] + walks.get("Pr", 0),
                ("gradient", "W"): np.multiply.outer(walks["g"], w**2),
                ("hvp", "w"): walks["h"] @ at.W**2 + walks["g"] @ at.V**2 + over_features[1]
                + walks.get("Pq", 0) + walks.get("Qr", 0),
                ("hvp", "W"): np.multiply.outer(walks["h"], w**2) + np.multiply.outer(walks["g"], v**2)
                + unit**2 * (np.multiply.outer(h**2, w**2) + np.multiply.outer(g**2, v**2)),
            }  # fmt: skip
            terms = np.concatenate([(at.W.T @ g) * v, (np.multiply.outer(g, w) * at.V).ravel()])
        loss, jvp, loss_walk, terms = self._penalise(parameters, differences, long, terms)
        differences["loss", ""], differences["jvp", ""] = scale * self.dloss + loss, scale * self.djvp + jvp
        long["loss", ""] = walks["loss"] + loss_walk
        long["jvp", ""] = walks["jvp"] + walks["g"] @ self.t**2 + unit**2 * walk(terms, 0)
        return {key: (value**2).mean(-1) + long[key] for key, value in differences.items()}

    def _penalise(
        self,
        parameters: list[tuple[Array, Array, Array, Array]],
        differences: dict[tuple[str, str], Array],
        long: dict[tuple[str, str], Array],
        terms: Array,
    ) -> tuple[Any, Any, Any, Array]:
        """The penalty's part, added in place: l2/2 |p|^2 to the loss, l2 p.v to the JVP, l2 p and l2 v to the others.

        ``parameters`` are those, their tangents, and how far both move; ``terms`` are what the JVP sums, which grow by
        the penalty's. Returns what moves in the loss and in the JVP, the walk of the loss, and the terms.
        """
        at, unit = self.at, self.unit
        loss: Any = 0
        jvp: Any = 0
        loss_walk: Any = 0
        for (p, move, dp, dmove), name in zip(parameters, ("w", "W"), strict=False):
            axes = tuple(range(p.ndim))
            loss += at.l2 * (p[..., None] * dp).sum(axes) + self.dl2 * (p * p).sum() / 2
            jvp += at.l2 * (p[..., None] * dmove + move[..., None] * dp).sum(axes) + self.dl2 * (p * move).sum()
            differences["gradient", name] = differences["gradient", name] + at.l2 * dp + (self.dl2 * p)[..., None]
            differences["hvp", name] = differences["hvp", name] + at.l2 * dmove + (self.dl2 * move)[..., None]
            long["gradient", name] = long["gradient", name] + (unit * at.l2 * p) ** 2
            long["hvp", name] = long["hvp", name] + (unit * at.l2 * move) ** 2
            loss_walk += unit**2 * walk(at.l2 * (p * p).ravel() / 2, 0)
            terms = np.concatenate([terms, at.l2 * (p * move).ravel()])
        return loss, jvp, loss_walk, terms

    def _parameters(self) -> dict[str, Array]:
        at = self.at
        named = {"w": at.w, "v": at.v, "W": at.W, "V": at.V}
        return {name: value for name, value in named.items() if value is not None}

    def _moved_directions(self) -> tuple[Array, Array]:
        """How far ``u = W w`` and ``t = W v + V w`` move in every draw, shape (F, draws)."""
        at, moved = self.at, self.moved
        if at.W is None or at.V is None:
            return moved["w"], moved["v"]
        noise_u, noise_t = walk(at.W * at.w, 1), walk(at.W * at.v, 1) + walk(at.V * at.w, 1)
        shape = (len(self.u), self.draws)
        du = _contract(moved["W"], at.w, 1) + at.W @ moved["w"]
        dt = _contract(moved["W"], at.v, 1) + at.W @ moved["v"] + _contract(moved["V"], at.w, 1) + at.V @ moved["w"]
        return (
            du + self.unit * np.sqrt(noise_u)[:, None] * self._normal(shape),
            dt + self.unit * np.sqrt(noise_t)[:, None] * self._normal(shape),
        )

    def _signs(self, value: Array, draws: int | None = None) -> Array:
        """One rounding of every entry, sign at random; the draws along the last axis."""
        shape = value.shape if draws is None else (*value.shape, draws)
        bits = np.unpackbits(np.frombuffer(self.rng.bytes(-(-int(np.prod(shape)) // 8)), np.uint8))
        signs = bits[: int(np.prod(shape))].reshape(shape).astype(self.at.work) * 2 - 1
        return np.asarray((value if draws is None else value[..., None]) * (self.unit * signs))

    def _normal(self, shape: tuple[int, ...]) -> Array:
        return self.rng.standard_normal(shape, np.float32)


def _contract(moved: Array, vector: Array, axis: int = 0) -> Array:
    """``moved^T vector`` (axis 0) or ``moved vector`` (axis 1) for a matrix of every draw, draws last."""
    return np.asarray(np.tensordot(moved, vector, axes=(axis, 0)))


def _sigmoid_difference(m: Array, dm: Array) -> Array:
    """``sigmoid(m + dm) - sigmoid(m)``: with d = |dm|, ``sigmoid(hi) sigmoid(-lo) (1 - exp(-d))``; no cancellation."""
    high, low = np.maximum(m, m + dm), np.minimum(m, m + dm)
    return np.asarray(np.sign(dm) * sigmoid(high) * sigmoid(-low) * -np.expm1(-np.abs(dm)))


def _softplus_difference(m: Array, dm: Array) -> Array:
    """``softplus(m + dm) - softplus(m)``: from lo to hi = lo + d it rises by ``-log(1 + sigmoid(hi) (exp(-d) - 1))``.

    That loses nothing for small d; large ones are subtracted as they are.
    """
    high, low, d = np.maximum(m, m + dm), np.minimum(m, m + dm), np.abs(dm)
    near = -np.log1p(sigmoid(high) * np.expm1(-np.minimum(d, 1)))
    return np.asarray(np.sign(dm) * np.where(d <= 1, near, softplus(high) - softplus(low)))
