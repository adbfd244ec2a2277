"""What the page looks like in a real browser: beside pictures that were looked at, and what holds for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.report import looks

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(looks.BROWSER is None, reason="no browser: apt-get install chromium"),
]
#: Of 255: one tile of 32 x 32 pixels of the page, and all of it on average.
_MOST, _MEAN = 12, 0.5
PAGES = ["two_agree", "two_wrong", "two_all_wrong", "two_untimed", "forty", "port", "steps", "elsewhere", "many"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return looks.written(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def tools(browser: Any) -> Any:
    return browser.new_page()


@pytest.fixture(scope="module")
def same_browser(browser: Any) -> None:
    here, made = looks.made_with(browser), looks.MADE_WITH.read_text(encoding="utf-8").strip()
    if here != made:
        pytest.skip(f"the pictures were taken with another browser or font: {made}, here {here}")


#: One page of each kind in one scheme or more; the others vary them.
LOOKED_AT = {("two_wrong", scheme) for scheme in looks.SCHEMES}
LOOKED_AT |= {("forty", "light"), ("port", "print"), ("steps", "dark"), ("elsewhere", "light"), ("many", "print")}
EVERY = [
    pytest.param(name, scheme, marks=[] if (name, scheme) in LOOKED_AT else [pytest.mark.variation])
    for name in PAGES
    for scheme in looks.SCHEMES
]


@pytest.mark.parametrize(("name", "scheme"), EVERY)
@pytest.mark.usefixtures("same_browser")
def test_it_looks_as_it_did_when_it_was_looked_at(
    name: str, scheme: str, browser: Any, tools: Any, paths: dict[str, Path]
):
    for width in looks.widths(name, scheme):
        with looks.opened(browser, paths[name], width, scheme) as page:
            taken = looks.picture(page, tools)
        found = looks.apart(tools, looks.url(looks.stored(name, width, scheme)), taken)
        (_, then), (_, now) = found["sizes"]
        assert abs(then - now) <= 2 + then / 100, (width, found)
        assert found["most"] <= _MOST, (width, found)
        assert found["mean"] <= _MEAN, (width, found)


@pytest.mark.usefixtures("same_browser")
def test_a_picture_without_its_strips_is_another(browser: Any, tools: Any, paths: dict[str, Path]):
    with looks.opened(browser, paths["two_wrong"], 1440, "light") as page:
        page.add_style_tag(content=".strips .spot { visibility: hidden }")
        taken = looks.picture(page, tools)
    found = looks.apart(tools, looks.url(looks.stored("two_wrong", 1440, "light")), taken)
    assert found["most"] > _MOST or found["mean"] > _MEAN


def test_pictures_are_small():
    files = list(looks.PICTURES.iterdir())
    assert len(files) > 30
    assert sum(path.stat().st_size for path in files) < 10**6


_BOTTOM = (
    "(selector) => Math.max(...[...document.querySelectorAll(selector)].map((e) => e.getBoundingClientRect().bottom))"
)


@pytest.mark.parametrize("name", [name for name in PAGES if name != "many"])  # whose causes come first
def test_sentence_cause_and_pictures_are_on_the_first_screen(name: str, browser: Any, paths: dict[str, Path]):
    with looks.opened(browser, paths[name], 1366, "light") as page:
        for width, height in ((1366, 768), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate(_BOTTOM, ".first h1, .faults, .pictures") <= height, width


def test_a_wrong_port_has_its_places_on_the_first_screen(browser: Any, paths: dict[str, Path]):
    with looks.opened(browser, paths["port"], 390, "light") as page:
        said = page.locator(".faults").inner_text()
        assert "jax.py:6" in said
        assert "model_spec.py:46" in said
        assert page.evaluate(_BOTTOM, ".faults") <= 844


def test_two_problems_and_a_wrong_port_of_twenty_blocks_are_not_long(browser: Any, paths: dict[str, Path]):
    for name, most in (("two_wrong", 5000), ("two_agree", 5000), ("port", 3000)):
        with looks.opened(browser, paths[name], 1366, "light") as page:
            assert page.evaluate("document.documentElement.scrollHeight") < most
            assert page.evaluate("[...document.querySelectorAll('.whole[open]')].length") == (name == "port")


#: Cells, captions and code with more in them than is shown.
_CUT = """() => [...document.querySelectorAll('.scroll, th, td, pre, .note, .strips, .gist, .listing code')]
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
  .map((e) => e.className + e.textContent.slice(0, 80))"""
_NARROW = """() => [...document.querySelectorAll('td, th')]
  .filter((e) => e.clientWidth && e.textContent.trim().split(/\\s+/).length > 5 && e.clientWidth < 120)
  .map((e) => e.textContent)"""


#: Words of a plot that leave it, and words that lie on other words.
_CLASHES = """() => [...document.querySelectorAll('.plot')].flatMap((plot) => {
  const edge = plot.getBoundingClientRect();
  const texts = [...plot.querySelectorAll('.main-svg text')].filter((e) => e.textContent.trim())
    .map((e) => [e.textContent, e.getBoundingClientRect()]).filter(([, box]) => box.width);
  const out = texts.filter(([, b]) => b.left < edge.left - 2 || b.right > edge.right + 2 || b.bottom > edge.bottom + 2);
  const over = texts.flatMap(([one, a], i) => texts.slice(i + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4)
    .map(([two]) => one + ' on ' + two));
  return [...out.map(([text]) => plot.id + ': ' + text + ' is clipped'), ...over.map((said) => plot.id + ': ' + said)];
})"""


#: Paper is as wide as it is; with a narrower window before it, plots are drawn anew.
UNFOLDED = [*((width, "light") for width in looks.WIDTHS), (390, "print")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["port", "two_wrong", "steps", "elsewhere"])
@pytest.mark.parametrize(("width", "scheme"), UNFOLDED)
def test_unfolded_nothing_is_cut_or_a_column_of_words_and_no_label_of_a_plot_is_clipped_or_on_another(
    width: int, scheme: str, name: str, browser: Any, paths: dict[str, Path]
):
    with looks.opened(browser, paths[name], width, scheme) as page:
        page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")
        looks.wait_for_plots(page)
        assert page.evaluate(_CUT) == []
        assert page.evaluate(_NARROW) == []
        if scheme == "light":
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(_CLASHES) == []


def test_on_paper_every_plot_is_there_dark_on_white_and_a_section_begins_a_page(browser: Any, paths: dict[str, Path]):
    with looks.opened(browser, paths["two_wrong"], 1440, "dark") as page:
        page.emulate_media(media="print", color_scheme="dark")
        looks.wait_for_plots(page)
        drawn = page.evaluate(
            "[...document.querySelectorAll('.plot .main-svg:first-child')].map((svg) => svg.clientWidth)"
        )
        assert len(drawn) == page.locator(".plot").count() > 10
        assert all(400 < width <= 680 for width in drawn)
        breaks = "[...document.querySelectorAll('.problem')].map((each) => getComputedStyle(each).breakBefore)"
        assert set(page.evaluate(breaks)) == {"page"}
        light = "getComputedStyle(document.querySelector('.plot text')).fill"
        assert sum(int(part) for part in page.evaluate(light)[4:-1].split(",")) < 200
        page.emulate_media(media="screen", color_scheme="dark")
        for _ in range(50):  # the page is told of it when it is
            if not page.evaluate("document.querySelectorAll('main .whole[open]').length"):
                break
            page.wait_for_timeout(100)
        else:
            pytest.fail("sections that were opened for paper are open on the screen")


@pytest.mark.slow
@pytest.mark.parametrize("width", looks.WIDTHS)
def test_the_list_of_problems_is_whole_at_every_width_and_searched_with_keys(
    width: int, browser: Any, paths: dict[str, Path]
):
    with looks.opened(browser, paths["forty"], width, "light") as page:
        page.locator(".menu summary").focus()
        page.keyboard.press("Enter")
        links = page.locator(".menu li a")
        assert links.count() == 41
        box = page.locator(".menu .list").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        page.wait_for_timeout(100)
        page.keyboard.type("400x")
        shown = [each.inner_text() for each in links.all() if each.is_visible()]
        assert len(shown) == 1
        assert "400x40" in shown[0]
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert page.evaluate("document.querySelector('#p40 > details').open")
        assert page.evaluate("document.querySelector('.menu').open") is False


def test_what_is_folded_away_is_not_drawn_until_it_is_unfolded(browser: Any, paths: dict[str, Path]):
    with looks.opened(browser, paths["forty"], 1440, "light") as page:
        drawn = "(within) => document.querySelectorAll(`${within} .plot .main-svg`).length"
        assert page.evaluate(drawn, "#p7") == 0
        page.locator("#p7 summary").first.click()
        looks.wait_for_plots(page)
        assert page.evaluate(drawn, "#p7") > 5
        assert page.evaluate(drawn, "#p8") == 0


@pytest.mark.slow
def test_a_problem_is_folded_and_unfolded_with_keys(browser: Any, paths: dict[str, Path]):
    with looks.opened(browser, paths["two_wrong"], 390, "light") as page:
        summary = page.locator("#p2 summary").first
        assert "wrong" in summary.inner_text()
        assert "factor 2" in summary.inner_text()
        summary.focus()
        for opened in (True, False):
            page.keyboard.press("Enter")
            page.wait_for_timeout(100)
            assert page.evaluate("document.querySelector('#p2 > details').open") is opened
