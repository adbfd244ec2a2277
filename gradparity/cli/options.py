"""Options as Typer takes them, made from the rows of `gradparity.runner.options`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter, Signature
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from gradparity.runner.options import PANELS, Option, options_of

Command = TypeVar("Command", bound=Callable[..., Any])

#: The heading of what has none of its own.
OTHER = "Other"
#: What stands under the help of each command that measures: as it stands, which the first character asks for.
EXAMPLES = {
    "check": """\b
Examples:
  gradparity check model.py --backends autograd,jax
  gradparity check model.py::loss model.py::other_loss ports --budget 60 --json
  gradparity check --data patients.csv --target died --optimiser adam""",
    "bench": """\b
Examples:
  gradparity bench model.py --steps 10000
  gradparity bench --sizes 1000x20x10,100000x20x10 --threads 1,2
  gradparity bench --sizes 1000x20 --formulations all --profile standard""",
    "run": """\b
Examples:
  gradparity run --quick
  gradparity run model.py --backends autograd,jax
  gradparity run --data iris --projection none --budget 120""",
}


class _Sparing:
    """A command that imports Pydantic, a tenth of a second, for none but the values that take it."""

    def parse_args(self: Any, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        for parameter in self.get_params(ctx):
            if hasattr(parameter, "get_runtime_param"):
                parameter.get_runtime_param = partial(_AsItStands, parameter.get_runtime_param)
        return super().parse_args(ctx, args)  # type: ignore[misc, no-any-return]


class Grouped(_Sparing, TyperGroup):
    """The program itself, which has commands."""


class Panelled(_Sparing, TyperCommand):
    """A command whose help lists options under headings.

    Typer's own panels are Rich's, which takes longer to import and to draw than all the rest of ``--help``.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading, in the order of the table of options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], **{heading: [] for heading in PANELS}, OTHER: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections[heading_of(parameter)].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class _AsItStands:
    """How a value becomes one of its type: as it stands where it is one already, and otherwise by Typer's own way."""

    def __init__(self, typers: Callable[[], Any]) -> None:
        self.typers = typers

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """The value; Typer calls this of every parameter, given or not."""
        annotation, source = param.type_descriptor.annotation, ctx.get_parameter_source(param.name)
        default = source is not None and source.name == "DEFAULT" and value is not None
        if default or (annotation is str and isinstance(value, str)):
            return value
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if annotation == list[str] and isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
            return list(value)
        return self.typers().coerce(value, param=param, ctx=ctx)


def given_of(context: typer.Context, words: Mapping[str, Any]) -> dict[str, Any]:
    """The options that stand on the command line, and not those that have their defaults."""
    given = {name for name in words if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"}
    return {name: value for name, value in words.items() if name in given}


def heading_of(parameter: Any) -> str:
    """The heading that an option or argument stands under."""
    if parameter.param_type_name == "argument":
        return "Arguments"
    return getattr(parameter, "rich_help_panel", None) or OTHER


MODEL_PATH = typer.Argument(
    None,
    metavar="[PATH]...",
    help="Models of yours in place of the built-in one: a file with parameters(rng), data(rng) and "
    "loss(params, data, xp), a folder with model.py and backends/NAME.py, or a folder of such. model.py::smooth is the "
    "model with the loss smooth(params, data, xp).",
    show_default=False,
)


def with_options(command: Command) -> Command:
    """Give a function of any keywords the signature that its name has in the table of options, for Typer to read."""
    path = Parameter("path", Parameter.KEYWORD_ONLY, default=MODEL_PATH, annotation=list[str] | None)
    return with_parameters(command, [path], options_of(command.__name__))


def with_parameters(command: Command, first: Sequence[Parameter], options: Sequence[Option]) -> Command:
    """The same with some parameters before those of some options, and with Typer's context."""
    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__signature__ = Signature([context, *first, *map(_parameter, options)])  # type: ignore[attr-defined]
    return command


def _parameter(option: Option) -> Parameter:
    annotation = option.type if option.default is not None else option.type | None
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=_typer_option(option), annotation=annotation)


def _typer_option(option: Option) -> Any:
    switch = option.spelling if option.default is False else None  # without the --no-... that Typer would add
    flags = [flag for flag in (option.flags, switch) if flag is not None]
    return typer.Option(option.default, *flags, help=option.help, metavar=option.metavar, rich_help_panel=option.panel)


#: Of commands that measure nothing too.
JSON, QUIET, VERBOSE = (
    _typer_option(option) for option in options_of("run") if option.name in ("json", "quiet", "verbose")
)
