"""Where two ports diverge, to the line: the last place where they agree, the first where they do not, and a cure."""

from __future__ import annotations

from typing import Literal

import msgspec

from gradparity.formatting import three

#: Operations whose result depends on the order of what they read along an axis.
CONTRACTIONS = frozenset(
    (
        *("dot", "dot_general", "matmul", "mm", "bmm", "einsum", "tensordot", "linear", "addmm", "addmv", "baddbmm"),
        *("inner", "outer", "convolve", "conv_general_dilated", "conv1d", "conv2d", "conv3d"),
    )
)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a port: ``text`` is the expression that was evaluated there, ``module`` the path of its module.

    ``file`` is relative to the model's folder; ``line`` counts from 1, and is 0 where no line can be told. ``called``
    is where the function is called that it is in, ``torch.py:12``.
    """

    backend: str
    file: str
    line: int
    text: str
    operation: str
    module: str = ""
    called: str = ""

    @property
    def place(self) -> str:
        """``torch.py:6``, with the module where there is one."""
        return f"{self.file}:{self.line}" if self.line else self.file or self.backend

    def __str__(self) -> str:
        module = f" in {self.module}" if self.module else ""
        called = f", called at {self.called}" if self.called else ""
        return f"`{self.text or self.operation}` ({self.place}{module}{called})"


class Cure(msgspec.Struct, frozen=True, kw_only=True):
    """An edit of one port that was tried, and with which every block agrees at each point that was tried.

    ``old`` and ``new`` are source text, which begins at ``column`` (of UTF-8 bytes, from 0) of its line; ``kind`` is
    ``number``, ``option``, ``permutation``, ``stop`` or ``precision``. ``also``: other edits that do the same.
    ``about``: a number that was solved for, and is neither round nor known.
    """

    backend: str
    file: str
    line: int
    column: int = 0
    kind: str
    old: str
    new: str
    phrase: str = ""
    also: list[str] = []
    about: bool = False


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """Where one backend's port diverges from another's, or from the neutral loss (``truth``).

    Attributes:
        direction: ``forward`` by values, ``backward`` by cotangents where every value agrees.
        backend: the one that disagrees.
        also: others that disagree and run the same port.
        against: what it is held against.
        agree: the last place where both agree, in each; empty where there is none.
        reordered: since where both have the same numbers in another order, which is what they diverge on then.
        here: the first where they do not; one side may be missing.
        relative: largest difference there over the largest magnitude.
        floors: the same in floors; ``None`` where it is no finite number.
        silent: backends where a known stop lets no cotangent through.
        cures: edits that make every block agree, proven by trying them.
        tried: how many edits were tried.
        joined: lines that have a common result, first port, second port.
        excerpts: source lines by port, for the page, the first with its number.
    """

    direction: Literal["forward", "backward"]
    backend: str
    against: str
    also: list[str] = []
    agree: list[Site] = []
    reordered: list[Site] = []
    here: list[Site] = []
    relative: float | None = None
    floors: float | None = None
    silent: list[str] = []
    cures: list[Cure] = []
    tried: int = 0
    joined: list[tuple[int, int]] = []
    excerpts: dict[str, tuple[int, list[str]]] = {}

    @property
    def said(self) -> list[str]:
        """All of it in sentences: where they agree, where they diverge, what would make them agree."""
        said = []
        if self.direction == "forward":
            if len(self.agree) > 1:
                one, two = self.agree
                said.append(f"the same up to `{one.text or one.operation}` ({one.place}, {two.place})")
            if self.reordered and any(site.operation in CONTRACTIONS for site in self.here):
                said.append(f"in another order since {' and '.join(map(str, self.reordered))}")
            said.append(f"they diverge at {' and '.join(map(str, self.here))}{self._size}")
        else:
            value = str(self.agree[0]) if self.agree else "the loss"
            said.append("every value agrees up to the loss")
            ends = " and ".join(str(site) for site in self.here if site.backend in self.silent)
            goes = " and ".join(str(site) for site in self.here if site.backend not in self.silent)
            if ends:
                on = f", where it flows on through {goes}" if goes else ""
                said.append(f"no cotangent flows from {value} past {ends}{on}")
            else:
                said.append(f"the cotangents of {value} diverge at {goes}{self._size}")
        for place, cure in enumerate(self.cures):
            either = "or" if place else "they would agree in every block"
            new = f"a number of about `{cure.new}`" if cure.about else f"`{cure.new}`"
            tried = "(tried at two points, to 1e-9)"
            said.append(f"{either} if `{cure.old}` at {cure.file}:{cure.line} were {new} {tried}")
        return said

    def __str__(self) -> str:
        return "; ".join(self.said)

    @property
    def _size(self) -> str:
        figures = (
            "" if self.relative is None else f"{self.relative:.1e} relative",
            "" if self.floors is None else f"{_count(self.floors)} floors",
        )
        return "".join([": ", ", ".join(filter(None, figures))]) if any(figures) else ""


def _count(value: float) -> str:
    return three(value) if value < 1e4 else f"{value:.1e}"
