"""Disagreements that are known, in a file of the user's that is to shrink: read, written, and what a run made of it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gradparity.model_spec.errors import InputError

_HEAD = """\
# Disagreements that are known, each with its reason. `gradparity check ... --baseline {name}` passes with these and no
# others: a new one fails, one that is worse or has another cause, and one that is mended until it is deleted here.
# `gradparity baseline` writes the list.
"""
#: What of that shows that a list is one.
_MARK = _HEAD.splitlines()[-1]


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the file: blocks of one backend on one model that have one verdict, and why that is left so.

    ``floors`` are their errors in noise floors, one for each, ``inf`` where that is no finite number; ``cause`` is
    theirs. Where either is not given it may be any. ``seeds`` are those at which it is so, where it is not at all.
    """

    model: str
    backend: str
    verdict: str
    blocks: list[str]
    reason: str
    cause: str = ""
    floors: list[float] = []
    seeds: list[int] = []


class KnownBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One block against the list: the ``verdict`` found, ``""`` where none was, and the one ``listed``, likewise.

    ``worse`` says by what it is worse than is listed, or that its cause is another, where the verdict is the same.
    """

    model: str
    backend: str
    block: str
    verdict: str = ""
    listed: str = ""
    reason: str = ""
    worse: str = ""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """A run against the list of ``file``: disagreements that are ``known``, and those that are ``new``.

    ``new`` has those with another verdict or cause than is listed, too, and those that are worse. ``mended`` are listed
    and agree, or are no blocks any more: they are to be deleted. ``unchecked`` are listed and were not compared, for
    the budget or for what a backend could not give. ``absent`` are models that are listed and that the run does not
    have: it is not known whether they are of another command, or are no more.
    """

    file: str
    known: list[KnownBlock] = []
    new: list[KnownBlock] = []
    mended: list[KnownBlock] = []
    unchecked: list[KnownBlock] = []
    absent: list[str] = []

    @property
    def ok(self) -> bool:
        """Whether all that disagrees is listed, and all that is listed disagrees, as far as it was compared."""
        return not self.new and not self.mended


def read_known(path: str) -> list[Known]:
    """The entries of a file.

    Raises:
        InputError: it cannot be read, is not of this form, has an entry without a reason or a block twice.
    """
    entries, seen = parsed(path), set[tuple[str, str, str, int | None]]()
    for entry in entries:
        rule = f"--baseline {path}: {entry.backend} on {entry.model}"
        if not entry.reason.strip():
            raise InputError(rule, got="no reason", expected="why this disagreement is left as it is")
        if entry.floors and len(entry.floors) != len(entry.blocks):
            got = f"{len(entry.floors)} floors of {len(entry.blocks)} blocks"
            cure = f"Write the list again with: gradparity baseline DIR --out {path}"
            raise InputError(rule, got=got, expected="one for each block, or none", cure=cure)
        for block in entry.blocks:
            for seed in entry.seeds or (None,):
                if (entry.model, entry.backend, block, seed) in seen:
                    raise InputError(rule, got=f"{block} twice", expected="each block once")
                seen.add((entry.model, entry.backend, block, seed))
    return entries


def parsed(path: str) -> list[Known]:
    """The entries of a file as they stand there, with a reason or without.

    Raises:
        InputError: it cannot be read, or is not of this form.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        entries = msgspec.convert(table.get("known", []), list[Known])
        if set(table) - {"known"}:
            raise msgspec.ValidationError(f"unknown table `{min(set(table) - {'known'})}`")
    except OSError as error:
        cure = "Write it with: gradparity baseline DIR --out " + path
        raise InputError("--baseline", got=f"{path} ({error.strerror})", expected="a file", cure=cure) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        expected = "entries [[known]] with model, backend, verdict, blocks and reason"
        raise InputError(f"--baseline {path}", got=str(error), expected=expected) from None
    return entries


def is_list(file: Path) -> bool:
    """Whether a file without entries is such a list, or empty: one of comments alone is of this form, and another's."""
    text = file.read_text(encoding="utf-8")
    return not text.strip() or _MARK in text


def written(entries: Iterable[Known], name: str) -> str:
    """The text of a file with these entries."""
    parts = [_HEAD.format(name=name)]
    for entry in entries:
        blocks = "".join(f"  {_string(block)},\n" for block in entry.blocks)
        listed = f"[\n{blocks}]" if len(entry.blocks) > 1 else f"[{', '.join(map(_string, entry.blocks))}]"
        lines = [f"{key} = {_string(getattr(entry, key))}" for key in ("model", "backend", "verdict")]
        lines += [f"seeds = {entry.seeds}"] if entry.seeds else []
        lines += [f"blocks = {listed}"]
        lines += [f"floors = [{', '.join(f'{each:.2g}' for each in entry.floors)}]"] if entry.floors else []
        lines += [f"cause = {_string(entry.cause)}"] if entry.cause else []
        parts.append("\n".join(["[[known]]", *lines, f"reason = {_string(entry.reason)}\n"]))
    return "\n".join(parts)


def _string(text: str) -> str:
    """A basic string of TOML: that of JSON, with the one control character that JSON takes as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
