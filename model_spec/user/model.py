"""The user's own model, loaded from a path: a file, or a folder with ``model.py`` and ``backends/``.

Files are loaded by path under private module names, so that ``import torch`` in ``backends/torch.py`` still means the
framework. The model's folder goes on ``sys.path`` after everything else: modules beside the model are found, unless
something installed has their name. The names that this contract gives to the user's files always mean the user's.
This runs the user's code: in processes of their own only.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.edited import PRIVATE, loader_of
from gradparity.model_spec.user.variables import cure_of_missed, note_reads

#: What the model's file may be called in a folder, and the folder of the backends' own files beside it.
MODEL_FILES, BACKENDS_FOLDER = ("model.py", "model_spec.py"), "backends"

#: The loss of a model unless its path names another, ``model.py::smooth``, and what stands before that name.
LOSS, MARK = "loss", "::"

_CONTRACT = "parameters(rng), data(rng) and, unless every backend has its own, loss(params, data, xp)"


@dataclass(frozen=True)
class UserModel:
    """A loaded model: ``file`` has its functions, ``folder`` the backends' own files, if it is a folder.

    ``loss_name`` is what its loss is called, and begins the names of those for one backend: ``smooth``,
    ``smooth_jax``. A hand-written ``gradient``, ``step``, ``init``, ``initialise`` and ``batches`` are of
    ``loss`` alone.
    """

    file: Path
    folder: Path | None
    module: ModuleType
    loss_name: str = LOSS

    @property
    def path(self) -> str:
        """What `load_model` loads it by again."""
        place = str(self.folder or self.file)
        return place if self.loss_name == LOSS else f"{place}{MARK}{self.loss_name}"

    @property
    def loss(self) -> Callable[..., Any] | None:
        """The neutral loss, or ``None``."""
        return self.function(self.loss_name, "params, data, xp")

    @property
    def root(self) -> Path:
        """The folder that the user's code is in."""
        return self.file.parent

    def function(self, name: str, arguments: str) -> Callable[..., Any] | None:
        """One of the model's functions, or ``None`` where it has none of that name.

        Raises:
            InputError: the name is there, and is no function, or none of these ``arguments``.
        """
        found = getattr(self.module, name, None)
        if found is not None and not callable(found):
            raise InputError(f"{display_path(self.file)}: {name}", got=type(found).__name__, expected="a function")
        return None if found is None else _taking(found, arguments)

    def own_loss(self, *names: str) -> Callable[..., Any] | None:
        """The loss written for a backend: from the first of its ``names`` that has a file or a ``loss_NAME``.

        Raises:
            InputError: the file does not import, or has no loss.
        """
        for name in names:
            file = self._port(name)
            if file is not None:
                return _required(execute(file, self.root), file, self.loss_name, f"{self.loss_name}(params, data)")
            found = self.function(f"{self.loss_name}_{name.replace('-', '_')}", "params, data")
            if found is not None:
                return found
        return None

    def own(self, function: str, arguments: str, names: Sequence[str]) -> Callable[..., Any] | None:
        """A function that a port may have: ``step`` in the backend's file or ``step_NAME``; ``None`` where none has it.

        Raises:
            InputError: the file does not import, or the name is there, and is no function of these ``arguments``.
        """
        for name in names if self.loss_name == LOSS else ():
            file = self._port(name)
            if file is not None:
                model = UserModel(file, None, execute(file, self.root))
                return model.function(function, arguments)
            found = self.function(f"{function}_{name.replace('-', '_')}", arguments)
            if found is not None:
                return found
        return None

    def _port(self, name: str) -> Path | None:
        """The file of a backend in a model's folder, where there is one."""
        file = None if self.folder is None else self.folder / BACKENDS_FOLDER / f"{name}.py"
        return file if file is not None and file.is_file() else None

    def own_gradient(self, *names: str) -> Callable[..., Any] | None:
        """The gradient written by hand for a backend: ``gradient`` in its file, or ``gradient_NAME`` by its first name
        that has one; numpy's may be called ``gradient`` alone.

        Raises:
            InputError: that file does not import, it is no such function, or there are two.
        """
        for name in names if self.loss_name == LOSS else ():
            port = self._port(name)
            places = [(self, f"gradient_{name.replace('-', '_')}"), *([(self, "gradient")] if name == "numpy" else [])]
            if port is not None:
                places.append((UserModel(port, None, execute(port, self.root)), "gradient"))
            known = [model.function(called, "params, data") for model, called in places]
            found = [function for function in known if function is not None]
            if len(found) > 1:
                got = " and ".join(map(place_of_function, found))
                raise InputError(f"gradient by hand for {name}", got=got, expected="one of them")
            if found:
                return found[0]
        return None

    def written_for(self) -> list[str]:
        """Names of the backends that have a loss of their own, as file names and functions have them."""
        prefix = f"{self.loss_name}_"
        functions = [name.removeprefix(prefix) for name in vars(self.module) if name.startswith(prefix)]
        files = sorted((self.folder / BACKENDS_FOLDER).glob("*.py")) if self.folder else []
        return list(dict.fromkeys([*functions, *(file.stem for file in files if not file.stem.startswith("_"))]))


