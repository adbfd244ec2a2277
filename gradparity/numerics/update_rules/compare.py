"""What two rules differ in, in the field's words."""

from __future__ import annotations

import numpy as np

from gradparity.numerics.update_rules.rules import (
    BIAS_WORDS,
    CLIP_WORDS,
    DECAY_WORDS,
    EPS_WORDS,
    VELOCITY_WORDS,
    Group,
    Identified,
    Rule,
)

#: Two numbers that a run does not say to rounding are one where they differ by so little, relative to each other.
CLOSE = 1e-6


def compare(one: Identified, other: Identified) -> list[str]:
    """What differs, the first one's first: ``"eps outside the root against eps inside the root"``; none: nothing seen.

    Where blocks follow several rules, each difference names its blocks. What is not known of either is said too.
    """
    found: list[str] = []
    blocks = [block for group in one.groups for block in group.blocks]
    pairs: dict[tuple[int, int], list[str]] = {}
    for block in blocks:
        i, j = _place(one, block), _place(other, block)
        if i is not None and j is not None:
            pairs.setdefault((i, j), []).append(block)
    for (i, j), names in pairs.items():
        words = differences(one.groups[i], other.groups[j])
        found += words if len(pairs) == 1 else [f"{', '.join(names)}: {each}" for each in words]
    return found


def differences(one: Group, other: Group) -> list[str]:
    """What two groups of blocks differ in; nothing where a rule of one may be a rule of the other."""
    if one.frozen or other.frozen:
        return [] if one.frozen and other.frozen else [f"{_moving(one)} against {_moving(other)}"]
    if one.rule is None or other.rule is None:
        unknown = [word for word, group in (("the first", one), ("the second", other)) if group.rule is None]
        return [f"the rule of {' and of '.join(unknown)} is not known"]
    pairs = [rule_differences(a, b) for a in (one.rule, *one.rivals) for b in (other.rule, *other.rivals)]
    return min(pairs, key=len)


def rule_differences(one: Rule, other: Rule) -> list[str]:
    """What two rules differ in: their names, conventions, and numbers that cannot be the same."""
    found = []
    a, b = one.form, other.form
    if one.name != other.name:
        found.append(f"{one.name} against {other.name}")
    if a.method != b.method and {a.method, b.method} != {"adam", "amsgrad"}:
        return found  # their numbers are not of one kind
    found += _conventions(one, other)
    tied = {*one.tied, *other.tied}
    found += _rates(one, other) if "lr" not in tied else []
    for name in sorted({*one.products} & {*other.products}):
        (first, *a_range), (second, *b_range) = one.products[name], other.products[name]
        if max(a_range[0], b_range[0]) > min(a_range[1], b_range[1]) and not _near(first, second, CLOSE):
            found.append(f"{name} {first:.7g} against {second:.7g}")
    for name in sorted({*one.numbers, *other.numbers} - tied):
        x, y = one.numbers.get(name), other.numbers.get(name)
        if x is None or y is None:
            if name not in ("eps", "clip"):
                found.append(f"{_written(name, x)} against {_written(name, y)}")
        elif not _same(x, y, one.ranges.get(name), other.ranges.get(name)):
            found.append(f"{_word(name)} {x:.7g} against {y:.7g}")
    return found


