"""Backends of other packages: known by their entry points, and looked at without a line of theirs being run."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, distributions
from typing import NamedTuple

#: Third parties register ``name = "module:attribute"`` here in their own package's metadata.
ENTRY_POINT_GROUP = "gradparity.backends"
#: And here ``name = "framework"``, where a backend takes a user's losses for a framework of another name.
FAMILY_GROUP = "gradparity.families"


class Plugin(NamedTuple):
    """What a package registers.

    ``fault`` is what is to be done about it before it can be used at all, or ``""``; ``family`` the name of its
    framework, where that is another.
    """

    name: str
    target: str
    package: str
    fault: str = ""
    family: str = ""


@cache
def plugins(*_path: str) -> tuple[Plugin, ...]:
    """The backends of other packages on that path, each name once: to read all metadata takes some milliseconds."""
    found: dict[str, Plugin] = {}
    for package, entry, family in _entries():
        plugin = _plugin(package, entry, family)
        other = found.get(plugin.name)
        if other is not None:
            twice = f"uninstall {package} or {other.package}, which both register that name"
            said = twice if package != other.package else f"have {package} mended, which registers that name twice"
            plugin = Plugin(plugin.name, "", package, said)
        found[plugin.name] = plugin
    return tuple(found.values())


def _entries() -> Iterator[tuple[str, EntryPoint, str]]:
    """Every entry point of the group with its package and family; of a package that is there twice the first's."""
    seen: set[str] = set()
    for distribution in distributions():
        try:
            entries = tuple(distribution.entry_points.select(group=ENTRY_POINT_GROUP))
            package = distribution.metadata["Name"] if entries else ""
            families = {each.name: each.value for each in distribution.entry_points.select(group=FAMILY_GROUP)}
        except Exception:  # noqa: S112  # of a package whose metadata nobody can read, whatever is the matter with them
            continue
        if entries and (key := re.sub("[-_.]+", "-", str(package)).lower()) not in seen:
            seen.add(key)
            yield from ((str(package), entry, families.get(entry.name, "")) for entry in entries)


def _plugin(package: str, entry: EntryPoint, family: str) -> Plugin:
    match = entry.pattern.match(entry.value)
    fault = ""
    if match is None or not match["attr"]:
        fault = f"have {package} mended: {entry.value!r} is no module:attribute"
    elif not entry.name.isprintable() or not re.fullmatch(r"[^,~\s]+", entry.name):
        odd = "a space, a comma, ~ or what cannot be printed"
        fault = f"have {package} mended: rename {entry.name!r}, since --backends takes no name with {odd}"
    elif family and not re.fullmatch("[A-Za-z0-9_-]+", family):
        fault = f"have {package} mended: {family!r} in {FAMILY_GROUP} is no name of a framework"
    target = "" if match is None or fault else f"{match['module']}:{match['attr']}"
    return Plugin(entry.name or "''", target, package, fault, family)


@cache
def lacking(target: str, package: str, *_path: str) -> str:
    """What is to be done so that a package's ``module:attribute`` can be imported; ``""`` where nothing is known of it.

    Looked for are the module and its parents, and what each of them imports before it does anything else.
    """
    place: Sequence[str] | None = None
    parts = target.partition(":")[0].split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        spec = _spec(name, place) if count == 1 or place is not None else None
        if spec is None:
            return f"reinstall {package}, whose module {name} is not there"
        for needed in _imported(spec):
            if needed != parts[0] and _spec(needed, None) is None:
                return f"install what has the module {needed}, which {package} imports"
        place = spec.submodule_search_locations
    return ""


def _spec(name: str, place: Sequence[str] | None) -> ModuleSpec | None:
    """Where a module is, within its parent's places: ``importlib.util.find_spec`` would import the parent."""
    if name in sys.modules and sys.modules[name] is None:  # somebody has seen to it that it is not imported
        return None
    for finder in sys.meta_path:
        spec = finder.find_spec(name, place, None)
        if spec is not None:
            return spec
    return None


def _imported(spec: ModuleSpec) -> Iterator[str]:
    """Packages that a module of Python imports at its beginning, whatever happens; in a branch it may not need them."""
    if not spec.has_location or spec.origin is None or not spec.origin.endswith(".py"):
        return
    try:
        with tokenize.open(spec.origin) as file:
            body = ast.parse(file.read()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # its import will say so
    for each in body:
        if isinstance(each, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            if each.module is not None and not each.level:
                yield each.module.partition(".")[0]
        elif not _idle(each):
            return


def _idle(statement: ast.stmt) -> bool:
    """Whether a statement has nothing to do with what can be imported: a docstring, a constant, the environment."""
    if not isinstance(statement, ast.Expr | ast.Assign):
        return False
    said = ast.unparse(statement)
    return isinstance(statement.value, ast.Constant) or said.startswith("os.environ")