def split_path(path: str | Path) -> tuple[str, str]:
    """The path of ``model.py::smooth``, and the name of the loss, which is ``loss`` where none is named."""
    place, mark, name = str(path).rpartition(MARK)
    return (place, name) if mark else (name, LOSS)


def place_of_model(path: str | Path) -> Path:
    """The file or folder of a model, whichever of its losses is meant."""
    return Path(split_path(path)[0])


def find_model(path: str | Path) -> tuple[Path, Path | None]:
    """The model's file, and its folder if it is one; nothing is run.

    Raises:
        InputError: there is no model at that path, or there are two.
    """
    place, loss_name = split_path(path)
    if not loss_name.isidentifier():
        raise InputError(
            "model", got=str(path), expected=f"the name of a function after {MARK}, as in model.py{MARK}loss"
        )
    given = Path(place)
    resolved = given.resolve()
    if not resolved.is_dir():
        if not resolved.is_file():
            raise _no_model(f"{given}, where there is no file")
        if resolved.suffix != ".py":
            raise InputError("model", got=str(given), expected="a Python file whose name ends in .py, or a folder")
        return resolved, None
    found = [resolved / name for name in MODEL_FILES if (resolved / name).is_file()]
    if not found:
        raise _no_model(f"{given}, a folder without {' or '.join(MODEL_FILES)}")
    if len(found) > 1:
        raise InputError(
            "model",
            got=f"{given}, a folder with {' and '.join(MODEL_FILES)}",
            expected="one of the two",
            cure="Remove or rename the one that is not the model.",
        )
    return found[0], resolved


def load_model(path: str | Path) -> UserModel:
    """Load the model at a path; its backends' own files are loaded when they are asked for.

    Raises:
        InputError: there is no model at that path, it does not import, or it lacks a function. A model without any
            loss is no fault here: a program of any language may be its loss.
    """
    file, folder = find_model(path)
    note_reads(file.parent)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    if _OwnNames(file.parent) not in sys.meta_path:
        sys.meta_path.insert(0, _OwnNames(file.parent))
    module = execute(file, file.parent)
    for name in ("parameters", "data"):
        _required(module, file, name, f"{name}(rng)")
    model = UserModel(file, folder, module, split_path(path)[1])
    if model.loss is None and not model.written_for() and model.loss_name != LOSS:
        raise no_loss(path)
    return model


def no_loss(path: str | Path) -> InputError:
    """What is at fault with a model that has no loss, where nothing else is its loss."""
    name = split_path(path)[1]
    return InputError(
        display_path(find_model(path)[0]),
        got=f"no {name}",
        expected=f"{name}(params, data, xp), or a loss for a backend",
        cure=f"A model has {_CONTRACT}.",
    )


@dataclass(frozen=True)
class _OwnNames(MetaPathFinder):
    """Finds ``model``, ``model_spec`` and ``backends`` in the model's folder before anything installed has a say."""

    folder: Path

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        """Where a module lies, for the import system; ``None`` leaves it to the other finders."""
        own = name == BACKENDS_FOLDER or f"{name}.py" in MODEL_FILES
        return PathFinder.find_spec(name, [str(self.folder)], target) if own else None


