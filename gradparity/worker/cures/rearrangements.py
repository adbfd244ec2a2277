"""Operations in another order: what is added within a function or behind it, and pairs that are neighbours or not.

Rotary embeddings turn pairs of features: of two neighbours, or of one in each half. Who changes how they are taken
apart has to change how they are put together, unless the order drops out in a product of two of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradparity.worker.cures.permutations import numpy_of
from gradparity.worker.cures.scope import Site, imports
from gradparity.worker.cures.sources import Edit, Hypothesis, Source
from gradparity.worker.cures.text import closed, put_in

_JOINING, _STACKING = frozenset({"concatenate", "cat", "concat", "hstack"}), frozenset({"stack"})
_FLATTENING = frozenset({"reshape", "flatten", "view", "ravel"})
_PRODUCTS = frozenset({"dot", "matmul", "mm", "mv"})


def regrouped(site: Site) -> Iterator[Hypothesis]:
    """An addend within a function or behind it; a factor before a product of matrices or behind it."""
    node, source = site.node, site.source
    for new in (*_addends(source, node), *_factors(source, node), *_nested(source, node)):
        assert isinstance(node, ast.expr)  # noqa: S101  # the others give nothing
        edit = Edit(*source.span(node), put_in(source, node, new))
        phrase = f"{source.of(node)} were {new}"
        yield Hypothesis(source, (edit,), "permutation", phrase, source.span(node), site.level, site.place)


def _addends(source: Source, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        sign = "+" if isinstance(node.op, ast.Add) else "-"
        for call, addend in ((node.left, node.right), (node.right, node.left)):
            if isinstance(call, ast.Call) and call.args and (sign == "+" or call is node.left):
                first = call.args[0]
                start, end = source.span(call)
                at, to = source.span(first)
                inner = f"{source.of(first)} {sign} {closed(source, addend)}"
                yield f"{source.between(start, at)}{inner}{source.between(to, end)}"
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.BinOp):
        inside = node.args[0]
        if isinstance(inside.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}[type(inside.op)]
            start, end = source.span(node)
            at, to = source.span(inside)
            for kept, moved in ((inside.left, inside.right), (inside.right, inside.left)):
                if kept is inside.left or sign in "+*":
                    without = f"{source.between(start, at)}{source.of(kept)}{source.between(to, end)}"
                    yield f"{without} {sign} {closed(source, moved)}"


def _factors(source: Source, node: ast.AST) -> Iterator[str]:
    """``(a * b) @ c + d`` and ``a * (b @ c + d)``, among other terms, and both with ``dot``."""
    above = source.parents.get(node)
    if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Add):
        return  # the whole sum is a piece of its own
    terms = _terms(node)
    for term in terms:
        rest = [each for each in terms if each is not term]
        for text, used in _turned(source, term, rest):
            yield " + ".join(text if each is term else source.of(each) for each in terms if each is not used)


def _turned(source: Source, term: ast.expr, rest: list[ast.expr]) -> Iterator[tuple[str, ast.expr | None]]:
    """A term with a factor on the other side of a product, and which other term went along."""
    product = _product(source, term)
    if product is not None:
        left, form = product
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult):
            for out, kept in ((left.left, left.right), (left.right, left.left)):
                inner = form.format(closed(source, kept))
                yield f"{closed(source, out)} * ({inner})", None
                for each in rest:
                    yield f"{closed(source, out)} * ({inner} + {source.of(each)})", each
    if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult):
        for factor, other in ((term.left, term.right), (term.right, term.left)):
            inside = _terms(other)
            for one in inside:
                product = _product(source, one)
                if product is not None:
                    left, form = product
                    turned = form.format(f"({closed(source, factor)} * {closed(source, left)})")
                    yield " + ".join(turned if each is one else source.of(each) for each in inside), None


def _terms(node: ast.AST) -> list[ast.expr]:
    """What a sum is a sum of."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_terms(node.left), *_terms(node.right)]
    return [node] if isinstance(node, ast.expr) else []


def _product(source: Source, node: ast.AST) -> tuple[ast.expr, str] | None:
    """The left operand of a product of matrices, and the product as a form for another one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        right = closed(source, node.right).replace("{", "{{").replace("}", "}}")
        return node.left, f"{{}} @ {right}"
    if isinstance(node, ast.Call) and len(node.args) == 2 and getattr(node.func, "attr", "") in _PRODUCTS:
        right = source.of(node.args[1]).replace("{", "{{").replace("}", "}}")
        return node.args[0], f"{source.of(node.func)}({{}}, {right})"
    return None


def _nested(source: Source, node: ast.AST) -> Iterator[str]:
    """``f(g(x))`` as ``g(f(x))``: the mean of a root for the root of a mean."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Call) and node.args[0].args:
        inner = node.args[0]
        (start, end), (at, to) = source.span(node), source.span(inner)
        (first, last) = source.span(inner.args[0])
        outer = f"{source.between(start, at)}{source.of(inner.args[0])}{source.between(to, end)}"
        yield f"{source.between(at, first)}{outer}{source.between(last, to)}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and isinstance(node.left, ast.Call):
        call = node.left
        if call.args:
            (start, end), (first, last) = source.span(call), source.span(call.args[0])
            power = f"{closed(source, call.args[0])} ** {closed(source, node.right)}"
            yield f"{source.between(start, first)}{power}{source.between(last, end)}"
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.BinOp):
        power_of = node.args[0]
        if isinstance(power_of.op, ast.Pow):
            (start, end), (first, last) = source.span(node), source.span(power_of)
            call_of = f"{source.between(start, first)}{source.of(power_of.left)}{source.between(last, end)}"
            yield f"{call_of} ** {closed(source, power_of.right)}"


