"""A model given as functions and arrays, in a notebook or a script, written into files: workers get it by its path.

The source of a function is written with what it needs; nothing of it is run here, and no framework is imported. What
cannot be written is refused in one line, and so is a source that is not the function's any more.
"""

from __future__ import annotations

import ast
import atexit
import hashlib
import inspect
import math
import re
import shutil
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.containers import read_tree
from gradparity.model_spec.user.model import BACKENDS_FOLDER, MODEL_FILES
from gradparity.runner.function_sources import globals_of, home_of, root_of, source_of, without_defaults, wrappers

#: The key of the loss that is written once, among losses for backends.
NEUTRAL = "loss"
#: How each file of a model that is written here begins.
_WRITTEN = '"""Written by gradparity'
_EXPECTED = "modules, functions, plain values and NumPy arrays"
_CURE = "Pass it in data, or write the model into a file and give its path."

#: Names of modules that any interpreter finds as this one does.
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def write_model(model: Any, params: Any, data: Any, out: Path | None) -> str:
    """Write a model's folder.

    Args:
        model: ``loss(params, data, xp)``, or ``loss(params, data)`` for some backends, by their names; under ``"loss"``
            the neutral one.
        params: tree of arrays, or ``parameters(rng)``.
        data: the same.
        out: folder of results, which keeps the model's; without it one that lasts as long as this process.

    Returns:
        The folder.

    Raises:
        InputError: a function or an array cannot be written; naming what it is.
    """
    losses: dict[str, Any] = dict(model) if isinstance(model, Mapping) else {NEUTRAL: model}
    for name, value in (("params", params), ("data", data)):
        if value is None:
            raise InputError(
                name, got="none", expected="arrays beside a loss", cure="gradparity.check(loss, params, data)"
            )
    for name, loss in losses.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(name)):
            raise InputError("model", got=f"{name!r} among the losses", expected="names of backends, and loss")
        _require_loss(str(name), loss)
    name = getattr(losses.get(NEUTRAL), "__name__", "loss")
    folder = _folder(out) / name
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]  # one process may load several
    files: dict[str, _File] = {}
    for each in (NEUTRAL, *(each for each in losses if each != NEUTRAL)):
        file = files.setdefault(each, _File(f"given_{re.sub('[^A-Za-z0-9]', '_', each)}_{mark}"))
        if each == NEUTRAL:
            file.give("parameters", params, "params")
            file.give("data", data, "data")
        if each in losses:
            file.give("loss", losses[each], each)
    try:
        _clear(folder)
        (folder / BACKENDS_FOLDER).mkdir(parents=True, exist_ok=True)
        for each, file in files.items():
            door = folder / (MODEL_FILES[0] if each == NEUTRAL else f"{BACKENDS_FOLDER}/{each}.py")
            door.write_text(file.door(), encoding="utf-8")
            (folder / f"{file.name}.py").write_text(file.source(), encoding="utf-8")
            if file.arrays:
                np.savez(folder / f"{file.name}.npz", **file.arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError("--out", got=f"{folder} ({error.strerror})", expected="a folder that can be made") from None
    return str(folder)


def _clear(folder: Path) -> None:
    """Remove what an earlier call has written, and nothing else.

    Raises:
        InputError: something else is there.
    """
    for file in [*folder.glob("*.py"), *(folder / BACKENDS_FOLDER).glob("*.py")]:
        if not file.read_text(encoding="utf-8", errors="replace").startswith(_WRITTEN):
            cure = "Name another folder for the results."
            raise InputError("--out", got=f"{file}, which is not gradparity's", expected="no model there", cure=cure)
        file.unlink()


def _folder(out: Path | None) -> Path:
    if out is not None:
        return out / "model"
    made = Path(tempfile.mkdtemp(prefix="gradparity-model-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _require_loss(name: str, loss: Any) -> None:
    takes = "(params, data, xp)" if name == NEUTRAL else "(params, data)"
    if not callable(loss):
        raise InputError(name, got=type(loss).__name__, expected=f"a function {takes}")
    try:
        inspect.signature(loss).bind(*range(takes.count(",") + 1))
    except TypeError:
        cure = 'A loss for one backend is given by its name: {"jax": loss}.' if name == NEUTRAL else ""
        shown = f"{getattr(loss, '__name__', loss)}{inspect.signature(loss)}"
        raise InputError(
            f"the loss {name!r}" if name != NEUTRAL else "loss", got=shown, expected=takes, cure=cure
        ) from None
    except ValueError:  # it has no signature, which is said when its source is looked for
        pass


class _File:
    """A module as it is being written: what it imports, its values, its functions, in the order of need."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exports: dict[str, str] = {}
        self.imports: dict[str, None] = {}
        self.paths: dict[str, None] = {}
        self.parts: list[str] = []
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self._there: dict[str, Any] = {}

    def source(self) -> str:
        """The text of the file."""
        head = [f'{_WRITTEN}, from functions and arrays that it was called with."""\n']
        head += ["from __future__ import annotations\n"]
        if self.paths:
            head += ["import sys\n", f"sys.path += {list(self.paths)!r}  # where the modules below were found\n"]
        if self.arrays:
            head += ["from pathlib import Path as _Path\n", "import numpy as _numpy\n"]
            load = "_numpy.load(_Path(__file__).with_suffix('.npz'), allow_pickle=False)"
            head += [f"_arrays = dict({load})\n"]
        return "\n".join([*head, *self.imports, *self.parts])

    def door(self) -> str:
        """The file that the model's contract asks for: names of this one, under those of the contract."""
        names = ", ".join(f"{own} as {name}" for name, own in self.exports.items())
        return f'{_WRITTEN}."""\n\nfrom {self.name} import {names}\n'

    def give(self, name: str, value: Any, where: str) -> None:
        """Have a name of the contract mean a function, or a function that returns a tree."""
        given = self.exports[name] = f"given_{name}"
        if callable(value):
            if home_of(value) is None:
                self._bind(where, given, value)
            else:  # a line of this file that calls it, so that what it raises has one
                self._bind(where, f"_{given}", value)
                self.parts.append(f"def {given}(*arguments):\n    return _{given}(*arguments)\n")
            return
        halves: set[str] = set()
        tree = read_tree(where, value, halves)
        if halves:
            got, cure = f"arrays of {' and '.join(sorted(halves))}", ".astype('float32') has all their values."
            raise InputError(where, got=got, expected="float64, float32", cure=cure)
        self.parts.append(f"def {given}(rng):\n    return {self._expression(where, tree)}\n")

    def _bind(self, where: str, name: str, value: Any) -> None:
        """Have a name mean a value in this file."""
        if name in self._there:
            if self._there[name] is not value:
                raise InputError(f"{where}: {name}", got="two things of that name", expected="one", cure=_CURE)
            return
        self._there[name] = value
        if isinstance(value, ModuleType):
            self._import(where, name, value.__name__, f"import {value.__name__} as {name}")
        elif (place := home_of(value)) is not None:
            self._import(where, name, place[0], f"from {place[0]} import {place[1]} as {name}")
        elif isinstance(inspect.unwrap(value) if callable(value) else None, FunctionType):
            self._define(where, name, value)
        else:
            self.parts.append(f"{name} = {self._expression(f'{where}: {name}', value)}\n")

    def _import(self, where: str, name: str, module: str, line: str) -> None:
        root = root_of(sys.modules[module])
        if root is None and module not in sys.builtin_module_names:
            raise InputError(
                f"{where}: {name}", got=f"the module {module}, which has no file", expected=_EXPECTED, cure=_CURE
            )
        if root and not root.startswith(_INSTALLED):
            self.paths[root] = None
        self.imports[line] = None

    def _define(self, where: str, name: str, value: Any) -> None:
        """Write a function under a name: as it is, or with a call that gives it the variables that it has around it."""
        function: FunctionType = inspect.unwrap(value)
        text, node = source_of(where, function)
        within = f"{where}: {function.__name__}" if function.__name__ != where else where
        decorated = value is not function
        if decorated and wrappers(value) != len(node.decorator_list):
            got = f"{name}, which a call has made of the function {function.__name__}"
            raise InputError(where, got=got, expected="a function with def, decorated or not", cure=_CURE)
        if not decorated:  # what a decorator has made of it is another thing
            text = "".join(text.splitlines(keepends=True)[node.lineno - 1 :])
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        contents = {each: _content(within, each, cell) for each, cell in cells.items()}
        itself = {each for each, content in contents.items() if content is value and each == function.__name__}
        if any(isinstance(each, ast.Nonlocal) and set(each.names) & set(cells) for each in ast.walk(node)):
            raise InputError(within, got="a function that changes variables around it", expected="one that does not")
        names = globals_of(function.__code__)
        if decorated:
            names |= {each.id for part in node.decorator_list for each in ast.walk(part) if isinstance(each, ast.Name)}
        for each in sorted(names):
            if each in function.__globals__ and not (each.startswith("__") and each.endswith("__")):
                self._bind(within, each, function.__globals__[each])
        text = without_defaults(text, node, decorated=decorated)
        own = function.__name__
        if cells:
            number = len(self.parts)
            around = {each: f"_{number}_{each}" for each in contents if each not in itself}
            for each, unique in around.items():
                self._bind(within, unique, contents[each])
            inner = textwrap.indent(text, "    ")
            self.parts.append(f"def _{number}({', '.join(around)}):\n{inner}\n    return {own}\n")
            self.parts.append(f"{name} = _{number}({', '.join(around.values())})\n")
        else:
            renamed = text if name == own else re.sub(rf"^(def\s+){own}\b", rf"\g<1>{name}", text, count=1, flags=re.M)
            self.parts.append(renamed)
        target = f"{name}{'.__wrapped__' * wrappers(value)}"
        if function.__defaults__:
            values = "".join(f"{self._expression(f'{within}, a default', each)}, " for each in function.__defaults__)
            self.parts.append(f"{target}.__defaults__ = ({values})\n")
        if function.__kwdefaults__:
            keywords = self._expression(f"{within}, a default", dict(function.__kwdefaults__))
            self.parts.append(f"{target}.__kwdefaults__ = {keywords}\n")

    def _expression(self, where: str, value: Any) -> str:
        """A value as Python writes it; arrays from a file beside."""
        if isinstance(value, float) and type(value) is float:
            return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
        if value is None or type(value) in (bool, int, str, bytes):
            return repr(value)
        if type(value) is complex:
            return f"complex({self._expression(where, value.real)}, {self._expression(where, value.imag)})"
        if type(value) in (list, tuple):
            inner = "".join(f"{self._expression(where, each)}, " for each in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner})"
        if type(value) is dict:
            pairs = (f"{self._expression(where, key)}: {self._expression(where, each)}" for key, each in value.items())
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcSU":
            name = f"a{len(self.arrays)}"
            self.arrays[name] = np.asarray(value)
            return f"_arrays[{name!r}]" if isinstance(value, np.ndarray) else f"_arrays[{name!r}][()]"
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise InputError(where, got=f"an object of {kind}, which no file can hold", expected=_EXPECTED, cure=_CURE)


def _content(where: str, name: str, cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise InputError(f"{where}: {name}", got="a variable without a value yet", expected=_EXPECTED) from None


def is_functions(model: Any) -> bool:
    """Whether a model is given as functions: one, or several by the names of backends."""
    return (callable(model) and not isinstance(model, ModuleType)) or isinstance(model, Mapping)