def execute(file: Path, root: Path) -> ModuleType:
    """Run a file of the user's as a module under a private name, once in a process.

    Raises:
        InputError: it does not import; with the line of the user's code at fault.
    """
    name = PRIVATE + "".join(c if c.isalnum() else "_" for c in str(file.with_suffix("")))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file, loader=loader_of(name, file))
    assert spec is not None  # noqa: S101  # its name ends in .py
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    try:
        with blaming(file, root, "a file that imports", at=display_path(file)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def blaming(file: Path, root: Path, expected: str, *passing: type[Exception], at: str = "") -> Iterator[None]:
    """Turn whatever the user's code raises inside into one `InputError` with file and line.

    SystemExit and KeyboardInterrupt are such exceptions too: no signal of a terminal comes here. An InputError that is
    raised inside is passed on as it is, and so are those of ``passing``. What has no line of the user's in it is the
    user's only where nothing but the user's code runs inside: then ``at`` is its place.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, (InputError, *passing)):
            raise
        place, line = place_of(error, file, root)
        if line is None and not at and not isinstance(error, ImportError):
            raise  # no line of the user's is in it: the fault is not the user's
        said = words_of(error).strip().splitlines()
        got = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
        if isinstance(error, SystemExit):
            got = f"the code ends the process: {type(error).__name__}({error.code!r})"
        where = f"{display_path(place)}, line {line}" if line else at or display_path(place)
        raise InputError(where, got=got, expected=expected, cure=cure_of_missed()) from error


def words_of(error: BaseException) -> str:
    """What an exception says, which may raise another, or have half a surrogate pair, which no message can hold."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except BaseException as other:  # SystemExit among them: it is the user's code
        return f"what it says raises {type(other).__name__}"


def place_of(error: BaseException, file: Path, root: Path) -> tuple[Path, int | None]:
    """The file and line of the user's code that an exception came from: the innermost below ``root``."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(root)]
    own = [frame for frame in frames if "site-packages" not in Path(frame.filename).relative_to(root).parts]
    return (Path(own[-1].filename), own[-1].lineno) if own else (file, None)


def place_of_function(function: Callable[..., Any]) -> str:
    """``model.py, line 12: loss``, for messages about what a function returned."""
    plain = inspect.unwrap(function)
    code = getattr(plain, "__code__", None) or getattr(type(plain).__call__, "__code__", None)
    name = getattr(plain, "__name__", type(plain).__name__)
    return f"{display_path(Path(code.co_filename))}, line {code.co_firstlineno}: {name}" if code else name


def display_path(file: Path) -> str:
    """A path for messages: relative where it is below the working directory."""
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def _no_model(got: str) -> InputError:
    expected = f"a Python file, or a folder with {MODEL_FILES[0]}"
    return InputError("model", got=got, expected=expected, cure=f"It has {_CONTRACT}.")


def _required(module: ModuleType, file: Path, name: str, signature: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        got = f"no function {name}" if found is None else f"{name} is {type(found).__name__}"
        raise InputError(
            display_path(file), got=got, expected=f"a function {signature}", cure=f"A model has {_CONTRACT}."
        )
    return _taking(found, signature.partition("(")[2].rstrip(")"))


def _taking(function: Callable[..., Any], arguments: str) -> Callable[..., Any]:
    """The function, if it can be called with so many arguments: a decorator's own signature counts.

    Raises:
        InputError: it cannot, with its own signature and the one that is expected.
    """
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # of what is compiled it is not known
        return function
    try:
        signature.bind(*arguments.split(", "))
    except TypeError:
        name = getattr(function, "__name__", type(function).__name__)
        got, expected = f"{name}{signature}", f"{name}({arguments})"
        raise InputError(place_of_function(function), got=got, expected=expected) from None
    return function


def random_stream(seed: int, which: int) -> np.random.Generator:
    """The generator that parameters (0), data (1), tangents (2) and batches (3) are drawn from."""
    return np.random.default_rng([seed, which])
