"""Orders: of axes, of entries along one, of names that a tuple is taken apart into, of arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import permutations as orders_of

from gradparity.worker.cures.numbers import is_value
from gradparity.worker.cures.scope import Site, imports, module_of
from gradparity.worker.cures.sources import Edit, Hypothesis
from gradparity.worker.cures.text import closed, put_in, stands_alone

#: Of more names than these not every order is tried, only exchanges of two.
MOST_NAMES = 4
#: Methods whose result depends on the order of axes.
OF_ORDER = frozenset({"reshape", "view", "flatten", "ravel", "sum", "mean", "softmax", "chunk", "split", "unflatten"})


#: The index that flips along some axes, where an array has negative steps.
_FLIPS = {"-1": "..., ::-1", "-2": "..., ::-1, :", "-2, -1": "..., ::-1, ::-1", "0": "::-1", "1": ":, ::-1"}


def orders(site: Site) -> Iterator[Hypothesis]:
    """Names, elements and arguments in other orders."""
    node, source = site.node, site.source
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) >= 2:
        yield from _reordered(site, node.elts)
        if len(node.elts) == 2 and isinstance(getattr(node, "ctx", None), ast.Load):
            yield from _by_turns(site, node)
    if isinstance(node, ast.Call) and len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args):
        chosen = getattr(node.func, "attr", getattr(node.func, "id", "")) in {"where", "select"}
        yield from _exchanged(site, node.args[1:] if chosen else node.args)
        for each in node.args[1:] if chosen else ():
            yield _instead(
                site, node, put_in(source, node, source.of(each)), f"{source.of(node)} were {source.of(each)}"
            )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.Pow | ast.Mod):
        yield from _exchanged(site, [node.left, node.right])
    if isinstance(node, ast.IfExp):
        yield from _exchanged(site, [node.body, node.orelse])
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "->" in node.value:
        yield from _einsum(site, node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"reshape", "view"}:
        yield from _reshaped(site, node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OF_ORDER:
        owner = node.func.value
        for axes in ("1, 2", "0, 1", "-1, -2", "2, 3"):
            new = f"{closed(source, owner)}.swapaxes({axes})"
            span = source.span(owner)
            phrase = f"{source.of(owner)} had its axes {axes} exchanged"
            yield Hypothesis(
                source, (Edit(*span, new),), "permutation", phrase, source.span(node), site.level, site.place
            )
    if isinstance(node, ast.Attribute) and node.attr in {"T", "mT"}:
        yield _instead(site, node, source.of(node.value), f"{source.of(node)} were not transposed")


def transposed(site: Site) -> Iterator[Hypothesis]:
    """A matrix that is used as it is and transposed, the other way round at each of its uses in a statement."""
    source, node = site.source, site.node
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.Return | ast.AnnAssign):
        return
    turned = [each for each in ast.walk(node) if isinstance(each, ast.Attribute) and each.attr in {"T", "mT"}]
    for whole in dict.fromkeys(source.of(each.value) for each in turned):
        uses = [each for each in ast.walk(node) if isinstance(each, ast.expr) and source.of(each) == whole]
        uses = [each for each in uses if not isinstance(getattr(each, "ctx", None), ast.Store)]
        edits = []
        for use in uses:
            above = source.parents.get(use)
            is_turned = isinstance(above, ast.Attribute) and above.attr in {"T", "mT"}
            edits.append(Edit(*source.span(above if is_turned else use), whole if is_turned else f"{whole}.T"))  # type: ignore[arg-type]
        if len(edits) > 1:
            phrase = f"{whole} were transposed where it is not, and not where it is"
            yield Hypothesis(source, tuple(edits), "permutation", phrase, source.span(node), site.level, site.place, 2)


def arrangements(site: Site) -> Iterator[Hypothesis]:
    """A value transposed, flipped along an axis, or with an axis more or less."""
    if not isinstance(site.node, ast.expr) or not is_value(site):
        return
    node, text = site.node, closed(site.source, site.node)
    torch = imports(site, "torch")
    whole = site.source.of(node)
    yield _instead(site, node, f"{text}.T", f"{whole} were transposed")
    yield _instead(site, node, f"{text}.swapaxes(-1, -2)", f"{whole} were transposed")
    for axes, index in _FLIPS.items():
        flipped = f"torch.flip({whole}, ({axes},))" if torch else f"{text}[{index}]"
        yield _instead(site, node, flipped, f"{whole} were flipped along {axes}")
    yield _instead(site, node, f"{text}.swapaxes(0, 1)", f"{whole} had its first axes exchanged")
    for index, words in (
        ("[..., 0]", "had no last axis"),
        ("[..., None]", "had one axis more"),
        ("[:, None]", "had one axis more"),
    ):
        yield _instead(site, node, f"{text}{index}", f"{whole} {words}")


def _reordered(site: Site, elements: list[ast.expr]) -> Iterator[Hypothesis]:
    if len(elements) > MOST_NAMES:
        yield from _exchanged(site, elements)
        return
    for order in orders_of(elements):
        if list(order) != elements:
            yield _in_order(site, elements, list(order))


def _by_turns(site: Site, pair: ast.Tuple | ast.List) -> Iterator[Hypothesis]:
    """Two elements that change places where something holds that the function asks for elsewhere."""
    source, function = site.source, site.source.enclosing(pair, ast.FunctionDef)
    if function is None:
        return
    asked = [node.test for node in ast.walk(function) if isinstance(node, ast.IfExp | ast.If)]
    tests = dict.fromkeys(source.of(each) for each in asked if isinstance(each, ast.Name | ast.Compare | ast.Attribute))
    (first, second), whole = map(source.of, pair.elts), source.of(pair)
    bare = whole if whole[0] in "([" else f"({whole})"
    for test in tests:
        turned = f"{bare[0]}{second}, {first}{bare[-1]}"
        for one, other in ((turned, bare), (bare, turned)):
            phrase = f"{first} and {second} changed places with {test}"
            text = f"{one} if {test} else {other}"
            yield _instead(site, pair, text if stands_alone(source, pair) else f"({text})", phrase)


def _exchanged(site: Site, elements: list[ast.expr]) -> Iterator[Hypothesis]:
    for i in range(len(elements)):
        for j in range(i + 1, len(elements)):
            order = list(elements)
            order[i], order[j] = order[j], order[i]
            yield _in_order(site, elements, order)


def _in_order(site: Site, elements: list[ast.expr], order: list[ast.expr]) -> Hypothesis:
    source, node = site.source, site.node
    operands = isinstance(node, ast.BinOp | ast.IfExp)

    def text(new: ast.expr) -> str:
        return closed(source, new) if operands else source.of(new)

    edits = tuple(
        Edit(*source.span(old), text(new)) for old, new in zip(elements, order, strict=True) if old is not new
    )
    if operands:  # what stood in parentheses keeps them
        edits = tuple(
            edit._replace(text=source.of(new)) if _enclosed(source, old) else edit
            for edit, (old, new) in zip(edits, zip(elements, order, strict=True), strict=True)
        )
    shown = source.span(node)
    was, now = (", ".join(source.of(each) for each in some) for some in (elements, order))
    return Hypothesis(source, edits, "permutation", f"{was} were {now}", shown, site.level, site.place)


def _enclosed(source: object, node: ast.expr) -> bool:
    start, end = source.span(node)  # type: ignore[attr-defined]
    return bool(source.between(start - 1, start) == "(" and source.between(end, end + 1) == ")")  # type: ignore[attr-defined]


def _einsum(site: Site, node: ast.Constant) -> Iterator[Hypothesis]:
    """Two letters of one operand, or of the result, exchanged."""
    words = str(node.value)
    begin = 0
    for part in words.replace("->", ",,").split(","):
        at = words.index(part, begin)
        for i in range(len(part)):
            for j in range(i + 1, len(part)):
                letters = list(part)
                letters[i], letters[j] = letters[j], letters[i]
                if part[i] != part[j]:
                    new = words[:at] + "".join(letters) + words[at + len(part) :]
                    yield _instead(site, node, f'"{new}"', f'"{words}" were "{new}"')
        begin = at + len(part)


def _reshaped(site: Site, call: ast.Call) -> Iterator[Hypothesis]:
    """Two neighbouring axes taken apart in the other order, as the heads of an attention are."""
    source = site.source
    sizes = call.args
    if len(sizes) == 1 and isinstance(sizes[0], ast.Tuple | ast.List):
        sizes = sizes[0].elts
    for i in range(len(sizes) - 1):
        edits = (
            Edit(*source.span(sizes[i]), source.of(sizes[i + 1])),
            Edit(*source.span(sizes[i + 1]), source.of(sizes[i])),
            Edit(source.span(call)[1], source.span(call)[1], f".swapaxes({i - len(sizes)}, {i + 1 - len(sizes)})"),
        )
        phrase = f"{source.of(sizes[i])} and {source.of(sizes[i + 1])} were taken apart in the other order"
        yield Hypothesis(source, edits, "permutation", phrase, source.span(call), site.level, site.place)


def numpy_of(site: Site) -> str:
    """What a file calls the namespace of its arrays."""
    module = module_of(site.source)
    names = {} if module is None else vars(module)
    wanted = ("jax.numpy", "autograd.numpy", "numpy")
    found = {str(getattr(each, "__name__", "")): name for name, each in names.items()}
    return next((found[each] for each in wanted if each in found), "jax.numpy")


def _instead(site: Site, node: ast.expr, text: str, phrase: str) -> Hypothesis:
    span = site.source.span(node)
    return Hypothesis(site.source, (Edit(*span, text),), "permutation", phrase, span, site.level, site.place, 2)
