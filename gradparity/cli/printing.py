"""What the commands print of themselves: lines about the command, a result's first screen, JSON documents."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console

from gradparity.cli.streams import nowhere
from gradparity.formatting import printable
from gradparity.model_spec.errors import InputError
from gradparity.report.terminal.plain import Printable
from gradparity.results import RunResult
from gradparity.results.folder import BLOCKS_FILE
from gradparity.results.store import RESULTS_FILE, SAVED


class _Console(Console):
    """One whose reader may have gone: what a run has come to does not depend on it."""

    def on_broken_pipe(self) -> None:
        """Print nowhere, where Rich would end with the exit code of a disagreement."""
        nowhere(1)


def console(*, stderr: bool = False) -> Console:
    """A console that takes text as it stands; tables piped into a file get the width they need, not 80 columns."""
    made = _Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    made.push_render_hook(Printable())
    if not made.is_terminal:
        made.width = 120
    return made


def say(message: str, style: str, *code: str) -> None:
    """Print one line about the command itself on standard error, and lines of code to copy below it."""
    lines = [f"gradparity: {printable(message)}", *map(printable, code)]
    console(stderr=True).print("\n".join(lines), style=style, soft_wrap=True)


#: Folders of runs of which an interruption was said.
INTERRUPTIONS_SAID: list[str] = []


@contextmanager
def interruption_said(out: str) -> Iterator[list[RunResult]]:
    """Say of an interruption what it leaves: results so far in the folder ``out``, or all of them, or nothing.

    Gives a list for the result of the run once it has come to its end. What fails while an interruption is unwound is
    none of the run's.
    """
    ended: list[RunResult] = []
    try:
        yield ended
    except BaseException as interruption:
        if not _is_interrupted(interruption):
            raise
        said = "nothing was measured yet"
        if ended:
            said = f"the results are in {out}/{RESULTS_FILE}: gradparity report writes the reports"
        elif SAVED in getattr(interruption, "__notes__", ()):
            said = f"results so far are in {out}/{RESULTS_FILE}: go on with --resume"
        INTERRUPTIONS_SAID.append(out)
        say(f"interrupted; {said}", "yellow")
        raise KeyboardInterrupt from interruption


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether it is an interruption, or was raised while one was unwound."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def require_one(**chosen: bool) -> None:
    """See that at most one of the ways to print is asked for.

    Raises:
        InputError: several are.
    """
    asked = [f"--{name}" for name, wanted in chosen.items() if wanted]
    if len(asked) > 1:
        raise InputError(asked[1], got=f"{asked[0]} beside it", expected="one of the two")


def print_json(found: Any) -> None:
    """Print a record as a JSON document, indented."""
    print_document(msgspec.json.format(msgspec.json.encode(found), indent=1))


def print_document(document: bytes) -> None:
    """Print a document, and nothing else, on standard output."""
    try:
        sys.stdout.buffer.write(document + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        nowhere(1)


def print_commands(lines: Sequence[str]) -> None:
    """Print lines for the program that runs this one on standard error, as they are: standard output may be JSON."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def print_result(result: RunResult, out: str, files: Sequence[str], *, quiet: bool, verbose: bool) -> None:
    """Print the first screen, or one line of it; if verbose all of it, and after a stress suite its table.

    Args:
        result: what is shown.
        out: the folder that its files are in.
        files: their names, the results first.
        quiet: whether one line is to do.
        verbose: whether every line of the first screen is to be shown, and not the most important ones.
    """
    from gradparity.model_spec.extras import cure
    from gradparity.report.blocks import has_blocks
    from gradparity.report.facts.overview import overview
    from gradparity.report.terminal.first_screen import MOST_LINES, print_first_screen, print_one_line

    found, place = overview(result), printable(out)
    if quiet:
        print_one_line(console(), found, f"{place}/{files[0]}")
        return
    if verbose and result.settings.get("stress"):
        from gradparity.report.terminal.tables import print_stress

        print_stress(console(), result)
    saved = [f"{place}/: {', '.join(files)}" + ("" if verbose else "; every table: --verbose")]
    if BLOCKS_FILE not in files and has_blocks(result):
        saved.append(f"{BLOCKS_FILE}, of the blocks that {RESULTS_FILE} has: {cure('polars')}")
    print_first_screen(console(), found, saved, most=None if verbose else MOST_LINES)
