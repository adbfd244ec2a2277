"""Precisions that NumPy lacks: rounded as others round, and floors that hold what a GPU really makes of them.

The files in ``recorded`` are answers of an NVIDIA H100, written by ``tests/evidence/gpu_references.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import gradparity
from gradparity.judge.other_precision import Pair, told_apart
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.precisions import PRECISIONS
from gradparity.model_spec.problem import UserProblem, in_other_precision
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.numerics.extended import Blocks
from gradparity.results import Finding
from gradparity.results.recorded import Recorded, read
from gradparity.runner.references import consistent, judged, most_floors
from gradparity.truth.model.floor import Tape, floors
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.reference import Reference
from tests.docs.pages import ROOT

RECORDED = Path(__file__).with_name("recorded")
EXAMPLES = ROOT / "examples"


def awkward(rng: np.random.Generator) -> np.ndarray:
    """Numbers of every size that float32 has, ties between two of half precision, zeros, infinities."""
    bits = rng.integers(0, 2**32, 20_000, np.uint32)
    bits[::2] &= np.uint32(0xFFFF8000)  # ties of bfloat16
    bits[1::4] &= np.uint32(0xFFFFF000)  # and of TF32 and float16
    found = bits.view(np.float32)
    return np.append(found[np.isfinite(found)], np.float32([0.0, -0.0, np.inf, -np.inf, 65519.9, 65520, 6e-8, 2e-8]))


@pytest.mark.parametrize("wide", [np.float32, np.float64, np.longdouble])
def test_half_precision_rounds_as_its_libraries_do(wide: type):
    dtypes = pytest.importorskip("ml_dtypes")
    x = awkward(np.random.default_rng(0))
    with np.errstate(over="ignore"):
        for name, dtype in (("float16", np.float16), ("bfloat16", dtypes.bfloat16)):
            assert np.array_equal(PRECISIONS[name].rounded(x.astype(wide)), x.astype(dtype).astype(wide)), name


def test_half_precision_rounds_once_what_is_finer_than_float32():
    x = np.random.default_rng(1).standard_normal(10_000) * np.exp2(np.random.default_rng(2).integers(-20, 14, 10_000))
    tie = np.float64(1 + 2.0**-11) + 2.0**-40  # float32 makes a tie of it, which goes down
    x = np.append(x, tie)
    assert np.array_equal(PRECISIONS["float16"].rounded(x), x.astype(np.float16).astype(np.float64))
    assert PRECISIONS["float16"].rounded(tie) > 1


def test_tf32_keeps_ten_bits_behind_the_leading_one():
    x = awkward(np.random.default_rng(3))
    x = x[np.isfinite(x) & (np.abs(x) < 1e38) & (np.abs(x) > 1e-37)]
    bits = x.view(np.uint32)
    kept = (bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))) & np.uint32(0xFFFFE000)
    assert np.array_equal(PRECISIONS["tf32"].factor(x), kept.view(np.float32))
    assert np.array_equal(PRECISIONS["tf32"].rounded(x), x)


@pytest.mark.parametrize(("name", "dtype"), [("float64", np.float64), ("float32", np.float32), ("float16", np.float16)])
def test_units_in_the_last_place_are_numpys(name: str, dtype: type):
    sizes = np.exp2(np.random.default_rng(4).uniform(-16, 15, 2_000)).astype(dtype)
    with np.errstate(over="ignore"):
        assert np.array_equal(PRECISIONS[name].spacing(sizes.astype(np.longdouble)), np.spacing(sizes))
    limits = np.finfo(dtype)
    assert (PRECISIONS[name].largest, PRECISIONS[name].tiny) == (limits.max, limits.tiny)
    assert PRECISIONS[name].unit == limits.eps / 2


@cache
def known(model: str) -> tuple[UserProblem, Reference, dict[str, Blocks]]:
    """An example's problem, its truth, and its floors in every precision."""
    source = load_model(EXAMPLES / model)
    problem = draw_problem(source, model, 0)
    loss = problem.spec.nested(source.function("loss", "params, data, xp"))
    trees = dict(problem.params), dict(problem.data), dict(problem.tangents)
    truth = neutral_reference(loss, *trees, seed=0, budget_s=5.0)
    return problem, truth, floors(Tape(loss, *trees), [*PRECISIONS], seed=0, seconds=1.0)


def held(model: str, name: str, **claims: str) -> tuple[Recorded, dict[str, float | None], list[Finding]]:
    """A record, its worst error in floors of every precision, and the verdicts by the one that it claims."""
    problem, truth, found = known(model)
    recorded = replace(read(str(RECORDED / f"{name}.safetensors")), **claims)
    recorded.require(problem)
    verdicts = {each: judged(recorded, each, problem, truth, found[each]) for each in PRECISIONS}
    return recorded, {each: most_floors(findings) for each, findings in verdicts.items()}, verdicts[recorded.dtype]


@pytest.mark.parametrize(
    ("model", "name", "finer"),
    [("mlp.py", "mlp_tf32", "float32"), ("attention_block.py", "attention_block_bfloat16", "float16")],
)
def test_what_a_gpu_makes_of_a_precision_is_within_its_floors_and_not_within_finer_ones(
    model: str, name: str, finer: str
):
    recorded, figures, findings = held(model, name)
    assert recorded.device == "NVIDIA H100 80GB HBM3"
    assert {each.verdict for each in findings} == {"agrees"}
    assert figures[recorded.dtype] < 3
    assert figures[finer] > AGREES_FLOORS
    said = consistent(figures, recorded.dtype)
    assert said.startswith(f"consistent with {PRECISIONS[recorded.dtype].words} (")
    assert "as good as" not in said
    assert f"not with {PRECISIONS[finer].words} (" in said


