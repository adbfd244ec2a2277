"""The smallest error that is caught: the search for it on known thresholds, and the figures that must not get worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradparity.truth.logistic.truth import reference
from tests.conftest import configured
from tests.evidence.detection_limits import PLACES, Limit, by_own_loss, limit, main, ours, problem_of, show


@pytest.mark.parametrize("threshold", [3e-15, 1e-9, 2.5e-5, 0.9])
def test_the_search_finds_a_known_threshold_to_a_sixteenth_of_a_decade(threshold: float) -> None:
    found, note = limit(lambda d: d >= threshold)
    assert found is not None
    assert threshold <= found <= threshold * 10 ** (1 / 16) * 1.0001
    assert note == ""


def test_a_check_that_refuses_everything_or_nothing_has_no_limit() -> None:
    assert limit(lambda d: True) == (None, "refuses the right rule")
    assert limit(lambda d: False) == (None, "accepts a factor of 2")


# Measured over the three sizes: 4e-12 to 1.5e-11, and in one row of several hundred up to 4e-10.
def test_values_of_the_loss_alone_catch_a_rule_that_is_off_by_three_parts_in_1e11(name: str) -> None:
    configured(name)
    for place, caught in by_own_loss(name, problem_of("4x3x3", "float64")):
        assert not caught(0.0)
        assert caught(1e-9 if place == "one row" else 3e-11)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["4x3x3", "200x20x10", "569x30x5"])
# Measured: 2e-15 to 1.2e-14, and 1e-6 to 7e-6, growing with the number of rows as the rounding of their sums does.
@pytest.mark.parametrize(("dtype", "at_most"), [("float64", 2e-14), ("float32", 1e-5)])
def test_an_error_of_every_row_is_caught_from_a_few_roundings_on(
    name: str, size: str, dtype: str, at_most: float
) -> None:
    configured(name)
    problem = problem_of(size, dtype)
    checks = dict(ours(name, problem, reference(problem)))
    assert list(checks) == list(PLACES)
    for place in ("every row", "W only"):
        assert not checks[place](0.0)
        assert checks[place](at_most)
    assert checks["one row"](10 * at_most)


def test_limits_are_shown_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def few(size: str, dtype: Any) -> list[Limit]:
        shared = {"size": size, "dtype": dtype, "check": "gradparity: numpy"}
        return [Limit(**shared, place=place, error=1e-14 if place != "one row" else None, note="-") for place in PLACES]

    monkeypatch.setattr("tests.evidence.detection_limits.limits", few)
    main(["--size", "4x3x3", "--json", str(tmp_path / "limits.json")])
    written = json.loads((tmp_path / "limits.json").read_text())
    assert [(each["dtype"], each["error"]) for each in written if each["place"] == "every row"] == [
        ("float64", 1e-14),
        ("float32", 1e-14),
    ]
    assert "1.0e-14" in capsys.readouterr().out
    show(few("200x20x10", "float32"))
    assert "200x20x10" in capsys.readouterr().out
