"""Backends of ``--backend``: in another interpreter (``NAME=BACKEND@/path/to/python``), or a program of any language.

``NAME=command:WORDS`` is the latter; see `gradparity.backends.external_program`. ``NAME=gradbench:WORDS`` is one that
speaks GradBench's protocol; see `gradparity.backends.gradbench`. The former compares two versions of a
framework. Such an interpreter needs Python 3.11, NumPy, msgspec and the framework; SciPy too for the numpy and autograd
backends and for L-BFGS. Our own packages it gets from here, by a folder on ``PYTHONPATH`` that has them and nothing
else.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from gradparity.backends import Registration, lookup, registered
from gradparity.model_spec.errors import InputError

#: What every worker imports of others.
_NEEDED = ("numpy", "msgspec")
_OLDEST = (3, 11)
#: What asks a program that is no Python interpreter, by the protocol that it speaks.
TOOL = "gradparity.backends.gradbench.external_tool:GradBenchTool"
_PROGRAMS = {"command": "gradparity.backends.external_program:ExternalProgram", "gradbench": TOOL}
#: Seconds that an interpreter may take to say what it has.
_PROBE_S = 60

_PROBE = """
import json, sys
from importlib.util import find_spec
print(json.dumps([list(sys.version_info[:2]), [name for name in sys.argv[1:] if find_spec(name) is None]]))
"""


def variants(texts: tuple[str, ...]) -> dict[str, Registration]:
    """Registrations of ``NAME=BACKEND@/path/to/python`` and ``NAME=command:WORDS``, by name; nothing is started.

    Raises:
        InputError: a text is not of that form, its backend is unknown, its name is taken, or there is no such file.
    """
    found: dict[str, Registration] = {}
    for text in texts:
        form = r"([A-Za-z0-9][A-Za-z0-9_.-]*)=(?:(command|gradbench):(.*)|([^@=]+)@(.+))"
        match = re.fullmatch(form, text, re.DOTALL)
        if match is None:
            expected = "NAME=BACKEND@/path/to/python or NAME=command:PROGRAM, such as jax-old=jax@/opt/old/bin/python"
            raise InputError("--backend", got=repr(text), expected=expected)
        name, protocol, command, backend, python = match.groups()
        if name in found or name in registered():
            raise InputError("--backend", got=repr(name), expected="a name that no other backend has")
        if backend is None:
            found[name] = Registration(_PROGRAMS[protocol], command=_words(name, protocol, command))
        else:
            base = lookup(backend)
            path = _program(name, python, "a Python interpreter")
            found[name] = replace(base, python=path, family=base.family or backend)
    return found


def _words(name: str, protocol: str, command: str) -> tuple[str, ...]:
    """The words of a command line, as a shell would split it."""
    rule, expected = f"--backend {name}", f"{protocol}:PROGRAM with its options, quoted as for a shell"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(rule, got=f"{command!r}: {error}", expected=expected) from None
    if not words or "\0" in command:
        raise InputError(rule, got=repr(command), expected=expected)
    return (_program(name, words[0], "a program"), *words[1:])


def _program(name: str, word: str, expected: str) -> str:
    path = shutil.which(os.path.expanduser(word))  # noqa: PTH111  # where there is no such user it stays
    if path is None:
        raise InputError(f"--backend {name}", got=f"{word}, which is no program", expected=expected)
    return path


def require_usable(name: str, registration: Registration) -> None:
    """See that an interpreter has what a worker needs; a program of another kind is seen when it is asked.

    Raises:
        InputError: it does not start, is too old, or lacks a package; one line says which, and what adds it.
    """
    rule, python = f"--backend {name}", registration.python
    if registration.command:
        return
    needed = [*_NEEDED, *([registration.requires] if registration.requires else []), *registration.also]
    try:
        ran = subprocess.run(
            [python, "-P", "-c", _PROBE, *needed],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        version, lacking = json.loads(ran.stdout.splitlines()[-1]) if ran.returncode == 0 else ([0, 0], [])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise InputError(rule, got=f"{python}: {error}", expected="a Python interpreter") from None
    if ran.returncode:
        said = (ran.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise InputError(
            rule, got=f"{python} ended with code {ran.returncode}: {said}", expected="Python 3.11 or later"
        )
    if tuple(version) < _OLDEST:
        raise InputError(rule, got=f"Python {version[0]}.{version[1]} at {python}", expected="Python 3.11 or later")
    if lacking:
        raise InputError(
            rule,
            got=f"{python} without {', '.join(lacking)}",
            expected=f"an interpreter that has {', '.join(needed)}",
            cure=f"{python} -m pip install {' '.join(lacking)}",
        )


_LOCK = Lock()


@cache
def packages_folder(scratch: Path | None = None) -> str:
    """A folder with our packages and nothing beside them: another interpreter's own NumPy must not meet ours.

    It lies in ``scratch``, which goes with the run, and otherwise stays until this process ends.
    """
    folder = scratch / "packages" if scratch is not None else Path(_folder().name)
    folder.mkdir(exist_ok=True)
    source, target = Path(__file__).parents[1], folder / "gradparity"
    try:
        target.symlink_to(source, target_is_directory=True)
    except OSError:  # a system without links, or without the right to make them
        shutil.copytree(source, target)
    return str(folder)


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="gradparity-packages-")  # kept here until this process ends


def search_path(scratch: Path | None = None) -> str:
    """``PYTHONPATH`` of a worker in another interpreter."""
    with _LOCK:  # workers are started from several threads
        folder = packages_folder(scratch)
    return os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH", ""))))
