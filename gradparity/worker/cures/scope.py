"""Which pieces of the source come into question, from the lines under suspicion outwards."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from gradparity.worker.cures.sources import Source

#: How far a piece is from the lines: on them, what their names mean, the rest of their function, the rest of the file.
ON, MEANT, FUNCTION, FILE = range(4)
#: A name means another, which means another: so many steps are followed.
STEPS = 4

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_BLOCKS = (*_FUNCTIONS, ast.ClassDef, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith)


@dataclass(frozen=True)
class Site:
    """An expression or statement that may be changed."""

    source: Source
    node: ast.expr | ast.stmt
    level: int
    place: int


class Scope:
    """The user's files as they are loaded, and the pieces of them around some lines."""

    def __init__(self, places: Sequence[tuple[str, int, int]], root: Path) -> None:
        self._places, self._root = places, root
        self._sources: dict[str, Source | None] = {}

    def sites(self) -> list[Site]:
        """Every piece, once, the nearest first."""
        found: dict[tuple[Source, ast.AST], Site] = {}

        def add(source: Source, nodes: Iterable[ast.AST], level: int, place: int) -> None:
            for node in nodes:
                if isinstance(node, ast.expr | ast.stmt) and not _unchangeable(source, node):
                    found.setdefault((source, node), Site(source, node, level, place))

        starts: list[tuple[int, Source, list[ast.AST]]] = []
        for place, (file, line, end_line) in enumerate(self._places):
            source = self.source(file)
            if source is not None:
                on = [node for node in ast.walk(source.tree) if _begins_in(node, line, end_line)]
                add(source, on, ON, place)
                starts.append((place, source, on))
        for place, source, on in starts:
            whole = [statement for node in on if (statement := _statement(source, node)) is not None]
            near = [*on, *(inner for each in dict.fromkeys(whole) for inner in _own(each))]
            add(source, near, ON, place)
            for other, meant in self._meant(source, near):
                add(other, meant, MEANT, place)
        for place, source, on in starts:
            functions = (function for node in on if (function := _outermost(source, node)) is not None)
            for function in dict.fromkeys(functions):
                add(source, ast.walk(function), FUNCTION, place)
        for place, source, _ in starts:
            add(source, ast.walk(source.tree), FILE, place)
        return sorted(found.values(), key=lambda site: (site.level, site.place))

    def source(self, file: str) -> Source | None:
        """A file of the user's, if it can be read and parsed."""
        if file not in self._sources:
            try:
                self._sources[file] = Source(Path(file), Path(file).read_text(encoding="utf-8"))
            except (OSError, SyntaxError, ValueError):
                self._sources[file] = None
        return self._sources[file]

    def _meant(self, source: Source, nodes: Sequence[ast.AST]) -> Iterator[tuple[Source, list[ast.AST]]]:
        """What the names in some pieces are defined as, and what those in the definitions are, so many steps."""
        seen, edge = set[tuple[Source, ast.AST]](), [(source, list(nodes))]
        for _ in range(STEPS):
            after: list[tuple[Source, list[ast.AST]]] = []
            for where, pieces in edge:
                for piece in pieces:
                    for other, definition in self._definitions(where, piece):
                        if (other, definition) not in seen:
                            seen.add((other, definition))
                            after.append((other, list(ast.walk(definition))))
            yield from after
            edge = after

    def _definitions(self, source: Source, node: ast.AST) -> Iterator[tuple[Source, ast.AST]]:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield from ((source, each) for each in _assigned(ast.walk(source.tree), node.attr, attribute=True))
            yield from ((source, each) for each in _methods(source, node.attr))
        if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            return
        function = source.enclosing(node, _FUNCTIONS)
        while function is not None:
            assert isinstance(function, Function)  # noqa: S101  # by what was asked for
            local: list[ast.AST] = list(_assigned(ast.walk(function), node.id))
            if _is_parameter(function, node.id):
                local += _given(source, function, node.id)
            if local:
                yield from ((source, each) for each in local)
                return
            function = source.enclosing(function, _FUNCTIONS)
        yield from ((source, each) for each in _assigned(source.tree.body, node.id))
        for each in source.tree.body:
            if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == node.id:
                yield source, each
            if isinstance(each, ast.ImportFrom):
                yield from self._imported(source, each, node.id)

    def _imported(self, source: Source, statement: ast.ImportFrom, name: str) -> Iterator[tuple[Source, ast.AST]]:
        """What a name means in another file of the user's."""
        original = next((a.name for a in statement.names if (a.asname or a.name) == name), None)
        module = sys.modules.get(statement.module or "")
        file = getattr(module, "__file__", None)
        if original is None or file is None or not Path(file).is_relative_to(self._root) or file == str(source.file):
            return
        other = self.source(file)
        if other is None:
            return
        yield from ((other, each) for each in _assigned(other.tree.body, original))
        for each in other.tree.body:
            if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == original:
                yield other, each


