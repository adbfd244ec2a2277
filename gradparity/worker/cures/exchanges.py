"""Two things that have changed places, and changes that only several edits at once make: each is one hypothesis."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, groupby, islice
from itertools import permutations as orders_of

from gradparity.worker.cures.permutations import numpy_of
from gradparity.worker.cures.scope import Site, imports, module_of, resolve
from gradparity.worker.cures.sources import Edit, Hypothesis
from gradparity.worker.cures.text import closed

#: Parts of one array of which every order is tried, and names of which any two are exchanged.
MOST_PARTS, MOST_NAMES = 4, 7
#: Pairs of edits.
MOST_PAIRS = 200


def names_exchanged(site: Site) -> Iterator[Hypothesis]:
    """Two names of a statement, each in the other's place: an update gate that keeps what it should replace."""
    node, source = site.node, site.source
    if not isinstance(node, ast.Assign | ast.Return | ast.AugAssign | ast.AnnAssign) or node.value is None:
        return
    uses = [each for each in ast.walk(node.value) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)]
    uses = [each for each in uses if not isinstance(source.parents.get(each), ast.Attribute | ast.keyword)]
    called = {id(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
    uses = [each for each in uses if id(each) not in called]
    names = list(dict.fromkeys(each.id for each in uses))[:MOST_NAMES]
    for one, other in combinations(names, 2):
        turned = {one: other, other: one}
        edits = tuple(Edit(*source.span(use), turned[use.id]) for use in uses if use.id in turned)
        phrase = f"{one} and {other} were in each other's place"
        yield Hypothesis(source, edits, "permutation", phrase, source.span(node), site.level, site.place, 2)


def keys(site: Site, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Hypothesis]:
    """Another parameter of the same shape, by its key; ``shapes`` are by flat name, ``enc.w``."""
    node, source = site.node, site.source
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return
    others = dict[str, None]()
    for name, shape in shapes.items():
        parts = name.split(".")
        for i in (i for i, part in enumerate(parts) if part == node.value):
            begins, ends = parts[:i], parts[i + 1 :]
            for other in (each.split(".") for each, its in shapes.items() if its == shape):
                if len(other) == len(parts) and other[:i] == begins and other[i + 1 :] == ends and other != parts:
                    others[other[i]] = None
    quote = source.of(node)[:1]
    for key in others:
        edit = Edit(*source.span(node), f"{quote}{key}{quote}")
        phrase = f"{source.of(node)} were {edit.text}"
        yield Hypothesis(source, (edit,), "permutation", phrase, source.span(node), site.level, site.place)


def parts_exchanged(sites: Sequence[Site]) -> Iterator[Hypothesis]:
    """Parts of one array in another order: gates that are slices of a product."""
    done = set[ast.AST]()
    for site in sites:
        function = site.source.enclosing(site.node, ast.FunctionDef)
        if function is None or function in done:
            continue
        done.add(function)
        source = site.source
        parts = [n for n in ast.walk(function) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Load)]
        for whole in dict.fromkeys(source.of(each.value) for each in parts):
            uses = [each for each in parts if source.of(each.value) == whole]
            slices = list(dict.fromkeys(source.of(each.slice) for each in uses))
            if len(slices) < 2:
                continue
            for order in _orders(slices):
                turned = dict(zip(slices, order, strict=True))
                changed = [use for use in uses if turned[source.of(use.slice)] != source.of(use.slice)]
                edits = tuple(Edit(*source.span(use.slice), turned[source.of(use.slice)]) for use in changed)
                shown = source.around(min(edit.start for edit in edits), max(edit.end for edit in edits))
                phrase = f"the parts of {whole} were in another order"
                yield Hypothesis(source, edits, "permutation", phrase, shown, site.level, site.place, len(edits))


def _orders(slices: list[str]) -> Iterator[tuple[str, ...]]:
    if len(slices) <= MOST_PARTS:
        yield from (order for order in orders_of(slices) if list(order) != slices)
        return
    for i, j in islice(combinations(range(len(slices)), 2), 28):
        order = list(slices)
        order[i], order[j] = order[j], order[i]
        yield tuple(order)


def axes_moved(site: Site) -> Iterator[Hypothesis]:
    """The axis of channels behind or before the others, where they are taken together."""
    node, source = site.node, site.source
    if not isinstance(node, ast.Call):
        return
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name not in {"reshape", "view", "flatten", "ravel"}:
        return
    method = isinstance(node.func, ast.Attribute) and resolve(module_of(source), node.func.value) is None
    target = node.func.value if method and isinstance(node.func, ast.Attribute) else node.args[0] if node.args else None
    if target is None:
        return
    space = "torch" if imports(site, "torch") else numpy_of(site)
    for moved in ("1, -1", "-1, 1", "0, -1", "-1, 0"):
        text = f"{space}.moveaxis({source.of(target)}, {moved})"
        phrase = f"{source.of(target)} had its axes in another order"
        edit = Edit(*source.span(target), text)
        yield Hypothesis(source, (edit,), "permutation", phrase, source.span(node), site.level, site.place, 2)


def ties(site: Site) -> Iterator[Hypothesis]:
    """Functions of one value whose gradient differs where two arguments tie."""
    node, source = site.node, site.source
    if not isinstance(node, ast.Call) or not node.args:
        return
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    value = source.of(node.args[0])
    torch, space = imports(site, "torch"), numpy_of(site)
    relus = ["torch.relu({})", "torch.clamp({}, min=0)", "torch.maximum({0}, torch.zeros_like({0}))"] if torch else [
        "jax.nn.relu({})", f"{space}.maximum({{}}, 0.0)", f"{space}.clip({{}}, 0.0, None)",
    ]  # fmt: skip
    if name in {"relu", "maximum", "clip", "clamp", "where", "clamp_min"}:
        relus += [f"{'torch' if torch else space}.where({{0}} > 0, {{0}}, 0.0)"]
        values = [value]
        if name == "where" and len(node.args) == 3:
            values = [source.of(each) for each in node.args[1:]]
        texts = [form.format(each) for each in values for form in relus]
    elif name in {"max", "amax"} and torch:
        owner = closed(source, node.func.value) if isinstance(node.func, ast.Attribute) else ""
        above = source.parents.get(node)
        values_of = isinstance(above, ast.Attribute) and above.attr == "values"
        arguments = ", ".join(source.of(each) for each in node.args)
        texts = [] if values_of else [f"{owner}.max({arguments}).values"]
        if values_of:
            assert isinstance(above, ast.Attribute)  # noqa: S101  # as was asked
            node, texts = above, [f"{owner}.amax({arguments})"]
    else:
        return
    for text in texts:
        if text != source.of(node):
            phrase = f"{source.of(node)} were {text}"
            edit = Edit(*source.span(node), text)
            yield Hypothesis(source, (edit,), "option", phrase, source.span(node), site.level, site.place)


def together(ways: Callable[[Site], Iterable[Hypothesis]], sites: Sequence[Site]) -> Iterator[Hypothesis]:
    """All edits of one way at once, of a line and of everything near: each alone may change nothing."""
    for source, near in groupby(sorted(sites, key=lambda site: str(site.source.file)), lambda site: site.source):
        each = [first for site in near for first in islice(ways(site), 1)]
        chosen = list[Hypothesis]()
        for one in sorted(each, key=lambda h: h.shown[1] - h.shown[0]):
            if all(a.end <= b.start or b.end <= a.start for o in chosen for a in o.edits for b in one.edits):
                chosen.append(one)
        for lines in ({source.place(h.shown[0])[0] for h in chosen}, *({source.place(h.shown[0])[0]} for h in chosen)):
            some = [h for h in chosen if source.place(h.shown[0])[0] in lines]
            if len(some) > 1:
                yield _joint(some)


def both(first: Sequence[Hypothesis], second: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
    """Two edits at once, one of each: a stop that stands elsewhere."""
    pairs = ((one, other) for one in first for other in second if one is not other and one.source is other.source)
    for one, other in islice(pairs, MOST_PAIRS):
        if all(a.end <= b.start or b.end <= a.start for a in one.edits for b in other.edits):
            yield _joint([one, other])


def two_values(ways: Callable[[Site], Iterable[Hypothesis]], sites: Sequence[Site]) -> Iterator[Hypothesis]:
    """The same done to what two statements give: mean and variance that are both held."""
    found = [
        hypothesis
        for site in sites
        if isinstance(site.source.parents.get(site.node), ast.Assign | ast.AnnAssign)
        for hypothesis in islice(ways(site), 1)
    ]
    for one, other in islice(combinations(found, 2), MOST_PAIRS):
        if one.source is other.source:
            yield _joint([one, other])


def _joint(some: Sequence[Hypothesis]) -> Hypothesis:
    source = some[0].source
    edits = tuple(dict.fromkeys(edit for each in some for edit in each.edits))
    shown = source.around(min(edit.start for edit in edits), max(edit.end for edit in edits))
    phrase = " and ".join(each.phrase for each in some)
    return replace(some[0], edits=edits, shown=shown, phrase=phrase, digits=1 + len(some))
