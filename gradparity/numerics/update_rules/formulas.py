"""The rules as formulas, each written once: for plain arrays, for many hyperparameters at a time, and with a bound.

A direction ``u`` is what the learning rate is multiplied by: ``p <- p - lr u``. Numbers are scalars or arrays that
broadcast against a block's entries, so that a grid of hyperparameters is one more leading axis.

References: torch.optim's and optax's documentation, whose names are used; Kingma & Ba, Adam, 2015, section 2 for
epsilon hat; Reddi et al., On the convergence of Adam and beyond, 2018; Sutskever et al., On the importance of
initialization and momentum in deep learning, 2013; Graves, Generating sequences with recurrent neural networks, 2013,
for RMSprop centred; Zeiler, ADADELTA, 2012; Chen et al., Symbolic discovery of optimization algorithms, 2023, for Lion;
Dozat, Incorporating Nesterov momentum into Adam, 2016; Liu et al., On the variance of the adaptive learning rate and
beyond, 2020, for RAdam; Zhuang et al., AdaBelief, 2020; Zaheer et al., Adaptive methods for nonconvex optimization,
2018, for Yogi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.numerics.update_rules.rules import Form, Rule
from gradparity.numerics.update_rules.running import clipped, magnitude, maximum, scaled, sign, sqrt, where

Array: TypeAlias = npt.NDArray[Any]
Numbers: TypeAlias = Mapping[str, Any]
#: What a rule carries from step to step, by name; empty at first.
State: TypeAlias = dict[str, Any]

#: A norm of many entries is off by so many roundings, relative to itself: far more than any pairwise sum is.
NORM_ROUNDINGS = 64


def directions(
    form: Form,
    numbers: Numbers,
    gradients: Sequence[Any],
    params: Sequence[Any],
    norms: Sequence[Any],
    moves: Sequence[Any],
) -> Iterator[tuple[Any, Any]]:
    """The drift and the direction of every step, from what was measured before it: it moves by ``drift + lr u``.

    ``norms`` are the global norms of the gradients, ``moves`` what the parameters lost at each step.
    """
    state: State = {}
    for t, (g, p, norm, moved) in enumerate(zip(gradients, params, norms, moves, strict=True), 1):
        yield direction(form, numbers, g, p, norm, t, state)
        carry(form, numbers, moved, state)


def steps(
    rule: Rule, params0: Mapping[str, Array], gradients: Sequence[Mapping[str, Array]]
) -> list[dict[str, npt.NDArray[np.longdouble]]]:
    """The path that a rule takes along given gradients, in extended precision: its start and the T steps after it.

    ``gradients`` are those at the T parameters before each update, by block.
    """
    numbers = {name: np.longdouble(value) for name, value in rule.numbers.items()}
    rates = [np.longdouble(rate) for rate in rule.learning_rate]
    rates = rates * len(gradients) if len(rates) == 1 else rates
    params = {name: np.asarray(block, np.longdouble) for name, block in params0.items()}
    states: dict[str, State] = {name: {} for name in params}
    path = [params]
    for t, each in enumerate(gradients, 1):
        own = {name: np.asarray(each[name], np.longdouble) for name in params}
        norm = np.sqrt(sum((g * g).sum() for g in own.values()))
        stepped = {}
        for name, p in params.items():
            drift, u = direction(rule.form, numbers, own[name], p, norm, t, states[name])
            moved = drift + rates[t - 1] * u
            carry(rule.form, numbers, moved, states[name])
            stepped[name] = p - moved
        params = stepped
        path.append(params)
    return path


def direction(form: Form, numbers: Numbers, g: Any, p: Any, norm: Any, t: int, state: State) -> tuple[Any, Any]:
    """The drift and direction of step ``t``, counted from 1; ``state`` is changed in place, and by `carry` after it.

    The drift is what a step moves by whatever its learning rate is: 0 but where the learning rate is inside the
    velocity, or decay is not times it.
    """
    if form.summed:
        g = state["sum"] = state["sum"] + g if t > 1 else g
    if form.clip == "value":
        g = clipped(g, numbers["clip"])
    elif form.clip != "none":
        length = norm + (1e-6 if form.clip == "norm + 1e-6" else 0)
        g = scaled(g, np.minimum(1, numbers["clip"] / np.maximum(length, np.finfo(np.float64).tiny)), NORM_ROUNDINGS)
    if form.decay == "l2":
        g = g + numbers["weight_decay"] * p
    u = _METHODS[form.method](form, numbers, g, t, state)
    drift: Any = 0
    if form.velocity == "inside":  # v <- mu v + lr g, p <- p - v; Nesterov: p <- p - (lr g + mu v)
        mu = numbers["momentum"]
        drift, u = (mu * mu * state.get("w", 0), u * (1 + mu)) if form.nesterov else (mu * state.get("w", 0), u)
    if form.decay == "unscaled":
        return drift + numbers["weight_decay"] * p, u
    return drift, u + numbers["weight_decay"] * p if form.decay == "decoupled" else u


def carry(form: Form, numbers: Numbers, moved: Any, state: State) -> None:
    """What the move itself leaves for the next step: the velocity, where the learning rate is inside it."""
    if form.velocity == "inside":
        # Nesterov: the move is v - mu v' + mu v, with v' the velocity before
        mu = numbers["momentum"]
        state["w"] = (moved + mu * state.get("w", 0)) / (1 + mu) if form.nesterov else moved


def common_roundings(form: Form, numbers: Numbers, t: int) -> float:
    """By how many roundings all entries of step ``t``'s direction may be off together, and otherwise than at others.

    Where ``1 - b^t`` is taken in the run's dtype, as optax does, ``b^t`` is off by t roundings, and the rest is small.
    """
    roundings = 4.0 + (NORM_ROUNDINGS if form.clip.startswith("norm") else 0)
    for name, share in (("b1", 1.0), ("b2", 0.5), ("decay", 0.5)):
        if name in numbers and form.bias != "none":
            power = float(numbers[name]) ** t
            roundings += share * (t + 2) * power / max(1 - power, 1e-12)
    return roundings


def lasting_roundings(numbers: Numbers) -> float:
    """By how many roundings the directions of all steps may be off together: what a dtype makes of ``1 - b``."""
    shares = (("b1", 1.0), ("b2", 0.5), ("decay", 0.5), ("rho", 0.5))
    return 1 + sum(
        share * float(numbers[name]) / (1 - float(numbers[name])) for name, share in shares if name in numbers
    )


def _velocity(form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    mu = numbers["momentum"]
    if form.velocity == "inside":
        return g
    if form.velocity == "dampened" and t > 1:
        g = (1 - numbers["dampening"]) * g
    elif form.velocity == "mean":
        g = (1 - mu) * g
    v = mu * state["v"] + g if t > 1 else g
    state["v"] = v
    u = g + mu * v if form.nesterov else v
    return u / (1 - mu**t) if form.velocity == "mean" else u


def _sgd(_form: Form, _numbers: Numbers, g: Any, _t: int, _state: State) -> Any:
    return g


def _sign(form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    return sign(_velocity(form, numbers, g, t, state) if form.velocity != "none" else g)


def _momentum(form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    return _velocity(form, numbers, g, t, state)


def _adam(form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    b1, b2 = numbers["b1"], numbers["b2"]
    m0 = v0 = numbers.get("initial_accumulator_value", 0)  # Yogi's, of both moments
    m = b1 * state["m"] + (1 - b1) * g if t > 1 else b1 * m0 + (1 - b1) * g
    if t > 1:
        v0 = state["v"]
    v = _second(form, b2, v0, g, m, t, numbers.get("eps"))
    state.update(m=m, v=v)
    if form.method == "adamax":
        return scaled(m, 1 / (1 - b1**t)) / v
    if form.method == "nadam":
        return _dozat(numbers, g, m, t, state) / _root(form, numbers.get("eps"), v, 1 / (1 - b2**t))
    counted = t + 1 if form.bias == "ahead" else t
    unbias1 = 1 / (1 - b1**counted) if form.bias not in ("none", "second") else 1
    unbias2 = 1 / (1 - b2**counted) if form.bias not in ("none", "first") else 1
    first = scaled(m, unbias1)
    if form.nesterov:  # optax: the next step's first moment, should the gradient stay
        first = b1 * scaled(m, 1 / (1 - b1 ** (t + 1))) + (1 - b1) * scaled(g, 1 / (1 - b1**t))
    if form.method == "amsgrad":
        seen = scaled(v, unbias2) if form.maximum_of_corrected else v
        largest = state["largest"] = maximum(seen, state["largest"]) if t > 1 else seen
        v, unbias2 = (largest, 1) if form.maximum_of_corrected else (largest, unbias2)
    u = first / _root(form, numbers.get("eps"), v, unbias2)
    return _rectified(b2, t, u, first) if form.method == "radam" else u


def _second(form: Form, b2: Any, v0: Any, g: Any, m: Any, t: int, eps: Any) -> Any:
    """The second moment, or what stands for it, from that of the step before."""
    square = g * g
    if form.method == "adamax":  # of the largest gradient; eps is added to each
        size = magnitude(g) + (0 if eps is None else eps)
        return maximum(size, b2 * v0) if t > 1 else size
    if form.method == "yogi":
        return v0 - (1 - b2) * sign(v0 - square) * square
    if form.method == "adabelief":
        square = (g - m) * (g - m)
    v = b2 * v0 + (1 - b2) * square if t > 1 else (1 - b2) * square
    return v + eps if form.method == "adabelief" and form.eps == "inside sum" else v


def _dozat(numbers: Numbers, g: Any, m: Any, t: int, state: State) -> Any:
    """NAdam's direction as torch has it: mu_t = b1 (1 - 0.96^(t decay) / 2), a momentum that grows."""
    b1, decay = numbers["b1"], numbers["momentum_decay"]
    mu, following = (b1 * (1 - 0.5 * 0.96 ** (step * decay)) for step in (t, t + 1))
    product = state.get("product", np.float32(1)) * np.asarray(mu, np.float32)  # in which torch keeps it
    state["product"], product = product, np.asarray(product, np.asarray(mu).dtype)
    off = t * 2.0**-24 * product / (1 - product)
    return scaled(g, (1 - mu) / (1 - product), 0, off) + scaled(m, following / (1 - product * following), 0, off)


