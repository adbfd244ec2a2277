"""``gradparity gradbench``: a backend as a tool of GradBench, and GradBench's tools held to certified values."""

from __future__ import annotations

import os
import re
import sys
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradparity.cli.execution import PRINTED, execute
from gradparity.cli.exits import ExitCode
from gradparity.cli.options import Panelled, given_of, with_parameters
from gradparity.model_spec.errors import InputError
from gradparity.runner.options import options_of

if TYPE_CHECKING:
    from gradparity.runner.defaults import Asked

app = typer.Typer(
    help="Speak the protocol of GradBench, a benchmark suite of autodiff tools: as one of them, or as who asks them.",
    rich_markup_mode=None,
)

EXAMPLES = """\b
Examples:
  gradparity gradbench eval lse llsq --tool "python3 my_tool.py"
  gradparity gradbench eval gmm --tool "manual=env -C gradbench python3 python/gradbench/gradbench/cpp.py manual"
  gradparity gradbench eval all --tool "ours=gradparity gradbench tool jax"\
"""
#: What of a check's options an evaluation has.
OPTIONS = ("seed", "budget", "timeout", "memory_limit", "env", "out", "resume", "force", "json", "quiet", "verbose")
NAMES = typer.Argument(..., metavar="NAME...", help="hello, lse, llsq, det, kmeans, ode, gmm, lstm, or all of them.")
TOOLS = typer.Option(
    ...,
    help="A program that speaks GradBench's protocol as a tool, with its options in quotes; a name before it is "
    "what reports call it. Repeatable.",
    metavar="[NAME=]COMMAND",
)


@app.command(name="tool")
def tool(
    backend: Annotated[str, typer.Argument(help="A backend, as gradparity backends lists them.")],
    threads: Annotated[int, typer.Option(help="Threads that it may use.", metavar="N")] = 1,
) -> None:
    """Answer GradBench's messages on standard input, as a tool of it, by one backend."""
    from gradparity.backends import lookup, missing
    from gradparity.processes.environment import CACHE, compile_cache, is_private, worker_environment
    from gradparity.processes.machine import usable_cores

    registration = lookup(backend)
    if registration.sharded:
        raise InputError("backend", got=f"{backend}, which is several processes", expected="one that is a single one")
    if lacks := missing(registration):
        raise InputError("backend", got=f"{backend}, which cannot run here", expected="one that can", cure=lacks)
    if not 1 <= threads <= usable_cores():
        raise InputError("--threads", got=threads, expected=f"1 to {usable_cores()}, the cores of this machine")
    if not is_private(compile_cache(), make=registration.compiler):
        raise InputError(CACHE, got=f"{compile_cache()}, where others may write", expected="a folder of yours")
    words = [sys.executable, "-P", "-m", "gradparity.worker.gradbench", backend, registration.target]
    os.execve(sys.executable, words, worker_environment(threads))  # noqa: S606


def _evaluate(*, context: typer.Context, names: list[str], tool: list[str], **words: Any) -> ExitCode:
    """Hold a tool's answers to certified values, as check does; inputs are drawn here, of the kind that GradBench has.

    Loss and gradient of each evaluation are compared; nothing is trained or timed.
    """

    def asked() -> Asked:
        from gradparity.backends.gradbench import path_of
        from gradparity.runner.defaults import Asked

        tools = _named(tool)
        given = {**given_of(context, words), "backends": list(tools)}
        given["backend"] = [f"{name}=gradbench:{command}" for name, command in tools.items()]
        return Asked(given, tuple(path_of(name) for name in _known(names)), {})

    return execute("check", asked, **{name: words[name] for name in words if name in PRINTED})


def _known(names: list[str]) -> list[str]:
    from gradparity.backends.gradbench import EVALS

    for name in names:
        if name not in (*EVALS, "all"):
            raise InputError("evaluation", got=repr(name), expected=f"one of {', '.join(EVALS)}, or all")
    return list(EVALS) if "all" in names else list(dict.fromkeys(names))


def _named(texts: list[str]) -> dict[str, str]:
    """Commands by the names of their tools: ``tool`` where none is given, ``tool-2`` and so on of several."""
    found: dict[str, str] = {}
    for place, text in enumerate(texts, 1):
        name, mark, command = text.partition("=")
        if not (mark and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name)):
            name, command = "tool" if len(texts) == 1 else f"tool-{place}", text
        if name in found:
            raise InputError("--tool", got=f"two of the name {name}", expected="another name for each")
        found[name] = command
    return found


app.command(name="eval", cls=Panelled, epilog=EXAMPLES)(
    with_parameters(
        _evaluate,
        [
            Parameter("names", Parameter.KEYWORD_ONLY, default=NAMES, annotation=list[str]),
            Parameter("tool", Parameter.KEYWORD_ONLY, default=TOOLS, annotation=list[str]),
        ],
        [option for option in options_of("check") if option.name in OPTIONS],
    )
)
