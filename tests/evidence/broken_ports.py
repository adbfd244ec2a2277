"""Ports with a seeded fault: are the lines named at which they diverge, and what would make them agree?

``python -m tests.evidence.broken_ports [NAME ...] [--jobs N]`` runs ``gradparity check`` on each folder of
``tests/evidence/ports`` and holds the lines in its results against the table ``[fault]`` of its ``expect.toml``: those
of the operation in every port, and the kind of the cause. A proposed edit is put in and the ports are compared anew, at
parameters and data of another seed. The time is that of the whole check over that of what comes before
lines are looked for. ``--verify`` runs no check: with each seeded fault undone the ports must agree to rounding in loss
and gradient, and with it differ; ``--list`` counts them.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradparity.backends import load, lookup
from gradparity.results.lines import Cure, Lines

PORTS = Path(__file__).with_name("ports")
KINDS = ("number", "option", "permutation", "stop", "precision", "other")

#: Relative to the largest entry: cured ports differ by less, and broken ones by more.
AGREE, DIFFER = 1e-10, 1e-9

#: What every folder of ports has under the same names.
OWN_NAMES = ("backends", "model_spec")

#: Of drawn parameters and data: those of a check, and those that an edit is tried at.
SEED, OTHER_SEED = 0, 1

#: What may be said: the lines of the wrong port and of a right one, of one of the two, others, or nothing.
LINES = ("both", "one", "wrong", "none")
#: And of edits: of the seeded kind; of another kind; one that does not hold elsewhere; or none. The first two hold.
CAUSES = ("seeded", "another", "wrong", "none")


@dataclass(frozen=True)
class Fault:
    """What is true of a folder of ports.

    Attributes:
        lines: of each backend, the file and the lines of the operation, any of which is right.
        backend: the one whose port is wrong.
        cure: what would make the ports agree, in a few words: of a number ``WANTED in place of FOUND``.
        replace: the same as a textual replacement in the wrong port.
    """

    folder: Path
    family: str
    kind: str
    backend: str
    lines: dict[str, tuple[str, tuple[int, ...]]]
    cure: str
    replace: tuple[str, str]

    @property
    def others(self) -> list[str]:
        """The backends whose ports are right."""
        return [name for name in self.lines if name != self.backend]


def fault_of(folder: Path) -> Fault:
    """Read ``expect.toml``.

    Raises:
        ValueError: a kind is unknown, or a line is not in its file.
    """
    expect = tomllib.loads((folder / "expect.toml").read_text())
    table = expect["fault"]
    given = {table["backend"]: table["line"], **table["other_line"]}
    lines = {}
    for name in expect["backends"].split(","):
        file = table.get("file", {}).get(name, f"{name}.py")
        numbers = (given[name],) if isinstance(given[name], int) else tuple(given[name])
        if max(numbers) > len(source(folder, file).read_text().splitlines()):
            raise ValueError(f"{folder.name}: {file} has no line {max(numbers)}")
        lines[name] = (file, numbers)
    if table["kind"] not in KINDS:
        raise ValueError(f"{folder.name}: no kind {table['kind']!r}")
    old, new = table["replace"]
    return Fault(folder, table["family"], table["kind"], table["backend"], lines, table["cure"], (old, new))


def source(folder: Path, file: str) -> Path:
    """Where a file of a model's folder lies: with the backends, or beside the model."""
    beside = folder / file
    return beside if beside.exists() else folder / "backends" / file


@contextmanager
def edited(folder: Path, file: str, old: str, new: str, line: int = 1, column: int = 0) -> Iterator[Path]:
    """A copy of a folder where the first ``old`` in a file from a line and a column (of UTF-8 bytes) on is ``new``.

    Raises:
        ValueError: it is not there.
    """
    with tempfile.TemporaryDirectory() as parent:
        copy = Path(parent) / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
        port = source(copy, file)
        lines = port.read_text().splitlines(keepends=True)
        at = len("".join(lines[: line - 1]).encode()) + column
        before, after = port.read_bytes()[:at], port.read_bytes()[at:]
        if old.encode() not in after:
            raise ValueError(f"{folder.name}: {old!r} is not in {port.name} from line {line} on")
        port.write_bytes(before + after.replace(old.encode(), new.encode(), 1))
        yield copy


@contextmanager
def forgotten(folder: Path) -> Iterator[None]:
    """Whatever is imported from a folder meanwhile is no longer imported afterwards: the next has the same names.

    What had these names before is forgotten at once.
    """
    found, paths = sys.meta_path.copy(), sys.path.copy()
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN_NAMES]:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.meta_path[:], sys.path[:] = found, paths
        for name, module in list(sys.modules.items()):
            file = vars(module).get("__file__")
            if name in OWN_NAMES or (file and Path(file).is_relative_to(folder)):
                del sys.modules[name]


