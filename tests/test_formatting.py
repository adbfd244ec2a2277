"""Figures as people read them: three digits, and the unit that suits."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gradparity.formatting import duration, first_line, ratio, size, three
from gradparity.model_spec.user.model import display_path
from gradparity.model_spec.user_spec import UserSpec
from gradparity.worker.user_loss import said_of


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


#: As TensorFlow 2.21 says what code that it has translated raises.
TRANSLATED = """in user code:

    File "{file}", line 4, in loss  *
        h = layer(data["X"])
    File "/site-packages/keras/src/utils/traceback_utils.py", line 122, in error_handler  **
        raise e.with_traceback(filtered_tb) from None

    {said}
"""


def test_a_message_whose_first_line_only_announces_is_told_with_what_went_wrong() -> None:
    assert first_line(TRANSLATED.format(file="m.py", said="TypeError: got two shapes")) == "TypeError: got two shapes"
    keras = "Exception encountered when calling Dense.call().\n\nDimensions differ\n\nArguments received by Dense"
    assert first_line(keras) == "Exception encountered when calling Dense.call(). Dimensions differ"
    both = first_line(TRANSLATED.format(file="m.py", said=f"ValueError: {keras}"))
    assert both == f"ValueError: {first_line(keras)}"
    assert first_line("in user code:\n\n    TypeError: odd\n") == "in user code: TypeError: odd"
    assert first_line("shapes differ:") == "shapes differ:"
    assert first_line("got (3,)\nsee the manual") == "got (3,)"
    assert first_line("") == ""


def test_of_translated_code_the_line_is_the_one_that_the_message_quotes(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("")
    spec = UserSpec(path=str(tmp_path / "model.py"), parameters=(), forms="{}")
    said = said_of(TypeError(TRANSLATED.format(file=tmp_path / "model.py", said="TypeError: odd")), spec)
    assert said == f"TypeError: odd ({display_path(tmp_path / 'model.py')}, line 4)"
