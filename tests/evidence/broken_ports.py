"""Ports with a seeded fault: are the lines named at which they diverge, and what would make them agree?

``python -m tests.evidence.broken_ports [NAME ...] [--jobs N] [--times]`` runs ``gradparity check`` on each folder of
``tests/evidence/ports`` and holds what it says against the table ``[fault]`` of its ``expect.toml``: the lines of the
operation in every port, the kind of the cause, and its cure. With ``--times`` each is checked a second time, cured:
nothing is searched for there. ``--verify`` runs no check: with each cure applied the ports must agree to rounding in
loss and gradient, and without it differ; ``--list`` counts them.
"""

from __future__ import annotations

import argparse
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

PORTS = Path(__file__).with_name("ports")
KINDS = ("number", "option", "permutation", "stop", "precision", "other")

#: Relative to the largest entry: cured ports differ by less, and broken ones by more.
AGREE, DIFFER = 1e-10, 1e-9

#: What every folder of ports has under the same names.
OWN_NAMES = ("backends", "model_spec")

#: What a cause is called where it is proven; the lines of a result are read on their own.
PROVEN = re.compile(r"would (?:have to be|make (?:them|every block) agree)", re.I)
#: Words that a proven cause of a kind has; a number and an option are compared with the cure itself.
WORDS = {
    "permutation": r"transpos|flip|revers|swap|order|interleav|halv|halves|reset|permut",
    "stop": r"stop|detach|cotangent",
    "precision": r"float32|float64|precision",
}


@dataclass(frozen=True)
class Fault:
    """What is true of a folder of ports.

    Attributes:
        lines: of each backend, the file and the lines of the operation, any of which is right.
        backend: the one whose port is wrong.
        cure: what would make the ports agree, in a few words: of a number ``WANTED in place of FOUND``.
        also: numbers that would make them agree as well, since the same can be undone in another place.
        replace: the same as a textual replacement in the wrong port.
    """

    folder: Path
    family: str
    kind: str
    backend: str
    lines: dict[str, tuple[str, tuple[int, ...]]]
    cure: str
    also: tuple[str, ...]
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
    also = tuple(table.get("also", ()))
    return Fault(folder, table["family"], table["kind"], table["backend"], lines, table["cure"], also, (old, new))


def source(folder: Path, file: str) -> Path:
    """Where a file of a model's folder lies: with the backends, or beside the model."""
    beside = folder / file
    return beside if beside.exists() else folder / "backends" / file