def pairs(sites: list[Site]) -> Iterator[Hypothesis]:
    """Features paired as neighbours for features paired across halves, and the other way round, in one function."""
    done = set[ast.AST]()
    for site in sites:
        function = site.source.enclosing(site.node, (ast.FunctionDef, ast.Module)) or site.source.tree
        if function in done:
            continue
        done.add(function)
        for apart, together in ((_in_halves, _joined), (_as_neighbours, _woven)):
            taken, put = apart(site, function), together(site, function)
            for edits in (taken + put, taken, put):
                if edits:
                    shown = site.source.around(min(edit.start for edit in edits), max(edit.end for edit in edits))
                    phrase = "its pairs were one of each half" if apart is _in_halves else "its pairs were neighbours"
                    yield Hypothesis(
                        site.source, tuple(edits), "permutation", phrase, shown, site.level, site.place, len(edits)
                    )


def _in_halves(site: Site, function: ast.AST) -> list[Edit]:
    """Every other feature becomes one half."""
    source, edits = site.source, list[Edit]()
    for node in ast.walk(function):
        part = _last_slice(node)
        if part is not None and isinstance(part.step, ast.Constant) and part.step.value == 2:
            assert isinstance(node, ast.Subscript)  # noqa: S101  # of which the slice is
            whole = source.of(node.value)
            first = part.lower is None or (isinstance(part.lower, ast.Constant) and part.lower.value == 0)
            half = f"{whole}.shape[-1] // 2"
            edits.append(Edit(*source.span(part), f": {half}" if first else f"{half} :"))
    return edits


def _as_neighbours(site: Site, function: ast.AST) -> list[Edit]:
    """A half becomes every other feature."""
    source, edits = site.source, list[Edit]()
    for node in ast.walk(function):
        part = _last_slice(node)
        if part is not None and part.step is None and (part.lower is None) != (part.upper is None):
            edits.append(Edit(*source.span(part), "0::2" if part.lower is None else "1::2"))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"split", "chunk", "array_split"}:
            plain = [each for each in node.args if not isinstance(each, ast.Constant)]
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            taken = plain[0] if plain else owner
            names = source.parents.get(node)
            target = names.targets[0] if isinstance(names, ast.Assign) else None
            if taken is not None and isinstance(target, ast.Tuple) and len(target.elts) == 2:
                whole = closed(source, taken)
                edits.append(Edit(*source.span(node), f"({whole}[..., 0::2], {whole}[..., 1::2])"))
    return edits


def _joined(site: Site, function: ast.AST) -> list[Edit]:
    """What was stacked and flattened becomes joined."""
    source, edits = site.source, list[Edit]()
    join = "torch.cat({}, -1)" if imports(site, "torch") else f"{numpy_of(site)}.concatenate({{}}, -1)"
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in _FLATTENING:
            inner = [each for each in ast.walk(node) if each is not node and _calls(each, _STACKING)]
            if inner:
                stacked = inner[0]
                assert isinstance(stacked, ast.Call)  # noqa: S101  # as was asked for
                edits.append(Edit(*source.span(node), join.format(source.of(stacked.args[0]))))
    return edits


def _woven(site: Site, function: ast.AST) -> list[Edit]:
    """What was joined becomes stacked and flattened."""
    source, edits = site.source, list[Edit]()
    stack = "torch.stack({0}, -1).flatten(-2)" if imports(site, "torch") else ""
    for node in ast.walk(function):
        if _calls(node, _JOINING):
            assert isinstance(node, ast.Call)  # noqa: S101  # as was asked for
            parts = source.of(node.args[0])
            name = numpy_of(site)
            first = node.args[0].elts[0] if isinstance(node.args[0], ast.Tuple | ast.List) else None
            shape = f"{closed(source, first)}.shape[:-1]" if first is not None else f"{parts}[0].shape[:-1]"
            woven = stack.format(parts) or f"{name}.stack({parts}, -1).reshape(*{shape}, -1)"
            edits.append(Edit(*source.span(node), woven))
    return edits


def _calls(node: ast.AST, names: frozenset[str]) -> bool:
    return (
        isinstance(node, ast.Call)
        and bool(node.args)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in names
    )


def _last_slice(node: ast.AST) -> ast.Slice | None:
    """The slice of the last axis in an index."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple) or not node.slice.elts:
        return None
    last = node.slice.elts[-1]
    return last if isinstance(last, ast.Slice) else None
