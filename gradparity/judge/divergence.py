"""Where backends diverge: the first tapped value, going forward, and the first cotangent, going backward. Pure.

Two entries are the same to within rounding if they differ by at most ``DIVERGES_FLOORS`` floors. The floor is the tap's
own: how far that entry and its block move in that backend when every input moves by one ulp, over some draws, in
quadrature for the two that are compared (`gradparity.worker.recording`).

Going forward is the order in which the truth, or the first backend, met the taps, and going backward is its reverse: no
cotangent depends on one of an earlier tap, so this is an order of the backward pass too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.judge.figures import finite, in_floors, index_of
from gradparity.results import DIFFERS, Finding
from gradparity.results.divergence import Difference, Direction, Divergence, Divergences, shown
from gradparity.worker.messages import Recorded
from gradparity.worker.recording import rounding

#: Floors that two correct backends may be apart: about twice the most that NumPy, autograd and PyTorch were seen at,
#: 8.8, over 162 drawn networks in both dtypes (`tests/evidence/tap_alarms.py`); 99.9% of 6,480 blocks were in 6.2.
DIVERGES_FLOORS = 16.0

Host: TypeAlias = npt.NDArray[Any]


def divergences(recorded: Mapping[str, Recorded], truth: Recorded | None = None) -> Divergences:
    """Where each backend first diverges from the truth, or without one from those that agree with each other.

    Args:
        recorded: what each backend's taps saw; one that saw nothing is left out.
        truth: the same of an evaluation that is known to be right; its floors may be empty.
    """
    seen = {name: recording for name, recording in recorded.items() if recording.values}
    everyone = dict(seen) if truth is None else {"truth": truth, **seen}
    keys = _order(everyone)
    calls = Counter(_split(key)[0] for key in keys)
    forward, backward = (
        {key: {name: it for name, r in everyone.items() if (it := array_of(r, key)) is not None} for key in keys}
        for array_of in (TapArray.value, TapArray.cotangent)
    )
    ahead = list(_firsts("forward", forward.items(), calls))
    # What differs forward differs backward too, and says nothing new.
    behind = _firsts("backward", reversed(backward.items()), calls, {each.backend for each in ahead})
    return Divergences(
        taps=sum(len(arrays) > 1 for arrays in forward.values()),
        found=[*ahead, *behind],
        notes=list(_notes(everyone, calls)),
    )


def between(
    findings: Iterable[Finding], recorded: Mapping[str, Recorded], found: Divergences
) -> dict[tuple[str, str], str]:
    """Where the fault lies of what is wrong although every tap agrees, by backend and block.

    A loss goes wrong behind the last tap. A gradient whose loss is right goes wrong, with every cotangent right, on the
    way back from the first tap that its parameter reaches.
    """
    part = {each.backend for each in found.found} | {name for each in found.found for name in each.against}
    findings = list(findings)
    wrong_loss = {each.backend for each in findings if each.quantity == "loss" and each.verdict in DIFFERS}
    said: dict[tuple[str, str], str] = {}
    for each in findings:
        seen = recorded.get(each.backend)
        if each.verdict not in DIFFERS or seen is None or each.backend in part or len(recorded) < 2:
            continue
        if each.quantity == "loss":
            last = _split(list(seen.values)[-1])[0]
            said[each.backend, each.block] = f"between the tap `{last}` and the loss: every tapped value agrees"
        elif each.quantity == "gradient" and each.backend not in wrong_loss and each.parameter in seen.reached:
            first = seen.reached[each.parameter]
            end = f"the tap `{_split(first)[0]}`" if first else "the loss, past every tap"
            agree = "every tapped value and cotangent agrees"
            said[each.backend, each.block] = f"between the parameter `{each.parameter}` and {end}: {agree}"
    return said


class TapArray:
    """One backend's value or cotangent at one tap, with its floors."""

    def __init__(self, array: Host | None, floor: Host | None, shape: tuple[int, ...]) -> None:
        self.given = array is not None
        # No cotangent arrives where the loss does not depend on the value: it is zero.
        self.array = np.zeros(shape) if array is None else array
        own = rounding(self.array)
        self.floor = own if floor is None or floor.shape != own.shape else np.maximum(floor, own)

    @classmethod
    def value(cls, recorded: Recorded, key: str) -> TapArray | None:
        """The value at a tap, if the tap was met."""
        value = recorded.values.get(key)
        return None if value is None else cls(value, recorded.value_floors.get(key), value.shape)

    @classmethod
    def cotangent(cls, recorded: Recorded, key: str) -> TapArray | None:
        """The cotangent at a tap, if the tap was met and there was a backward pass."""
        value = recorded.values.get(key)
        if value is None or not recorded.differentiated:
            return None
        return cls(recorded.cotangents.get(key), recorded.cotangent_floors.get(key), value.shape)

    def reals(self) -> tuple[Host, Host]:
        """Entries and floors as longdouble, real and imaginary parts apart; the floor of an entry is that of both."""
        if self.array.dtype.kind != "c":
            return self.array.astype(np.longdouble), self.floor
        both = np.stack([self.array.real, self.array.imag], axis=-1)
        return both.astype(np.longdouble), np.stack([self.floor, self.floor], axis=-1)


