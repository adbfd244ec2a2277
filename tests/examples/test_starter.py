"""What `gradparity new` writes: it agrees as it stands and with what it has commented out, and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradparity.cli.starter import write_starter
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.trees import leaves
from tests.examples.models import Example, distance, load_file, norm

FRAMEWORKS = ("autograd", "jax", "torch")
PORTS = "# A backend that has its own code"


@pytest.fixture
def uncommented(tmp_path: Path) -> Path:
    """The model with its ports and its gradient taken out of their comments."""
    text = write_starter(tmp_path).read_text()
    head, ports = text.split(PORTS)
    lines = [line.removeprefix("#").removeprefix(" ") for line in ports.splitlines()]
    code = [line for line in lines if line.startswith(("def ", "    ")) or not line]
    assert sum(line.startswith("def ") for line in code) == 3
    path = tmp_path / "uncommented.py"
    path.write_text(head + "\n".join(code) + "\n")
    return path


def test_it_agrees_in_every_framework_and_with_the_certified_derivative(tmp_path: Path) -> None:
    model = Example.at(write_starter(tmp_path / "model"))
    direction = model.direction(1)
    certificate = model.certified(direction)
    assert certificate.status == "certified"
    for name in FRAMEWORKS:
        value, gradient = model.value_and_gradient(name)
        assert certificate.value.error_of(value)[1] < 1e-14 * abs(value)
        along = sum(np.vdot(gradient[path], leaf) for path, leaf in leaves(direction))
        assert certificate.first.error_of(along)[1] < 1e-13 * norm(gradient)
        assert certificate.second.error_of(
            sum(np.vdot(model.along(name, direction)[1][path], leaf) for path, leaf in leaves(direction))
        )[1] < 1e-12 * abs(certificate.second.as_float())


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


def test_the_ports_and_the_gradient_that_it_has_commented_out_agree(uncommented: Path, tmp_path: Path) -> None:
    plain, ported = Example.at(tmp_path / "model.py"), Example.at(uncommented)
    assert {name for name in dir(ported.spec) if name.startswith(("loss", "gradient"))} == {
        "loss", "loss_torch", "loss_jax", "gradient",
    }  # fmt: skip
    value, gradient = plain.value_and_gradient("autograd")
    for name in ("jax", "torch"):
        other, theirs = ported.value_and_gradient(name)
        assert other == pytest.approx(value, rel=1e-14)
        assert distance(theirs, gradient) < 1e-13
    by_hand = {path: np.asarray(g) for path, g in ported.spec.gradient(ported.params, ported.data).items()}
    assert distance(by_hand, gradient) < 1e-13


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


def test_the_command_says_what_it_wrote_and_a_second_time_what_is_in_the_way(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "gradparity", "new", "a model"]
    first, second = (
        subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60) for _ in range(2)
    )
    assert first.returncode == 0
    assert first.stdout.splitlines() == ["Written: a model/model.py", "Check it: gradparity check 'a model'"]
    assert (second.returncode, second.stdout) == (2, "")
    assert len(second.stderr.splitlines()) == 1
    assert "which exists" in second.stderr