def answers(folder: Path, names: list[str], seed: int = SEED) -> dict[str, dict[str, Any]]:
    """Loss and gradient of every port, by name."""
    from gradparity.model_spec.user.drawing import draw_problem
    from gradparity.model_spec.user.model import load_model
    from gradparity.worker.user_loss import user_loss

    seen = {}
    with forgotten(folder.resolve()):
        problem = draw_problem(load_model(folder), folder.name, seed)
        for name in names:
            backend = load(lookup(name).target)
            program = backend.program(user_loss(problem.spec, backend, [name]))
            value, gradient = program.value_and_gradient(backend.put(problem.params), backend.put(problem.data))
            seen[name] = backend.get({"loss": value, **gradient})
    return seen


def apart(a: dict[str, Any], b: dict[str, Any]) -> tuple[float, float]:
    """How far two ports are apart in loss and in gradient, each relative to its largest entry."""

    def largest(*arrays: Any) -> float:
        return max(float(np.max(np.abs(x), initial=0)) for x in arrays)

    blocks = [name for name in a if name != "loss"]
    off = largest(*(a[name] - b[name] for name in blocks)) / largest(*(a[name] for name in blocks))
    return largest(a["loss"] - b["loss"]) / largest(a["loss"]), off


def shortcomings(fault: Fault) -> list[str]:
    """What is not so that must be: right ports agree, the wrong one differs from them, cured it does not."""
    names = list(fault.lines)
    broken = answers(fault.folder, names)
    file, (old, new) = fault.lines[fault.backend][0], fault.replace
    found = []
    if (times := source(fault.folder, file).read_text().count(old)) != 1:
        found.append(f"{old!r} is {times} times in {file}")
    with edited(fault.folder, file, old, new) as copy:
        right = answers(copy, names)
    for name in fault.others:
        loss, gradient = apart(right[name], right[fault.backend])
        if not max(loss, gradient) < AGREE:
            found.append(f"cured, {fault.backend} differs from {name} by {loss:.1e} and {gradient:.1e}")
        loss, gradient = apart(broken[name], broken[fault.backend])
        if not max(loss, gradient) > DIFFER:
            found.append(f"not cured, {fault.backend} and {name} agree")
        if fault.kind == "stop" and loss > AGREE:
            found.append(f"a stop, and the losses differ by {loss:.1e}")
    return found


@dataclass(frozen=True)
class Said:
    """What a check said of a fault: its lines with their cures, and seconds before they were looked for and in all."""

    fault: Fault
    lines: list[Lines]
    before_s: float
    seconds: float


def said_of(fault: Fault) -> Said:
    """Run the check on a folder, and read its results.

    Raises:
        RuntimeError: it found nothing wrong, or nothing at all.
    """
    from gradparity.results.store import read

    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "gradparity", "check", str(fault.folder), "--backends", ",".join(fault.lines)]
        began = time.monotonic()
        ran = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
        if ran.returncode != 1:
            raise RuntimeError(f"{fault.folder.name}: exit {ran.returncode}: {ran.stderr[-500:]}")
        lines = [each for problem in read(out).problems if problem.divergences for each in problem.divergences.lines]
    looked = re.search(r"^\[ *([\d.]+) s\].*: where they diverge", ran.stderr, re.M)
    return Said(fault, lines, float(looked[1]) if looked else seconds, seconds)


def judged_lines(fault: Fault, said: list[Lines]) -> str:
    """Whether the lines said, or where they are called, are right in the wrong port and in one of the others."""
    named, right = False, set()
    for lines in said:
        reordered = lines.reordered if any("another order" in words for words in lines.said) else []
        for site in (*lines.here, *reordered):
            file, numbers = fault.lines[site.backend]
            named = named or bool(site.line)
            if site.file == file and (site.line in numbers or site.called in {f"{file}:{n}" for n in numbers}):
                right.add(site.backend)
    if fault.backend in right and right & set(fault.others):
        return "both"
    return "one" if right else "wrong" if named else "none"


def judged_cause(fault: Fault, said: list[Lines]) -> str:
    """Whether an edit is of the seeded kind, and whether every edit holds."""
    cures = [(lines, cure) for lines in said for cure in lines.cures]
    if not cures:
        return "none"
    if not all(holds(fault, lines, cure) for lines, cure in cures):
        return "wrong"
    return "seeded" if any(cure.kind == fault.kind or undoes(fault, cure) for _, cure in cures) else "another"


