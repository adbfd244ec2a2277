"""Whatever a console prints, made fit for a terminal: names and causes come from files and from other people's code."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from gradparity.formatting import printable


class Printable(RenderHook):
    """Leaves control sequences out of all text, but for those with which Rich itself colours it and moves the cursor.

    Rich passes them on, and a terminal obeys them: they hide lines, retitle the window, or type an answer.
    """

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """The same, each made printable as it is laid out."""
        return [_Printable(renderable) for renderable in renderables]


class _Printable:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return _cleaned(console.render(self._renderable, options))


def _cleaned(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        if segment.control or segment.text.isprintable():
            yield segment
        else:
            lines = segment.text.split("\n")
            yield Segment("\n".join(map(printable, lines)), segment.style)
