"""Which models the paths of a command stand for, and what each is called; nothing of them is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from gradparity.model_spec.user.model import MODEL_FILES, find_model, place_of_model, split_path

#: What a file has that is a model.
_FUNCTIONS = frozenset({"parameters", "data"})


def models_at(paths: Sequence[str]) -> tuple[str, ...]:
    """Paths of models, each once: a folder that is none stands for the models in it, files and folders.

    Raises:
        InputError: there is no model at a path.
    """
    found: list[str] = []
    for path in paths:
        place = Path(path)
        inside = (
            models_in(place) if place.is_dir() and not any((place / name).is_file() for name in MODEL_FILES) else []
        )
        found += [str(each) for each in inside] or [path]
    for path in found:
        find_model(path)
    chosen: dict[tuple[Path, str], str] = {}
    for path in found:
        chosen.setdefault((place_of_model(path).resolve(), split_path(path)[1]), path)
    return tuple(chosen.values())


def models_in(folder: Path) -> list[Path]:
    """Models that lie in a folder: files with ``parameters`` and ``data``, and folders with a model's file."""
    found = []
    for each in sorted(folder.iterdir()):
        if each.is_dir():
            a_model = any((each / name).is_file() for name in MODEL_FILES)
        else:
            a_model = each.suffix == ".py" and each.is_file() and _names(each) >= _FUNCTIONS
        found += [each] if a_model else []
    return found


def _names(file: Path) -> set[str]:
    """Names that a file gives to something at its top level, by its text; one that does not parse has its ``def``."""
    content = b""
    try:
        content = file.read_bytes()
        body = ast.parse(content).body
    except (OSError, SyntaxError, ValueError):
        return {name.decode() for name in re.findall(rb"^def (\w+)", content, re.MULTILINE | re.ASCII)}
    found = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            found |= {name.asname or name.name for name in statement.names}
        elif isinstance(statement, ast.Assign):
            found |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return found


def names_of(paths: Sequence[str]) -> list[str]:
    """What each model is called: its last part, and as many above it as tell it from the others."""
    parts = [Path(path).resolve().parts for path in paths]
    depth = [1] * len(parts)
    names = [each[-1] for each in parts]
    while len(set(names)) < len(names) and any(d < len(p) for d, p in zip(depth, parts, strict=True)):
        depth = [d + (names.count(name) > 1 and d < len(p)) for d, name, p in zip(depth, names, parts, strict=True)]
        names = ["/".join(p[-d:]) for d, p in zip(depth, parts, strict=True)]
    return names