def module_of(source: Source) -> ModuleType | None:
    """The loaded module of a file: what its names mean."""
    loaded = (m for m in list(sys.modules.values()) if isinstance(m, ModuleType))
    return next((m for m in loaded if getattr(m, "__file__", None) == str(source.file)), None)


def imports(site: Site, name: str) -> bool:
    """Whether a file has something of a package's."""
    module = module_of(site.source)
    meant = () if module is None else vars(module).values()
    return any(str(getattr(each, "__name__", "")).partition(".")[0] == name for each in meant)


def resolve(module: ModuleType | None, node: ast.AST) -> Any:
    """What a dotted name means in a module: a function, a class, a module; ``None`` where only running it would say."""
    if isinstance(node, ast.Name):
        return None if module is None else vars(module).get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve(module, node.value)
        return getattr(owner, node.attr, None) if isinstance(owner, ModuleType | type) else None
    return None


def _begins_in(node: ast.AST, line: int, end_line: int) -> bool:
    return line <= getattr(node, "lineno", 0) <= end_line


def _statement(source: Source, node: ast.AST) -> ast.stmt | None:
    """The statement that an expression is in."""
    while not isinstance(node, ast.stmt):
        if node not in source.parents:
            return None
        node = source.parents[node]
    return node


def _own(statement: ast.stmt) -> Iterator[ast.AST]:
    """A statement's nodes, without the statements within it."""
    yield statement
    rest = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]
    while rest:
        node = rest.pop()
        yield node
        rest += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]


def _outermost(source: Source, node: ast.AST) -> ast.AST | None:
    """The function around a node, and those around that."""
    found = None
    while (node := source.parents.get(node)) is not None:  # type: ignore[assignment]
        found = node if isinstance(node, _FUNCTIONS) else found
    return found


def _assigned(nodes: Iterable[ast.AST], name: str, *, attribute: bool = False) -> Iterator[ast.stmt]:
    """Statements that give a name its value, or an attribute of that name."""
    for node in nodes:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For):
            targets = [node.target]
        for target in targets:
            for each in ast.walk(target):
                named = isinstance(each, ast.Name) and each.id == name and not attribute
                field = isinstance(each, ast.Attribute) and each.attr == name and attribute
                field |= (
                    attribute and isinstance(node, ast.AnnAssign) and isinstance(each, ast.Name) and each.id == name
                )
                if (named or field) and isinstance(node, ast.stmt) and not isinstance(node, ast.For):
                    yield node


def _methods(source: Source, name: str) -> Iterator[ast.AST]:
    return (n for n in ast.walk(source.tree) if isinstance(n, ast.FunctionDef) and n.name == name)


def _is_parameter(function: Function, name: str) -> bool:
    a = function.args
    return any(each.arg == name for each in [*a.posonlyargs, *a.args, *a.kwonlyargs])


def _given(source: Source, function: Function, name: str) -> list[ast.expr]:
    """What is given for a parameter: its default, and the argument of every call by the function's name."""
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    defaults = {arg.arg: d for arg, d in zip(positional[::-1], a.defaults[::-1], strict=False)}
    defaults |= {arg.arg: d for arg, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None}
    found = [defaults[name]] if name in defaults else []
    called = getattr(function, "name", "")
    index = next((i for i, arg in enumerate(positional) if arg.arg == name), None)
    for call in (n for n in ast.walk(source.tree) if isinstance(n, ast.Call)):
        target = call.func
        words = target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""
        if (called and words == called) or (called == "__init__" and words):
            shift = bool(positional and positional[0].arg == "self")
            at = None if index is None else index - shift
            found += [k.value for k in call.keywords if k.arg == name]
            found += [call.args[at]] if at is not None and 0 <= at < len(call.args) else []
    return found


def _unchangeable(source: Source, node: ast.AST) -> bool:
    """Annotations, and pieces of f-strings: of those the positions are not told; and docstrings."""
    above = source.parents.get(node)
    while isinstance(above, ast.expr | ast.arg | ast.FormattedValue):
        if isinstance(above, ast.JoinedStr):
            return True
        if isinstance(above, ast.arg):
            return True
        node, above = above, source.parents.get(above)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(above, ast.AnnAssign):
        return node is above.annotation
    if isinstance(above, ast.FunctionDef):
        return node is above.returns
    return isinstance(above, ast.Expr) and isinstance(node, ast.Constant)
