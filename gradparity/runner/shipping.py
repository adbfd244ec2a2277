"""The files that a job needs, to be sent to another machine: names relative to one folder, a digest, and a limit."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from gradparity.formatting import size
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.model import display_path, find_model, split_path
from gradparity.runner.jobs import Job

#: Bytes of the files of one job, at most: they go through the scheduler's memory, and again to whoever takes over.
MOST_BYTES = 64 * 2**20
#: Characters of a text that may be a file's name.
_LONGEST_NAME = 255
#: What is made of files, and is made there again.
_MADE = {"__pycache__", "node_modules"}


class Shipment(msgspec.Struct, frozen=True):
    """Files of one job.

    Attributes:
        files: content by name relative to ``base``, with ``/`` between folders.
        base: the folder here.
        inside: whether that is the working directory, so that paths are shown relative to it.
        place: the model, or the data set, by its name among the files; ``""`` where none is sent.
    """

    files: dict[str, bytes]
    base: str
    inside: bool
    place: str

    @property
    def digest(self) -> str:
        """SHA-256 of names and contents; ``""`` where there are no files."""
        found = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            found.update(f"{len(name)} {len(content)} {name}".encode())
            found.update(content)
        return found.hexdigest() if self.files else ""

    def unpack(self, folder: Path) -> None:
        """Write the files into a folder.

        Raises:
            InputError: a name leads out of it.
            OSError: there is no room, or the folder cannot be written.
        """
        for name, content in self.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or ":" in path.parts[0]:
                raise InputError("a file of a job", got=repr(name), expected="a name relative to the job's folder")
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def shipment_of(job: Job, folder: Path) -> Shipment:
    """The files of a job.

    Of a model that is a folder these are all in it but hidden ones; of a file the file, the modules beside it that it
    imports, and files beside it whose names its text has.

    Args:
        job: what is sent.
        folder: the working directory.

    Raises:
        InputError: there is no model, a file cannot be read, or they are larger than `MOST_BYTES` together.
    """
    model, inner = job.settings.model, ""
    if model is not None:
        file, whole = find_model(model)
        root, place, inner = file.parent, whole or file, model[len(split_path(model)[0]) :]
        paths = [*_all_in(whole)] if whole is not None else with_what_it_needs(file)
    else:
        source = job.settings.data[0] if job.settings.data else ""
        file = Path(source).resolve()
        if job.settings.stress_suite or source.startswith("synthetic:") or not file.is_file():
            return Shipment({}, str(folder), True, "")
        root, place, paths = file.parent, file, [file]
    inside = root.is_relative_to(folder)
    base = folder if inside else root.parent
    files = _read(job, paths, base)
    return Shipment(files, str(base), inside, place.relative_to(base).as_posix() + inner)


def not_sent(said: str, shipment: Shipment) -> str:
    """What is to be added where a worker says that a file was not found which is here; ``""`` if there is none."""
    words = (word.strip("'\"`.,:;()[]") for word in said.split() if "FileNotFoundError" in said)
    for path in (Path(shipment.base, word) for word in words if word):
        name = path.relative_to(shipment.base).as_posix() if path.is_relative_to(shipment.base) else str(path)
        if name not in shipment.files and path.is_file():
            return f"; {display_path(path)} is here and was not sent: of a .py file what its text names beside it is"
    return ""


def _read(job: Job, paths: Iterable[Path], base: Path) -> dict[str, bytes]:
    files, total = dict[str, bytes](), 0
    for path in paths:
        try:
            total += path.stat().st_size
            if total > MOST_BYTES:
                raise InputError(
                    f"--scheduler: the files of {job.name}",
                    got=f"more than {size(MOST_BYTES)}, {path.relative_to(base)} among them",
                    expected=f"at most {size(MOST_BYTES)} to send",
                    cure="Have the model draw its data, or read what every machine has at one path.",
                )
            files[path.relative_to(base).as_posix()] = path.read_bytes()
        except OSError as error:
            got, expected = f"{path} ({error.strerror})", "files that can be read"
            raise InputError(f"--scheduler: the files of {job.name}", got=got, expected=expected) from None
    return files


def _all_in(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file below a folder, hidden ones and what is made again left out; links are followed, but not upwards."""
    above = (*above, folder.resolve())
    for each in sorted(folder.iterdir()):
        if each.name.startswith(".") or each.name in _MADE or each.suffix == ".pyc":
            continue
        if each.is_dir():
            real = each.resolve()
            if not any(one.is_relative_to(real) for one in above):
                yield from _all_in(each, above)
        elif each.is_file():
            yield each


def with_what_it_needs(file: Path) -> list[Path]:
    """A file, the modules beside it that it imports, theirs too, and files there that their texts name."""
    root, found, left = file.parent, dict[Path, None](), [file]
    while left:
        each = left.pop()
        if each in found:
            continue
        found[each] = None
        if each.suffix == ".py":
            left += _needed(each, root)
    return list(found)


def _needed(file: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # whose fault is said where it is imported
        return
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield from _modules(root, name.name)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from _modules(root, node.module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_name(node.value):
            texts.append(node.value)
    folders = [each for each in texts if (root / each).is_dir()]
    for text in texts:
        for path in (root / text, *(root / folder / text for folder in folders)):
            if path.is_file():
                yield path


def _is_name(text: str) -> bool:
    """Whether a text may name what lies in a folder or below it."""
    path = PurePosixPath(text)
    plain = 0 < len(text) <= _LONGEST_NAME and re.search(r"[\0\n*?]", text) is None
    return plain and not path.is_absolute() and ".." not in path.parts and path.parts != ()


def _modules(root: Path, name: str) -> Iterator[Path]:
    first = name.partition(".")[0]
    if (root / f"{first}.py").is_file():
        yield root / f"{first}.py"
    if (root / first).is_dir() and any((root / first).glob("*.py")):
        yield from _all_in(root / first)
