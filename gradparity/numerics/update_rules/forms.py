"""Which forms are tried, in which order, and which numbers each of them has."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from gradparity.numerics.update_rules.rules import Bias, Eps, Form

Levels: TypeAlias = tuple[tuple[tuple[Form, ...], bool], ...]

_PLACES: tuple[Eps, ...] = ("none", "outside", "inside", "hat", "inside before")
_BIASES: tuple[Bias, ...] = ("both", "none", "ahead", "first", "second")

#: Methods of two moments.
ADAMS = ("adam", "amsgrad", "adamax", "radam", "adabelief", "yogi")

_LINEAR = (
    Form("sgd"),
    Form("momentum", velocity="sum"),
    Form("momentum", velocity="sum", nesterov=True),
    Form("momentum", velocity="dampened"),
    Form("momentum", velocity="mean"),
)


_SIMPLE: tuple[Eps, ...] = ("none", "outside", "inside")

#: What libraries have, and what people write.
_COMMON = (
    *(Form("adam", eps=eps, bias=bias) for bias in ("both", "none") for eps in _SIMPLE),
    Form("adam", eps="hat"),
    *(Form("amsgrad", eps=eps, maximum_of_corrected=each) for eps in _SIMPLE[:2] for each in (False, True)),
    *(Form("rmsprop", eps=eps, bias="none", centred=each) for eps in _SIMPLE for each in (False, True)),
    *(Form("rmsprop", eps=eps, bias="none", velocity="sum") for eps in _SIMPLE),
    *(Form("adagrad", eps=eps) for eps in _SIMPLE),
    Form("adagrad", started=True),
    *(Form("adam", eps=eps, nesterov=True) for eps in _SIMPLE[:2]),
    *(Form("adamax", eps=eps) for eps in _SIMPLE[:2]),
    *(Form("nadam", eps=eps) for eps in _SIMPLE[:2]),
    *(Form("radam", eps=eps) for eps in ("none", "outside", "hat")),
    *(Form("adabelief", eps=eps) for eps in ("none", "outside", "inside sum")),
    Form("yogi", eps="outside", started=True),
    Form("adadelta"),
    Form("sign", velocity="sum"),
    Form("lion"),
)


def _rare() -> tuple[Form, ...]:
    found = [Form("adam", eps=eps, bias=bias) for eps in _PLACES for bias in _BIASES if _distinct(eps, bias)]
    found += [Form("amsgrad", eps="inside", maximum_of_corrected=each) for each in (False, True)]
    found += [Form("rmsprop", eps=eps, bias="none", started=True) for eps in _SIMPLE]
    found += [Form("rmsprop", eps=eps, bias="second", centred=each) for eps in _SIMPLE for each in (False, True)]
    found += [
        Form("rmsprop", eps=eps, bias="none", centred=centred, velocity="sum", nesterov=nesterov)
        for eps in _SIMPLE
        for centred, nesterov in ((True, False), (False, True))
    ]
    found.append(Form("adagrad", eps="outside", started=True))
    return tuple(form for form in found if form not in _COMMON)


def _with(form: Form, **changes: str | bool) -> Form:
    return msgspec.structs.replace(form, **changes)


def _distinct(eps: Eps, bias: Bias) -> bool:
    """Where v is not corrected, eps before the correction is eps after it."""
    return bias in ("both", "second", "ahead") or eps in ("none", "outside", "inside")


_USUAL_FORMS = (*_LINEAR, Form("sign"), *_COMMON)
_PLAIN = (*_USUAL_FORMS, *_rare())
_WITH_DECAY = tuple(_with(form, decay=decay) for form in _USUAL_FORMS for decay in ("l2", "decoupled"))
#: What is usual under clipping.
_UNDER = tuple(
    form
    for form in _USUAL_FORMS
    if form.velocity in ("none", "sum") and form.method in ("sgd", "momentum", "adam", "amsgrad", "rmsprop", "adagrad")
)
_CLIPPED = tuple(_with(form, clip=clip) for form in _UNDER for clip in ("norm", "norm + 1e-6", "value"))
_CLIPPED_WITH_DECAY = tuple(
    _with(form, decay=decay)
    for form in _CLIPPED
    if form.method in ("sgd", "momentum", "adam") and form.bias == "both" and form.eps != "hat"
    for decay in ("l2", "decoupled")
)
#: With one learning rate for all steps, these are forms from above.
_INSIDE = (
    *(Form("momentum", velocity="inside", nesterov=nesterov) for nesterov in (False, True)),
    *(Form("rmsprop", eps=eps, bias="none", velocity="inside") for eps in _SIMPLE),
)
_UNSCALED = tuple(_with(form, decay="unscaled") for form in (*_LINEAR[:3], *(Form("adam", eps=eps) for eps in _SIMPLE)))
#: A missing ``zero_grad``.
_SUMMED = tuple(
    _with(form, summed=True, decay=decay)
    for form in (*_LINEAR[:3], *_COMMON)
    if form in _LINEAR
    or (form.bias == "both" and form.method == "adam")
    or (form.method, form.eps) == ("rmsprop", "outside")
    for decay in ("none", "l2", "decoupled")
)
#: Forms that are tried together, and whether each step may have a learning rate of its own. Where one of a level holds,
#: no later level is tried: those have more numbers.
LEVELS: Levels = (
    (_PLAIN, False),
    (_WITH_DECAY, False),
    (_SUMMED, False),
    ((*_USUAL_FORMS, *_INSIDE), True),
    (_CLIPPED, False),
    ((*_WITH_DECAY, *_UNSCALED), True),
    (_CLIPPED_WITH_DECAY, False),
    (_CLIPPED, True),
    (tuple(_with(form, decay=decay) for form in _rare() for decay in ("l2", "decoupled")), False),
)
#: Defaults of torch and optax, from which a fit starts that has a form with a number less behind it.
USUAL: dict[str, dict[str, float]] = {
    "momentum": {"momentum": 0.9},
    "lion": {"b1": 0.9, "b2": 0.99},
    **{method: {"b1": 0.9, "b2": 0.999} for method in ADAMS},
    "nadam": {"b1": 0.9, "b2": 0.999, "momentum_decay": 0.004},
    "rmsprop": {"decay": 0.99},
    "adadelta": {"rho": 0.9, "eps": 1e-6},
}


def numbers_of(form: Form) -> tuple[str, ...]:
    """The names of its hyperparameters but the learning rate, as optax and torch have them."""
    names = {
        **dict.fromkeys(ADAMS, ("b1", "b2")),
        "nadam": ("b1", "b2", "momentum_decay"),
        "rmsprop": ("decay",),
        "adadelta": ("rho", "eps"),
        "lion": ("b1", "b2"),
    }.get(form.method, ())
    return (
        *names,
        *(("momentum",) if form.velocity != "none" else ()),
        *(("dampening",) if form.velocity == "dampened" else ()),
        *(("eps",) if form.eps != "none" else ()),
        *(("initial_scale" if form.method == "rmsprop" else "initial_accumulator_value",) if form.started else ()),
        *(("weight_decay",) if form.decay != "none" else ()),
        *(("clip",) if form.clip != "none" else ()),
    )


def parents(form: Form) -> tuple[Form, ...]:
    """Forms with a number less, whose fit is a start for this one's."""
    found = []
    if form.eps != "none":
        found.append(_with(form, eps="none"))
    if form.started:
        found.append(_with(form, started=False))
    if form.decay != "none":
        found.append(_with(form, decay="none"))
    if form.clip != "none":
        found.append(_with(form, clip="none"))
    if form.velocity != "none" and form.method != "momentum":
        found.append(_with(form, velocity="none", nesterov=False))
    return tuple(found)


