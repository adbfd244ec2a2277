"""What a program may answer, and what it may not: each fault is one line, and no number is taken from it."""

from __future__ import annotations

import json
import math
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity.backends.asked_by_line import ProgramFailed, ProgramLost
from gradparity.backends.external_program import AnsweredLoss, ExternalProgram
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from tests.external.programs import ABLE, program
from tests.user_model.models import HEAD, LOSS, model_file

Started = Callable[..., AnsweredLoss]
#: What the right program answers beside one wrong thing.
OTHER = '{"loss": 0.5, "gradient": {"w": [1, 2, 3], "b": 4}}'


@pytest.fixture
def problem(tmp_path: Path) -> UserProblem:
    return draw_problem(load_model(model_file(tmp_path, HEAD + LOSS)), "model", 0)


@pytest.fixture
def started(tmp_path: Path, problem: UserProblem) -> Iterator[Started]:
    """Starts a program with some answer, as the loss of a problem."""
    running = []

    def start(answer: str = "send(found)", of: Any = problem) -> AnsweredLoss:
        backend = ExternalProgram(program(tmp_path, answer))
        backend.configure(1)
        running.append(backend.loss(of.spec))
        return running[-1]

    yield start
    for each in running:
        each.program.close()


def test_it_is_started_once_and_gets_what_the_page_says(started: Started, problem: UserProblem, tmp_path: Path):
    loss = started(f"open({str(tmp_path / 'asked')!r}, 'a').write(line)\nfound['loss'] = os.getpid()\nsend(found)")
    pids = {float(loss(problem.params, problem.data)) for _ in range(3)}
    assert len(pids) == 1
    lines = (tmp_path / "asked").read_text().splitlines()
    assert len(lines) == 3
    asked = json.loads(lines[0])
    assert list(asked) == ["protocol", "evaluate", "model", "dtype", "params", "constants", "data"]
    assert (asked["protocol"], asked["evaluate"], asked["dtype"]) == (1, "value_and_gradient", "float64")
    assert asked["model"] == {"kind": "user", "path": problem.spec.path}
    assert asked["params"] == {name: value.tolist() for name, value in problem.params.items()}
    assert asked["data"]["X"] == problem.data["X"].tolist()
    assert asked["constants"] == {}


ODD = HEAD.replace(
    '"b": np.array(0.5)',
    '"b": np.array(0.5), "layers": [{"b": np.array(0.5)}], "count": np.array([2**62 + 1, -3]), '
    '"still": np.array([0.25])',
).replace('"y": rng', '"f": np.array([True, False]), "n": np.array(2**53 + 1), "kind": "huber", "y": rng')


def test_constants_whole_numbers_booleans_and_words_reach_it_as_they_are(tmp_path: Path, started: Started):
    model = load_model(model_file(tmp_path, ODD + LOSS + "constants = ('still',)\n", "odd.py"))
    problem = draw_problem(model, "odd", 0)
    answer = "send({'error': json.dumps([asked['params'], asked['constants'], asked['data']])})"
    with pytest.raises(ProgramFailed, match="the program says: ") as raised:
        started(answer, of=problem)(problem.params, problem.data)
    params, constants, data = json.loads(str(raised.value).partition("says: ")[2])
    assert sorted(params) == ["b", "layers.0.b", "w"]
    assert params["layers.0.b"] == 0.5
    assert constants == {"count": [2**62 + 1, -3], "still": [0.25]}
    assert (data["f"], data["n"], data["kind"]) == ([True, False], 2**53 + 1, "huber")


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


