"""What `init`, `step` and `batches` answer in another form is said: what came, and what is expected."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.drawing import draw_batches, draw_problem
from gradparity.model_spec.user.layouts import layout_of
from gradparity.model_spec.user.model import load_model
from gradparity.worker.own_functions import own_steps
from gradparity.worker.own_steps import Stepped, Training
from tests.conftest import configured
from tests.user_model.models import HEAD, LOSS, model_file

ORDER = ", expected (params, state, loss), in that order."
VALUE = "a real number, or an array of one."
STEP = """
def init_numpy(params):
    return {"k": 0}

def step_numpy(params, state, batch):
    moved, state, value = {name: 0.5 * each for name, each in params.items()}, {"k": state["k"] + 1}, batch["y"].sum()
    return moved, state, value
"""


def steps(path: str) -> list[Stepped]:
    """Three of them, by NumPy."""
    model, own = load_model(path), own_steps(path, ("numpy",))
    assert own is not None
    problem = draw_problem(model, "m", 0)
    layout = layout_of(model, problem.spec, ("numpy",))
    return list(Training(configured("numpy"), problem, own, [], layout).run(3))


def message(folder: Path, text: str) -> str:
    """Why there are none, which begins with a line of the model."""
    with pytest.raises(InputError) as refused:
        steps(model_file(folder, HEAD + LOSS + text))
    said = str(refused.value)
    assert re.match(r"\S*model\.py, line \d+: ", said), said
    return said


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("value, moved, state", "got (a number, params, a dict of k)" + ORDER),
        ("moved, value, state", "got (params, a number, a dict of k)" + ORDER),
        ("state, moved, value", "got (a dict of k, params, a number)" + ORDER),
        ("moved, state", "got (params, a dict of k)" + ORDER),
        ("moved, value", "got (params, a number)" + ORDER),
        ("moved", "got params" + ORDER),
        ("None", "got None" + ORDER),
        ("moved, state, value, 1", "got (params, a dict of k, a number, a number)" + ORDER),
        ("{'loss': value, 'params': moved}", "got a dict of loss, params" + ORDER),
        ("list(moved.values()), state, value", "params: got a list of 2, expected a parameter for each of w, b."),
        ("{'w': moved['w']}, state, value", "params: got no b, expected a parameter for each of w, b."),
        ("{**moved, 'B': 0}, state, value", "params: got B, expected a parameter for each of w, b."),
        ("None, state, value", "params: got None, expected a parameter for each of w, b."),
        ("{**moved, 'w': 1.0}, state, value", "params: w: got shape (), float64, expected real numbers of shape (3,)."),
        ("{**moved, 'b': np.array(1j)}, state, value", "b: got shape (), complex128, expected real numbers"),
        ("moved, state, None", "loss: got None, expected " + VALUE),
        ("moved, state, (value, 1)", "loss: got a tuple of 2, expected " + VALUE),
        ("moved, state, batch['y']", "loss: got an array of shape (6,), float64, expected " + VALUE),
        ("moved, state, np.array(1j)", "loss: got an array of shape (), complex128, expected " + VALUE),
        ("moved, state, True", "loss: got True, a bool, expected " + VALUE),
        ("moved, None, value", "(None, from step 1) and the batch (a dict of X, y)."),
    ],
)  # fmt: skip
def test_a_step_that_returns_another_form_is_told_what_came_and_what_is_expected(
    tmp_path: Path, returned: str, said: str
):
    assert said in message(tmp_path, STEP.replace("return moved, state, value", f"return {returned}"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('return {"k": 0}', "return None", "one that takes the state (None, from init)"),
        ('return {"k": 0}', "return params, 0", "one that takes the state (a tuple of 2, from init)"),
        (STEP[: STEP.index("def step")], "", "one that takes the state (None, there is no init)"),
        ('batch["y"]', 'batch["labels"]', "and the batch (a dict of X, y)"),
    ],
)
def test_a_step_that_takes_another_form_is_told_what_it_was_given(
    tmp_path: Path, before: str, after: str, said: str
):  # fmt: skip
    assert before in STEP
    assert said in message(tmp_path, STEP.replace(before, after))


def test_a_loss_is_a_number_of_pythons_or_an_array_of_one_entry(tmp_path: Path):
    for k, value in enumerate(("float(value)", "np.array([value])", "value", "1")):
        text = STEP.replace("return moved, state, value", f"return moved, state, {value}")
        first = steps(model_file(tmp_path, HEAD + LOSS + text, f"model{k}.py"))[0].loss
        assert first == 1 if value == "1" else first == steps(model_file(tmp_path, HEAD + LOSS + STEP, "m.py"))[0].loss


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "got None, expected batches, one after another"),
        ("return 3", "got 3, an int, expected batches, one after another"),
        ("return {'X': rng.standard_normal((4, 3))}", "got a dict, expected batches, one after another"),
        ("return rng.standard_normal((4, 3))", "got a numpy.ndarray, expected batches, one after another"),
        ("return 'text'", "got a str, expected batches, one after another"),
        ("yield None", "batch 0: got None, expected a dict of arrays"),
    ],
)
def test_batches_of_another_form_are_told_so(tmp_path: Path, body: str, said: str):
    model = load_model(model_file(tmp_path, HEAD + LOSS + f"\ndef batches(rng):\n    {body}\n"))
    with pytest.raises(InputError) as refused:
        draw_batches(model, 0, None, 3, 2**20)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["init", "step"])
def test_a_function_with_other_arguments_is_told_both(tmp_path: Path, name: str):
    text = STEP.replace("_numpy(params", "_numpy(rng, other, params, more" if name == "step" else "_numpy(rng, params")
    path = model_file(tmp_path, HEAD + LOSS + text)
    with pytest.raises(InputError, match=r"got (init|step)_numpy\(rng, .*, expected (init|step)_numpy\(params"):
        own_steps(path, ("numpy",))
