"""What a list of known disagreements says of a run: what is new, and what is to be deleted from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from gradparity.report.facts import words
from gradparity.report.facts.view import Kind, Note
from gradparity.results import RunResult
from gradparity.results.baseline import KnownBlock

#: Of many models: those that are told in full.
_TOLD = 3


def baseline_said(result: RunResult) -> str:
    """In a clause: ``all of it is known (known.toml)``; ``""`` where there is nothing to say."""
    found = result.baseline
    if found is None:
        return ""
    parts = []
    if found.new:
        parts.append(f"{words.counted(len(found.new), 'block')} not as in {found.file}")
    if found.mended:
        parts.append(f"{words.counted(len(found.mended), 'block')} to be deleted from {found.file}")
    if found.known and not parts:
        parts.append(f"all of it is known ({found.file})")
    return ", ".join(parts)


def baseline_notes(result: RunResult) -> Iterator[Note]:
    """What is new, what is to be deleted, and what was not compared: a note for each backend and model.

    Of many models there is one of each kind, with how many there are and the first of them in full.
    """
    found, many = result.baseline, result.many
    if found is None:
        return
    again = f"`gradparity baseline DIR --out {found.file}` writes the list again, and keeps its reasons."
    yield from _notes(f"To be deleted from {found.file}:", found.mended, _mended, "bad", "✗", again if many else None)
    yield from _notes(f"Not as in {found.file}:", found.new, _new, "bad", "✗", "" if many else None)
    yield from _notes(f"In {found.file}, and not compared:", found.unchecked, _names, "warn", "·", "" if many else None)
    if many and found.absent:
        names = f"{words.counted(len(found.absent), 'model')} ({words.listed(found.absent)})"
        yield Note(f"In {found.file}, and not in this run:", names, kind="warn", mark="·")


def _notes(
    name: str,
    found: Sequence[KnownBlock],
    said: Callable[[Sequence[KnownBlock]], str],
    kind: Kind,
    mark: str,
    together: str | None,
) -> Iterator[Note]:
    """A note for each backend and model; or one for all, with another sentence, where ``together`` is no ``None``."""
    groups = _grouped(found)
    each = [f"{backend} on {model}: {said(group)}" for (model, backend), group in groups.items()]
    if together is None or len(each) <= _TOLD:
        yield from (Note(name, text, kind=kind, mark=mark) for text in each)
        return
    models = words.counted(len({model for model, _ in groups}), "problem")
    left = [f"and {len(each) - _TOLD} more"]
    more = [*each[:_TOLD], *left, *([together] if together else [])]
    yield Note(name, f"{words.counted(len(found), 'block')} on {models}", more, kind, mark)


def _mended(group: Sequence[KnownBlock]) -> str:
    why = "it agrees now" if all(each.verdict for each in group) else "it agrees, or is no block any more"
    return f"{words.listed([each.block for each in group], most=len(group))} ({why})"


def _new(group: Sequence[KnownBlock]) -> str:
    return words.listed([f"{f.block} {f.verdict}{_otherwise(f)}" for f in group])


def _otherwise(found: KnownBlock) -> str:
    if found.worse:
        return f", {found.worse}"
    return f", listed as {found.listed}" * bool(found.listed)


def _names(group: Sequence[KnownBlock]) -> str:
    return words.listed([each.block for each in group])


def _grouped(found: Iterable[KnownBlock]) -> dict[tuple[str, str], list[KnownBlock]]:
    groups: dict[tuple[str, str], list[KnownBlock]] = {}
    for each in found:
        groups.setdefault((each.model, each.backend), []).append(each)
    return groups
