"""Many models in a real browser: filtered by verdict, backend, cause and words, with the filter in the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradparity.report.page import document
from tests.report import looks
from tests.report.campaigns import made
from tests.report.test_page_in_browser import Visit

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(looks.BROWSER is None, reason="no browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("pages") / "many.html"
    written.write_text(document(made()), encoding="utf-8")
    return written


def shown(visit: Visit) -> list[str]:
    """Names of the models whose rows are there."""
    rows = visit.page.locator("tr[data-m]").all()
    return [row.locator("th").inner_text().split("\n")[0] for row in rows if row.is_visible()]


def chosen(visit: Visit, **fields: str) -> None:
    for name, words in fields.items():
        visit.page.locator(f".filter [name={name}]").select_option(label=words)


def test_causes_and_the_filter_are_on_the_first_screen_and_nothing_is_asked_for(browser: Any, path: Path):
    for width, height in ((1366, 768), (390, 844)):
        with Visit(browser, path, viewport={"width": width, "height": height}) as visit:
            for words in ("9 of 40 models do not agree", "factor 2", "twice-0.py"):
                box = visit.page.locator("h1, .causes > .note").filter(has_text=words).first.bounding_box()
                assert box["y"] + box["height"] <= height, (words, width)
            assert visit.page.locator(".filter").bounding_box()["y"] < height
            assert visit.page.evaluate("document.documentElement.scrollWidth") == width
            assert visit.is_silent(), (visit.said, visit.asked[1:])


def test_a_choice_hides_what_does_not_fit_and_says_how_many_are_left(browser: Any, path: Path):
    with Visit(browser, path) as visit:
        assert shown(visit) == []  # folded away
        chosen(visit, backend="jax", cause="factor 2")
        assert shown(visit) == ["twice-jax.py"]
        assert visit.page.locator("output").inner_text() == "1 of 40 models"
        assert visit.page.locator(".causes > .note:visible .count").all_inner_texts() == ["1 of 6"]
        assert [each.get_attribute("id") for each in visit.page.locator("section[data-m]:visible").all()] == ["m4"]
        visit.page.get_by_role("button", name="Clear").click()
        visit.page.wait_for_function("!location.hash")  # a form is reset after its handlers have run
        assert visit.page.locator(".causes > .note:visible").count() == 5
        assert visit.page.locator("output").inner_text() == ""
        assert "filter" not in visit.page.url


def test_words_find_models_by_their_names_and_by_their_causes(browser: Any, path: Path):
    with Visit(browser, path) as visit:
        search = visit.page.get_by_role("searchbox")
        search.fill("RIGHT-00")
        assert len(shown(visit)) == 10
        assert visit.page.locator(".causes > .note:visible").count() == 0
        search.fill("zero block")
        assert shown(visit) == ["detached-w.py", "detached-W.py"]


def test_the_address_has_the_filter_and_who_opens_it_sees_the_same(browser: Any, path: Path):
    with Visit(browser, path) as visit:
        chosen(visit, verdict="wrong", backend="jax")
        visit.page.get_by_role("searchbox").fill("eps")
        address = visit.page.evaluate("location.href")  # page.url is told of it later
        assert "#filter?" in address
        assert shown(visit) == ["eps.py"]
        visit.page.goto("about:blank")
        visit.page.goto(address)
        assert shown(visit) == ["eps.py"]
        assert visit.page.locator("[name=q]").input_value() == "eps"


def test_all_of_it_is_done_with_keys(browser: Any, path: Path):
    with Visit(browser, path) as visit:
        for _ in range(40):
            visit.page.keyboard.press("Tab")
            if visit.page.evaluate("document.activeElement.name") == "q":
                break
        visit.page.keyboard.type("twice-1")
        assert shown(visit) == ["twice-1.py"]
        link = visit.page.locator(".causes a:visible").first
        link.focus()
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_timeout(200)
        assert visit.page.evaluate("document.querySelector('#m1 > details').open")


def test_how_many_are_what_is_a_link_to_them(browser: Any, path: Path):
    with Visit(browser, path) as visit:
        visit.page.get_by_role("link", name="1 failed").click()
        visit.page.wait_for_timeout(100)
        assert shown(visit) == ["crashes.py"]


def test_without_scripts_every_cause_and_model_is_there(browser: Any, path: Path):
    with Visit(browser, path, java_script_enabled=False) as visit:
        assert len(shown(visit)) == 40
        assert visit.page.locator(".causes > .note:visible").count() == 5
        assert not visit.page.locator(".filter").is_visible()