def _conventions(one: Rule, other: Rule) -> list[str]:
    a, b = one.form, other.form
    found = []
    if a.eps != b.eps and not _hidden(one, other):
        found.append(f"{EPS_WORDS[a.eps]} against {EPS_WORDS[b.eps]}")
    if a.bias != b.bias:
        found.append(f"{BIAS_WORDS[a.bias]} against {BIAS_WORDS[b.bias]}")
    if a.decay != b.decay and "none" not in (a.decay, b.decay) and one.name == other.name:
        found.append(f"{DECAY_WORDS[a.decay]} against {DECAY_WORDS[b.decay]}")
    if a.summed != b.summed:
        words = ("gradients summed over the steps, as without `optimizer.zero_grad()`", "gradients of each step alone")
        found.append(" against ".join(words if a.summed else words[::-1]))
    if a.clip != b.clip:
        found.append(f"{CLIP_WORDS[a.clip]} against {CLIP_WORDS[b.clip]}")
    if a.velocity != b.velocity:
        found.append(f"{VELOCITY_WORDS[a.velocity]} against {VELOCITY_WORDS[b.velocity]}")
    for flag, yes, no in _FLAGS:
        if getattr(a, flag) != getattr(b, flag) and not (flag == "nesterov" and one.name != other.name):
            found.append(f"{yes} against {no}" if getattr(a, flag) else f"{no} against {yes}")
    return found


_FLAGS = (
    ("nesterov", "Nesterov momentum", "plain momentum"),
    ("centred", "centred", "not centred"),
    ("maximum_of_corrected", "maximum of the corrected moment", "maximum before correction"),
)


def _hidden(one: Rule, other: Rule) -> bool:
    """Whether one's eps is too small to be seen, and the other's may be as small."""
    seen, unseen = (one, other) if other.form.eps == "none" else (other, one)
    if unseen.form.eps != "none":
        return False
    if seen.form.eps == "none":
        return True
    high = unseen.ranges.get("eps", (0.0, np.inf))[1]
    value = seen.numbers["eps"]
    return (np.sqrt(value) if seen.form.eps.startswith("inside") else value) <= high


def _rates(one: Rule, other: Rule) -> list[str]:
    a, b = (np.array(rule.learning_rate) for rule in (one, other))
    size = max(len(a), len(b))
    loose = CLOSE + one.precision + other.precision
    if len(a) == len(b) == 1:
        return [] if _near(a[0], b[0], loose) else [f"lr {a[0]:.6g} against {b[0]:.6g}"]
    a, b = (np.broadcast_to(each, size) if len(each) == 1 else each for each in (a, b))
    if len(a) != len(b):
        a, b = a[: min(len(a), len(b))], b[: min(len(a), len(b))]
    if _near(a, b, loose):
        return []
    if len(a) > 2 and _near(a[1:], b[:-1], loose) and not _near(a[1:], a[:-1], loose):
        return ["the first reads its schedule one step later"]
    if len(a) > 2 and _near(a[:-1], b[1:], loose) and not _near(b[1:], b[:-1], loose):
        return ["the second reads its schedule one step later"]
    ratios = a[b != 0] / b[b != 0]
    if ratios.size and np.ptp(ratios) <= 2 * loose * abs(ratios[0]):
        return [f"lr {ratios[0]:.6g} times as large in the first"]
    at = int(np.flatnonzero(np.abs(a - b) > loose * np.maximum(np.abs(a), np.abs(b)))[0])
    return [
        f"learning rate {_course(one)} against {_course(other)}: at step {at + 1} lr {a[at]:.6g} against {b[at]:.6g}"
    ]


def _course(rule: Rule) -> str:
    return rule.schedule or "of no known course"


def _near(a: object, b: object, loose: float) -> bool:
    return bool(np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=loose, atol=0))


def _same(x: float, y: float, a: tuple[float, float] | None, b: tuple[float, float] | None) -> bool:
    low, high = (x, x) if a is None else a
    least, most = (y, y) if b is None else b
    return max(low, least) <= min(high, most) or bool(np.isclose(x, y, rtol=CLOSE, atol=0))


def _word(name: str) -> str:
    return name.replace("_", " ") if name in ("weight_decay", "initial_accumulator_value") else name


def _written(name: str, value: float | None) -> str:
    return f"no {_word(name)}" if value is None else f"{_word(name)} {value:.7g}"


def _moving(group: Group) -> str:
    return "not updated" if group.frozen else group.rule.name if group.rule else "another rule"


def _place(found: Identified, block: str) -> int | None:
    return next((i for i, group in enumerate(found.groups) if block in group.blocks), None)
