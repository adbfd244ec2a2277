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
from markupsafe import Markup

from gradparity.formatting import printable
from gradparity.report.facts.overview import overview
from gradparity.report.facts.view import Cell
from gradparity.report.page.assembly import first_screen, receipt, sections
from gradparity.report.page.plotly import plotly
from gradparity.results import RunResult

_ASSETS = Path(__file__).parent / "assets"
#: Characters of a page that can still be mailed; a limit of 6 MB with room for those that take more than a byte.
MOST_CHARACTERS = 5_900_000


def render(result: RunResult) -> str:
    """The whole page; of a run so large that it would not fit, without the plots of the problems that agree.

    Raises:
        FileNotFoundError: the ``plotly`` package lacks its script.
    """
    whole = _render(result, lean=False)
    return whole if len(whole) <= MOST_CHARACTERS else _render(result, lean=True)


def _render(result: RunResult, *, lean: bool) -> str:
    found = sections(result, lean=lean)
    first, more = first_screen(overview(result))
    plots = [plot for section in found for panel in section.panels for plot in panel.plots]
    style, script = _asset("page.css"), _asset("page.js")
    library, library_hash = plotly() if plots else ("", "")
    return template("page.html").render(
        result=result,
        first=first,
        more=more,
        lean=lean,
        sections=found,
        receipt=receipt(result),
        style=Markup(style),  # noqa: S704  # packaged
        script=Markup(script),  # noqa: S704  # packaged
        script_hashes=[_hash(script), *([library_hash] if library_hash else [])],
        library=Markup(library),  # noqa: S704  # base64
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


def template(name: str) -> jinja2.Template:
    """One of the packaged templates, in which all text is escaped."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """A script as the page's Content-Security-Policy names it."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