NUMBERS = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, math.inf, -math.inf, math.nan, 2.0**-1074 * 3, -1e23]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_bit_of_a_number_travels_there_and_back(started: Started, problem: UserProblem, dtype: str):
    rng = np.random.default_rng(0)
    some = np.frombuffer(rng.bytes(8 * 300), np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.concatenate([NUMBERS, some[~np.isnan(some)]]).astype(dtype)
    loss = started("send({'loss': found, 'gradient': asked['params']})".replace("found", "asked['params']['b']"))
    cast = problem.cast(dtype)
    loss.spec = cast.spec
    for i in range(0, len(values) - 3, 4):
        params = {"w": values[i : i + 3], "b": values[i + 3]}
        value, gradient = loss.value_and_gradient(params, {"X": np.zeros((1, 3)), "y": np.zeros(1)})
        assert value.dtype == gradient["w"].dtype == np.dtype(dtype)
        assert gradient["w"].tobytes() == params["w"].tobytes()
        assert value.tobytes() == gradient["b"].tobytes() == params["b"].tobytes()


def test_what_is_no_number_may_be_words_and_whole_numbers_are_numbers(started: Started, problem: UserProblem):
    loss = started(
        "send({'loss': 'NaN', 'gradient': {'w': ['-Infinity', 2, 'inf'], 'b': 2**70}, 'error': None, 'seconds': 1})"
    )
    value, gradient = loss.value_and_gradient(problem.params, problem.data)
    assert np.isnan(value)
    assert gradient["w"].tolist() == [-math.inf, 2, math.inf]
    assert gradient["b"] == 2.0**70


def test_it_is_asked_for_what_it_says_that_it_can_and_for_nothing_else(
    started: Started, problem: UserProblem, tmp_path: Path
):
    inputs = problem.params, problem.data
    note = f"open({str(tmp_path / 'asked')!r}, 'a').write(line)\n"
    able = started(note + ABLE + "send(found)")
    able(*inputs)
    r = problem.data["X"] @ problem.params["w"] + problem.params["b"] - problem.data["y"]
    along = problem.data["X"] @ problem.tangents["w"] + problem.tangents["b"]
    assert able.jvp(*inputs, problem.tangents) == pytest.approx(float(r @ along) / len(r), rel=1e-13)
    product = able.hvp(*inputs, problem.tangents)
    np.testing.assert_allclose(product["w"], problem.data["X"].T @ along / len(r), rtol=1e-13)
    np.testing.assert_allclose(product["b"], along.mean(), rtol=1e-13)
    able.require_timed()
    assert able.communicate(*inputs)[1]["w"].tobytes() == problem.params["w"].tobytes()
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [each["evaluate"] for each in asked] == ["value_and_gradient", "jvp", "hvp", "echo"]
    assert asked[1]["tangents"] == {name: value.tolist() for name, value in problem.tangents.items()}
    assert ["tangents" in each for each in asked] == [False, True, True, False]
    plain = started("open('/dev/null')\nsend(found)")
    plain(*inputs)
    for ask in (plain.jvp, plain.hvp):
        with pytest.raises(NotImplementedError, match=r'the program does not say "can": \["(jvp|hvp)"\]'):
            ask(*inputs, problem.tangents)
    with pytest.raises(ProgramFailed, match=r"it is not timed: .* gradparity check takes it"):
        plain.require_timed()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("found['can'] = 'hvp'", "the program's can: got '\"hvp\"', expected a list of words"),
        ("if what == 'jvp': found = {}", "the program answers without a jvp: '{}'"),
        ("if what == 'hvp': found = {'hvp': 3}", "the program answers without hvp by name"),
        ("if what == 'hvp': found['hvp'].pop('b')", "the program's hvp: got none of b, expected those of w, b"),
        ("if what == 'hvp': found['hvp']['w'] = 1", r"hvp of w: got shape \(\), expected \(3,\)"),
        ("if what == 'hvp': found = {'error': 'no second order'}", "the program says: no second order"),
        ("if what == 'echo': found['gradient']['b'] += 1e-9", "the program's echo: got other numbers than it was sent"),
    ],
)
def test_a_fault_in_what_it_can_beside_is_one_line(started: Started, problem: UserProblem, answer: str, words: str):
    loss = started(f"{ABLE}{answer}\nsend(found)")
    inputs = problem.params, problem.data

    def all_of_it() -> None:
        loss.value_and_gradient(*inputs)
        loss.communicate(*inputs)
        loss.jvp(*inputs, problem.tangents)
        loss.hvp(*inputs, problem.tangents)

    with pytest.raises(ProgramFailed, match=words) as raised:
        all_of_it()
    assert len(str(raised.value).splitlines()) == 1


