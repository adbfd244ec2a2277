"""A program of no framework, for `--backend NAME=command:...`: reverse mode over a tape of numbers.

It knows three models, by their names: the built-in one (`--data toy`), `mlp.py` and `gaussian_mixture.py`.
"""

import json
import math
import sys
from pathlib import Path


class Number:
    """A number that remembers what it was computed from, and its slope in each."""

    def __init__(self, value, parents=()):
        self.value, self.parents, self.slope = value, parents, 0.0

    def __add__(self, other):
        return Number(self.value + other.value, ((self, 1.0), (other, 1.0)))

    def __sub__(self, other):
        return Number(self.value - other.value, ((self, 1.0), (other, -1.0)))

    def __mul__(self, other):
        return Number(self.value * other.value, ((self, other.value), (other, self.value)))

    def scaled(self, factor):
        """Times a constant."""
        return Number(factor * self.value, ((self, factor),))


def exp(x):
    found = math.exp(x.value)
    return Number(found, ((x, found),))


def tanh(x):
    found = math.tanh(x.value)
    return Number(found, ((x, 1 - found * found),))


def softplus(x):
    tail = math.exp(-abs(x.value))
    return Number(max(x.value, 0.0) + math.log1p(tail), ((x, (1.0 if x.value >= 0 else tail) / (1 + tail)),))


def total(numbers):
    return Number(math.fsum(each.value for each in numbers), tuple((each, 1.0) for each in numbers))


def log_sum_exp(numbers):
    largest = max(each.value for each in numbers)
    powers = [math.exp(each.value - largest) for each in numbers]
    whole = math.fsum(powers)
    shares = tuple((each, power / whole) for each, power in zip(numbers, powers, strict=True))
    return Number(largest + math.log(whole), shares)


def product(row, matrix):
    """A row times a matrix."""
    return [total([x * w for x, w in zip(row, column, strict=True)]) for column in zip(*matrix, strict=True)]


def logistic(p, d, model):
    losses = []
    for row, label in zip(d["X"], d["y"], strict=True):
        z = product(row, p["W"]) if "W" in p else row
        logit = total([a * w for a, w in zip(z, p["w"], strict=True)]).scaled(model["logit_scale"])
        losses.append(softplus(logit.scaled(1 - 2 * label.value)))
    whole = total(losses).scaled(1 / len(losses) if model["reduction"] == "mean" else 1.0)
    squares = [w * w for leaf in p.values() for w in leaves(leaf)]
    return whole + total(squares).scaled(model["l2"] / 2)


def mlp(p, d, _):
    last = max(int(name.split(".")[1]) for name in p)
    losses = []
    for row, target in zip(d["X"], d["Y"], strict=True):
        for k in range(last + 1):
            row = [a + b for a, b in zip(product(row, p[f"layers.{k}.W"]), p[f"layers.{k}.b"], strict=True)]
            row = [tanh(a) for a in row] if k < last else row
        losses += [(a - b) * (a - b) for a, b in zip(row, target, strict=True)]
    return total(losses).scaled(1 / len(losses))


def gaussian_mixture(p, d, _):
    weights = [each - log_sum_exp(p["logits"]) for each in p["logits"]]
    losses = []
    for point in d["x"]:
        terms = []
        for weight, means, scales in zip(weights, p["means"], p["log_scales"], strict=True):
            z = [(x - m) * exp(s.scaled(-1.0)) for x, m, s in zip(point, means, scales, strict=True)]
            squares = total([each * each for each in z]).scaled(-0.5)
            terms.append(weight + squares - total(scales) - Number(0.5 * len(point) * math.log(2 * math.pi)))
        losses.append(log_sum_exp(terms))
    return total(losses).scaled(-1 / len(losses))


MODELS = {"mlp": mlp, "gaussian_mixture": gaussian_mixture}


def numbers(tree):
    return [numbers(each) for each in tree] if isinstance(tree, list) else Number(float(tree))


def leaves(tree):
    return [leaf for each in tree for leaf in leaves(each)] if isinstance(tree, list) else [tree]


def slopes(tree):
    return [slopes(each) for each in tree] if isinstance(tree, list) else tree.slope


def backward(loss):
    """Every number's slope of the loss: what was computed last comes first."""
    order, seen, stack = [], set(), [(loss, False)]
    while stack:
        each, done = stack.pop()
        if done:
            order.append(each)
        elif id(each) not in seen:
            seen.add(id(each))
            stack += [(each, True), *((parent, False) for parent, _ in each.parents)]
    loss.slope = 1.0
    for each in reversed(order):
        for parent, slope in each.parents:
            parent.slope += each.slope * slope


for line in sys.stdin:
    asked = json.loads(line)
    model = asked["model"]
    function = MODELS.get(Path(model.get("path", "")).stem) if model["kind"] == "user" else logistic
    if function is None:
        print(json.dumps({"error": f"it knows {', '.join(MODELS)} and the built-in model"}), flush=True)
        continue
    params = {name: numbers(value) for name, value in asked["params"].items()}
    loss = function(params, {name: numbers(value) for name, value in asked["data"].items()}, model)
    backward(loss)
    gradient = {name: slopes(value) for name, value in params.items()}
    print(json.dumps({"loss": loss.value, "gradient": gradient}), flush=True)
