"""Ports whose gradient over several processes is wrong as people get it wrong: each is found, and its cause named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.sharded.models import MODEL, RIGHT, written
from tests.sharded.mutants import MUTANTS


def findings(command: Command, folder: Path, *options: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Exit code, the findings on the sharded backend, and all that was found, of a check without training."""
    words = ("--steps", "1", "--json", "--out", str(folder / "out"), *options)
    code, out, err = command("check", str(folder), "--backends", "torch-distributed", *words)
    assert out, err
    result = json.loads(out)
    return code, [each for problem in result["problems"] for each in problem["findings"]], result


@pytest.mark.slow
#: The rule of each is tested without a process in every run, too.
@pytest.mark.parametrize(
    "name", [n if place % 3 == 0 else pytest.param(n, marks=pytest.mark.variation) for place, n in enumerate(MUTANTS)]
)
def test_what_goes_wrong_is_named(command: Command, tmp_path: Path, name: str) -> None:
    mutant = MUTANTS[name]
    code, found, _ = findings(command, written(tmp_path, mutant.body), "--ranks", str(mutant.ranks))
    assert code == 1
    wrong = {each["parameter"]: each["cause"] for each in found if each["verdict"] == "wrong"}
    assert wrong == dict.fromkeys(mutant.blocks, mutant.cause)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ranks", [pytest.param(1, marks=pytest.mark.variation), pytest.param(2, marks=pytest.mark.variation), 3]
)
def test_a_gradient_that_is_reduced_by_rows_is_right(command: Command, tmp_path: Path, ranks: int) -> None:
    code, found, result = findings(command, written(tmp_path, RIGHT), "--ranks", str(ranks))
    assert {each["verdict"] for each in found} == {"agrees"}, result["problems"][0]["diagnoses"]
    assert code == 0


#: A gradient that is right on rank 0, and off by something on rank 1.
OFF = """
share = len(data["y"]) / 29
for g in found.values():
    g *= share
    dist.all_reduce(g)
if dist.get_rank() == 1:
    found["w"] = found["w"] * (1 + OFF)
return found
"""


@pytest.mark.slow
def test_a_rank_that_has_another_gradient_than_rank_0_is_wrong(command: Command, tmp_path: Path) -> None:
    code, found, _ = findings(command, written(tmp_path, OFF.replace("OFF", "1e-3")))
    assert code == 1
    (wrong,) = [each for each in found if each["verdict"] != "agrees"]
    assert (wrong["verdict"], wrong["parameter"]) == ("wrong", "w")
    assert "rank 1's gradient w differs from rank 0's by up to" in wrong["rule"]
    assert "it is not replicated" in wrong["rule"]


@pytest.mark.slow
def test_ranks_that_differ_by_a_rounding_agree_and_it_is_said(command: Command, tmp_path: Path) -> None:
    code, found, result = findings(command, written(tmp_path, OFF.replace("OFF", "3e-16")))
    assert {each["verdict"] for each in found} == {"agrees"}
    (said,) = [each for each in result["problems"][0]["diagnoses"] if each["name"].startswith("ranks differ")]
    assert "it is not replicated" in said["finding"]
    assert code == 0


#: A port of JAX's, of as many rows on each rank.
JAX_PORT = """
import jax
import jax.numpy as jnp

def loss(params, data):
    residual = jnp.tanh(data["X"] @ params["W"]) @ params["w"] - data["y"]
    return jnp.mean(residual**2)

def gradient(params, data):
    return jax.lax.REDUCE(jax.grad(loss)(params, data), "rows")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reduce", "rows", "code", "said"),
    [
        ("pmean", 30, 0, None),
        ("psum", 30, 1, "factor 2, the number of ranks: their means are summed, or the whole is summed over them"),
        pytest.param("pmean", 29, 3, "a program of JAX has one shape on all ranks", marks=pytest.mark.variation),
    ],
)
def test_a_port_of_jax_reduces_by_itself(
    command: Command, tmp_path: Path, reduce: str, rows: int, code: int, said: str | None
) -> None:
    folder = written(tmp_path, model=MODEL.replace("29", str(rows)))
    (folder / "backends" / "jax-distributed.py").write_text(JAX_PORT.replace("REDUCE", reduce))
    words = ("check", str(folder), "--backends", "jax-distributed", "--steps", "2", "--json")
    ended, out, err = command(*words, "--out", str(tmp_path / "out"))
    assert ended == code, err
    (problem,) = json.loads(out)["problems"]
    causes = {each["cause"] for each in problem["findings"] if each["verdict"] == "wrong"}
    reasons = [each["reason"] for each in problem["troubles"]]
    assert said in causes or any(said in each for each in reasons) if said else not causes
