"""For pytest: the fixture ``gradparity``, which fails a test with the table of verdicts.

    def test_my_ports_agree(gradparity):
        gradparity.assert_agree("model.py", backends=["jax", "torch"])

    @pytest.mark.gradparity(budget=60, backends=["jax", "torch"])
    def test_within_a_minute(gradparity): ...

Loaded into every session of pytest where this package is installed: nothing is imported here until a test asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradparity.api import Model, Result

_MARKER = (
    "gradparity(backends=None, budget=None, ...): what gradparity.check() is called with unless the test says "
    "otherwise; budget is the seconds that a check may take"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


class Gradparity:
    """What the fixture gives: ``gradparity.check`` with the options of the test's marker."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    def check(self, model: Model = None, **options: Any) -> Result:
        """The result of ``gradparity.check``, whatever it is; options as there.

        Raises:
            InputError: the model, the data or an option is at fault.
        """
        from gradparity.api import check

        return check(model, **{**self._options, **options})

    def assert_agree(self, model: Model = None, **options: Any) -> Result:
        """Fail the test, with the table of verdicts, unless every backend agrees and none was left out.

        Args:
            model: path of a model's file or folder, or an imported module; the built-in model if not given.
            **options: as of ``gradparity.check``: ``backends``, ``steps``, ``optimiser``, ``budget``, ...

        Returns:
            The result, to look at further.
        """
        __tracebackhide__ = True
        from gradparity import InputError

        try:
            result = self.check(model, **options)
        except InputError as error:
            pytest.fail(f"gradparity: {error}", pytrace=False)
        left_out = [*result.left_out, *(what for problem in result.problems for what in problem.left_out)]
        if not result.ok or left_out:
            asked = {**self._options, **options}
            within = f" within {asked['budget']:g} s" if left_out and "budget" in asked else ""
            pytest.fail(f"gradparity: not every backend agrees{within}\n\n{result!r}", pytrace=False)
        return result


@pytest.fixture
def gradparity(request: pytest.FixtureRequest) -> Gradparity:
    """Check a model on several backends: ``gradparity.assert_agree(model, backends=[...])``."""
    marker = request.node.get_closest_marker("gradparity")
    return Gradparity(marker.kwargs if marker is not None else {})
