"""A command that measures: what it is asked becomes settings, a run, its files, its first screen and its exit code."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gradparity.cli.exits import ExitCode, exit_code

if TYPE_CHECKING:
    from gradparity.runner.defaults import Asked
    from gradparity.runner.settings import Command

#: What `execute` is told beside the options of a run.
PRINTED = ("out", "resume", "force", "json", "quiet", "verbose", "export")
#: Bytes of address space that NumPy and its BLAS take when they are imported.
NUMPY_BYTES = 2**27


def execute(
    command: Command,
    asks: Callable[[], Asked],
    *,
    out: str,
    resume: bool,
    force: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
    export: tuple[str, str] | None = None,
) -> ExitCode:
    """Settings from what is asked, the run, its report and its exit code.

    Args:
        command: what is to be run.
        asks: gives its options and models, called once.
        out: its folder, unless one is asked for.
        resume: as the option of that name.
        force: as the option of that name.
        json: as the option of that name.
        quiet: as the option of that name.
        verbose: as the option of that name.
        export: as the option of that name.

    Raises:
        InputError: what is asked for is at fault.
    """
    started_s = time.monotonic()  # what follows is slow to import, and part of a time budget
    # This process calls BLAS on little but vectors, and OpenBLAS takes 60 ms to start its threads: 160 ms of an import
    # of NumPy, and 100 ms without. Workers get an environment of their own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    mmap.mmap(-1, NUMPY_BYTES).close()  # where it finds no memory, OpenBLAS ends the process, as a disagreement does
    from gradparity.cli import printing
    from gradparity.report.terminal.progress import Watch
    from gradparity.results import FEW
    from gradparity.results.store import RESULTS_FILE, encode
    from gradparity.runner.paths import models_at
    from gradparity.runner.settings import settings_from

    asked = asks()
    shown, err = printing.console(), printing.console(stderr=True)
    exported = None
    with printing.interruption_said(asked.given.get("out", out)) as ended:
        printing.require_one(json=json, quiet=quiet, verbose=verbose)
        settings = settings_from(command, asked.given, models_at(asked.models), asked.defaults)
        if export is not None:
            from gradparity.report.export import export_to, write_export

            exported = export_to(*export, out=settings.out)
        # The suite has one table for all its problems, and of many models not each is shown.
        each = verbose and not settings.stress_suite and len(settings.models) <= FEW
        errors, said = None if quiet else err, settings.budget_said()
        with Watch(shown if each else None, errors, brief=command == "bench", at_first=said) as watch:
            from gradparity.runner.session import run

            ended.append(result := run(settings, watch, started_s, resume=resume, force=force))
        from gradparity.report.files import write_reports
        from gradparity.report.terminal.tables import print_problems

        written = write_reports(result, Path(settings.out))
    if json:
        printing.print_document(encode(result))
    else:
        if verbose and result.many and not each:
            print_problems(shown, result)
        printing.print_result(result, settings.out, [RESULTS_FILE, *written], quiet=quiet, verbose=verbose)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from gradparity.report.annotations import annotations_of

        printing.print_commands(annotations_of(result, os.environ))
    if export is not None and exported is not None:
        write_export(result, exported)
        if not (json or quiet):
            shown.print(f"Timings for {export[0]}: {export[1]}", style="dim", soft_wrap=True)
    return exit_code(result)
