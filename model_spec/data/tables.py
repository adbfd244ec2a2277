"""What every data file must hold once it is read: finite numbers, and two classes to tell apart.

A reader gives a `Table`. Rows are counted from 1 for people, the first one after any header.
"""

from __future__ import annotations

import csv
import difflib
import math
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError

Floats: TypeAlias = npt.NDArray[np.float64]

#: Names or values listed in one message.
_LISTED = 12


def row_place(row: int) -> str:
    """The row for people, who count from 1."""
    return f"row {row + 1}"


@dataclass(frozen=True, eq=False)
class Table:
    """A file as read, unchecked: ``X (S, F)`` and ``y (S,)``, NaN wherever a cell is no number.

    ``content(row, column)`` is the file's own as messages show it, None where there is none; both count from 0, and
    column None is the target; not given, it is the number itself. ``place(row)`` is that row for people,
    ``row 3 (line 4)``. ``words`` are the labels where none of them is a number, None where a cell is empty.
    """

    file: str
    X: Floats
    y: Floats
    feature_names: tuple[str, ...]
    target: str
    content: Callable[[int, int | None], str | None] | None = None
    place: Callable[[int], str] = row_place
    boolean_target: bool = False
    words: Sequence[str | None] | None = None

    def cell(self, row: int, column: int | None) -> str:
        """A cell for messages."""
        if self.content is None:
            return str(self.y[row] if column is None else self.X[row, column])
        text = self.content(row, column)
        return "an empty cell" if text is None else _excerpt(text)


def checked_labels(table: Table, positive: str | None = None) -> tuple[Floats, tuple[str, str]]:
    """The labels, where every feature is a finite number, too; see `binary_labels`.

    Raises:
        InputError: there are no rows or no features, a cell is missing, not a number or not finite, or there are not
            two classes; the message names the first such cell, and of every other column the first.
    """
    rows = table.X.shape[0]
    try:
        labels = binary_labels(table, positive) if rows else (table.y, ("", ""))
    except InputError as error:
        others = _listed_faults(_faulty_features(table))
        raise InputError(error.rule, got=error.got, expected=error.expected, cure=f"{others}{error.cure}") from None
    check_features(table)
    return labels


def check_features(table: Table) -> None:
    """Every feature is a finite number.

    Raises:
        InputError: there are no rows or no features, or a cell is missing, not a number or not
            finite; the message names the first such cell's file, column and row, and of every other column the first.
    """
    rows, features = table.X.shape
    if rows == 0:
        raise InputError(f"{table.file}, rows", got="none", expected="1 or more", cure="Add rows of data to the file.")
    if features == 0:
        raise InputError(
            f"{table.file}, feature columns",
            got="none",
            expected=f"1 or more beside the target {table.target!r}",
            cure="Add a column of numbers to the file.",
        )
    faults = _faulty_features(table)
    if faults:
        (name, place, cell), *others = faults
        raise InputError(
            f"{table.file}, column {name!r}, {place}",
            got=cell,
            expected="a finite number",
            cure=f"{_listed_faults(others)}Correct the cell, or leave its row or column out of the file; write "
            "categories as numbers.",
        )


def _faulty_features(table: Table) -> list[tuple[str, str, str]]:
    """Name, place and cell of the first fault of each column that has one, in the order of the rows."""
    finite = np.isfinite(table.X)
    columns = np.flatnonzero(~finite.all(axis=0))
    first = sorted((int(finite[:, column].argmin()), int(column)) for column in columns)
    return [(table.feature_names[column], table.place(row), table.cell(row, column)) for row, column in first[:_LISTED]]


def _listed_faults(faults: Sequence[tuple[str, str, str]]) -> str:
    """``So it is in 'sex' (row 1 (line 2): 'male'). ``, or nothing."""
    said = "; ".join(f"{name!r}, {place}: {cell}" for name, place, cell in faults)
    return f"No finite number either in column{'s' if len(faults) > 1 else ''} {said}. " if said else ""


def binary_labels(table: Table, positive: str | None = None) -> tuple[Floats, tuple[str, str]]:
    """Labels ``(S,)`` in {0.0, 1.0}, and what 0 and 1 mean in the file: the smaller value is 0.

    Args:
        table: with labels that are numbers, or words of two kinds.
        positive: the label that is 1, where that is not the larger number.

    Raises:
        InputError: a label is missing or not a number (the message names its row), there are
            not exactly two distinct ones, or of two words nothing says which is 1.
    """
    if table.words is not None:
        return _labels_in_words(table, table.words, positive)
    y, rule = finite_labels(table), f"{table.file}, target column {table.target!r}"
    first_rows = np.sort(np.unique(y, return_index=True)[1])
    seen = [float(y[row]) for row in first_rows[: _LISTED + 1]]
    held = f"; the column holds {len(first_rows)} classes, {listing(map(_number, seen), len(first_rows))}"
    low, high = two_classes(rule, seen, held, lambda: table.place(int(first_rows[2])))
    names = ("false", "true") if table.boolean_target else (_number(low), _number(high))
    one = high if positive is None else _label(positive)
    if one not in (low, high):
        raise _not_positive(positive, names)
    return (y == one).astype(np.float64), names if one == high else (names[1], names[0])


