"""Whether the neutral loss is the odd one: ports of their own agree with each other and not with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from gradparity.judge.figures import root_mean_square
from gradparity.judge.verdicts import AGREES_FLOORS, Values
from gradparity.results import DIFFERS, NEUTRAL_IS_ODD, Diagnosis, Finding
from gradparity.truth.reference import Reference
from gradparity.worker.wire import dtype_name


def odd_neutral(ports: Mapping[str, str], values: Mapping[str, Values], reference: Reference) -> list[str]:
    """Two or more ports that agree with each other in loss and gradient, none of whose losses is the neutral one.

    Args:
        ports: the loss of their own that backends run, and not the neutral one, by its name in the model: several that
            run the same one are one witness.
        values: what each backend gave, by quantity and parameter.
        reference: of the neutral loss.

    Returns:
        All of the backends, sorted; nobody where two of them differ, or one has the neutral loss, or one of a
        dtype that its gradient has not, which says by itself what is the matter.
    """
    given = sorted(name for name in ports if name in values)
    keys = [key for key in reference.truth if key[0] in ("loss", "gradient")]
    if len({ports[name] for name in given}) < 2 or not all(
        _comparable(values[name], reference, keys) for name in given
    ):
        return []
    apart = all(not _agree(_at(values[name], ("loss", "")), reference.truth["loss", ""], reference) for name in given)
    first = values[given[0]]
    alike = all(_agree(_at(values[name], key), _at(first, key), reference, key) for name in given[1:] for key in keys)
    return given if apart and alike else []


def with_odd_neutral(findings: Sequence[Finding], ports: Sequence[str]) -> list[Finding]:
    """The same findings; those on the ports say that it is the neutral loss that differs."""
    words = f"the neutral loss differs from {_listed(ports)}, which agree with each other"
    return [
        msgspec.structs.replace(each, rule=f"{words}: {each.rule}")
        if each.backend in ports and each.verdict in DIFFERS
        else each
        for each in findings
    ]


def diagnosis(ports: Sequence[str]) -> Diagnosis:
    """What a person should look at first."""
    return Diagnosis(
        name=NEUTRAL_IS_ODD,
        finding=(
            f"{len(ports)} ports ({_listed(ports)}) agree with each other in loss and gradient, and none of them with "
            "the neutral loss"
        ),
        cure="Look at the neutral loss first: either it is wrong, or the ports share a mistake.",
    )


def _comparable(values: Values, reference: Reference, keys: Sequence[tuple[str, str]]) -> bool:
    found = (values.get(key[0], {}).get(key[1]) for key in keys)
    pairs = [(value, reference.truth[key]) for value, key in zip(found, keys, strict=True)]
    if any(v is None or v.shape != truth.shape or not np.isfinite(v).all() for v, truth in pairs):
        return False
    names = {key: dtype_name(values[key[0]][key[1]]) for key in keys}
    return names.pop(("loss", "")) in names.values()


def _at(values: Values, key: tuple[str, str]) -> np.ndarray:
    return values[key[0]][key[1]].astype(np.longdouble)


def _agree(a: np.ndarray, b: np.ndarray, reference: Reference, key: tuple[str, str] = ("loss", "")) -> bool:
    """Within the floors of two values that may be of another size than the truth, and have floors to match."""
    floor, size = reference.floor[key], root_mean_square(reference.truth[key])
    grown = max(1.0, float(max(root_mean_square(a), root_mean_square(b)) / size)) if size else 1.0
    return bool(
        (np.abs(a - b) <= AGREES_FLOORS * np.sqrt(2) * grown * np.maximum(floor, root_mean_square(floor))).all()
    )


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
