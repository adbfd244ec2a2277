"""The example packages as an installer leaves them, and commands that see them."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

from tests.conftest import python


def installed_by_hand(package: Path, site: Path) -> None:
    """What an installer makes of a package: its modules, and its metadata out of pyproject.toml."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(head)
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    for module in package.rglob("*.py"):
        place = site / module.relative_to(package)
        place.parent.mkdir(exist_ok=True)
        shutil.copy(module, place)


def command(site: Path, cwd: Path, *words: str, code: int = 0) -> Any:
    """A command with what is at that site on its path; the JSON that it prints."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    ran = python("-P", "-m", "gradparity", *words, "--json", cwd=cwd, PYTHONPATH=path)
    assert ran.returncode == code, ran.stderr + ran.stdout[-2000:]
    return json.loads(ran.stdout)
