"""The reference pages that come from the code: ``python docs/generate.py`` writes them, and a test holds them to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from runpy import run_path
from typing import Any

import typer

from gradparity.cli.app import ExitCode, app
from gradparity.cli.options import heading_of
from gradparity.results.schema import schema
from gradparity.runner.options import PANELS

REFERENCE = Path(__file__).parent / "reference"
#: What each exit code means.
EXITS = {
    ExitCode.AGREES: "everything agrees",
    ExitCode.DISAGREES: "a verdict other than `agrees` or `kink`, or steps of your own that diverge; "
    "of `compare`, a verdict that is worse, or a new run that was not finished",
    ExitCode.INPUT: "the input or the command is at fault, or there is no more room: one line says what to do",
    ExitCode.BACKEND: "a requested backend failed, or gave nothing (no loss, no run of its own steps, out of budget) "
    "on one problem or on all, or a budget did not come to a problem; the others still report. Or nothing was "
    "compared: of `report`, a run that was not finished; of `compare`, two runs without a block in common",
    ExitCode.FAULT: "a fault of gradparity itself, or of the system (no descriptors, standard output is full)",
    ExitCode.INTERRUPTED: "Ctrl-C; 128 and the signal's number for SIGTERM (143) and SIGHUP (129)",
}


ABOUT = """Generated from the program itself: `gradparity COMMAND --help` says the same. `gradparity --version` says
which it is, and `gradparity --install-completion` makes your shell complete commands and options.

With `--json` a fault of the input or of the command is a document on standard output as well:
`{"error": {"message", "rule", "got", "expected", "cure"}, "exit_code": 2}`, of which a command that cannot be parsed
has the message alone."""


def pages() -> dict[Path, str]:
    """Every generated page with its content."""
    names = run_path(str(Path(__file__).with_name("namespace_page.py")))["page"](_table, _plain)
    return {
        REFERENCE / "cli.md": command_line(),
        REFERENCE / "results_json.md": results_json(),
        REFERENCE / "namespace.md": names,
        REFERENCE.parent / "found.md": run_path(str(Path(__file__).with_name("found_page.py")))["page"](_table),
    }


def command_line() -> str:
    """Every command with its arguments and options, and the exit codes."""
    command = typer.main.get_command(app)
    parts = ["# Command line", ABOUT]
    for name, each in _each(command):
        parts.append(f"## gradparity {name}")
        parts.append(_plain(each.help))
        shown = [parameter for parameter in each.params if parameter.name != "help"]
        for heading in dict.fromkeys(["Arguments", *PANELS, *map(heading_of, shown)]):
            rows = [_option(parameter) for parameter in shown if heading_of(parameter) == heading]
            if rows:
                parts.append(_table((heading.lower(), "what it is"), rows))
        if each.epilog:
            examples = each.epilog.removeprefix("\b\nExamples:\n").replace("  gradparity", "gradparity")
            parts.append(f"```text\n{examples}\n```")
    rows = [(f"`{code.value}`", said) for code, said in EXITS.items()]
    parts += ["## Exit codes", _table(("code", "means"), rows)]
    return "\n\n".join(parts) + "\n"


def _each(group: Any, before: str = "") -> Iterable[tuple[str, Any]]:
    """Every command with the words that call it, those of groups after these."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if hasattr(command, "commands"):
            yield from _each(command, f"{before}{name} ")


def _option(parameter: Any) -> tuple[str, str]:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = parameter.metavar or parameter.name.upper()
    takes = "" if getattr(parameter, "is_flag", False) or not parameter.metavar else f" {parameter.metavar}"
    shown = names if parameter.param_type_name == "argument" else f"{names}{takes}"
    default = parameter.default
    known = default is not None and not isinstance(default, bool) and not parameter.required
    said = f"{_plain(parameter.help).rstrip('.')}. Default: `{default}`." if known else _plain(parameter.help)
    return f"`{shown}`".replace("|", "\\|"), said


def results_json() -> str:
    """Every type of `results.json` with its fields."""
    document = schema()
    types: dict[str, Any] = document["$defs"]
    parts = [
        "# results.json",
        "The file that a run leaves, as it grows; the others are made from it. Generated from the types in "
        "`gradparity/results/`; the same as [JSON Schema](https://json-schema.org), draft 2020-12, lies beside every "
        "`results.json` as `results.schema.json`.",
        "`schema_version` goes up when a field changes its name or meaning. New fields have defaults and do not raise "
        "it. Files of schema 2 are read and converted. Numbers that are not finite are `null`. Names end in their "
        "unit: `_s` seconds, `_ns` nanoseconds.",
    ]
    for name in sorted(types, key=lambda name: (name != "RunResult", name != "ProblemResult", name)):
        parts += [f"## {name}", _plain(types[name].get("description", ""))]
        fields = types[name].get("properties", {})
        required = set(types[name].get("required", ()))
        rows = [
            (f"`{field}`", _type(kind), "" if field in required else _default(kind)) for field, kind in fields.items()
        ]
        if rows:
            parts.append(_table(("field", "type", "default"), rows))
    return "\n\n".join(parts) + "\n"


def _type(kind: dict[str, Any]) -> str:
    """A type in words: ``list of Finding``, ``number or null``."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in kind:
        return " or ".join(dict.fromkeys(map(_type, kind["anyOf"])))
    if "enum" in kind:
        return " or ".join(f"`{value}`" for value in kind["enum"])
    if "const" in kind:
        return f"`{kind['const']}`"
    found = kind.get("type", "any")
    if found == "array":
        items = kind.get("items") or (kind.get("prefixItems") or [{}])[0]
        return f"list of {_type(items)}" if items else "list"
    if found == "object" and isinstance(kind.get("additionalProperties"), dict):
        return f"object of {_type(kind['additionalProperties'])}"
    return " or ".join(found) if isinstance(found, list) else str(found)


def _default(kind: dict[str, Any]) -> str:
    default = kind.get("default")
    return f"`{default!r}`".replace("True", "true").replace("False", "false").replace("None", "null")


def _plain(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("``", "`")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
