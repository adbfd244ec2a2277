"""Figures as people read them."""

import pytest

from gradparity.formatting import duration, ratio, size, three


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (0.4, "0.4 ns"),
        (12.34, "12.3 ns"),
        (999.4, "999 ns"),
        (999.6, "1.00 us"),
        (12_345, "12.3 us"),
        (1e6, "1.00 ms"),
        (2.5e9, "2.50 s"),
        (3.6e12, "3,600 s"),
    ],
)
def test_a_duration_has_three_digits_and_the_unit_that_suits(nanoseconds: float, words: str) -> None:
    assert duration(nanoseconds) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0.00 B"), (2**20, "1.00 MiB"), (34.2 * 2**20, "34.2 MiB")])
def test_a_size_is_in_binary_units(count: float, words: str) -> None:
    assert size(count) == words


def test_a_ratio_and_small_numbers_keep_three_digits() -> None:
    assert ratio(3.14159) == "3.14x"
    assert three(0.095812) == "0.0958"
    assert three(-12.345) == "-12.3"
    assert three(99.96) == "100"
