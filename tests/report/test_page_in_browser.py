"""The page in a real browser: Debian's Chromium, driven by Playwright; skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradparity.report.page import document
from tests.report import looks
from tests.report.samples import samples

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(looks.BROWSER is None, reason="no browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    for name in ("run", "off", "many", "hostile"):
        (made / f"{name}.html").write_text(document(samples()[name]), encoding="utf-8")
    return made


class Visit:
    """A page that is open, with what it said and asked for."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1366, "height": 768}} | options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.path = path

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()

    def scrolled_through(self) -> None:
        """Past every plot, so that all are drawn."""
        for box in self.page.locator(".plot").all():
            box.scroll_into_view_if_needed()
            box.locator(".main-svg").first.wait_for(timeout=10_000)

    def is_silent(self) -> bool:
        return not self.said and self.asked == [self.path.as_uri()]


def test_it_opens_without_an_error_and_asks_for_nothing_but_itself(browser: Any, folder: Path):
    for name in ("run", "off"):
        with Visit(browser, folder / f"{name}.html") as visit:
            visit.scrolled_through()
            assert visit.page.locator(".plot").count() > 3
            assert visit.is_silent(), (visit.said, visit.asked[1:])


def test_the_first_screen_is_on_the_screen(browser: Any, folder: Path):
    with Visit(browser, folder / "off.html") as visit:
        for words in ("does not agree", "torch disagrees", "factor 2", "Do they agree?"):
            box = visit.page.get_by_text(words).first.bounding_box()
            assert box["y"] + box["height"] <= 768


def test_a_table_is_sorted_by_a_click_and_by_a_key(browser: Any, folder: Path):
    with Visit(browser, folder / "off.html") as visit:
        visit.page.get_by_text("In figures").click()
        table = visit.page.locator("table.data").first
        button = table.locator("thead th button").nth(3)  # floors

        def column() -> list[float]:
            cells = table.locator("tbody tr td:nth-child(4)").all()
            return [float(cell.get_attribute("data-value")) for cell in cells]

        button.click()
        assert table.locator("th").nth(3).get_attribute("aria-sort") == "ascending"
        assert column() == sorted(column())
        button.focus()
        visit.page.keyboard.press("Enter")
        assert table.locator("th").nth(3).get_attribute("aria-sort") == "descending"
        assert column() == sorted(column(), reverse=True)
        assert column()[0] > 1e10


def test_a_point_says_what_it_is(browser: Any, folder: Path):
    with Visit(browser, folder / "off.html") as visit:
        box = visit.page.locator(".plot").first
        box.scroll_into_view_if_needed()
        point = box.locator(".scatterlayer .point").last
        point.wait_for(timeout=10_000)
        point.hover(force=True)
        label = box.locator(".hoverlayer .hovertext").first
        label.wait_for(timeout=5_000)
        assert label.text_content()


#: Every button that a plot may have. Plotly 4 has one of its own accord that uploads the figure to its makers.
BUTTONS = ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]


def test_a_plot_has_no_button_that_sends_it_anywhere(browser: Any, folder: Path):
    with Visit(browser, folder / "off.html") as visit:
        visit.scrolled_through()
        box = visit.page.locator(".plot").first
        opened: list[str] = []
        visit.context.on("page", lambda page: opened.append(page.url))
        buttons = box.locator(".modebar-btn")
        assert [each.get_attribute("data-title") for each in buttons.all()] == BUTTONS
        assert set(visit.page.evaluate(
            "[...document.querySelectorAll('.modebar-btn')].map((each) => each.dataset.title)"
        )) == set(BUTTONS)  # fmt: skip
        for index in range(1, len(BUTTONS)):  # a download is the browser's own
            buttons.nth(index).dispatch_event("click")
        with visit.page.expect_download() as download:
            buttons.first.dispatch_event("click")
        assert download.value.suggested_filename.endswith(".png")
        assert opened == []
        assert visit.page.locator(".plotly-cloud-dialog-box").count() == 0
        contexts = "[...document.querySelectorAll('.js-plotly-plot')].map((each) => each._context)"
        assert visit.page.evaluate(f"{contexts}.every((each) => !each.showSendToCloud && !each.plotlyServerURL)")
        assert not visit.said
        assert [each for each in visit.asked[1:] if not each.startswith(("data:", "blob:"))] == []


def test_on_a_touch_screen_no_bar_of_buttons_lies_on_the_data(browser: Any, folder: Path):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with Visit(browser, folder / "off.html", **phone) as visit:
        visit.scrolled_through()
        assert visit.page.locator(".modebar-btn").count() == 0
        assert visit.is_silent(), (visit.said, visit.asked[1:])


def test_without_scripts_all_tables_are_there_and_open(browser: Any, folder: Path):
    with Visit(browser, folder / "run.html", java_script_enabled=False) as visit:
        tables = visit.page.locator("figure table")
        assert tables.count() > 5
        assert all(table.is_visible() for table in tables.all())
        assert not any(box.is_visible() for box in visit.page.locator(".plot").all())


@pytest.mark.parametrize("name", ["run", "many", "hostile"])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Any, folder: Path, name: str):
    with Visit(browser, folder / f"{name}.html", viewport={"width": 360, "height": 740}) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360


def test_it_is_dark_where_the_system_is_and_turns_at_a_button(browser: Any, folder: Path):
    colour = "getComputedStyle(document.body).backgroundColor"
    with Visit(browser, folder / "off.html", color_scheme="light") as visit:
        light = visit.page.evaluate(colour)
        visit.page.locator("button.theme").click()
        dark = visit.page.evaluate(colour)
        assert light != dark
    with Visit(browser, folder / "off.html", color_scheme="dark") as visit:
        assert visit.page.evaluate(colour) == dark


def test_the_first_key_leads_past_the_navigation(browser: Any, folder: Path):
    with Visit(browser, folder / "off.html") as visit:
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.className") == "skip"


def test_names_of_others_do_nothing(browser: Any, folder: Path):
    with Visit(browser, folder / "hostile.html") as visit:
        visit.scrolled_through()
        assert visit.is_silent(), (visit.said, visit.asked[1:])
        assert visit.page.locator("img").count() == 0
