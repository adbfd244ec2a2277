"""What a rule of updates is, and how the field writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from gradparity.formatting import apart

Method = Literal[
    "sgd", "momentum", "sign", "adam", "amsgrad", "adamax", "nadam", "radam", "adabelief", "yogi",
    "rmsprop", "adagrad", "adadelta", "lion",
]  # fmt: skip
#: Where eps stands. ``outside``: ``sqrt(v^) + eps``, v^ corrected for bias (torch, optax); ``hat``: the same before the
#: correction, Kingma & Ba's epsilon hat (TensorFlow); ``inside``: ``sqrt(v^ + eps)`` (optax's ``eps_root``);
#: ``inside before``: ``sqrt(v + eps)``, corrected after; ``inside sum``: added to v at each step (AdaBelief);
#: ``none``: too small to be seen.
Eps = Literal["outside", "hat", "inside", "inside before", "inside sum", "none"]
#: Which moments are divided by ``1 - b^t``; ``ahead``: both, with t one step ahead.
Bias = Literal["both", "none", "first", "second", "ahead"]
#: ``l2``: added to the gradient; ``decoupled``: times the learning rate, off the parameters (AdamW);
#: ``unscaled``: decoupled, and not times the learning rate.
Decay = Literal["none", "l2", "decoupled", "unscaled"]
#: ``norm``: by the norm of all blocks (optax); ``norm + 1e-6``: torch's, which adds 1e-6 to that norm.
Clip = Literal["none", "norm", "norm + 1e-6", "value"]
#: Momentum's velocity. ``sum``: ``v <- mu v + g``; ``dampened``: ``v <- mu v + (1 - tau) g``, and ``v = g`` at first
#: (torch); ``mean``: ``v <- mu v + (1 - mu) g``, divided by ``1 - mu^t``. ``inside``: ``v <- mu v + lr g`` (Sutskever).
Velocity = Literal["none", "sum", "dampened", "mean", "inside"]

#: What a block's rates of no known course may be.
OWN_RATES = "at a learning rate of its own for each block and step (LARS, LAMB and NovoGrad have one)"
#: Of rules that fit as well, so many are named.
MOST_RIVALS = 2
#: A decay rate's ``1 - b`` is told where its range is no wider than by this factor.
VAGUE = 4.0
#: Methods that have an eps, seen or not.
WITH_EPS = ("adam", "amsgrad", "adamax", "nadam", "radam", "adabelief", "yogi", "rmsprop", "adagrad")
#: Numbers of which 1 - b is what is told.
DECAY_RATES = ("b1", "b2", "decay", "rho", "momentum")
#: A method as its field writes it.
NAMES: dict[str, str] = {
    "sgd": "SGD",
    "momentum": "SGD with momentum",
    "sign": "sign SGD",
    "adam": "Adam",
    "amsgrad": "AMSGrad",
    "adamax": "AdaMax",
    "nadam": "NAdam",
    "radam": "RAdam",
    "adabelief": "AdaBelief",
    "yogi": "Yogi",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "lion": "Lion",
}
EPS_WORDS: dict[str, str] = {
    "outside": "eps outside the root",
    "hat": "eps outside the root, before bias correction (epsilon hat)",
    "inside": "eps inside the root",
    "inside before": "eps inside the root, before bias correction",
    "inside sum": "eps added to the second moment at each step",
    "none": "eps too small to be seen",
}
BIAS_WORDS: dict[str, str] = {
    "both": "bias corrected",
    "none": "no bias correction",
    "first": "bias correction of the first moment only",
    "second": "bias correction of the second moment only",
    "ahead": "bias correction with t one step ahead",
}
DECAY_WORDS: dict[str, str] = {
    "none": "no weight decay",
    "l2": "weight decay added to the gradient (L2)",
    "decoupled": "decoupled weight decay",
    "unscaled": "decoupled weight decay, not times the learning rate",
}
CLIP_WORDS: dict[str, str] = {
    "none": "no clipping",
    "norm": "gradients clipped by their global norm",
    "norm + 1e-6": "gradients clipped by their global norm plus 1e-6, as torch does",
    "value": "gradients clipped by value",
}
SUMMED_WORDS = "gradients are summed over the steps: is `optimizer.zero_grad()` missing?"
VELOCITY_WORDS: dict[str, str] = {
    "none": "no velocity",
    "sum": "velocity a sum of gradients",
    "dampened": "dampening",
    "mean": "velocity a mean of gradients, bias corrected",
    "inside": "learning rate inside the velocity (Sutskever's convention)",
}


class Form(msgspec.Struct, frozen=True):
    """A rule without its numbers."""

    method: Method = "sgd"
    eps: Eps = "none"
    bias: Bias = "both"
    decay: Decay = "none"
    clip: Clip = "none"
    velocity: Velocity = "none"
    nesterov: bool = False
    centred: bool = False
    #: The mean or sum of squares starts from a number over 0.
    started: bool = False
    #: Gradients of all steps so far are summed before anything else, as torch does without ``zero_grad``.
    summed: bool = False
    #: AMSGrad's maximum is taken of the second moment after its correction (optax), or before (torch).
    maximum_of_corrected: bool = False


class Rule(msgspec.Struct, frozen=True):
    """A form with its numbers, by the names of optax and torch.

    Attributes:
        numbers: hyperparameters but the learning rate.
        ranges: of each of them, what the run allows, (low, high), to first order and all of them free.
        learning_rate: one number, or one for each step.
        schedule: the name of the learning rate's course; ``"constant"`` for one number, ``""`` where none fits.
        precision: by how much a learning rate may be off, relative to it.
        tied: numbers, ``"lr"`` among them, that the run shows only in a product or a quotient: none is told by itself.
        products: those, (value, low, high): ``{"eps / clip": (1e-8, 0.9e-8, 1.1e-8)}``.
    """

    form: Form
    numbers: dict[str, float]
    learning_rate: tuple[float, ...]
    schedule: str = "constant"
    ranges: dict[str, tuple[float, float]] = {}
    precision: float = 0.0
    tied: tuple[str, ...] = ()
    products: dict[str, tuple[float, float, float]] = {}

    @property
    def name(self) -> str:
        """As the field calls it: ``"AdamW"``, ``"SGD with Nesterov momentum"``."""
        form = self.form
        name = NAMES[form.method]
        if form.method in ("adam", "nadam", "adamax"):
            name = "NAdam" if form.nesterov else name
            return {"l2": f"{name} with L2", "decoupled": f"{name}W", "unscaled": f"{name}W"}.get(form.decay, name)
        if form.nesterov:
            return f"{'SGD' if form.method == 'momentum' else name} with Nesterov momentum"
        if form.velocity != "none" and form.method != "momentum":
            return f"{name} with momentum"
        return name

    @property
    def empty(self) -> bool:
        """A number of it could be any: nothing is left of its formula, and it is another rule that is seen."""
        ends = dict.fromkeys(DECAY_RATES, 1.0) | {"weight_decay": np.inf}
        return self.form.method != "lion" and any(
            low <= 0 and high >= ends[name] for name, (low, high) in self.ranges.items() if name in ends
        )

    @property
    def vague(self) -> bool:
        """Whether only what rules have in common is seen.

        So where a number of its memory is not told to a factor of `VAGUE` of ``1 - b``, or where what it has beyond
        others may be 0.
        """
        if self.form.method in ("lion", "sign"):  # whose numbers show in signs only
            return False
        memories = [self.ranges[name] for name in DECAY_RATES if name in self.ranges]
        parts = [self.ranges[name] for name in ("weight_decay", "clip", "dampening") if name in self.ranges]
        return any(high >= 1 or 1 - low > VAGUE * (1 - high) for low, high in memories) or any(
            low <= 0 <= high for low, high in parts
        )

    def __str__(self) -> str:
        return f"{self.name} ({', '.join([*self._numbers(), *self.conventions()])})"

    def _numbers(self) -> list[str]:
        rates = self.learning_rate
        rate = self._number("lr", rates[0], 6) if len(rates) == 1 else f"lr {rates[0]:.6g} to {rates[-1]:.6g}"
        if "lr" in self.tied and len(rates) > 1:
            rate = (
                f"lr not told, but in parts of its first: 1 to {rates[-1] / rates[0]:.6g}"
                if rates[0]
                else "lr not told"
            )
        course = (
            "" if self.schedule == "constant" else f", {self.schedule}" if self.schedule else ", of no known course"
        )
        alone = [self._number(name, value) for name, value in self.numbers.items() if name not in self.tied]
        alone += [f"{self.tied[0]} not told"] if len(self.tied) == 1 else []
        together = [self._number(name, value, 6, (low, high)) for name, (value, low, high) in self.products.items()]
        return [*([rate + course] if "lr" not in self.tied or len(rates) > 1 else []), *together, *alone]

    def _number(self, name: str, value: float, digits: int = 10, within: tuple[float, float] | None = None) -> str:
        low, high = within or self.ranges.get(name, (value, value))
        scale = 1 - value if name in DECAY_RATES else abs(value)
        if high - low <= 0.05 * scale:
            return f"{name} {value:.{digits}g}"
        end = 1.0 if name in DECAY_RATES else np.inf
        if low <= 0 and (high >= end or high > 1e3 * value) and name not in ("eps", "weight_decay"):
            return f"{name} not told"
        shown = apart(value, low, high, digits=4)
        to = "or more" if high >= end else f"to {shown[2]}"
        return f"{name} {shown[0]} ({shown[1]} {to})"

    def conventions(self) -> list[str]:
        """In which of the field's conventions, as far as another is in use."""
        form, words = self.form, []
        if form.method in WITH_EPS:
            high = self.ranges.get("eps", (0.0, 0.0))[1]
            words.append(f"eps not seen, under {high:.1g}" if form.eps == "none" and high else EPS_WORDS[form.eps])
        if form.method == "rmsprop" and form.bias != "none":
            words.append("bias corrected")
        if form.method in ("adam", "amsgrad") and form.bias != "both":
            words.append(BIAS_WORDS[form.bias])
        if form.method == "amsgrad":
            words.append(
                "maximum of the corrected moment" if form.maximum_of_corrected else "maximum before correction"
            )
        if form.centred:
            words.append("centred")
        if form.method == "nadam":
            words.append("momentum that grows, by its decay")
        if form.velocity not in ("none", "sum", "dampened"):  # whose dampening is among the numbers
            words.append(VELOCITY_WORDS[form.velocity])
        if form.decay != "none" and form.method != "sgd":  # where L2 and decoupled are one
            words.append(DECAY_WORDS[form.decay])
        if form.clip != "none":
            words.append(CLIP_WORDS[form.clip])
        if form.summed:
            words.append(SUMMED_WORDS)
        return words


