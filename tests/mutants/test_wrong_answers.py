"""Every wrong answer is found, named where it has a name, and no right block is blamed: on each core backend."""

from __future__ import annotations

import pytest

from tests.mutants.answers import MUTANTS
from tests.mutants.harness import assert_found, changed, right, verdicts
from tests.mutants.problems import ALL


@pytest.mark.parametrize("problem", ALL)
def test_without_a_mutation_every_block_agrees(name: str, problem: str) -> None:
    found = verdicts(name, problem, *right(name, problem))
    assert_found(found, {})
    assert all(finding.cause == "" for finding in found.values())


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_answer_is_found_and_named(name: str, mutant: str) -> None:
    m = MUTANTS[mutant]
    for problem in m.problems:
        found = changed(name, problem, m.changes)
        assert_found(found, m.expected)
