"""A program that answers one question once otherwise is impure, whichever of its answers that is; not for roundings."""

from __future__ import annotations

from pathlib import Path

from tests.external.programs import option, program
from tests.external.test_command import checked
from tests.user_model.models import HEAD, LOSS, model_file

#: At one call, the gradient is changed: the first ones build, are timed and show whether the loss repeats itself.
AT = """calls = globals().get("calls", 0) + 1
if calls == {call}: found["gradient"]["w"] = [{factor} * each for each in found["gradient"]["w"]]
send(found)"""


def test_a_gradient_that_is_doubled_at_one_call_is_no_agreement_at_whichever(tmp_path: Path):
    calls = range(1, 9)
    answers = {f"at{call}": AT.format(call=call, factor=2) for call in calls}
    answers |= {"rounds": AT.format(call=1, factor=1 + 2**-50), "plain": "send(found)"}
    words = [option(program(tmp_path, answer, name=f"{name}.py"), name) for name, answer in answers.items()]
    result = checked(model_file(tmp_path, HEAD + LOSS), *words)
    found = {name: {f.verdict for f in result.problems[0].findings if f.backend == name} for name in answers}
    assert found["plain"] == found["rounds"] == {"agrees"}
    for call in calls:
        (rule,) = {f.rule for f in result.problems[0].findings if f.backend == f"at{call}"}
        early = call <= 6  # of the last two nobody knows which is the odd one
        assert found[f"at{call}"] == {"impure" if early else "nondeterministic"}, call
        assert (f"between call {call} and call 8" in rule) == early, rule
        assert rule.startswith("gradient w differed by up to ")
