"""The source of a function as it stands, and where what it refers to can be imported from; nothing of it is run."""

from __future__ import annotations
import __future__

import ast
import dis
import inspect
import sys
import textwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from gradparity.model_spec.errors import InputError


def wrappers(value: Any) -> int:
    """How many functions stand around the innermost, as decorators leave them."""
    count = 0
    while hasattr(value, "__wrapped__"):
        value, count = value.__wrapped__, count + 1
    return count


def without_defaults(text: str, node: ast.FunctionDef, *, decorated: bool) -> str:
    """The definition with ``None`` in place of each default, whose value is set afterwards: as it is now, not then."""
    lines = text.splitlines(keepends=True)
    dropped = 0 if decorated else node.lineno - 1
    parts = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    for part in sorted(parts, key=lambda part: (part.lineno, part.col_offset), reverse=True):
        first, last = part.lineno - 1 - dropped, (part.end_lineno or part.lineno) - 1 - dropped
        before = lines[first].encode()[: part.col_offset].decode()
        after = lines[last].encode()[part.end_col_offset :].decode()
        lines[first : last + 1] = [f"{before}None{after}"]
    return "".join(lines)


def home_of(value: Any) -> tuple[str, str] | None:
    """The module and the name that a function or class can be imported by; ``None`` of one of this session's."""
    name, module = getattr(value, "__qualname__", getattr(value, "__name__", None)), getattr(value, "__module__", None)
    loaded = sys.modules.get(module) if isinstance(module, str) else None
    if not isinstance(name, str) or loaded is None or module == "__main__" or not name.isidentifier():
        return None
    beginning = getattr(getattr(loaded, "__spec__", None), "_initializing", False)  # to import it would come here again
    known = getattr(loaded, name, None) is value and root_of(loaded) is not None and not beginning
    return (str(module), name) if known else None


def root_of(module: ModuleType) -> str | None:
    """The folder that has to be on the path for a module to be imported; ``None`` where it has no file of its name."""
    if module.__name__ in sys.builtin_module_names:
        return ""
    file = getattr(module, "__file__", None)
    spec = getattr(module, "__spec__", None)
    if not file or spec is None:
        places = list(getattr(module, "__path__", []))
        return str(Path(places[0]).parents[module.__name__.count(".")]) if places else "" if spec is not None else None
    path, parts = Path(file).resolve(), module.__name__.split(".")
    path = path.parent if path.stem == "__init__" else path.with_name(path.name.partition(".")[0])
    return str(path.parents[len(parts) - 1]) if path.parts[-len(parts) :] == tuple(parts) else None


def globals_of(code: CodeType) -> set[str]:
    """Names that code, and code in it, takes from around it."""
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    found = {each.argval for each in dis.get_instructions(code) if each.opname in loads}
    return found.union(*(globals_of(each) for each in code.co_consts if isinstance(each, CodeType)))


def source_of(where: str, function: FunctionType) -> tuple[str, ast.FunctionDef]:
    """The text of a function's definition, and what it is parsed to.

    Raises:
        InputError: it is not known, no definition of its own, or not that of the function any more.
    """
    if function.__name__ == "<lambda>":
        raise InputError(
            where, got="a lambda", expected="a function with def", cure="A lambda's source is no statement."
        )
    try:
        text = textwrap.dedent(inspect.getsource(function))
        (node,) = ast.parse(text).body
    except (OSError, TypeError, SyntaxError, ValueError):
        cure = "Write it into a cell of a notebook, a script or a file."
        got = f"{function.__name__}, whose source is not known here"
        raise InputError(where, got=got, expected="a function with a source", cure=cure) from None
    if not isinstance(node, ast.FunctionDef):
        raise InputError(where, got=type(node).__name__, expected="a function with def")
    if not _same(_compiled(text, function), function.__code__):
        cure = "Define it again, so that what is read is what runs."
        got = f"{function.__name__}, whose source has changed since it was defined"
        raise InputError(where, got=got, expected="the source of the function", cure=cure)
    return text, node


def _compiled(text: str, function: FunctionType) -> CodeType | None:
    """The code of a definition, with the variables around it that the function has."""
    free = function.__code__.co_freevars
    around = f"def around({', '.join(each for each in free if each != function.__name__)}):\n"
    whole = around + textwrap.indent(text, " ") if free else text
    code: CodeType = compile(whole, "<gradparity>", "exec", flags=_future(function), dont_inherit=True)
    inner = [code]
    while inner:
        each = inner.pop()
        if each.co_name == function.__name__:
            return each
        inner += [part for part in each.co_consts if isinstance(part, CodeType)]
    return None


def _future(function: FunctionType) -> int:
    flags = [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]
    return sum({flag for flag in flags if flag & function.__code__.co_flags and flag > inspect.CO_ASYNC_GENERATOR})


def _same(one: CodeType | None, other: CodeType) -> bool:
    """Whether two pieces of code do the same, wherever they are written."""
    if one is None or (one.co_code, one.co_names, one.co_varnames, one.co_freevars, len(one.co_consts)) != (
        other.co_code, other.co_names, other.co_varnames, other.co_freevars, len(other.co_consts),
    ):  # fmt: skip
        return False
    pairs = zip(one.co_consts, other.co_consts, strict=True)
    return all(
        _same(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else repr(a) == repr(b) for a, b in pairs
    )
