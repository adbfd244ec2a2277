"""A program that fails at a later request: what it had answered before is kept, judged and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.external.programs import ABLE, option, program
from tests.external.test_command import AGREES as WITHOUT_HVP
from tests.external.test_command import checked, finding, verdicts
from tests.user_model.models import HEAD, LOSS, model_file

AGREES = {**WITHOUT_HVP, "hvp": {"agrees"}}
VARIED = [pytest.mark.slow, pytest.mark.variation]
DOUBLED = "if what != 'echo' and 'gradient' in found: found['gradient']['b'] *= 2\nnow ="


def at(count: int, what: str) -> str:
    """The answer of an able one that fails at that request, however it fails."""
    return f"{ABLE}\nnow = globals().get('now', 0) + 1\nif now == {count}: {what}\nsend(found)"


#: Requests of one check in order, and what is lacking where each is the one that ends the program.
LACKING = {
    2: ("measuring memory", {"jvp", "hvp"}),
    5: ("evaluation", {"jvp", "hvp"}),
    7: ("evaluation of loss and gradient", {"jvp", "hvp"}),
    8: ("evaluation of the JVP", {"jvp", "hvp"}),
    9: ("evaluation of the HVP", {"hvp"}),
    12: ("evaluation of the HVP once more", set()),
}


@pytest.mark.parametrize("count", [pytest.param(n, marks=[] if n in (5, 9) else VARIED) for n in LACKING])
def test_what_was_answered_before_a_program_ends_is_judged(count: int, tmp_path: Path):
    stage, lacking = LACKING[count]
    words = option(program(tmp_path, at(count, "os._exit(9)")))
    result = checked(model_file(tmp_path, HEAD + LOSS), words, steps=2)
    assert [each.stage for each in result.troubles] == [stage]
    assert verdicts(result) == {name: found for name, found in AGREES.items() if name not in lacking}
    assert {each.quantity for each in result.problems[0].not_given} == lacking
    assert not result.ok


@pytest.mark.parametrize("count", [pytest.param(n, marks=[] if n == 11 else VARIED) for n in (5, 6, 7, 10, 11, 12)])
def test_what_was_answered_before_a_program_says_that_it_cannot_is_judged(count: int, tmp_path: Path):
    words = option(program(tmp_path, at(count, "found = {'error': 'not now'}")))
    result = checked(model_file(tmp_path, HEAD + LOSS), words, steps=2)
    assert [each.reason for each in result.troubles] == ["the program says: not now"]
    assert verdicts(result)["loss"] == verdicts(result)["gradient"] == {"agrees"}
    assert not result.ok


def test_a_wrong_gradient_is_wrong_whatever_fails_after_it(tmp_path: Path):
    wrong = at(8, "os._exit(9)").replace(
        "now =", "if what != 'echo' and 'gradient' in found: found['gradient']['b'] *= 2\nnow =", 1
    )
    result = checked(model_file(tmp_path, HEAD + LOSS), option(program(tmp_path, wrong)), steps=2)
    assert finding(result, "plain", "gradient b").verdict == "wrong"
