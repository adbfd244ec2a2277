"""Options as Typer takes them, made from the rows of `gradparity.runner.options`."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, TypeVar

import typer

from gradparity.runner.options import Option, options_of

Command = TypeVar("Command", bound=Callable[..., Any])

MODEL_PATH = typer.Argument(
    None,
    metavar="[PATH]",
    help="A model of yours in place of the built-in one: a file with parameters(rng), data(rng) and "
    "loss(params, data, xp), or a folder with model.py and backends/NAME.py.",
    show_default=False,
)


def with_options(command: Command) -> Command:
    """Give a function of any keywords the signature that its name has in the table of options, for Typer to read."""
    path = Parameter("path", Parameter.KEYWORD_ONLY, default=MODEL_PATH, annotation=str | None)
    options = [_parameter(option) for option in options_of(command.__name__)]
    command.__signature__ = Signature([path, *options])  # type: ignore[attr-defined]
    return command


def _parameter(option: Option) -> Parameter:
    annotation = option.type if option.default is not None else option.type | None
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=_typer_option(option), annotation=annotation)


def _typer_option(option: Option) -> Any:
    switch = option.spelling if option.default is False else None  # without the --no-... that Typer would add
    flags = [flag for flag in (option.flags, switch) if flag is not None]
    return typer.Option(option.default, *flags, help=option.help, metavar=option.metavar)


#: Of commands that measure nothing too.
JSON, QUIET, VERBOSE = (
    _typer_option(option) for option in options_of("run") if option.name in ("json", "quiet", "verbose")
)
