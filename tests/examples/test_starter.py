"""What `gradparity new` writes: it agrees as it stands and with what it has commented out, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradparity
from gradparity.cli.starter import write_starter
from gradparity.model_spec.errors import InputError
from tests.conftest import Command
from tests.examples.models import Example, load_file


def uncommented(text: str) -> str:
    """The model with its ports and its gradient taken out of their comments."""
    head, ports = text.split("# A backend that has its own code")
    lines = [line.removeprefix("#").removeprefix(" ") for line in ports.splitlines()]
    code = [line for line in lines if line.startswith(("def ", "    ")) or not line]
    names = [line.partition("(")[0] for line in code if line.startswith("def ")]
    assert sorted(names) == ["def gradient", "def loss_jax", "def loss_torch"]
    return head + "\n".join(code) + "\n"


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(False, id="as it stands"),
        pytest.param(True, id="with what it has commented out", marks=[pytest.mark.slow, pytest.mark.variation]),
    ],
)
def test_it_agrees_with_the_certified_truth_in_every_framework(own: bool, tmp_path: Path) -> None:
    path = write_starter(tmp_path / "model")
    backends = ["autograd", "jax", "torch"]
    if own:
        path.write_text(uncommented(path.read_text()))
        backends.append("numpy")
    result = gradparity.check(path, backends=backends, steps=2)
    assert result.ok, result
    assert {found.backend for found in result.problems[0].findings} == set(backends)
    assert result.problems[0].truth.startswith("certified in ball arithmetic")


def test_its_truth_is_the_gradient_of_a_normal_log_density(tmp_path: Path) -> None:
    """SciPy's density is another source: -log N(y | X w + b, s) less log(2 pi) / 2, by differences of its values."""
    from scipy.stats import norm as normal

    model = Example.at(write_starter(tmp_path))
    params, data = model.params, model.data

    def density(log_s: float) -> float:
        mean = data["X"] @ params["w"] + params["b"]
        return float(-np.mean(normal(mean, np.exp(log_s)).logpdf(data["y"])) - 0.5 * np.log(2 * np.pi))

    value, gradient = model.value_and_gradient("jax")
    assert value == pytest.approx(density(params["log_s"]), rel=1e-13)
    step = 1e-5
    slope = (density(params["log_s"] + step) - density(params["log_s"] - step)) / (2 * step)
    assert gradient["log_s"] == pytest.approx(slope, rel=1e-8)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "model.py"
    mine.write_text("mine")
    with pytest.raises(InputError, match="which exists"):
        write_starter(tmp_path)
    assert mine.read_text() == "mine"
    (tmp_path / "ported").mkdir()
    (tmp_path / "ported" / "model_spec.py").touch()
    with pytest.raises(InputError, match=r"model_spec\.py, which exists"):
        write_starter(tmp_path / "ported")  # a folder with both would be refused
    with pytest.raises(InputError, match="which is a file"):
        write_starter(mine)
    with pytest.raises(InputError, match="a folder that can be written"):
        write_starter(mine / "below")


def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    write_starter(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"model.py", "notes.txt"}
    load_file(tmp_path / "model.py")


def test_the_command_says_what_it_wrote_and_a_second_time_what_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("new", "a model")
    assert code == 0
    assert out.splitlines() == ["Written: a model/model.py", "Check it: gradparity check 'a model'"]
    code, out, err = command("new", "a model")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "which exists" in err