def finite_labels(table: Table) -> Floats:
    """Labels ``(S,)`` as they are in the file.

    Raises:
        InputError: one is missing or not a finite number; the message names its row.
    """
    finite = np.isfinite(table.y)
    if not finite.all():
        row = int(finite.argmin())
        raise InputError(
            f"{table.file}, target column {table.target!r}, {table.place(row)}",
            got=table.cell(row, None),
            expected="numbers: two distinct ones, such as 0 and 1",
            cure="Map the two classes to 0 and 1 in the file, and leave out rows that have no label.",
        )
    return table.y


def _label(text: str) -> float:
    """A label as a number: truth values are 0 and 1, and what is none is nan."""
    word = text.strip().lower()
    try:
        return float({"false": "0", "true": "1"}.get(word, word))
    except ValueError:
        return math.nan


def _labels_in_words(table: Table, words: Sequence[str | None], positive: str | None) -> tuple[Floats, tuple[str, str]]:
    rule = f"{table.file}, target column {table.target!r}"
    if None in words:
        cure = "Leave out rows that have no label."
        place = table.place(words.index(None))
        raise InputError(f"{rule}, {place}", got="an empty cell", expected="a label", cure=cure)
    kinds = list(dict.fromkeys(word for word in words if word is not None))
    if len(kinds) != 2:
        there = f"{len(kinds)} classes" if len(kinds) > 1 else "one class only"
        raise InputError(
            rule,
            got=f"{there}: {listing(map(repr, kinds), len(kinds))}",
            expected="two classes",
            cure="Keep the rows of two classes, or name another target."
            if len(kinds) > 1
            else "Include rows of the other class, or name another target.",
        )
    if positive is None:
        raise InputError(
            rule,
            got=f"labels in words, {kinds[0]!r} and {kinds[1]!r}",
            expected="to be told which is 1",
            cure=f"--positive {shlex.quote(kinds[1])} makes it {kinds[1]!r}; or write 0 and 1 into the file.",
        )
    if positive.strip() not in kinds:
        raise _not_positive(positive, kinds)
    zero = next(kind for kind in kinds if kind != positive.strip())
    return np.array([word != zero for word in words], np.float64), (zero, positive.strip())


def _not_positive(positive: str | None, labels: Sequence[str]) -> InputError:
    expected = f"one of the two labels, {' and '.join(map(repr, labels))}"
    return InputError("--positive", got=repr(positive), expected=expected, cure=suggestion(str(positive), labels))


def two_classes(rule: str, seen: Sequence[float], held: str, third_place: Callable[[], str]) -> tuple[float, float]:
    """The two labels, the lower one first.

    Args:
        rule: the column, for messages.
        seen: its distinct values, in the order of the rows.
        held: what is said of the others, should there be a third one.
        third_place: where that one is.

    Raises:
        InputError: there are not exactly two.
    """
    if len(seen) == 1:
        raise InputError(
            rule,
            got=f"one class only, {_number(seen[0])} in every row",
            expected="two classes",
            cure="Include rows of the other class, or name another target.",
        )
    if len(seen) > 2:
        raise InputError(
            f"{rule}, {third_place()}",
            got=f"a third value, {_number(seen[2])}{held}",
            expected="two distinct values, such as 0 and 1",
            cure="Map the labels to two classes, or name another target.",
        )
    low, high = sorted(seen)
    return low, high


def require_target(file: str, names: Iterable[str], target: str | None) -> str:
    """The target's name, found among the file's columns.

    Raises:
        InputError: no target is given, or no column has that name; the message lists what there is.
    """
    columns = list(names)
    if target is None:
        raise InputError(
            f"{file}, target",
            got="none",
            expected=f"the name of the label column, one of {listing(columns, len(columns))}",
            cure="Name it with --target.",
        )
    if target not in columns:
        raise InputError(
            f"{file}, target",
            got=repr(target),
            expected=f"a column of the file: {listing(columns, len(columns))}",
            cure=suggestion(target, columns) or "Name one of them with --target.",
        )
    return target


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """``Did you mean 'iris'?``, or nothing where no name comes close."""
    folded = {name.lower(): name for name in right}
    matches = difflib.get_close_matches(wrong.strip().lower(), folded, n=1, cutoff=0.5)
    return f"Did you mean {folded[matches[0]]!r}?" if matches else ""


def listing(names: Iterable[str], total: int) -> str:
    """The first dozen names, and how many more there are."""
    first = [_excerpt(name if name.isprintable() else repr(name)) for name in islice(names, _LISTED)]
    more = f" and {total - len(first)} more" if total > len(first) else ""
    return ", ".join(first) + more


def numbered(features: int) -> tuple[str, ...]:
    """Names ``x1`` to ``xF`` for features that have none."""
    return tuple(f"x{number}" for number in range(1, features + 1))


def line_place(records: Callable[[], Iterator[tuple[int, object]]], row: int) -> str:
    """The row of a text file, and the line that it begins on; ``records`` has the line of every row."""
    try:
        line, _ = next(islice(records(), row, None))
    except (csv.Error, OSError, StopIteration):
        return row_place(row)
    return f"{row_place(row)} (line {line})"


@contextmanager
def refusing(file: Path, kind: str, *also: type[BaseException]) -> Iterator[None]:
    """Turn whatever a parser raises for a file that is not of its kind into one `InputError`."""
    # The parsers' errors have no common base below Exception.
    errors: tuple[type[BaseException], ...] = (Exception, *also)
    try:
        with warnings.catch_warnings():
            # NumPy warns of files that Python 2 wrote and then reads them; the user can do nothing about it.
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        raise error from None
    except errors as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            str(file), got=f"content that cannot be read ({reason[:200].rstrip('.')})", expected=f"a valid {kind} file"
        ) from None


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
