"""The samples are results: `results.json` can hold every one of them."""

from __future__ import annotations

import msgspec
import pytest

from gradparity import store
from gradparity.results import RunResult
from tests.report.samples import NAMES, results


def test_the_names_of_the_samples_are_all_of_them():
    assert list(results()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_written_and_read_again_as_it_was(name: str):
    made = results()[name]
    assert msgspec.json.decode(store.encode(made), type=RunResult) == made