def _rectified(b2: Any, t: int, u: Any, first: Any) -> Any:
    """RAdam: no root as long as the variance of it has no value, and a factor after."""
    limit = 2 / (1 - b2) - 1
    length = limit - 2 * t * b2**t / (1 - b2**t)
    with np.errstate(all="ignore"):
        factor = np.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
    return where(length > 5, scaled(u, np.where(length > 5, factor, 1)), first)


def _root(form: Form, eps: Any, v: Any, unbias: Any = 1) -> Any:
    """The denominator, with eps where the form has it; a correction of bias is plain, its rounding is common to all."""
    if eps is None or form.eps == "none":
        return sqrt(scaled(v, unbias))
    if form.eps == "inside":
        return sqrt(scaled(v, unbias) + eps)
    if form.eps == "inside before":
        return sqrt(scaled(v + eps, unbias))
    if form.eps == "hat":
        return scaled(sqrt(v) + eps, np.sqrt(unbias))
    return sqrt(scaled(v, unbias)) + eps


def _rmsprop(form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    b = numbers["decay"]
    start = numbers.get("initial_scale", 0)
    v = b * (state["square"] if t > 1 else start) + (1 - b) * (g * g)
    state["square"] = v
    unbias = 1 / (1 - b**t) if form.bias == "second" else 1
    if form.centred:
        mean = state["mean"] = b * state["mean"] + (1 - b) * g if t > 1 else (1 - b) * g
        v = v - scaled(mean * mean, unbias)
    u = g / _root(form, numbers.get("eps"), v, unbias)
    return _velocity(form, numbers, u, t, state) if form.velocity != "none" else u


def _adagrad(form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    total = state["total"] = g * g + (state["total"] if t > 1 else numbers.get("initial_accumulator_value", 0))
    return g / _root(form, numbers.get("eps"), total)


def _adadelta(_form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    rho, eps = numbers["rho"], numbers["eps"]
    square = state["square"] = rho * state["square"] + (1 - rho) * (g * g) if t > 1 else (1 - rho) * (g * g)
    u = sqrt(state["moved"] + eps) / sqrt(square + eps) * g if t > 1 else sqrt(eps) / sqrt(square + eps) * g
    state["moved"] = rho * state["moved"] + (1 - rho) * (u * u) if t > 1 else (1 - rho) * (u * u)
    return u


def _lion(_form: Form, numbers: Numbers, g: Any, t: int, state: State) -> Any:
    b1, b2 = numbers["b1"], numbers["b2"]
    u = sign(b1 * state["m"] + (1 - b1) * g if t > 1 else (1 - b1) * g)
    state["m"] = b2 * state["m"] + (1 - b2) * g if t > 1 else (1 - b2) * g
    return u


_METHODS: dict[str, Callable[[Form, Numbers, Any, int, State], Any]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "sign": _sign,
    "adam": _adam,
    "amsgrad": _adam,
    "adamax": _adam,
    "nadam": _adam,
    "radam": _adam,
    "adabelief": _adam,
    "yogi": _adam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "lion": _lion,
}