def undoes(fault: Fault, cure: Cure) -> bool:
    """Whether an edit writes what the fault had been put in place of, whatever kind it is said to be."""
    file, (old, new) = fault.lines[fault.backend][0], fault.replace
    right = ast.dump(ast.parse(source(fault.folder, file).read_text().replace(old, new)))
    with edited(fault.folder, cure.file, cure.old, cure.new, cure.line, cure.column) as copy:
        return ast.dump(ast.parse(source(copy, file).read_text())) == right


def holds(fault: Fault, lines: Lines, cure: Cure) -> bool:
    """Whether the port with an edit agrees with the other, at another seed's parameters and data."""
    names = [lines.backend, lines.against]
    with edited(fault.folder, cure.file, cure.old, cure.new, cure.line, cure.column) as copy:
        found = answers(copy, names, OTHER_SEED)
    return max(apart(found[names[0]], found[names[1]])) < DIFFER


def table(title: str, columns: tuple[str, ...], pairs: list[tuple[str, str]]) -> str:
    """How often each word was said, kind by kind."""
    rows = [[title, *columns, "of"]]
    for kind in (*KINDS, "all"):
        counts = Counter(word for of, word in pairs if kind in (of, "all"))
        if counts:
            rows.append([kind, *(str(counts[word]) for word in columns), str(counts.total())])
    return "\n".join("".join(cell.ljust(16 if i == 0 else 10) for i, cell in enumerate(row)).rstrip() for row in rows)


def counted(faults: list[Fault]) -> str:
    """How many faults there are of each kind, by the backend whose port is wrong, and of each family."""
    names = tuple(dict.fromkeys(name for fault in faults for name in fault.lines))
    families = Counter(fault.family for fault in faults)
    three = sum(len(fault.lines) > 2 for fault in faults)
    of_families = ", ".join(f"{family} {count}" for family, count in families.most_common())
    by_kind = table("wrong port", names, [(fault.kind, fault.backend) for fault in faults])
    return f"{by_kind}\n{three} of {len(faults)} with three ports; {of_families}"


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each folder, then the tables; 1 if one is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.broken_ports", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="folders of tests/evidence/ports; all without")
    parser.add_argument("--jobs", type=int, default=1, help="how many checks run at once")
    parser.add_argument("--verify", action="store_true", help="check the ports themselves: they agree when cured")
    parser.add_argument("--list", action="store_true", help="count them")
    options = parser.parse_args(arguments)
    folders = sorted(file.parent for file in PORTS.glob("*/expect.toml"))
    unknown = set(options.names) - {folder.name for folder in folders}
    if unknown:
        parser.error(f"no {', '.join(sorted(unknown))} in {PORTS.name}")
    faults = [fault_of(folder) for folder in folders if not options.names or folder.name in options.names]
    if options.list:
        print(counted(faults))
        return 0
    return verified(faults) if options.verify else campaign(faults, options.jobs)


def configured(faults: list[Fault]) -> None:
    """Set precision and threads of every framework that is needed."""
    for name in {name for fault in faults for name in fault.lines}:
        load(lookup(name).target).configure(1)


def verified(faults: list[Fault]) -> int:
    """Print what is wrong with the ports themselves."""
    configured(faults)
    short = 0
    for fault in faults:
        found = shortcomings(fault)
        short += bool(found)
        for words in found:
            print(f"{fault.folder.name}: {words}", flush=True)
    print(f"{len(faults) - short} of {len(faults)} agree when cured, to {AGREE:g}, and differ when not")
    return 1 if short else 0


def campaign(faults: list[Fault], jobs: int) -> int:
    """Check them all and print the tables."""
    configured(faults)
    of_lines, of_causes, ratios = [], [], []
    with ThreadPoolExecutor(jobs) as pool:
        for said in pool.map(said_of, faults):
            fault, ratio = said.fault, said.seconds / said.before_s
            line, cause = judged_lines(fault, said.lines), judged_cause(fault, said.lines)
            of_lines.append((fault.kind, line))
            of_causes.append((fault.kind, cause))
            ratios.append(ratio)
            words = f"lines {line:6}cause {cause:9}{said.seconds:6.1f} s, {ratio:.2f} of the check"
            print(f"{fault.folder.name:28}{fault.kind:13}{words}", flush=True)
            if line != "both" or cause != "seeded":
                print("".join(f"    {each}\n" for each in said.lines), end="", flush=True)
    print("\n" + table("right lines of", LINES, of_lines))
    print("\n" + table("cause", CAUSES, of_causes))
    print(f"\ntime over that of the check alone: {np.median(ratios):.2f} in the middle, {max(ratios):.2f} at most")
    return 1 if "wrong" in {word for _, word in (*of_lines, *of_causes)} else 0


if __name__ == "__main__":
    sys.exit(main())
