"""``gradparity atlas``: how right the derivative of each function is, in each framework."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradparity.cli.exits import ExitCode
from gradparity.cli.options import JSON, QUIET

EXAMPLES = """\b
Examples:
  gradparity atlas
  gradparity atlas --functions softplus,erf,power --backends jax,torch --out atlas"""


def atlas(
    functions: Annotated[
        str | None, typer.Option(help="Names of xp or of gradparity.special. Default: all of them.", metavar="NAMES")
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(help="Default: numpy, autograd, jax and torch, those that are installed.", metavar="NAMES"),
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder for the files; functions that it has are not done again.", metavar="DIR")
    ] = "gradparity-atlas",
    json: bool = JSON,
    quiet: bool = QUIET,
) -> ExitCode:
    """Hold each function's value and derivatives to certified ones.

    Those of numbers at some 250 points, most where errors jump; those of whole arrays by the shapes of their inputs.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from gradparity.cli.printing import console, print_json, require_one, say
    from gradparity.processes.peer import WorkerFailed
    from gradparity.report.atlas.files import write_atlas
    from gradparity.report.atlas.terminal import print_atlas, totals
    from gradparity.report.files import write_reports
    from gradparity.results.atlas import ARRAYS, LOST, PAGE_FILE
    from gradparity.runner.atlas.run import everything

    require_one(json=json, quiet=quiet)
    err = console(stderr=True)
    shown = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err, transient=True,
        disable=quiet or not err.is_terminal,
    )  # fmt: skip
    try:
        with shown:
            task = shown.add_task("", total=None)
            frame, versions, arrays, result = everything(
                out, _names(functions), _names(backends),
                told=lambda label, done, of: shown.update(task, description=label, completed=done, total=of),
            )  # fmt: skip
    except WorkerFailed as failure:
        say(str(failure), "red")
        return ExitCode.BACKEND
    found = write_atlas(frame, versions, out, arrays)
    if result is not None:
        write_reports(result, Path(out) / ARRAYS)
    if json:
        print_json(found)
    elif quiet:
        console().print(f"{next(totals(found))}: {out}/{PAGE_FILE}", soft_wrap=True)
    else:
        print_atlas(console(), found, out)
    lost = [each for each in found.not_given if each.why.startswith(LOST)]
    for each in lost:
        say(f"{each.backend} has no {each.quantity} of {each.function}: {each.why.removeprefix(LOST)}", "red")
    if lost:
        say("The same command asks for these again.", "red")
    return ExitCode.BACKEND if lost else ExitCode.AGREES


def _names(listed: str | None) -> list[str] | None:
    """Names with commas between them, but for those within brackets: ``power(x, 2),erf``."""
    if listed is None:
        return None
    names, depth = [""], 0
    for character in listed:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            names.append("")
        else:
            names[-1] += character
    return [name.strip() for name in names if name.strip()]
