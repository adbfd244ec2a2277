"""Gradients that are stopped, or are not; and values that are rounded to a narrower dtype on the way."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradparity.worker.cure_messages import Kind
from gradparity.worker.cures import tables
from gradparity.worker.cures.numbers import is_value
from gradparity.worker.cures.scope import Site, imports, module_of, resolve
from gradparity.worker.cures.sources import Edit, Hypothesis
from gradparity.worker.cures.text import closed, put_in


def removed(site: Site) -> Iterator[Hypothesis]:
    """A stop that is not there."""
    node, source = site.node, site.source
    if isinstance(node, ast.Call):
        value = _stopped(site, node)
        if value is not None:
            yield _instead(site, node, put_in(source, node, source.of(value)), f"{source.of(node)} were not stopped")
    if isinstance(node, ast.Attribute) and node.attr in tables.STOPPING_ATTRIBUTES:
        yield _instead(site, node, source.of(node.value), f"{source.of(node)} were not stopped")
    if isinstance(node, ast.Attribute | ast.Name):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if name in {"no_grad", "inference_mode"}:
            new = source.of(node)[: -len(name)] + "enable_grad"
            yield _instead(site, node, new, f"there were no {name}")


def added(site: Site) -> Iterator[Hypothesis]:
    """A stop more."""
    node, source = site.node, site.source
    if not isinstance(node, ast.expr) or not is_value(site):
        return
    module = module_of(source)
    front, back = _stop_in(vars(module) if module is not None else {})
    text = f"{front}{source.of(node)}{back}" if front else f"{closed(source, node)}{back}"
    yield _instead(site, node, text, f"{source.of(node)} were stopped")


def narrow(site: Site) -> Iterator[Hypothesis]:
    """A conversion to a narrower dtype that is not there, or is to the model's own."""
    node, source = site.node, site.source
    if isinstance(node, ast.Attribute | ast.Name):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if name in tables.NARROW:
            wide = source.of(node)[: -len(name)] + "float64"
            yield _instead(site, node, wide, f"{source.of(node)} were {wide}", "precision")
    if isinstance(node, ast.Constant) and node.value in ("float32", "float16", "bfloat16", "f4", "<f4", "f2"):
        yield _instead(site, node, '"float64"', f"{source.of(node)} were float64", "precision")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        converts = node.func.attr in tables.NARROWING_METHODS and not node.args
        converts |= node.func.attr in {"astype", "to", "type"} and any(
            getattr(each, "attr", getattr(each, "id", getattr(each, "value", ""))) in tables.NARROW
            for each in [*node.args, *(keyword.value for keyword in node.keywords)]
        )
        if converts and resolve(module_of(source), node.func) is None:
            text = source.of(node.func.value)
            yield _instead(site, node, text, f"{source.of(node)} were {text}", "precision")
            if node.func.attr in tables.NARROWING_METHODS:
                yield _instead(site, node, f"{text}.double()", f"{source.of(node)} were {text}.double()", "precision")
        untold = not any(keyword.arg == "dtype" for keyword in node.keywords)
        if node.func.attr in tables.MADE_NARROW and untold and imports(site, "torch") and node.args:
            wide = f"{source.of(node)[:-1].rstrip().rstrip(',')}, dtype=torch.float64)"
            yield _instead(site, node, wide, f"{source.of(node)} were of float64", "precision")


def _stopped(site: Site, call: ast.Call) -> ast.expr | None:
    """The value that a call stops the gradient of."""
    if isinstance(call.func, ast.Attribute):
        owner, name = call.func.value, call.func.attr
        if name in tables.STOPPING_METHODS and not call.args:
            return owner
    else:
        name = getattr(call.func, "id", "")
    if len(call.args) != 1:
        return None
    meant = resolve(module_of(site.source), call.func)
    named = {name, getattr(meant, "__name__", "")}
    return call.args[0] if named & (tables.STOPS | {"float"}) else None


def _stop_in(names: dict[str, object]) -> tuple[str, str]:
    """What a file would write before and after a value to stop its gradient."""
    for name, meant in names.items():
        ours = getattr(meant, "__module__", "") == "gradparity.taps" and getattr(meant, "__name__", "") == "stop"
        if ours or (getattr(meant, "__name__", "") == "stop_gradient" and callable(meant)):
            return f"{name}(", ")"
    modules = {
        getattr(meant, "__name__", ""): name for name, meant in names.items() if type(meant).__name__ == "module"
    }
    if "jax.lax" in modules:
        return f"{modules['jax.lax']}.stop_gradient(", ")"
    if any(name.partition(".")[0] == "jax" for name in modules):
        return "jax.lax.stop_gradient(", ")"
    if any(name.partition(".")[0] == "torch" for name in modules):
        return "", ".detach()"
    return "gradparity.stop(", ")"


def _instead(site: Site, node: ast.expr, text: str, phrase: str, kind: Kind = "stop") -> Hypothesis:
    span = site.source.span(node)
    return Hypothesis(site.source, (Edit(*span, text),), kind, phrase, span, site.level, site.place)
