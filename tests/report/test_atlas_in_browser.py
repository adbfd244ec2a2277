"""The page of an atlas in a real browser: sorted, filtered, and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradparity.report.atlas.files import write_atlas
from gradparity.runner.atlas.run import explore
from tests.report import looks
from tests.report.test_page_in_browser import Visit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.variation,
    pytest.mark.skipif(looks.BROWSER is None, reason="no browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("atlas") / "out"
    write_atlas(*explore(str(out), ["tanh", "relu"], ["numpy", "autograd"]), str(out))
    return out / "atlas.html"


def test_the_page_sorts_filters_and_draws(browser: Any, path: Path) -> None:
    with Visit(browser, path, viewport={"width": 1366, "height": 900}) as visit:
        page = visit.page
        rows = page.locator("#entries tbody tr")
        rows.first.wait_for()
        page.locator("#explore > .filter [name=q]").fill("tanh")
        assert set(page.locator("#entries tbody th").all_inner_texts()) == {"tanh"}
        page.locator("#entries thead button", has_text="ulp").click()
        sizes = [float(each) for each in page.locator("#entries tbody td:nth-child(6)").all_inner_texts()]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) > 4
        page.locator("#explore > .filter [name=quantity]").select_option("second")
        rows.first.click()
        assert page.locator("#picture h4").inner_text() == "tanh"
        assert page.locator("#picture circle").count() > 100
        assert visit.is_silent(), (visit.said, visit.asked[1:])
