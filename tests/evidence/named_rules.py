"""How often a run's rule is named, and whether truly: optimisers of torch.optim and optax drawn at random.

``python -m tests.evidence.named_rules [runs] [seed]``: hyperparameters of any digits, 1 to 30 steps, float32 or
float64, blocks of 1 to 50 entries, gradients clipped by their norm in a fifth of the runs. A run counts as *flat and
right* where one rule is named and is the optimiser's, *flat and false* where it is another, or a number of it lies
outside the range that is said; *not told apart* by whether the optimiser's method is among those said.

26 runs, of seeds 0 to 10 and 100 to 114: 11 flat and right, one flat and false (a second block of LARS after one step,
mended since), 6 not told apart, of which 5 lack the rule (LARS, Rprop and twice ASGD, which are not known, and AdaMax
with clipping, which is not among the forms), 5 out of time, 2 consistent at rates of their own, one of no known rule.
300 have not been made yet: each takes 3 to 10 s.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from typing import Any

import numpy as np

from gradparity.numerics.update_rules import Identified, Rule, identify

#: By the optimiser's name the rule's names, and of its arguments those that a rule has, by the rule's names of them.
TORCH: dict[str, tuple[str, ...]] = {
    "SGD": ("sgd", "momentum"),
    "Adam": ("adam", "amsgrad"),
    "AdamW": ("adam", "amsgrad"),
    "Adamax": ("adamax",),
    "NAdam": ("nadam", "adam"),
    "RAdam": ("radam",),
    "RMSprop": ("rmsprop",),
    "Adagrad": ("adagrad",),
    "Adadelta": ("adadelta",),
    "ASGD": (),
    "Rprop": (),
}
OPTAX: dict[str, tuple[str, ...]] = {
    "sgd": ("sgd", "momentum"),
    "adam": ("adam", "amsgrad"),
    "adamw": ("adam", "amsgrad"),
    "amsgrad": ("amsgrad", "adam"),
    "adamax": ("adamax",),
    "nadam": ("adam", "nadam"),
    "radam": ("radam",),
    "adabelief": ("adabelief",),
    "yogi": ("yogi",),
    "rmsprop": ("rmsprop",),
    "adagrad": ("adagrad",),
    "adadelta": ("adadelta",),
    "lion": ("lion",),
    "sign_sgd": ("sign",),
    "lars": (),
    "lamb": (),
    "novograd": (),
    "adafactor": (),
    "adan": (),
    "fromage": (),
    "sm3": (),
    "noisy_sgd": (),
}


def drawn(rng: np.random.Generator) -> tuple[str, tuple[str, ...], Any, dict[str, float]]:
    """An optimiser's name, the methods that it is, what makes it, and its numbers by the rules' names."""
    pairs = [("torch", *each) for each in TORCH.items()] + [("optax", *each) for each in OPTAX.items()]
    library, name, methods = pairs[rng.integers(len(pairs))]
    lr = float(10 ** rng.uniform(-3, -1))
    decay = float(10 ** rng.uniform(-3, -1)) if rng.random() < 0.5 else 0.0
    b1, b2 = float(rng.uniform(0.5, 0.95)), float(1 - 10 ** rng.uniform(-3, -1))
    momentum = float(rng.uniform(0.3, 0.95)) if rng.random() < 0.6 else 0.0
    eps = float(10 ** rng.uniform(-9, -3))
    told = {"lr": lr}
    keys: dict[str, Any] = {}
    if name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam"):
        keys = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": decay}
        told |= {"b1": b1, "b2": b2, "eps": eps, "weight_decay": decay}
    elif name in ("adam", "adamw", "amsgrad", "adamax", "nadam", "radam", "adabelief", "yogi"):
        keys = {"b1": b1, "b2": b2, "eps": eps}
        told |= keys
        if name == "adamw":
            told["weight_decay"] = keys["weight_decay"] = decay
    elif name in ("SGD", "sgd"):
        nesterov = bool(momentum) and rng.random() < 0.3
        keys = {"momentum": momentum or (0.0 if library == "torch" else None), "nesterov": nesterov}
        told |= {"momentum": momentum} if momentum else {}
        if library == "torch":
            told["weight_decay"] = keys["weight_decay"] = decay
    elif name in ("RMSprop", "rmsprop"):
        keys = {"alpha" if library == "torch" else "decay": b2, "eps": eps, "centered": bool(rng.random() < 0.3)}
        told |= {"decay": b2, "eps": eps}
    elif name == "Adadelta":
        keys = {"rho": b1, "eps": eps}
        told |= keys
    if library == "torch":
        import torch

        arguments = {"lr": lr, **keys}
        return f"torch {name}", methods, lambda p: getattr(torch.optim, name)(p, **arguments), told
    import optax

    return f"optax {name}", methods, getattr(optax, name)(lr, **keys), told


def run(seed: int) -> tuple[str, str, str]:
    """What comes of one drawn run: its optimiser, the count that it belongs to, and what was said."""
    import optax
    import torch

    from tests.update_rules.runs import optax_run, torch_run

    rng = np.random.default_rng(seed)
    name, methods, make, numbers = drawn(rng)
    dtype, steps, n = str(rng.choice(["float32", "float64"])), int(rng.integers(1, 31)), int(rng.integers(5, 51))
    limit = float(10 ** rng.uniform(-1, 1.3)) if rng.random() < 0.2 else 0.0
    if name.startswith("torch"):
        clip = (lambda p: torch.nn.utils.clip_grad_norm_(p, limit)) if limit else None
        path, gradients = torch_run(make, dtype, steps=steps, n=n, seed=seed, clip=clip)
    else:
        chained = optax.chain(optax.clip_by_global_norm(limit), make) if limit else make
        path, gradients = optax_run(chained, dtype, steps=steps, n=n, seed=seed, jit=False)
    kept = int(rng.integers(1, n + 1))
    if not limit:  # whose norm is of all entries
        path = {"w": path["w"][:, :kept], "b": path["b"]} if rng.random() < 0.5 else {"w": path["w"][:, :kept]}
        gradients = {"w": gradients["w"][:, :kept], **({"b": gradients["b"]} if "b" in path else {})}
    if not all(np.isfinite(p).all() for p in path.values()):
        return name, "not finite", ""
    if limit:
        numbers["clip"] = limit
    found = identify(path, gradients, dtype)
    return f"{name} {dtype} {steps} steps, {numbers}", counted(found, methods, numbers), str(found)


def counted(found: Identified, methods: tuple[str, ...], numbers: dict[str, float]) -> str:
    """The count that a run belongs to."""
    kinds = []
    for group in found.groups:
        if group.frozen:
            continue
        if group.rule is None:
            kinds.append(
                "too few" if "too few" in group.why else "time" if "tried in" in group.why else "no known rule"
            )
        elif group.certain and group.holds_until == found.steps:
            kinds.append("flat and right" if _is(group.rule, methods, numbers) else "flat and false")
        elif group.certain:
            kinds.append("holds for a part")
        elif not group.rivals:
            kinds.append("consistent at rates of its own")
        else:
            among = any(_is(rule, methods, numbers) for rule in (group.rule, *group.rivals))
            kinds.append(f"not told apart, true rule {'among them' if among else 'missing'}")
    order = ("flat and false", "not told apart, true rule missing")
    return next((kind for kind in order if kind in kinds), kinds[0] if kinds else "not moved")


def _is(rule: Rule, methods: tuple[str, ...], numbers: dict[str, float]) -> bool:
    """Whether it is of these methods, and each number within what is said of it."""
    if rule.form.method not in methods:
        return False
    for name, value in numbers.items():
        if name in rule.tied or (name != "lr" and name not in rule.numbers):
            continue
        low, high = rule.ranges.get(name, (-np.inf, np.inf))
        slack = 1e-5 * abs(value) + (high - low)  # ranges are of first order
        if not low - slack <= value <= high + slack:
            return False
    scales = {"eps / clip": 1, "eps / clip^2": 2, "lr * clip": -1, "weight decay / clip": 1}
    for words, (_, low, high) in rule.products.items():
        first = words.split(" ")[0] if not words.startswith("weight") else "weight_decay"
        if words in scales and first in numbers:
            value = numbers[first] / numbers["clip"] ** scales[words]
            if not low - (high - low) - 1e-5 * value <= value <= high + (high - low) + 1e-5 * value:
                return False
    return True


def main(runs: int = 300, seed: int = 0) -> None:
    """Draws, counts, and prints what is false."""
    counts: Counter[str] = Counter()
    for each in range(runs):
        name, kind, said = run(seed + each)
        counts[kind] += 1
        if "false" in kind or "missing" in kind:
            print(f"{kind}: seed {seed + each}: {name}\n    {said}", flush=True)
        if each % 5 == 4 or each == runs - 1:
            cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            print(f"{each + 1} runs, {cpu:.0f} s: {dict(counts.most_common())}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