def said(what: str) -> str:
    """An answer that is the right one but for something."""
    return f"send({{**{OTHER}, {what}}})"


FAULTS = {
    "dies": ("os._exit(7)", "ended with code 7 before it had answered, and said nothing on standard error"),
    "raises": (
        "raise ValueError('no such model')",
        "ended with code 1 before it had answered: ValueError: no such model",
    ),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV before it had answered"),
    "real-time signal": ("os.kill(os.getpid(), 40)", "was killed by signal 40 before it had answered"),
    "dies in the middle": ("os.write(1, b'{\"loss\"'); os._exit(0)", "ended with code 0 before it had answered"),
    "leaves a child": (
        "import subprocess; subprocess.Popen(['sleep', '20']); os._exit(3)",
        "ended with code 3 before it had answered",
    ),
    "stops writing": ("os.close(1); time.sleep(30)", "the program closed its standard output"),
    "garbage": ("print('step 1 of 10', flush=True)", "answers with what is no JSON: 'step 1 of 10'"),
    "no text": (r"os.write(1, b'\xff\xfe\x00\n')", "answers with what is no JSON"),
    "control characters": (r"os.write(1, b'\x1b[31mred\x07\n')", r"answers with what is no JSON: 'red\\x07'"),
    "no object": ("print('[1, 2]', flush=True)", r"answers with what is no JSON object: '\[1, 2\]'"),
    "deep": ("print('[' * 200000, flush=True)", r"answers with what is no JSON: '\[\[\["),
    "deep gradient": (said("'gradient': {'w': eval('[' * 80 + '1' + ']' * 80), 'b': 1}"), "gradient of w: got"),
    "many digits": ("print('9' * 5000, flush=True)", "answers with what is no JSON"),
    "two lines": ("print(json.dumps(found) + '\\n{}', flush=True)", 'answered with more than one line: \'{"loss"'),
    "100 MB": ("print('9' * 10**8, flush=True)", "answers with a line of more than 1,048,896 bytes: '9999"),
    "a line that never ends": (
        "while True: os.write(1, b'[' * 4096)",
        "answers with a line of more than 1,048,896 bytes",
    ),
    "says so": ("send({'error': 'w is negative'})", "^the program says: w is negative$"),
    "says something else": ("send({'value': 3})", "answers without a loss and a gradient by name: '{\"value\": 3}'"),
    "a bare gradient": (said("'gradient': [1, 2]"), "answers without a loss and a gradient by name"),
    "none of w": (said("'gradient': {'b': 1}"), "gradient: got none of w, expected those of w, b"),
    "one of q": (
        said("'gradient': {'b': 1, 'w': [1, 2, 3], 'q': 2}"),
        "gradient: got one of q, expected those of w, b",
    ),
    "w twice": (
        """print('{"loss": 1, "gradient": {"w": [1, 2, 3], "b": 1, "w": [4, 5, 6]}}', flush=True)""",
        "answers with two of w",
    ),
    "shape": (said("'gradient': {'w': [[1, 2, 3]], 'b': 1}"), r"gradient of w: got shape \(1, 3\), expected \(3,\)"),
    "shape of the loss": (said("'loss': [0.5]"), r"the program's loss: got shape \(1,\), expected \(\)"),
    "ragged": (said("'gradient': {'w': [[1, 2], [3]], 'b': 1}"), r"gradient of w: got '\[1, 2\]', expected numbers"),
    "null": (said("'gradient': {'w': [1, None, 3], 'b': 1}"), "gradient of w: got 'null', expected numbers"),
    "a truth": (said("'loss': True"), "loss: got 'true', expected numbers"),
    "truths": (said("'gradient': {'w': [1.5, True, 3], 'b': 1}"), "gradient of w: got 'true', expected numbers"),
    "a word": (said("'loss': '0.5'"), "loss: got '\"0.5\"', expected numbers"),
    "words": (said("'gradient': {'w': ['1', '2', '3'], 'b': 1}"), "gradient of w: got '\"1\"', expected numbers"),
    "an object": (said("'loss': {'real': 1}"), "the program's loss: got"),
    "a huge whole number": (said("'loss': 10**400"), "the program's loss: got '1000"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_no_number(started: Started, problem: UserProblem, fault: str):
    answer, words = FAULTS[fault]
    loss = started(answer)
    with pytest.raises((ProgramFailed, ProgramLost), match=words) as raised:
        loss(problem.params, problem.data)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 300


def test_after_what_broke_the_order_it_is_asked_no_more_and_after_another_fault_it_is(
    started: Started, problem: UserProblem
):
    loss = started("print('hello', flush=True)\nsend(found)")
    for _ in range(2):
        with pytest.raises(ProgramLost, match=r"'hello'|more than one line"):
            loss(problem.params, problem.data)
    once = started("first = 'first' not in globals()\nsend({'error': 'not yet'} if first else found)")
    with pytest.raises(ProgramFailed, match="not yet"):
        once(problem.params, problem.data)
    assert np.isfinite(once(problem.params, problem.data))


def test_what_it_writes_before_it_is_asked_is_no_answer(started: Started, problem: UserProblem):
    loss = started("send(found)\ntime.sleep(0.2)\nsend(found)")
    loss(problem.params, problem.data)
    time.sleep(0.5)  # the second answer comes later than the first
    with pytest.raises(ProgramLost, match="before it was asked, or beside an answer"):
        loss(problem.params, problem.data)


def test_lines_without_anything_are_no_answers(started: Started, problem: UserProblem):
    loss = started("print()\nprint(' ')\nprint(json.dumps(found) + '\\r')\nprint(flush=True)")
    assert loss(problem.params, problem.data) == loss(problem.params, problem.data)


def test_much_on_standard_error_holds_nothing_up_and_is_passed_on(
    started: Started, problem: UserProblem, capfd: pytest.CaptureFixture[str]
):
    loss = started("sys.stderr.write('x' * 10**6)\nsend(found)")
    assert np.isfinite(loss(problem.params, problem.data))
    loss.program.close()
    loss.program._listening.join()
    assert len(capfd.readouterr().err) == 10**6


def test_one_that_answers_before_it_has_read_is_at_fault(tmp_path: Path):
    spec = ProjectedLogistic(features=30, projection=5)
    text = "import time\nprint('{}', flush=True)\ntime.sleep(30)\n"
    backend = ExternalProgram(program(tmp_path, text=text))
    backend.configure(1)
    loss = backend.loss(spec)
    params = spec.initial()
    try:
        with pytest.raises(ProgramLost, match=r"before it (had read the question|was asked)"):
            loss(params, {"X": np.ones((9000, 30)), "y": np.ones(9000)})
    finally:
        loss.program.close()


def test_what_cannot_be_started_is_said(tmp_path: Path):
    file = tmp_path / "grad"
    file.write_text("no program\n")
    file.chmod(0o755)
    with pytest.raises(ProgramFailed, match="could not be started: Exec format error"):
        ExternalProgram([str(file)]).configure(1)


def test_its_files_stand_for_its_version(tmp_path: Path):
    words = program(tmp_path)
    before = ExternalProgram([*words, "--fast"]).versions()
    assert sorted(before) == sorted([Path(sys.executable).name, "program.py"])
    program(tmp_path, "send(None)")
    after = ExternalProgram(words).versions()
    assert before["program.py"] != after["program.py"]
    assert before[Path(sys.executable).name] == after[Path(sys.executable).name]