def _firsts(
    direction: Direction,
    taps: Iterable[tuple[str, Mapping[str, TapArray]]],
    calls: Counter[str],
    known: Iterable[str] = (),
) -> Iterator[Divergence]:
    """The first tap, in their order, at which each backend diverges from those that agree; not those ``known`` to."""
    diverged = set(known)
    for key, arrays in taps:
        tap, occurrence = _split(key)
        group = _agreeing(arrays)
        for name in arrays:
            # Of two backends that diverge, neither is the odd one: said once.
            if name in diverged or (group != ["truth"] and len(group) == 1 and group[0] in diverged):
                continue
            figures = None if name in group else difference(arrays[name], arrays[group[0]])
            if figures is not None:
                diverged.add(name)
                yield Divergence(
                    direction=direction,
                    tap=tap,
                    occurrence=occurrence,
                    of=calls[tap],
                    backend=name,
                    against=group,
                    **msgspec.structs.asdict(figures),
                )


def _agreeing(arrays: Mapping[str, TapArray]) -> list[str]:
    """The truth; or the largest set of backends each of which agrees with its first; of equals the earliest.

    A value that is no number is no reference, however many share it, as long as one backend has another.
    """
    if "truth" in arrays:
        return ["truth"]
    numbers = {name: array for name, array in arrays.items() if not np.isnan(array.reals()[0]).any()} or arrays
    groups = [
        [other for other in numbers if other == name or difference(numbers[other], array) is None]
        for name, array in numbers.items()
    ]
    return max(groups, key=len, default=[])


def _order(recorded: Mapping[str, Recorded]) -> list[str]:
    """Every key: those of the first recording in its order, each that it lacks after the one before it elsewhere."""
    keys: list[str] = []
    for recording in recorded.values():
        previous = -1
        known = {key: i for i, key in enumerate(keys)}
        late: list[tuple[int, str]] = []
        for key in recording.values:
            if key in known:
                previous = known[key]
            else:
                late.append((previous, key))
        for after, key in reversed(late):
            keys.insert(after + 1, key)
    return keys


def _notes(recorded: Mapping[str, Recorded], calls: Counter[str]) -> Iterator[str]:
    """Taps that some lack, or meet another number of times."""
    counts = {name: Counter(_split(key)[0] for key in r.values) for name, r in recorded.items()}
    for tap in calls:
        numbers = {name: count[tap] for name, count in counts.items()}
        if len(set(numbers.values())) > 1:
            yield f"`{tap}` is met " + ", ".join(f"{n} times by {name}" for name, n in numbers.items())


def _split(key: str) -> tuple[str, int]:
    name, _, occurrence = key.rpartition("#")
    return name, int(occurrence)