class Group(msgspec.Struct, frozen=True):
    """Blocks that follow one rule.

    Attributes:
        blocks: their names.
        rule: the one that they obey to rounding; None where none is known, or they are frozen.
        rivals: other rules that fit as well: which it is cannot be told from this run.
        deviation: the largest distance of a parameter from where the rule puts it, in roundings of the dtype.
        holds_until: the last step at which the rule holds; the number of steps where it holds at all of them.
        frozen: no entry moved, at any step, whatever its gradient.
        why: what is not known, and why; ``""`` where all is.
    """

    blocks: tuple[str, ...]
    rule: Rule | None = None
    rivals: tuple[Rule, ...] = ()
    deviation: float = 0.0
    holds_until: int = 0
    frozen: bool = False
    why: str = ""

    @property
    def certain(self) -> bool:
        """One rule fits, and no other; with a rate of its own for one block at each step, others do."""
        return self.rule is not None and not self.rivals and not self._loose

    @property
    def _loose(self) -> bool:
        return self.rule is not None and not self.rule.schedule and len(self.blocks) == 1

    def __str__(self) -> str:
        if self.frozen:
            return f"not updated: {self.why}" if self.why else "not updated"
        if self.rule is None:
            return f"not known: {self.why}"
        if self.rivals:
            said = f"{self._own(self.rule)}, or {self._others(self.rule)}"
            return f"{said}: not told apart by this run, nor from others that were not tried{_because(self.why)}"
        return f"{self._own(self.rule)}{_because(self.why)}"

    def _own(self, rule: Rule) -> str:
        return f"consistent with {rule} {OWN_RATES}" if self._loose else str(rule)

    def _others(self, rule: Rule) -> str:
        """At most `MOST_RIVALS` of the rivals, those of another name first, and how many more there are."""
        names = dict.fromkeys(rival.name for rival in self.rivals if rival.name != rule.name)
        words = [*names, *(str(rival) for rival in self.rivals if rival.name == rule.name)]
        more = len(words) - MOST_RIVALS
        return " or ".join(words[:MOST_RIVALS]) + (f", and {more} other{'s' * (more > 1)}" if more > 0 else "")