@contextmanager
def cured(fault: Fault) -> Iterator[Path]:
    """A copy of the folder with the cure applied.

    Raises:
        ValueError: the text to replace is not there, or more than once.
    """
    with tempfile.TemporaryDirectory() as parent:
        copy = Path(parent) / fault.folder.name
        shutil.copytree(fault.folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
        port = source(copy, fault.lines[fault.backend][0])
        text, (old, new) = port.read_text(), fault.replace
        if text.count(old) != 1:
            raise ValueError(f"{fault.folder.name}: {old!r} is {text.count(old)} times in {port.name}")
        port.write_text(text.replace(old, new))
        yield copy


@contextmanager
def forgotten(folder: Path) -> Iterator[None]:
    """Whatever is imported from a folder meanwhile is no longer imported afterwards: the next has the same names."""
    found, paths = sys.meta_path.copy(), sys.path.copy()
    try:
        yield
    finally:
        sys.meta_path[:], sys.path[:] = found, paths
        for name, module in list(sys.modules.items()):
            file = vars(module).get("__file__")
            if name in OWN_NAMES or (file and Path(file).is_relative_to(folder)):
                del sys.modules[name]


def answers(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Loss and gradient of every port, by name."""
    from gradparity.model_spec.user.drawing import draw_problem
    from gradparity.model_spec.user.model import load_model
    from gradparity.worker.user_loss import user_loss

    seen = {}
    with forgotten(folder.resolve()):
        problem = draw_problem(load_model(folder), folder.name, seed=0)
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
    with cured(fault) as copy:
        right = answers(copy, names)
    found = []
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
    """What a check said of a fault, each in a word of the tables below; seconds of the check, and of a cured one."""

    fault: Fault
    line: str
    cause: str
    seconds: float
    cured_seconds: float | None = None


LINES = ("both", "one", "none", "wrong")
CAUSES = ("proven", "none", "wrong")


def check(folder: Path, backends: list[str]) -> tuple[str, float]:
    """Standard output of ``gradparity check``, and seconds.

    Raises:
        RuntimeError: it gave no verdict.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "gradparity", "check", str(folder), "--backends", ",".join(backends)]
        began = time.monotonic()
        ran = subprocess.run([*command, "--out", f"{out}/r"], capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"{folder.name}: exit {ran.returncode}: {ran.stderr[-500:]}")
    return ran.stdout, seconds


def lines_said(fault: Fault, said: str) -> str:
    """Whether the lines said are right in the wrong port and in one of the others."""
    right, named = set(), set()
    for name, (file, numbers) in fault.lines.items():
        lines = {int(number) for number in re.findall(rf"(?<![\w.]){re.escape(file)}:(\d+)", said)}
        if lines:
            named.add(name)
        if lines & set(numbers):
            right.add(name)
    if fault.backend in right and right & set(fault.others):
        return "both"
    if right:
        return "one"
    return "wrong" if named else "none"


def cause_said(fault: Fault, said: str) -> str:
    """Whether a cause is proven, and is the right one."""
    sentences = [sentence for sentence in re.split(r"(?<=[^\d\s])[.;]\s|\n\s*\n", said) if PROVEN.search(sentence)]
    if not sentences:
        return "none"
    return "proven" if any(names_cure(fault, sentence) for sentence in sentences) else "wrong"


def names_cure(fault: Fault, sentence: str) -> bool:
    """Whether a sentence says the cure of a fault, or what would undo it in another of the ports."""
    if any(names_number(cure, sentence) for cure in fault.also):
        return True
    if fault.kind == "number":
        return names_number(fault.cure, sentence)
    if fault.kind == "option":  # its value is another where the right port is the one to change
        return re.search(rf"\b{fault.cure.partition('=')[0]}\b", sentence) is not None
    words = WORDS.get(fault.kind)
    return bool(words and re.search(words, sentence, re.I))


def names_number(cure: str, sentence: str) -> bool:
    """Whether a sentence puts the number wanted in place of the one found, or the other way round."""
    number = r"(?<![\w.])-?\d+\.?\d*(?:e[-+]?\d+)?"
    wanted, found = (float(each) for each in cure.split(" in place of "))
    proposed = [float(each) for each in re.findall(number, sentence[PROVEN.search(sentence).end() :])][:1]  # type: ignore[union-attr]
    if proposed:
        return any(abs(proposed[0] - each) <= 1e-4 * abs(each) for each in (wanted, found))
    return any(abs(float(each) - wanted) <= 1e-4 * abs(wanted) for each in re.findall(number, sentence))


def said_of(fault: Fault, *, times: bool) -> Said:
    """Run the check on a folder, and read it; with ``times`` on the cured one too."""
    said, seconds = check(fault.folder, list(fault.lines))
    joined = re.sub(r"[ \t]*\n(?!\s*\n)\s*", " ", said)  # the terminal's lines are wrapped
    without = None
    if times:
        with cured(fault) as copy:
            _, without = check(copy, list(fault.lines))
    return Said(fault, lines_said(fault, joined), cause_said(fault, joined), seconds, without)


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
    parser.add_argument("--times", action="store_true", help="check each cured as well, for the time of the search")
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
    return verified(faults) if options.verify else campaign(faults, options.jobs, times=options.times)


def verified(faults: list[Fault]) -> int:
    """Print what is wrong with the ports themselves."""
    for name in {name for fault in faults for name in fault.lines}:
        load(lookup(name).target).configure(1)
    short = 0
    for fault in faults:
        found = shortcomings(fault)
        short += bool(found)
        for words in found:
            print(f"{fault.folder.name}: {words}", flush=True)
    print(f"{len(faults) - short} of {len(faults)} agree when cured, to {AGREE:g}, and differ when not")
    return 1 if short else 0


def campaign(faults: list[Fault], jobs: int, *, times: bool) -> int:
    """Check them all and print the tables."""
    seen = []
    with ThreadPoolExecutor(jobs) as pool:
        for said in pool.map(lambda fault: said_of(fault, times=times), faults):
            seen.append(said)
            ratio = f", {said.seconds / said.cured_seconds:.2f} of cured" if said.cured_seconds else ""
            words = f"line {said.line}, cause {said.cause}, {said.seconds:.1f} s{ratio}"
            print(f"{said.fault.folder.name:28}{said.fault.kind:12}{words}", flush=True)
    print("\n" + table("right line on", LINES, [(said.fault.kind, said.line) for said in seen]))
    print("\n" + table("cause", CAUSES, [(said.fault.kind, said.cause) for said in seen]))
    ratios = [said.seconds / said.cured_seconds for said in seen if said.cured_seconds]
    if ratios:
        print(f"\ntime over that of the cured ports: {np.median(ratios):.2f} in the middle, {max(ratios):.2f} at most")
    return 1 if any(said.line == "wrong" or said.cause == "wrong" for said in seen) else 0


if __name__ == "__main__":
    sys.exit(main())
