"""The user's files read with another text than they have, for the length of a block. Nothing is written anywhere.

What the block loads is loaded anew where it depends on such a file, and forgotten afterwards: the user's modules that
were there before are there again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

#: What the module of a user's file is called that is loaded by its path begins so.
PRIVATE = "_gradparity_user_"

# One for the process: an import may happen anywhere in the user's code.
_texts: dict[Path, str] = {}
_given: dict[str, Any] = {}
_seen: dict[str, str] = {}


class _EditedLoader(SourceFileLoader):
    """Runs the other text under the file's own path, so that tracebacks and tracers name its lines."""

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        code: CodeType = compile(_texts[Path(self.path)], self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_given)
        super().exec_module(module)


class _EditedFinder(MetaPathFinder):
    """Finds what the other finders find, and reads it with the other text."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        others = (each for each in sys.meta_path if each is not self)
        found = next((spec for each in others if (spec := each.find_spec(name, path, target)) is not None), None)
        if found is None or found.origin is None or Path(found.origin) not in _texts:
            return None
        found.loader = _EditedLoader(name, found.origin)
        return found


def loader_of(name: str, file: Path) -> SourceFileLoader:
    """What loads a file of the user's: its text, or the other one."""
    return (_EditedLoader if file in _texts else SourceFileLoader)(name, str(file))


@contextmanager
def edited(texts: Mapping[Path, str], root: Path, given: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Have files of the user's below ``root`` read with other texts, until the block ends.

    Args:
        texts: by absolute path.
        root: the folder of the user's code, all of which is loaded anew where something imports such a file.
        given: names that such a module has before its own text runs.
    """
    before, path, no_bytecode = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
    files, own, below = {str(file) for file in texts}, _files(), f"{root}{os.sep}"
    names = {name for name, file in own.items() if file in files}
    if not all(name.startswith(PRIVATE) for name in names):  # something else may have imported it
        packages = {name.partition(".")[0] for name in names}
        names |= {name for name, file in own.items() if name.partition(".")[0] in packages or _is_own(file, below)}
    anew = {name: before[name] for name in names}
    finder = _EditedFinder()
    _texts.update(texts)
    _given.update(given or {})
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, finder)
    for name in anew:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in sys.modules.keys() - before.keys():
            file = _file_of(sys.modules[name])
            if file in files or _is_own(file, below):
                del sys.modules[name]
        sys.modules.update(anew)
        sys.meta_path.remove(finder)
        sys.path[:], sys.dont_write_bytecode = path, no_bytecode
        _texts.clear()
        _given.clear()


def _files() -> dict[str, str]:
    """The file of every module that is loaded. Each is looked at once: there are thousands."""
    for name in sys.modules.keys() - _seen.keys():
        _seen[name] = _file_of(sys.modules[name])
    return {name: file for name, file in _seen.items() if file and name in sys.modules}


def _file_of(module: Any) -> str:
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return file if isinstance(file, str) else ""


def _is_own(file: str, below: str) -> bool:
    return file.startswith(below) and "site-packages" not in file
