"""The page of what was found: a table and the words of every file in `examples/found`, for `generate.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from textwrap import dedent
from typing import Any

FOLDER = Path(__file__).parents[1] / "examples" / "found"

#: What is wrong, in a few words, the worst first.
KINDS = {
    "wrong": "another value, whatever the precision",
    "not finite": "nan where the truth is finite",
    "raises": "an error in place of a derivative that exists",
    "few digits": "an approximation with fewer digits than the dtype has, at entries that are not small",
    "cancellation": "the right rule in a formula that loses digits; the text says where the entry is small",
    "documented": "an approximation that the documentation states: no bug",
}

INTRODUCTION = """\
Disagreements of released frameworks, each as the smallest model that shows it: `examples/found/NAME.py` has the facts,
a few lines that need the framework alone, the true value by mpmath, and the model for `gradparity check`. All in
float64 on a CPU. A test says for the versions that are installed which of them still hold.

`relative` is the error over the true value, `ulps` the error in units in its last place. The last column is what
gradparity says of the framework on that model. A tail that the formula itself has lost is
[`unresolved`](reference/verdicts.md)."""


def page(table: Callable[..., str]) -> str:
    """The table by what is wrong, then each finding with its few lines."""
    read = {path.stem: run_path(str(path)) for path in sorted(FOLDER.glob("*.py"))}
    order = sorted(read, key=lambda name: (list(KINDS).index(read[name]["FOUND"]["kind"]), name))
    parts = ["# Found in released frameworks", INTRODUCTION, table(("kind", "means"), KINDS.items())]
    heads = ("finding", "version", "what", "true", "answer", "relative", "ulps", "kind", "gradparity says")
    parts.append(table(heads, (_row(name, read[name]["FOUND"]) for name in order)))
    for name in order:
        title, words, lines = parted(read[name]["__doc__"])
        parts += [f"## {name}", f"**{title}**", words, f"```python\n{lines}\n```"]
        record = read[name]["FOUND"]
        parts.append(
            f"`gradparity check examples/found/{name}.py --backends {record.get('backend', record['framework'])}`"
        )
    return "\n\n".join(parts) + "\n"


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    true, answer = found["true"], found["answer"]
    relative = ulps = "-"
    if isinstance(answer, float):
        error = abs(answer - true)
        relative, ulps = f"{error / abs(true):.2g}", f"{error / math.ulp(true):.2g}"
    says = ", ".join(f"{block}: {verdict}" for block, verdict in found["verdicts"].items())
    version = f"{found['framework']} {found['version']}"
    return f"[{name}](#{name})", version, found["what"], repr(true), str(answer), relative, ulps, found["kind"], says


def parted(doc: str) -> tuple[str, str, str]:
    """The first line of a finding's docstring, its facts, and the lines of Python that are indented below them."""
    title, _, rest = doc.strip().partition("\n\n")
    facts, _, lines = rest.partition("\n\n    ")
    return title, facts, dedent("    " + lines)
