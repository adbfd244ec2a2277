"""What tests of the page share: a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.report import looks


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's own Chromium, driven by Playwright; a module that asks for it is skipped where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=looks.BROWSER, args=looks.FLAGS)
        yield launched
        launched.close()
