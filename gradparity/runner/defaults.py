"""Defaults of a project: ``[tool.gradparity]`` of the nearest ``pyproject.toml``, as ruff, mypy and pytest have theirs.

What is given on the command line, or to a check in a test, wins. `gradparity.check` in Python reads no file: what a
function does follows from its arguments, wherever it is called.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradparity.model_spec.data.tables import suggestion
from gradparity.model_spec.errors import InputError
from gradparity.runner.options import OPTIONS, Option, options_of
from gradparity.runner.parsing import counts, seeds_of, separate, several, width

#: The file and the table in it.
FILE, TABLE = "pyproject.toml", "tool.gradparity"
#: The key that stands for the paths of a command.
MODELS = "models"
#: Options whose value is a path: in the file relative to its folder.
PATHS = frozenset({"out", "baseline"})


@dataclass(frozen=True)
class Defaults:
    """What a file says: values by the names of options, and models; ``file`` is ``None`` where none says anything."""

    file: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What a command is to do: ``given`` and, where that is silent, the file; ``defaults`` has what came from which."""

    given: dict[str, Any]
    models: tuple[str, ...]
    defaults: dict[str, str]


def with_defaults(command: str, given: Mapping[str, Any], models: Sequence[str], start: Path) -> Asked:
    """Take what is not given from the project that a folder is in.

    Args:
        command: what is to be run.
        given: values of its options by their names in Python, as given.
        models: paths of models of the user's, as given.
        start: the folder; the file is looked for in it and above it.

    Raises:
        InputError: the file cannot be read, or has an unknown key or a value of another type.
    """
    found = defaults_above(start)
    if found.file is None:
        return Asked(dict(given), tuple(models), {})
    own = {option.name: option for option in options_of(command) if is_default(option)}
    built_in = any(option.built_in and option.name in given for option in OPTIONS) or bool(given.get("stress"))
    chosen = tuple(models) or (() if built_in else found.models)
    taken = {name: value for name, value in found.values.items() if name in own and name not in given}
    for name in tuple(taken):
        elsewhere = name == "reference" and len(chosen) != 1  # its answers are of one model
        if (
            elsewhere
            or (chosen and own[name].built_in)
            or name in _excluded({*given, *taken} if name != "sizes" else given)
        ):
            del taken[name]
    where = _shown(found.file)
    defaults = dict.fromkeys([*taken, *([MODELS] if chosen and not models else [])], where)
    return Asked({**taken, **given}, chosen, defaults)


def _excluded(names: Iterable[str]) -> set[str]:
    """Options that those of these names leave no place for: a default must not be refused beside what is given."""
    there, found = set(names), set()
    if "sizes" in there:
        found |= {"data", "target", "positive", "projection"}
    if there & {"data", "target", "positive", "projection"}:
        found |= {"sizes"}
    return found | ({"data", "target", "positive"} if "stress" in there else set())


def is_default(option: Option) -> bool:
    """Whether an option may have its default in the file: a setting, and no switch, which nothing could turn off."""
    return option.field is not None and option.default is not False and option.configurable


def defaults_above(start: Path) -> Defaults:
    """What the nearest file says that has the table, from a folder upward.

    Raises:
        InputError: as `with_defaults`.
    """
    folder = start.resolve()
    for file in (each / FILE for each in (folder, *folder.parents)):
        if file.is_file() and (table := _table(file)) is not None:
            return _read(file, table)
    return Defaults()


def _table(file: Path) -> dict[str, Any] | None:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("gradparity")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(_shown(file), got=str(error), expected="a file of TOML that can be read") from None
    if found is not None and not isinstance(found, dict):
        raise InputError(f"{_shown(file)}: {TABLE}", got=repr(found), expected="a table")
    return found


def _read(file: Path, table: Mapping[str, Any]) -> Defaults:
    rows = {option.name: option for option in reversed(OPTIONS) if is_default(option)}
    values: dict[str, Any] = {}
    models: tuple[str, ...] = ()
    for key, value in table.items():
        name, rule = key.replace("-", "_"), f"{_shown(file)}: {key} of [{TABLE}]"
        if name in values:
            raise InputError(rule, got="it a second time", expected="one of its two spellings")
        if name == MODELS:
            models = tuple(_path(file, each) for each in _strings(rule, value))
        elif name in rows:
            values[name] = _value(file, rule, rows[name], value)
        else:
            switch = any(option.name == name and option.default is False for option in OPTIONS)
            known = switch or any(option.name == name for option in OPTIONS)
            expected = "an option that may have a default" if known else "the name of an option, or models"
            near = suggestion(name, [MODELS, *rows])
            cure = "Nothing on the command line could turn it off." if known else near.replace("_", "-")
            got = "a switch" if switch else "one of the command line alone" if known else "an unknown key"
            raise InputError(rule, got=got, expected=expected, cure=cure)
    return Defaults(file, values, models)


def _value(file: Path, rule: str, option: Option, value: Any) -> Any:
    """A value of the type that its option has; paths as seen from here."""
    listed = option.type == list[str] or option.parse in (separate, counts, seeds_of)
    kinds = _KINDS.get(option.type, (str,))
    if listed:
        items: list[Any] = value if isinstance(value, list) else [value]
        if any(isinstance(each, bool) or not isinstance(each, str | int) for each in items) or not items:
            raise InputError(rule, got=repr(value), expected="a string or a list of them")
        words = list(map(str, items))
        moved = _MOVED.get(option.name)
        words = [moved(file, word) for word in words] if moved else words
        return words if option.parse is several else ",".join(words)
    if option.parse is width:
        kinds = (str, int)
    if isinstance(value, bool) != (kinds == (bool,)) or not isinstance(value, kinds):
        raise InputError(rule, got=repr(value), expected=_NAMES[kinds[0]])
    return _path(file, str(value)) if option.name in PATHS else value


_KINDS: dict[Any, tuple[type, ...]] = {int: (int,), float: (float, int), bool: (bool,)}
_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}


def _strings(rule: str, value: Any) -> list[str]:
    items: list[Any] = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(each, str) for each in items):
        raise InputError(rule, got=repr(value), expected="a string or a list of them")
    return items


def _path(file: Path, text: str) -> str:
    """A path that is relative to the folder of the file, as seen from here."""
    return _shown(file.parent / os.path.expanduser(text))  # noqa: PTH111  # of nobody's home it stays


def _source(file: Path, text: str) -> str:
    """A data set, by its name or as a path."""
    path = Path(text)
    named = ":" in text or not (path.suffix or len(path.parts) > 1)
    return text if named else _path(file, text)


def _interpreter(file: Path, text: str) -> str:
    """``NAME=BACKEND@PYTHON``, where PYTHON is a path or a program's name; or a command, whose words may be files."""
    mark = next((each for each in ("=command:", "=gradbench:") if each in text), "")
    if mark:
        name, _, command = text.partition(mark)
        try:
            places = [(word, file.parent.absolute() / word) for word in shlex.split(command)]
        except ValueError:  # which is said where it is read
            return text
        words = (str(place) if place.is_file() else word for word, place in places)
        return f"{name}{mark}{shlex.join(words)}"
    name, mark, python = text.partition("@")
    return f"{name}@{_path(file, python)}" if mark and "/" in python else text


#: What of a list is, or has in it, a path.
_MOVED = {"data": _source, "backend": _interpreter, "reference": _path}


def _shown(path: Path) -> str:
    """Relative where it is below the working directory, and absolute elsewhere."""
    full = Path(os.path.abspath(path))  # noqa: PTH100  # a link keeps its name
    try:
        return str(full.relative_to(Path.cwd()))
    except ValueError:
        return str(full)
