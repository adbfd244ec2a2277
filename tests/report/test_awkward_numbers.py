"""Every number of a result may be any number there is: each report still comes out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gradparity.report.page.render import render
from gradparity.results import Finding, RunResult, Training
from gradparity.results.store import read
from tests.fuzz.test_results import RENDERERS
from tests.samples import SAMPLES

AWKWARD = [math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1e-310, 1e308, -1e308]


def with_numbers(found: Any, number: Callable[[], float], of: tuple[type, ...], inside: bool = False) -> Any:
    """A copy with every float of the records ``of`` another number; their counts and times stay."""
    if isinstance(found, of):
        inside = True
    if isinstance(found, float) and inside:
        return number()
    if isinstance(found, list | tuple):
        return type(found)(with_numbers(each, number, of, inside) for each in found)
    if isinstance(found, dict):
        return {key: with_numbers(each, number, of, inside) for key, each in found.items()}
    if isinstance(found, msgspec.Struct):
        fields = {name: with_numbers(getattr(found, name), number, of, inside) for name in found.__struct_fields__}
        return msgspec.structs.replace(found, **{k: v for k, v in fields.items() if k != "loop_s"})
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        return found  # of the clock
    return found


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("number", AWKWARD, ids=repr)
def test_findings_of_any_numbers_are_reported(number: float, path: Any) -> None:
    result: RunResult = with_numbers(read(str(path)), lambda: number, (Finding, Training))
    for make in RENDERERS.values():
        make(result)


@pytest.mark.parametrize("number", AWKWARD, ids=repr)
def test_the_page_is_made_of_any_numbers(number: float) -> None:
    result = read(str(SAMPLES[1]))
    assert "</html>" in render(with_numbers(result, lambda: number, (Finding, Training)))