def difference(a: TapArray, b: TapArray) -> Difference | None:
    """How ``a`` differs from the expected ``b`` beyond rounding; ``None`` if it does not."""
    if not a.given and not b.given:
        return None
    if a.given and b.given:
        if a.array.shape != b.array.shape:
            return Difference(kind="shape", detail=f"shape {a.array.shape} against {b.array.shape}")
        # A Python number has no precision of its own: arrays only.
        if a.array.dtype != b.array.dtype and a.array.ndim and {a.array.dtype.kind, b.array.dtype.kind} & set("fc"):
            return Difference(kind="dtype", detail=f"dtype {a.array.dtype} against {b.array.dtype}")
    (x, _), (y, _) = a.reals(), b.reals()
    odd = ~((np.isfinite(x) & np.isfinite(y)) | (x == y) | (np.isnan(x) & np.isnan(y)))
    if odd.any():
        return _nonfinite(x, y, index_of(np.argmax(odd), x.shape))
    floors = floors_apart(a, b)
    if floors.max(initial=0) <= DIVERGES_FLOORS:
        return None
    if not a.given:
        return Difference(kind="missing", detail=f"no cotangent arrives, where one of up to {_largest(y)} is expected")
    if not b.given:
        return Difference(kind="missing", detail=f"a cotangent of up to {_largest(x)}, where none is expected")
    worst = index_of(np.argmax(floors), x.shape)
    scale, error = np.abs(y).max(where=np.isfinite(y), initial=0), _error(x, y)
    return Difference(
        kind="value",
        resembles=_resemblance(x, y, _floor(a, b)) if a.array.dtype.kind != "c" else "",
        relative=finite(error.max() / scale) if scale else None,
        ulps=finite(error[worst] / _ulp(y[worst], b.array.dtype)) if b.array.dtype.kind in "fc" else None,
        floors=finite(floors[worst]),
        index=worst,
        got=finite(x[worst]),
        expected=finite(y[worst]),
    )


def floors_apart(a: TapArray, b: TapArray) -> Host:
    """How many floors each entry of two blocks of one shape is apart; the same nan or infinity is no difference."""
    (x, _), (y, _) = a.reals(), b.reals()
    return in_floors(_error(x, y), _floor(a, b))


def _error(x: Host, y: Host) -> Host:
    with np.errstate(invalid="ignore"):
        return np.where((x == y) | ~np.isfinite(x), 0, np.abs(x - y))


def _floor(a: TapArray, b: TapArray) -> Host:
    """The floors of entries, of both in quadrature, and in quadrature with the block's root mean square.

    Entry by entry, a floor may come out as nothing: a saturated ``1 - tanh^2`` is 0 or an ulp of 1, and few draws move
    it; a difference of equal numbers is 0 until one of them rounds the other way. Errors are small beside the block.
    """
    floor = np.hypot(a.reals()[1], b.reals()[1])
    return np.asarray(np.hypot(floor, np.sqrt(np.mean(floor * floor)))) if floor.size else floor


def _nonfinite(x: Host, y: Host, where: tuple[int, ...]) -> Difference:
    words = f"{shown(float(x[where]))} against {shown(float(y[where]))}" + (f" at {list(where)}" if where else "")
    return Difference(kind="nonfinite", detail=words, index=where, got=finite(x[where]), expected=finite(y[where]))


def _resemblance(x: Host, y: Host, floor: Host) -> str:
    """What the block is of the expected one, if that explains every entry to within rounding."""
    if not x.any():
        return "all zero"
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or x.size < 2:
        return ""
    if x.ndim > 1 and x.shape[-1] == x.shape[-2]:
        turned = np.abs(x - y.swapaxes(-1, -2)) <= DIVERGES_FLOORS * np.maximum(floor, floor.swapaxes(-1, -2))
        if turned.all():
            return "transposed"
    if not y.any():
        return ""
    largest = np.argmax(np.abs(y))
    times = x.flat[largest] / y.flat[largest]
    scaled = np.abs(x - times * y) <= DIVERGES_FLOORS * max(1, abs(times)) * floor
    return f"{float(times):.6g} times as large" if scaled.all() else ""


def _ulp(size: Any, dtype: np.dtype[Any]) -> Any:
    return np.spacing(np.abs(size).astype(np.empty(0, dtype).real.dtype)).astype(np.longdouble)


def _largest(values: Host) -> str:
    return shown(float(np.abs(values).max(initial=0)))
