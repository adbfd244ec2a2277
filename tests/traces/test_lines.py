"""From two ports to the sentence: recorded, aligned and said, without processes; and edits tried in one."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from gradparity.judge.alignment import first_divergence
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.report.facts.faults import fault_notes, faults
from gradparity.report.page.sources import sources
from gradparity.results.divergence import Divergences
from gradparity.results.lines import Cure, Lines, Site
from gradparity.runner.sites import in_words, lines_of
from gradparity.worker import tracing
from gradparity.worker.messages import Traced
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured
from tests.report.samples import finding, problem, run

PORTS = Path(__file__).parents[1] / "evidence" / "ports"


def diverged(name: str) -> tuple[Lines, dict[str, str]]:
    """Where the broken port of a folder diverges from a right one, and the lines that are right of each."""
    folder = PORTS / name
    expect = tomllib.loads((folder / "expect.toml").read_text())
    bad = expect["fault"]["backend"]
    good = next(each for each in expect["backends"].split(",") if each != bad)
    return diverging(folder, bad, good), {b: next(says for says in expect["says"] if b in says) for b in (bad, good)}


def records(folder: Path, *names: str) -> tuple[list[Traced], list[str]]:
    """The records of ports of a folder, and the names of its parameters."""
    problem = draw_problem(load_model(folder), folder.name, 0)
    each = ((configured(name), user_loss(problem.spec, configured(name), (name,))) for name in names)
    traced = [tracing.trace(backend, loss, problem.params, problem.data, folder) for backend, loss in each]
    return traced, list(problem.params)


def diverging(folder: Path, one: str, two: str) -> Lines:
    """Where two ports of a folder diverge."""
    (first, second), params = records(folder, one, two)
    divergence = first_divergence(first, second, params)
    assert divergence is not None
    return in_words(divergence, (one, two), (first, second), folder)


@pytest.mark.parametrize(
    "name", ["huber_delta", "focal_weight_detached", "center_keepdims", "rnn_direction", "embedding_padding"]
)
def test_both_lines_are_those_of_the_fault(name: str) -> None:
    """A number, a stop, a broadcast along another axis, an order and an option; the rest is a campaign."""
    lines, wanted = diverged(name)
    for site in lines.here:
        assert re.search(wanted[site.backend], site.place), str(lines)


RULED = """import torch
class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return x * s
    @staticmethod
    def backward(ctx, g):
        x, s = ctx.saved_tensors
        return g * (s + x * s)
def hidden(x, w):
    return Swish.apply(x @ w)
def loss(params, data):
    return (hidden(data["x"], params["w"]) @ params["v"]).square().mean()
"""
PLAIN = """import jax
import jax.numpy as jnp
def hidden(x, w):
    return jax.nn.swish(x @ w)
def loss(params, data):
    return jnp.mean((hidden(data["x"], params["w"]) @ params["v"]) ** 2)
"""
DRAWN = """def parameters(rng):
    return {"w": rng.standard_normal((5, 4)), "v": rng.standard_normal(4)}
def data(rng):
    return {"x": rng.standard_normal((6, 5))}
"""


def test_a_wrong_rule_of_the_users_own_is_named_by_its_line_with_where_its_function_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within it no cotangent is seen; beside it is what the other port differentiates."""
    monkeypatch.setattr(tracing, "STARTED_S", math.inf)
    (tmp_path / "backends").mkdir()
    for name, text in (("model", DRAWN), ("backends/torch", RULED), ("backends/jax", PLAIN)):
        (tmp_path / f"{name}.py").write_text(text)
    lines = diverging(tmp_path, "torch", "jax")
    assert lines.said[1].startswith("the cotangents of `x @ w` (torch.py:13, called at torch.py:15) diverge at ")
    assert [(each.place, each.called) for each in lines.here] == [
        ("torch.py:9", "torch.py:13"),
        ("jax.py:4", "jax.py:6"),
    ]
    assert lines.here[0].text == "def backward(ctx, g):"


def site(backend: str, line: int, text: str) -> Site:
    return Site(backend=backend, file=f"{backend}.py", line=line, text=text, operation="add")


FORWARD = Lines(
    direction="forward",
    backend="torch",
    against="jax",
    agree=[site("torch", 5, "x @ w"), site("jax", 6, "jnp.dot(x, w)")],
    here=[site("torch", 6, "F.layer_norm(u, (8,))"), site("jax", 7, "var + 1e-6")],
    relative=2.7e-5,
    floors=6.4e10,
    cures=[Cure(backend="torch", file="torch.py", line=6, kind="number", old="1e-5", new="1e-6")],
)


def test_the_sentences_have_both_lines_their_text_the_size_and_the_cure() -> None:
    """What agrees, what does not, and what would make it."""
    assert FORWARD.said == [
        "the same up to `x @ w` (torch.py:5, jax.py:6)",
        "they diverge at `F.layer_norm(u, (8,))` (torch.py:6) and `var + 1e-6` (jax.py:7): "
        "2.7e-05 relative, 6.4e+10 floors",
        "they would agree in every block if `1e-5` at torch.py:6 were `1e-6` (tried at two points, to 1e-9)",
    ]


def test_a_gradient_that_ends_is_said_with_where_it_ends_and_where_it_goes_on() -> None:
    """Of a stop there is no size to say."""
    lines = Lines(
        direction="backward",
        backend="torch",
        against="jax",
        agree=[site("torch", 4, "1 - p"), site("jax", 4, "1 - p")],
        here=[site("torch", 5, "w.detach()"), site("jax", 5, "w * c")],
        silent=["torch"],
    )
    assert lines.said[1] == (
        "no cotangent flows from `1 - p` (torch.py:4) past `w.detach()` (torch.py:5), "
        "where it flows on through `w * c` (jax.py:5)"
    )


def test_lines_are_the_first_reasons_and_backends_with_one_port_share_them() -> None:
    """A rule alone, such as so many floors, is no reason beside them."""
    found = [finding(name, bad=True, cause="") for name in ("torch", "torch-compile")]
    shared = Divergences(lines=[msgspec.structs.replace(FORWARD, also=["torch-compile"])])
    result = run(problem("p", [], clock=False, findings=found, divergences=shared))
    assert [fault.reasons for fault in faults(result)] == [FORWARD.said, FORWARD.said]
    (note,) = fault_notes(faults(result))
    assert "torch, torch-compile disagree" in note.name


def test_the_page_joins_the_lines_that_have_a_common_result() -> None:
    """Each source with its marks; a join for each pair of lines that are both shown."""
    lines = msgspec.structs.replace(
        FORWARD,
        joined=[(5, 6), (40, 7)],
        excerpts={"torch": (4, ["a", "b", "c"]), "jax": (5, ["d", "e", "f"])},
    )
    panel = sources(problem("p", [], clock=False, divergences=Divergences(lines=[lines])))
    assert panel is not None
    (pair,) = panel.sources
    assert [(line.number, line.mark) for line in pair.one.lines] == [(4, ""), (5, "✓"), (6, "✗")]
    assert list(pair.joins) == [(1, 1)]


def test_a_form_feed_ends_no_line() -> None:
    """Python counts lines by newlines alone; ``str.splitlines`` does not."""
    assert lines_of("a\x0cb\x0bc\u2028d\r\ne\rf\n") == ["a\x0cb\x0bc\u2028d", "e", "f", ""]
