"""Options of calls, and functions and comparisons that are taken for one another."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from gradparity.worker.cure_messages import Kind
from gradparity.worker.cures import tables
from gradparity.worker.cures.numbers import Unknown
from gradparity.worker.cures.scope import Site, imports, module_of, resolve
from gradparity.worker.cures.sources import Edit, Hypothesis

#: Comparisons that differ at a tie, or by their side.
_COMPARED: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<="),
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
}
#: Paddings of one and of two axes that a word may stand for, and options that may as well be nothing.
PADDINGS = [f"[({low}, {high}){', ' * (n - 1)}{f'({low}, {high})' * (n - 1)}]" for n in (2, 1) for low, high in (
    (1, 1), (0, 1), (1, 0), (2, 2), (0, 0)
)]  # fmt: skip
NONE_TOO = frozenset({"padding_idx=", "max_norm=", "num_classes="})

_OPERATED: dict[type[ast.operator], tuple[str, ...]] = {
    ast.Add: ("-",),
    ast.Sub: ("+",),
    ast.Mult: ("/",),
    ast.Div: ("*",),
}


def options(site: Site) -> Iterator[Hypothesis]:
    """Other values of what is given, other functions, other comparisons; then options that are not given."""
    yield from words(site)
    yield from functions(site)
    yield from operators(site)
    yield from not_given(site)


def words(site: Site) -> Iterator[Hypothesis]:
    """Another word, or the opposite of a flag."""
    node = site.node
    if not isinstance(node, ast.Constant):
        return
    above = site.source.parents.get(node)
    name = f"{above.arg}=" if isinstance(above, ast.keyword) else ""
    if isinstance(node.value, bool):
        others = [str(not node.value)]
    elif isinstance(node.value, str):
        both = [other for group in tables.WORDS if node.value in group for other in group if other != node.value]
        others = [repr(other) for other in dict.fromkeys(both)]
        quote = site.source.of(node)[:1]
        others = [other.replace("'", quote) if quote in "\"'" else other for other in others]
        others += PADDINGS if node.value in ("SAME", "VALID") else []
    elif node.value is not None and name in NONE_TOO:
        others = ["None"]
    else:
        return
    for other in others:
        yield _instead(site, node, other, f"{name}{site.source.of(node)} were {name}{other}")


def functions(site: Site) -> Iterator[Hypothesis]:
    """Another function of the same signature."""
    node, source = site.node, site.source
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        name, end = node.attr, source.span(node)[1]
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        name, end = node.id, source.span(node)[1]
    else:
        return
    called = isinstance(source.parents.get(node), ast.Call | ast.keyword | ast.Assign | ast.List | ast.Tuple)
    if not called:
        return
    others = dict.fromkeys(o for group in tables.FUNCTIONS if name in group for o in group if o != name)
    for other in others:
        edit = Edit(end - len(name.encode()), end, other)
        shown = source.span(node)
        phrase = f"{name} were {other}"
        yield Hypothesis(source, (edit,), "option", phrase, shown, site.level, site.place)


def operators(site: Site) -> Iterator[Hypothesis]:
    """A comparison with or without its tie, or the other way round; a sign; a product for a quotient."""
    node, source = site.node, site.source
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right, others = node.left, node.comparators[0], _COMPARED.get(type(node.ops[0]), ())
    elif isinstance(node, ast.BinOp):
        left, right, others = node.left, node.right, _OPERATED.get(type(node.op), ())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert | ast.Not):
        yield _instead(site, node, source.of(node.operand), f"{source.of(node)} were {source.of(node.operand)}")
        return
    else:
        return
    between = source.span(left)[1], source.span(right)[0]
    text = source.between(*between)
    sign = text.strip(" ()\n\t\\")
    for other in others:
        start = between[0] + len(text[: text.index(sign)].encode())
        edit = Edit(start, start + len(sign.encode()), other)
        yield Hypothesis(source, (edit,), "option", f"{sign} were {other}", source.span(node), site.level, site.place)


def not_given(site: Site) -> Iterator[Hypothesis]:
    """Options that a call leaves at their defaults, and words and flags of those that can be no other number."""
    for name, default in _open(site):
        for value in _values(name, default):
            yield _with_option(site, name, repr(value))


def unknown_options(site: Site) -> Iterator[Unknown]:
    """Numbers that a call leaves at their defaults."""
    for name, default in _open(site):
        if name in tables.USUAL and name != "scale":
            continue
        if isinstance(default, float) or name == "scale":
            value = 1.0 if default is None else float(default)

            def make(text: str, digits: int, name: str = name) -> Hypothesis:
                return _with_option(site, name, text, digits)

            yield Unknown(value, repr(value), make)


def _open(site: Site) -> Iterator[tuple[str, Any]]:
    """Options of a call with their defaults that it does not give."""
    call = site.node
    if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
        return
    if any(isinstance(each, ast.Starred) for each in call.args):
        return
    given = {keyword.arg for keyword in call.keywords}
    positions, defaults = _signature(site, call.func)
    given |= set(positions[: len(call.args)])
    for name, default in defaults.items():
        if name not in given and name not in tables.PASSED_BY and not name.startswith("_"):
            yield name, default


def _signature(site: Site, called: ast.expr) -> tuple[list[str], dict[str, Any]]:
    """Names of the positional parameters of what is called, and the defaults of those that have one."""
    function = resolve(module_of(site.source), called)
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    bound = False
    if function is None and isinstance(called, ast.Attribute):
        bound = True
        if name in tables.METHODS and not imports(site, "torch"):
            function = getattr(sys.modules.get("jax.numpy", sys.modules["numpy"]), name, None)
    if function is not None:
        if "autograd" in str(getattr(function, "__module__", "")) or hasattr(function, "fun"):
            function = getattr(sys.modules["numpy"], name, function)
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            parameters = {}.values()
        plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        by_name = {p.name: p.default for p in parameters if p.kind is not p.POSITIONAL_ONLY}
        if plain or by_name:
            by_name |= dict.fromkeys(by_name.keys() & {"keepdims", "keepdim"}, False)  # NumPy's have a value of no type
            known = {n: d for n, d in by_name.items() if d is None or type(d) in (bool, int, float, str)}
            return plain[bound:], known
    return [], dict(tables.UNTOLD.get(name, {}))


def _values(name: str, default: Any) -> Iterator[Any]:
    """What an option may be other than its default."""
    if isinstance(default, bool):
        yield not default
    elif isinstance(default, str):
        yield from dict.fromkeys(w for group in tables.WORDS if default in group for w in group if w != default)
    elif name in tables.USUAL and name != "scale":
        yield from (value for value in tables.USUAL[name] if value != default or type(value) is not type(default))
    elif isinstance(default, int):
        yield from (value for value in (default - 1, default + 1, 0, 2) if value != default)


def _with_option(site: Site, name: str, text: str, digits: int = 1) -> Hypothesis:
    source, call = site.source, site.node
    assert isinstance(call, ast.Call)  # noqa: S101  # options are of calls
    start, end = source.span(call)
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    rest = source.between(max(source.span(each)[1] for each in given), end - 1) if given else ""
    comma = "" if not given or rest.strip().endswith(",") else ", "
    edit = Edit(end - 1, end - 1, f"{comma}{name}={text}")
    kind: Kind = "number" if name in {"eps", "epsilon", "negative_slope"} else "option"
    return Hypothesis(
        source, (edit,), kind, f"{source.of(call.func)} had {name}={text}", (start, end), site.level, site.place, digits
    )


def _instead(site: Site, node: ast.expr, text: str, phrase: str) -> Hypothesis:
    span = site.source.span(node)
    return Hypothesis(site.source, (Edit(*span, text),), "option", phrase, span, site.level, site.place)
