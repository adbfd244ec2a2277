"""Pages of Markdown as a reader follows them: files to write, commands to run, outputs to see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

ROOT = Path(__file__).parents[2]
Kind: TypeAlias = Literal["file", "run", "install", "shown"]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>[\w{}-]*)[^\n]*\n(?P<body>.*?)^```", re.M | re.S
)
_INSTALLS = re.compile(r"\bpip install\b|\bapt-get\b|\bgit clone\b")


@dataclass(frozen=True)
class Block:
    """One block of a page: a file with its ``name``, a command with the exit ``code`` that the page states."""

    kind: Kind
    body: str
    name: str = ""
    code: int = 0
    language: str = ""


def pages() -> list[Path]:
    """The README, the documentation, and the examples' pages."""
    docs = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]
    return [ROOT / "README.md", *docs, *sorted((ROOT / "examples").rglob("README.md"))]


def blocks(page: Path) -> list[Block]:
    """What is to be done and seen on a page, in order."""
    found = []
    for each in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        mark, language, body = each["mark"] or "", each["language"], each["body"]
        if mark.startswith("file: "):
            found.append(Block("file", body, name=mark.removeprefix("file: ")))
        elif language in ("sh", "bash", "console", "shell"):
            kind: Kind = "install" if _INSTALLS.search(body) else "run"
            code = int(mark.removeprefix("exits with ")) if mark.startswith("exits with ") else 0
            found.append(Block(kind, body, code=code, language=language))
        else:
            found.append(Block("shown", body, language=language))
    return found