#: A weight decay that people use: where a run does not show even that, whether there is one is not told.
_USUAL_DECAY = {"l2": 1e-3, "decoupled": 1e-2, "unscaled": 1e-5}


def contains(form: Form, simpler: Form) -> list[dict[str, float]] | None:
    """Whether ``form`` is ``simpler`` at some value of a number, or in the limit of one; None where it is not.

    If so, such numbers and values far from there, at which ``form`` would be something else: each of these at a time.
    """
    if simpler.decay not in ("none", form.decay):
        return None
    if simpler.clip not in ("none", form.clip) and (simpler.clip, form.clip) != ("norm", "norm + 1e-6"):
        return None
    bare, simple = (_with(each, decay="none", clip="none") for each in (form, simpler))
    far = [{"weight_decay": _USUAL_DECAY[form.decay]}] if form.decay != simpler.decay else []
    if bare == simple:
        return far
    return None if (more := _contains(bare, simple)) is None else [*more, *far]


def _contains(bare: Form, simple: Form) -> list[dict[str, float]] | None:
    """The same of forms without decay and clipping."""
    linear = ("sgd", "momentum")
    if simple.summed != bare.summed:  # a velocity of 1 is a sum
        return [{"momentum": 0.9}] if simple.summed and bare.method == "momentum" and simple.method == "sgd" else None
    if simple.method in linear and bare.method == "radam":  # which takes no root at first
        return [{"b2": 0.999}] if simple.velocity == "mean" else [{"b1": 0.9}] if simple.method == "sgd" else None
    if simple.method in linear and bare.method not in linear:
        # eps without end leaves an adaptive rule no root
        small = 1e-16 if bare.eps.startswith("inside") else 1e-8
        return [{"eps": small, "initial_accumulator_value": 1e-16, "initial_scale": 1e-16}]
    if simple.method == "sgd":
        return [{"momentum": 0.9}]
    if simple.method == "momentum":
        return [{"dampening": 0.5}] if bare == _with(simple, velocity="dampened") else None
    if simple.method == "sign" and simple.velocity != "none":
        return [{"b1": 0.9, "b2": 0.99}] if bare.method == "lion" else None  # of one b it is that
    if simple.method == "sign":
        return [{"decay": 0.9, "b1": 0.9, "b2": 0.99, "momentum": 0.9}]
    if simple.eps == "none" and bare.eps != "none":  # it is too small to be seen, wherever it stands
        bare = _with(bare, eps="none")
        if bare == simple:
            return []
    if _with(bare, started=False) == simple or (bare.started and bare.eps == "none" and simple.eps == "inside"):
        return []
    if simple == _with(bare, velocity="none", nesterov=False):
        return [{"momentum": 0.9}]
    if simple.nesterov and simple.method == "adam" and bare.method == "nadam":
        return [{"momentum_decay": 0.004}]
    if simple.method == "adam" and bare.method == "adam" and bare == _with(simple, nesterov=True):
        return [{"b1": 0.9}]
    if simple.method == "rmsprop" and not simple.centred and bare.method in ("adam", "amsgrad"):
        same = (bare.bias in ("both", "second")) == (simple.bias == "second") and simple.eps == bare.eps
        return [{"b1": 0.9}] if same else None
    return None
