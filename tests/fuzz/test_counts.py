"""How many inputs the fuzzing reads in all; that each target reads as many as it has, `inputs.fuzz` asserts."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.fuzz import test_files, test_messages
from tests.fuzz.inputs import ALL_EXAMPLES, EXAMPLES, TOTAL


def test_twenty_thousand_inputs_are_read_in_all_and_a_quarter_of_them_in_every_run():
    assert sum(ALL_EXAMPLES.values()) >= TOTAL == 20_000
    assert sum(EXAMPLES.values()) >= TOTAL // 4


def test_every_target_of_the_table_is_fuzzed_and_no_other():
    """A target is named in a call of `fuzz` or of what passes it on, or in a table of the same tests."""
    named = {*test_files.KINDS.values(), *test_messages.MESSAGES}
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("fuzz", "_fuzz"):
                named |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    assert named == set(EXAMPLES)
