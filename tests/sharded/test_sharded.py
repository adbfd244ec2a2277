"""Sharded backends as they are run: several processes, held to the truth of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.sharded.models import MODEL, written

BACKENDS = ("torch-distributed", "jax-distributed")


def verdicts(out: str) -> set[str]:
    """Every verdict of a run, those of training among them."""
    problems = json.loads(out)["problems"]
    return {each["verdict"] for p in problems for each in [*p["findings"], *p["training"]]}


def paired(*cases: object) -> list[Any]:
    """Every case for each backend: one of each in every run, of all others a variation."""
    at_once = {(name, case) for name, case in zip(BACKENDS, cases, strict=False)}
    return [
        pytest.param(name, case, marks=[] if (name, case) in at_once else [pytest.mark.variation])
        for name in BACKENDS
        for case in cases
    ]


@pytest.mark.parametrize("name", BACKENDS)
def test_two_processes_agree_with_the_truth_of_one(command: Command, tmp_path: Path, name: str) -> None:
    words = ("--data", "toy", "--backends", name, "--steps", "3", "--ranks", "2", "--json", "--out", str(tmp_path))
    code, out, err = command("check", *words)
    assert code == 0, err
    assert verdicts(out) == {"agrees"}
    assert json.loads(out)["settings"]["ranks"] == 2
    logs = {file.name for file in (tmp_path / "logs").iterdir()}
    assert sum(name in log for log in logs) == 2, logs  # one a rank


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ranks"), paired(1, 3))
def test_a_model_that_says_its_rows_agrees_in_uneven_blocks(
    command: Command, tmp_path: Path, name: str, ranks: int
) -> None:
    words = ("--backends", name, "--steps", "3", "--ranks", str(ranks), "--json", "--out", str(tmp_path / "out"))
    code, out, err = command("check", str(written(tmp_path / "model")), *words)
    assert code == 0, err
    assert verdicts(out) == {"agrees"}


PENALISED = MODEL.replace(
    "return xp.mean(residual**2)", "return REDUCED(residual**2) + 0.5 * xp.sum(params['W'] ** 2) + xp.sum(params['w'])"
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "reduced"), paired("xp.mean", "xp.sum"))
def test_a_penalty_counts_once(command: Command, tmp_path: Path, name: str, reduced: str) -> None:
    folder = written(tmp_path / "model", model=PENALISED.replace("REDUCED", reduced))
    words = ("--backends", name, "--steps", "1", "--ranks", "3", "--json", "--out", str(tmp_path / "out"))
    code, out, err = command("check", str(folder), *words)
    assert code == 0, err
    assert verdicts(out) == {"agrees"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "formulation"), paired("reassociated", "blocked", "as_written"))
def test_every_formulation_of_the_built_in_model_is_sharded(
    command: Command, tmp_path: Path, name: str, formulation: str
) -> None:
    words = ("--data", "iris", "--reduction", "sum", "--l2", "0.3", "--formulation", formulation, "--dtype", "float32")
    words += ("--backends", name, "--steps", "2", "--lr", "0.001", "--ranks", "3", "--json", "--out", str(tmp_path))
    code, out, err = command("check", *words)
    assert code == 0, err
    assert verdicts(out) == {"agrees"}


#: What is no sum and no mean over rows, and what is said of it.
MIXED = {
    "a batch norm": "xp.mean((data['X'] - xp.mean(data['X'], 0)) @ params['W'] @ params['w'] * data['y']) ",
    "pairs of rows": "xp.sum((residual[1:] - residual[:-1])**2)",
    "a product over rows": "xp.mean(data['X'] @ params['W'] @ params['w'])**2",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n if n == "a batch norm" else pytest.param(n, marks=pytest.mark.variation) for n in MIXED]
)
def test_a_loss_that_mixes_rows_is_refused_with_what_does_not_add_up(
    command: Command, tmp_path: Path, name: str
) -> None:
    model = MODEL.replace("return xp.mean(residual**2)", f"return {MIXED[name]}")
    words = ("--backends", "torch-distributed", "--steps", "1", "--json", "--out", str(tmp_path / "out"))
    code, out, _ = command("check", str(written(tmp_path / "model", model=model)), *words)
    assert code == 3
    (reason,) = {each["reason"] for each in json.loads(out)["problems"][0]["troubles"]}
    assert "of all rows; as a mean of 2 blocks" in reason
    assert "expected a sum or a mean over rows" in reason


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ranks", "0"), "--ranks: got 0, expected 1 to 64"),
        (("--ranks", "1000000"), "--ranks: got 1000000, expected 1 to 64"),
        (("--data", "toy", "--backends", "torch-distributed", "--ranks", "5"), "--ranks: got 5 for 4 rows"),
    ],
)
def test_what_cannot_be_divided_is_refused(command: Command, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    code, out, err = command("check", *words, "--out", str(tmp_path / "out"))
    assert code == 2
    assert said in err, out
    assert not (tmp_path / "out").exists()


def test_a_model_that_says_nothing_of_its_rows_is_told_how(command: Command, tmp_path: Path) -> None:
    model = MODEL.replace('rows = ("X", "y")', "")
    words = ("--backends", "torch-distributed", "--out", str(tmp_path / "out"))
    code, _, err = command("check", str(written(tmp_path / "model", model=model)), *words)
    assert code == 2
    assert 'Write rows = ("X", "y")' in err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('"X"', "a list of names or patterns"),
        ('("X", "z")', "the name of an array among the data"),
        ('("X", "c")', "the same number of rows"),
        ('("X", "s")', "the same number of rows"),
    ],
)
def test_rows_that_are_none_are_refused(command: Command, tmp_path: Path, rows: str, said: str) -> None:
    model = MODEL.replace('("X", "y")', rows).replace('return {"X"', 'return {"c": np.zeros(3), "s": np.zeros(()), "X"')
    code, _, err = command("check", str(written(tmp_path / "model", model=model)), "--out", str(tmp_path / "out"))
    assert code == 2
    assert said in err


def test_sharded_backends_run_where_they_are_named() -> None:
    from gradparity.backends import available, registered

    sharded = {name for name, each in registered().items() if each.sharded}
    assert sharded == set(BACKENDS)
    assert not sharded & set(available())