def test_float32_whose_products_ran_in_tf32_is_wrong_and_named():
    _, figures, findings = held("mlp.py", "mlp_tf32", dtype="float32")
    assert {each.verdict for each in findings} == {"wrong"}
    assert consistent(figures, "float32").startswith("consistent with TF32 products and float32 sums (")


def test_a_gradient_of_a_gpu_that_is_scaled_by_a_half_is_wrong_in_bfloat16_too():
    recorded = read(str(RECORDED / "attention_block_bfloat16.safetensors"))
    with safe_open(RECORDED / "attention_block_bfloat16.safetensors", "np") as stream:
        assert json.loads(stream.metadata()["versions"])["torch"].startswith("2.11")
    halved = {name: value / 2 for name, value in recorded.quantities["gradient"].items()}
    quantities = {**recorded.quantities, "gradient": halved}
    _, figures, findings = held("attention_block.py", "attention_block_bfloat16", quantities=quantities)
    by_block = {each.block: each.verdict for each in findings}
    assert {by_block[f"gradient {name}"] for name in halved} == {"wrong", "unresolved"}  # and none agrees
    assert consistent(figures, "bfloat16").startswith("consistent with no precision")


def drawn(dtype: str) -> UserProblem:
    return draw_problem(load_model(EXAMPLES / "mlp.py"), "mlp", 0, dtype)  # type: ignore[arg-type]


def test_a_problem_in_half_precision_has_numbers_of_it_and_the_other_precision_has_the_same():
    wide, half = drawn("float64"), drawn("bfloat16")
    assert half.spec.rounding == "bfloat16"
    for name, value in half.params.items():
        assert value.dtype == np.float32
        assert not (value.view(np.uint32) & 0xFFFF).any()  # the upper half of a float32
        assert np.abs(value - wide.params[name]).max() <= 2.0**-8 * np.abs(wide.params[name]).max()
    other = in_other_precision(half)
    assert other.spec.rounding == "float32"
    assert all(np.array_equal(other.params[name], value) for name, value in half.params.items())


def test_numbers_beyond_the_range_of_float16_are_refused(tmp_path: Path):
    body = "import numpy as np\n\n\ndef parameters(rng):\n    return {'w': np.array([7e4])}\n\n\n"
    body += "def data(rng):\n    return {}\n\n\ndef loss(params, data, xp):\n    return xp.sum(params['w'])\n"
    (tmp_path / "model.py").write_text(body)
    with pytest.raises(InputError, match="w in float16"):
        draw_problem(load_model(tmp_path / "model.py"), "large", 0, "float16")
    assert draw_problem(load_model(tmp_path / "model.py"), "large", 0, "bfloat16").params["w"].item() == 70144.0


def block(verdict: str, floors: float, error: float) -> Finding:
    return Finding(
        backend="b", quantity="gradient", parameter="w", verdict=verdict, rule="", floors=floors, absolute_error=error
    )  # type: ignore[arg-type]


def test_a_poor_formula_of_bfloat16_is_told_from_a_wrong_rule_by_float32():
    pair = Pair("bfloat16", "float32")
    assert pair.finer
    poor = told_apart([block("wrong", 100, 0.4)], [block("wrong", 80, 5e-6)], pair=pair)
    rule = told_apart([block("wrong", 30, 0.12)], [block("wrong", 2e6, 0.12)], pair=pair)
    assert [each.verdict for each in (*poor, *rule)] == ["unstable", "wrong"]


@pytest.mark.slow
def test_torch_and_jax_agree_in_bfloat16_and_who_has_none_is_said(tmp_path: Path):
    result = gradparity.check(EXAMPLES / "mlp.py", dtype="bfloat16", backends="torch,jax,autograd", out=tmp_path)
    (problem,) = result.problems
    assert {each.backend for each in problem.findings} == {"torch", "jax"}
    assert {each.verdict for each in problem.findings} == {"agrees"}
    assert problem.idle == {"autograd": "it has no bfloat16"}
    assert problem.label == "mlp.py, bfloat16"
    assert not problem.training


@pytest.mark.slow
def test_a_port_that_is_wrong_is_wrong_in_bfloat16(tmp_path: Path):
    (tmp_path / "backends").mkdir()
    (tmp_path / "model.py").write_text((EXAMPLES / "mlp.py").read_text())
    port = "import torch\n\n\ndef loss(params, data):\n    *hidden, last = params['layers']\n    h = data['X']\n"
    port += "    for layer in hidden:\n        h = torch.tanh(h @ layer['W'] + layer['b'])\n"
    port += "    return ((h @ last['W'] + last['b'] - data['Y']) ** 2).sum(1).mean()\n"
    (tmp_path / "backends" / "torch.py").write_text(port)
    result = gradparity.check(tmp_path, dtype="bfloat16", backends="torch", out=tmp_path / "out")
    assert {each.verdict for each in result.problems[0].findings} == {"wrong"}
