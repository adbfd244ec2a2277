"""The page as text: templates, style, script, and Plotly's own script, all inside."""

from __future__ import annotations

import gzip
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup, escape

from gradparity.formatting import printable
from gradparity.report.facts.view import Cell
from gradparity.report.facts.words import brief
from gradparity.report.page.assembly import LEAN, LEAN_MANY, first_screen, receipt, sections
from gradparity.report.page.plotly import HASH, plotly
from gradparity.results import RunResult

_ASSETS = Path(__file__).parent / "assets"
#: Problems from which on the list of them can be searched.
SEARCHED = 20
#: Bytes of a page that can still be mailed: a limit of 6 MB with some room.
MOST_BYTES = 5_900_000


def render(result: RunResult) -> str:
    """The whole page; of a run so large that it would not fit, without what is least missed, which the page says."""
    page, steps = "", LEAN_MANY if result.many else LEAN
    for lean in range(len(steps)):
        page = _render(result, lean, steps[lean])
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def _render(result: RunResult, lean: int, left_out: str) -> str:
    found = sections(result, lean=lean)
    plots = [plot for section in found for panel in section.panels for plot in panel.plots]
    screen = first_screen(result, linked=len(found) > 1)
    style, scripts = asset("page.css"), [asset("page.js"), *([asset("campaign.js")] if screen.many else [])]
    return template("page.html").render(
        result=result,
        screen=screen,
        lean=left_out,
        many=SEARCHED,
        sections=found,
        receipt=receipt(result),
        style=Markup(style),  # noqa: S704  # packaged
        scripts=[Markup(script) for script in scripts],  # noqa: S704  # packaged
        script_hashes=[*map(hash_of, scripts), *([HASH] if plots else [])],
        library=Markup(plotly() if plots else ""),  # noqa: S704  # base64
        figures=packed({f"plot-{plot.key}": plot.figure for plot in plots}),
    )  # fmt: skip


def packed(value: Any) -> Markup:
    """JSON, compressed and in base64: a tenth of its size, and nothing in it is markup."""
    content = gzip.compress(msgspec.json.encode(value), compresslevel=6, mtime=0)
    return Markup(b64encode(content).decode())  # noqa: S704  # base64


def _shown(value: object) -> object:
    """Somebody else's words without what a terminal would obey, or what turns the direction of a text."""
    if isinstance(value, str | Cell) and not isinstance(value, Markup):
        return "\n".join(map(printable, str(value).splitlines()))
    return value


def _coded(text: str) -> Markup:
    """Words in which what stands between backticks is source."""
    parts = [escape(_shown(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:  # one of them has no partner
        return escape(_shown(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(parts)
    )


def template(name: str) -> jinja2.Template:
    """One of the packaged templates, in which all text is escaped."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"coded": _coded, "brief": brief}
    return made


@cache
def asset(name: str) -> str:
    """The text of a packaged file."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def hash_of(script: str) -> str:
    """A script as the page's Content-Security-Policy names it."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