class Identified(msgspec.Struct, frozen=True):
    """What a backend's updates obey, block by block.

    Attributes:
        groups: the one with the most entries first.
        steps: of the run.
        dtype: that its roundings are counted in.
        checked: entries of each step that the rule was held against; all of them unless the run is very large.
    """

    groups: tuple[Group, ...]
    steps: int
    dtype: str
    checked: int

    @property
    def rule(self) -> Rule | None:
        """The one rule of all blocks that move; None where there are several, or it is not known."""
        moving = [group for group in self.groups if not group.frozen]
        return moving[0].rule if len(moving) == 1 and moving[0].certain else None

    def __str__(self) -> str:
        if len(self.groups) == 1:
            return str(self.groups[0])
        said, alike = [], dict[tuple[Form, str], list[str]]()
        for group in self.groups:
            key = (group.rule.form, str(group.rule.numbers)) if group.rule and not group.rivals else None
            if key in alike:
                alike[key] += group.blocks
                continue
            if key:
                alike[key] = []
            said.append((f"{_listed(group.blocks)}: {group}", key))
        return "; ".join(
            f"{words}; {_listed(others)}: the same, each block its own rate (LARS and LAMB do so, and parameter groups)"
            if key and (others := alike[key])
            else words
            for words, key in said
        )


def _because(why: str) -> str:
    return f" ({why})" if why else ""


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
