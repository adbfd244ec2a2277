"""The registry of backends. Nothing here imports a framework: each is imported only by its own file, in a worker."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from gradparity.backends.plugins import lacking, plugins
from gradparity.backends.protocol import Backend, Data, HostArray, Program
from gradparity.model_spec.errors import InputError


@dataclass(frozen=True)
class Registration:
    """Where a backend lives (``module:attribute``) and the module it cannot do without, if any.

    ``requires`` is both the module looked for and the extra of ours that installs it; ``also`` are modules more that
    the backend imports, which this interpreter has. ``compiler``: it needs one for C++. ``family``: the name of the
    framework, where the backend's is another: it takes that framework's losses of a user's model too. ``tapes``: it
    leaves a tape of Python objects behind at every step, which the garbage collector has to find. ``python``: another
    interpreter than this one, which runs it. ``command``: it is a program of any language that these words start, and
    ``target`` a class that takes them. ``sharded``: it is as many processes as there are ranks, each with a part
    of the rows; it takes part where it is named. ``package``: whose it is, if it is not ours. ``fault``: what keeps it
    from being used at all.
    """

    target: str
    requires: str | None = None
    compiler: bool = False
    family: str = ""
    python: str = ""
    command: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    tapes: bool = False
    sharded: bool = False
    package: str = ""
    fault: str = ""


BACKENDS: dict[str, Registration] = {
    "numpy": Registration("gradparity.backends.numpy_backend:backend", also=("scipy",)),
    "autograd": Registration("gradparity.backends.autograd_backend:backend", "autograd", tapes=True, also=("scipy",)),
    "jax": Registration("gradparity.backends.jax_backend:backend", "jax"),
    "torch": Registration("gradparity.backends.torch_eager:backend", "torch"),
    "torch-compile": Registration("gradparity.backends.torch_compiled:backend", "torch", compiler=True, family="torch"),
    "torch-distributed": Registration(
        "gradparity.backends.torch_distributed:backend", "torch", family="torch", sharded=True
    ),
    "jax-distributed": Registration("gradparity.backends.jax_distributed:backend", "jax", family="jax", sharded=True),
}


def registered() -> dict[str, Registration]:
    """Every backend by name: ours, then those of the entry-point group ``gradparity.backends``.

    One of another package that has the name of one of ours is not that, and said to be the package's.
    """
    found = {}
    for name, target, package, fault, family in plugins(*sys.path):
        if name in BACKENDS:
            said = f"have {package} mended: {name} is a backend of gradparity's own"
            found[f"{name} of {package}"] = Registration("", package=package, fault=said)
        else:
            found[name] = Registration(target, family=family, package=package, fault=fault)
    return {**found, **BACKENDS}


def missing(registration: Registration) -> str | None:
    """What to do so that this backend can run, or ``None`` where nothing is missing."""
    if registration.fault:
        return registration.fault
    if registration.package:
        return lacking(registration.target, registration.package, *sys.path) or None
    if registration.requires and find_spec(registration.requires) is None:
        return f"pip install 'gradparity[{registration.requires}]'"
    if registration.compiler and not (shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")):
        return "install a C++ compiler (g++), or set CXX to one"
    return None


def available() -> list[str]:
    """Names of the backends that can run here, in the registry's order; sharded ones only where they are named."""
    return [name for name, each in registered().items() if not each.sharded and missing(each) is None]


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
    return cast("Backend", reduce(getattr, attribute.split("."), import_module(module)))


def place(backend: Backend, program: Program, data: Mapping[str, HostArray]) -> Data:
    """Host data as arrays of the framework, in the memory layout that the program reads fastest if it says one.

    Such a program has a method ``arrange(data) -> data``; it is called before any clock starts. One that is sharded has
    a method ``own(data)``, which gives the rows that its process has.
    """
    arrange, own = getattr(program, "arrange", None), getattr(program, "own", None)
    shard: Any = data if own is None else own(data)
    placed = backend.put(shard)
    placed = placed if arrange is None else arrange(placed)
    return cast("Data", placed if own is None else shard.filled(placed))
