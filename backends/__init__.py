"""The registry of backends. Nothing here imports a framework: each is imported only by its own file, in a worker."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import cast

from gradparity.backends.protocol import Backend, Data, HostArray, Program
from gradparity.model_spec.errors import InputError

#: Third parties register ``name = "module:attribute"`` here in their own package's metadata.
ENTRY_POINT_GROUP = "gradparity.backends"


@dataclass(frozen=True)
class Registration:
    """Where a backend lives (``module:attribute``) and the module it cannot do without, if any.

    ``requires`` is both the module looked for and the extra of ours that installs it; ``also`` are modules more that
    the backend imports, which this interpreter has. ``compiler``: it needs one for C++. ``family``: the name of the
    framework, where the backend's is another: it takes that framework's losses of a user's model too. ``tapes``: it
    leaves a tape of Python objects behind at every step, which the garbage collector has to find. ``python``: another
    interpreter than this one, which runs it.
    """

    target: str
    requires: str | None = None
    compiler: bool = False
    family: str = ""
    python: str = ""
    also: tuple[str, ...] = ()
    tapes: bool = False


BACKENDS: dict[str, Registration] = {
    "numpy": Registration("gradparity.backends.numpy_backend:backend", also=("scipy",)),
    "autograd": Registration("gradparity.backends.autograd_backend:backend", "autograd", tapes=True, also=("scipy",)),
    "jax": Registration("gradparity.backends.jax_backend:backend", "jax"),
    "torch": Registration("gradparity.backends.torch_eager:backend", "torch"),
    "torch-compile": Registration("gradparity.backends.torch_compiled:backend", "torch", compiler=True, family="torch"),
}


def registered() -> dict[str, Registration]:
    """Every backend by name: ours, then those of the entry-point group ``gradparity.backends``."""
    return {**_others(*sys.path), **BACKENDS}


@cache
def _others(*_path: str) -> dict[str, Registration]:
    """The backends of other packages on that path: to read every package's metadata takes some milliseconds."""
    return {entry.name: Registration(entry.value) for entry in entry_points(group=ENTRY_POINT_GROUP)}


def missing(registration: Registration) -> str | None:
    """What to do so that this backend can run, or ``None`` where nothing is missing."""
    if registration.requires and find_spec(registration.requires) is None:
        return f"pip install 'gradparity[{registration.requires}]'"
    if registration.compiler and not (shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")):
        return "install a C++ compiler (g++), or set CXX to one"
    return None


def available() -> list[str]:
    """Names of the backends that can run here, in the registry's order."""
    return [name for name, registration in registered().items() if missing(registration) is None]


def lookup(name: str) -> Registration:
    """The registration of one backend.

    Raises:
        InputError: no backend has that name.
    """
    known = registered()
    if name not in known:
        raise InputError("backend", got=repr(name), expected=f"one of {', '.join(known)}")
    return known[name]


def load(target: str) -> Backend:
    """Import the backend at ``module:attribute``, and with it its framework.

    Raises:
        ImportError: the framework, or something it needs, is not installed.
        AttributeError: the module has no such attribute.
    """
    module, _, attribute = target.partition(":")
    return cast("Backend", getattr(import_module(module), attribute))


def place(backend: Backend, program: Program, data: Mapping[str, HostArray]) -> Data:
    """Host data as arrays of the framework, in the memory layout that the program reads fastest if it says one.

    Such a program has a method ``arrange(data) -> data``; it is called before any clock starts.
    """
    arrange = getattr(program, "arrange", None)
    placed = backend.put(data)
    return placed if arrange is None else cast("Data", arrange(placed))
