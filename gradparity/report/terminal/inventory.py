"""Which backends there are, and what adds those that are missing. Looks, and imports no framework."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from gradparity.backends import missing, registered
from gradparity.report.facts.view import Cell, Column, tabulated
from gradparity.report.terminal.style import Shown
from gradparity.results import BackendInfo


def inventory() -> list[BackendInfo]:
    """Every registered backend with its framework's installed version, or what would add it."""
    found = []
    for name, registration in registered().items():
        distribution = registration.requires or registration.package or name
        try:
            versions = {distribution: version(distribution)}
        except PackageNotFoundError:
            versions = {}
        found.append(BackendInfo(name=name, versions=versions, cure=missing(registration) or ""))
    return found


def print_inventory(console: Console, found: list[BackendInfo]) -> None:
    """A row a backend."""
    columns: list[Column[BackendInfo]] = [
        Column("backend", lambda info: Cell(info.name)),
        Column("status", lambda i: Cell("missing", kind="warn") if i.cure else Cell("available", kind="good")),
        Column(
            "version, or what adds it",
            lambda info: Cell(info.cure or ", ".join(f"{name} {number}" for name, number in info.versions.items())),
        ),
    ]
    console.print(Shown(tabulated("", found, columns)))
