"""For pytest: the fixture ``gradparity``, which fails a test with the table of verdicts.

    def test_my_ports_agree(gradparity):
        gradparity.assert_agree("model.py", backends=["jax", "torch"])

    @pytest.mark.gradparity(budget=60, backends=["jax", "torch"])
    def test_within_a_minute(gradparity): ...

Loaded into every session of pytest where this package is installed: nothing is imported here until a test asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradparity.api import CheckOptions, Model, Result

_MARKER = (
    "gradparity(backends=None, budget=None, ...): what gradparity.check() is called with unless the test says "
    "otherwise; budget is the seconds that a check may take"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


class Gradparity:
    """What the fixture gives: ``gradparity.check`` with the options of the test's marker, then of its project.

    The project's are in ``[tool.gradparity]`` of the nearest ``pyproject.toml`` above the test's file.
    """

    def __init__(self, options: Mapping[str, Any], folder: Path) -> None:
        self._options, self._folder = options, folder

    def check(self, model: Model = None, **options: Any) -> Result:
        """The result of ``gradparity.check``, whatever it is; options as there.

        Raises:
            InputError: the model, the data or an option is at fault.
        """
        from gradparity.api import execute

        asked: CheckOptions = {**self._options, **options}  # type: ignore[typeddict-item]
        return execute("check", model, asked, self._folder)

    def assert_agree(self, model: Model = None, **options: Any) -> Result:
        """Fail the test, with the table of verdicts, unless every backend agrees and none was left out.

        Args:
            model: path of a model's file or folder, or an imported module; the project's ``models``, or the built-in
                one, if not given.
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
            budget_s = result.settings["budget_s"]
            within = f" within {budget_s:g} s" if left_out and budget_s is not None else ""
            pytest.fail(f"gradparity: not every backend agrees{within}\n\n{result!r}", pytrace=False)
        return result


@pytest.fixture
def gradparity(request: pytest.FixtureRequest) -> Gradparity:
    """Check a model on several backends: ``gradparity.assert_agree(model, backends=[...])``."""
    marker = request.node.get_closest_marker("gradparity")
    return Gradparity(marker.kwargs if marker is not None else {}, request.path.parent)
