"""Answers recorded elsewhere, in a ``.safetensors`` file: loss and derivatives, and digests of what they are of.

Tensors are ``loss``, ``gradient.NAME``, ``jvp`` and ``hvp.NAME``; an inputs' file has ``params.NAME``, ``data.NAME``
and ``direction.NAME``, whose digests a reference states. `docs/howto/references.md` writes one by NumPy and safetensors
alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.weights import read_safetensors
from gradparity.results.store import replace_file

Arrays = dict[str, npt.NDArray[Any]]

#: What says in a file's metadata that it is a reference, and of which format.
MARK, FORMAT = "gradparity_reference", "1"
QUANTITIES = ("loss", "gradient", "jvp", "hvp")
#: What tensors of results on the way are called.
STEP = "step"
#: What a digest is shown by.
SHOWN = 16
#: What safetensors calls the real dtypes.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Recorded:
    """One file: what was computed, in which precision, from which inputs.

    Attributes:
        name: what the column is called.
        file: where it is.
        quantities: values by quantity and parameter, as wide as the file has them or as float32.
        dtype: the precision that it says it was computed in, or that it is stored in.
        inputs: digest of each array that it was computed from; see `digest`.
        plain: JSON of the plain values among the data, ``""`` where it does not say.
        device: in words.
        versions: by package.
        steps: tensors of the results on the way, where it has any.
        trace: JSON of what is known of each of these, as `record` writes it.
    """

    name: str
    file: str
    quantities: dict[str, Arrays]
    dtype: str
    inputs: dict[str, str]
    plain: str = ""
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    steps: Arrays = field(default_factory=dict)
    trace: str = ""

    def require(self, problem: UserProblem) -> None:
        """See that it is of these inputs, and that what it has of every parameter is of these.

        Raises:
            InputError: it is of others; the message has both digests, and which arrays differ. Or a parameter is
                missing or is none.
        """
        self._require_names(problem)
        own = digests(inputs_of(problem))
        asked = own if {"jvp", "hvp"} & self.quantities.keys() else _without_direction(own)
        differ = [name for name, each in asked.items() if self.inputs.get(name) != each]
        differ += [name for name in _without_direction(self.inputs) if name not in own]
        if self.plain and self.plain != plain_of(problem):
            differ.append("the plain values of data")
        if differ:
            theirs = {name: self.inputs[name] for name in asked if name in self.inputs}
            raise InputError(
                f"--reference {self.file}",
                got=f"a record of other inputs, {combined(theirs | _without_direction(self.inputs))}: "
                f"{', '.join(differ)} differ{'s' * (len(differ) == 1)}",
                expected=f"the inputs of this model, {combined(asked)}",
                cure="gradparity record MODEL --out inputs.safetensors writes these; --seed and --dtype make others.",
            )

    def _require_names(self, problem: UserProblem) -> None:
        for quantity in ("gradient", "hvp"):
            found, names = self.quantities.get(quantity), [*problem.params]
            if found is None or found.keys() == problem.params.keys():
                continue
            got = [f"{named(quantity, name)}, which is no parameter" for name in found if name not in names]
            got += [f"no {named(quantity, name)}" for name in names if name not in found]
            every = ", ".join(named(quantity, name) for name in names[:SHOWN])
            raise InputError(
                f"--reference {self.file}",
                got=", ".join(got[:SHOWN]),
                expected=f"a {quantity} of every parameter, or of none: {every}",
            )


def digest(value: npt.NDArray[Any]) -> str:
    """SHA-256 of an array: its dtype and shape as text, ``float64 [3, 4]``, and its bytes in C order, little-endian."""
    array = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    head = f"{value.dtype.name} {list(value.shape)}"
    return hashlib.sha256(head.encode() + array.tobytes()).hexdigest()


def digests(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
    """The digest of each array by name."""
    return {name: digest(value) for name, value in arrays.items()}


def combined(found: Mapping[str, str]) -> str:
    """One digest of several, by name, as much as is shown of it."""
    text = "".join(f"{name} {each}\n" for name, each in sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:SHOWN]


def inputs_of(problem: UserProblem) -> Arrays:
    """Everything that the answers depend on, by name."""
    trees = {"params": problem.params, "data": problem.data, "direction": problem.tangents}
    return {named(kind, name): np.asarray(value) for kind, tree in trees.items() for name, value in tree.items()}


def plain_of(problem: UserProblem) -> str:
    """JSON of the plain values among the data, by path; ``""`` where there are none."""
    found = dict(problem.spec.plain_data)
    return json.dumps(found, sort_keys=True) if found else ""


def named(kind: str, name: str) -> str:
    """``gradient.W``; ``loss`` where there is no name."""
    return f"{kind}.{name}" if name else kind


def require_replaceable(file: Path) -> None:
    """See that nothing but a reference would be written over: weights have names that end alike.

    Raises:
        InputError: what is there is none.
    """
    from safetensors import SafetensorError, safe_open

    found: str | None = None if file.is_file() else "is no file"
    if file.is_file() and file.stat().st_size:
        try:
            with safe_open(file, "np") as stream:
                found = None if MARK in (stream.metadata() or {}) else "is no reference"
        except (SafetensorError, OSError):
            found = "is no reference"
    if found and file.exists():
        cure = "Name another, or take that away."
        raise InputError("--out", got=f"{file}, which {found}", expected="a new file, or a reference", cure=cure)


def write(file: Path, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, str]) -> None:
    """Write a file of arrays; what is said ``about`` them is its metadata.

    Raises:
        InputError: it cannot be written there.
    """
    from safetensors.numpy import save

    content = save({name: np.array(value, order="C") for name, value in arrays.items()}, dict(about))
    replace_file(file.resolve(), content, cure="")  # so that a link stays one


def about(problem: UserProblem, **facts: str) -> dict[str, str]:
    """The metadata of answers to a problem, or of its inputs."""
    inputs = json.dumps(digests(inputs_of(problem)))
    return {MARK: FORMAT, "inputs": inputs, "plain": plain_of(problem)} | facts


def read(given: str) -> Recorded:
    """A reference from ``path`` or ``name=path``.

    Raises:
        InputError: there is no such file, or it is no reference.
    """
    from safetensors import SafetensorError, safe_open

    own, _, path = given.rpartition("=")
    if not Path(path).is_file() and Path(given).is_file():  # a file's own name may have an equals sign
        own, path = "", given
    rule, file = f"--reference {path}", Path(path)
    if not file.is_file():
        raise InputError(rule, got="no such file", expected="a file that `gradparity record` wrote, or one like it")
    try:
        with safe_open(file, "np") as stream:
            facts = dict(stream.metadata() or {})
            kinds = {name: stream.get_slice(name).get_dtype() for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(rule, got=str(error).rstrip("."), expected="a .safetensors file") from None
    on_the_way = [name for name in kinds if name.partition(".")[0] == STEP]
    kinds = {name: kind for name, kind in kinds.items() if name not in on_the_way}
    strange = [name for name in kinds if name.partition(".")[0] not in QUANTITIES]
    if facts.get(MARK) != FORMAT or strange or not kinds:
        got = (
            f"{MARK} {facts.get(MARK)!r} in its metadata"
            if facts.get(MARK) != FORMAT
            else f"tensors {strange or 'none'}"
        )
        cure = "docs/howto/references.md has the twenty lines that write one."
        raise InputError(
            rule, got=got, expected=f"{MARK} '{FORMAT}', and tensors loss, gradient.NAME, jvp, hvp.NAME", cure=cure
        )
    odd = [f"{name} of {kind}" for name, kind in kinds.items() if kind not in _DTYPES]
    if odd:
        raise InputError(rule, got=", ".join(odd), expected=f"tensors of {', '.join(_DTYPES.values())}")
    quantities: dict[str, Arrays] = {}
    arrays = read_safetensors(file)
    for name, value in arrays.items():
        quantity, _, parameter = name.partition(".")
        if name not in kinds:
            continue
        if quantity in ("loss", "jvp") and value.size == 1:
            value = value.reshape(())  # [1], as what is saved of a scalar often is
        quantities.setdefault(quantity, {})[parameter] = (
            value.astype(np.float32) if value.dtype == np.float16 else value
        )
    coarsest = max((_DTYPES[kind] for kind in kinds.values()), key=list(_DTYPES.values()).index)
    name = own or facts.get("name") or file.stem
    if not re.fullmatch(r"[^\s=,]{1,60}", name) or not name.isprintable():
        raise InputError(
            rule, got=f"the name {name!r}", expected="up to 60 characters without spaces", cure="--reference NAME=PATH"
        )
    return Recorded(
        name,
        path,
        quantities,
        facts.get("dtype") or coarsest,
        _names(rule, facts.get("inputs"), "inputs"),
        facts.get("plain", ""),
        facts.get("device", ""),
        _names(rule, facts.get("versions", "{}"), "versions"),
        {name: arrays[name] for name in on_the_way},
        facts.get("steps", ""),
    )


def _names(rule: str, text: str | None, what: str) -> dict[str, str]:
    try:
        found = json.loads(text or "")
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise InputError(
            rule, got=f"{what} {text!r}"[:80], expected=f"a JSON object of texts as {what} in its metadata"
        )
    return found


def _without_direction(found: Mapping[str, str]) -> dict[str, str]:
    return {name: each for name, each in found.items() if name.partition(".")[0] != "direction"}
