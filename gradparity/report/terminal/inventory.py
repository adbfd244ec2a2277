"""Which backends there are, and what adds those that are missing. Looks, and imports no framework."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradparity.backends import missing, registered
from gradparity.results import BackendInfo


def inventory() -> list[BackendInfo]:
    """Every registered backend with its framework's installed version, or what would add it."""
    found = []
    for name, registration in registered().items():
        distribution = registration.requires or name
        try:
            versions = {distribution: version(distribution)}
        except PackageNotFoundError:
            versions = {}
        found.append(BackendInfo(name=name, versions=versions, cure=missing(registration) or ""))
    return found


def print_inventory(console: Console, found: list[BackendInfo]) -> None:
    """A row a backend."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("backend", "status", "version, or what adds it"):
        table.add_column(title)
    for info in found:
        status = Text("missing", style="yellow") if info.cure else Text("available", style="green")
        detail = info.cure or ", ".join(f"{name} {number}" for name, number in info.versions.items())
        table.add_row(info.name, status, detail)
    console.print(table)
