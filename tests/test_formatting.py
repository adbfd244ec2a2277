"""Figures as people read them: three digits, and the unit that suits."""

from collections.abc import Callable

import pytest

from gradparity.formatting import duration, first_line, ratio, size, three


@pytest.mark.parametrize(
    ("shown", "figure", "words"),
    [
        (duration, 0.4, "0.4 ns"),
        (duration, 12.34, "12.3 ns"),
        (duration, 999.4, "999 ns"),
        (duration, 999.6, "1.00 us"),
        (duration, 12_345, "12.3 us"),
        (duration, 1e6, "1.00 ms"),
        (duration, 2.5e9, "2.50 s"),
        (duration, 3.6e12, "3,600 s"),
        (size, 0, "0.00 B"),
        (size, 2**20, "1.00 MiB"),
        (size, 34.2 * 2**20, "34.2 MiB"),
        (ratio, 3.14159, "3.14x"),
        (three, 0.095812, "0.0958"),
        (three, -12.345, "-12.3"),
        (three, 99.96, "100"),
    ],
)
def test_a_figure_has_three_digits_and_the_unit_that_suits(
    shown: Callable[[float], str], figure: float, words: str
) -> None:
    assert shown(figure) == words


def test_a_message_whose_first_line_only_announces_is_told_with_its_last() -> None:
    graph = "in user code:\n\n    File 'model.py', line 3, in loss\n\n    TypeError: got two shapes\n\n"
    assert first_line(graph) == "in user code: TypeError: got two shapes"
    assert first_line("shapes differ:") == "shapes differ:"
    assert first_line("got (3,)\nsee the manual") == "got (3,)"
    assert first_line("") == ""
