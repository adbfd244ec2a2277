"""What a run consists of: the built-in model on data sets, or the problems of the stress suite.

A model of the user's is in `gradparity.runner.user_cases`, whose imports take longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gradparity import results
from gradparity.model_spec.data.datasets import Dataset
from gradparity.model_spec.data.npy import StreamedDataset
from gradparity.model_spec.problem import Problem, UserProblem
from gradparity.model_spec.spec import to_dict
from gradparity.oracle.protocol import BUILT_IN, Oracle
from gradparity.processes.environment import withheld
from gradparity.results import Diagnosis, ProblemResult, Trouble
from gradparity.runner.data import dataset_of, problem_on, require_sizes_fit
from gradparity.runner.plan import Plan
from gradparity.runner.settings import Settings
from gradparity.runner.stress import stress_problems
from gradparity.worker import messages as m

if TYPE_CHECKING:
    from gradparity.oracle.messages import DrawnBatches
    from gradparity.results.recorded import Recorded

#: Workers beside one of each backend that may hold the data at once: the A/A twin, and two that are being checked.
_BESIDE = 3


class Case:
    """One problem of a run, with the backends that have something to run on it.

    ``idle`` has the others, and why. ``expected`` is what the problem is there to show, where that is a failure.
    """

    oracle: Oracle = BUILT_IN
    source, digest, source_digest, expected = "", "", "", ""
    #: What the ports' own steps take, on the problem as the model draws it; on others they are not run.
    batches: DrawnBatches | None = None
    #: Answers recorded elsewhere, to the problem as the model draws it.
    references: Sequence[Recorded] = ()
    #: What an earlier session has found.
    earlier: ProblemResult | None = None

    def __init__(self, settings: Settings, names: Sequence[str], problem: Problem | UserProblem | None = None) -> None:
        self.settings, self.names = settings, names
        self.idle: dict[str, str] = {}
        self.said: Sequence[Diagnosis] = ()
        self._problem = problem

    @property
    def problem(self) -> Problem | UserProblem:
        """What is computed, from where, on which data."""
        assert self._problem is not None  # noqa: S101
        return self._problem

    @property
    def made_on_demand(self) -> bool:
        """Whether the data have still to be made from the seed, when the case's turn comes."""
        return self._problem is None

    @property
    def gigabytes(self) -> float:
        """Size of the data."""
        return self.problem.data_bytes / 1e9

    @property
    def label(self) -> str:
        """What it is called in reports."""
        problem, settings = self.problem, self.settings
        return results.label(problem.name, to_dict(problem.spec), settings.threads, settings.shown_seed)

    def result(self, absent: Sequence[Trouble] = ()) -> ProblemResult:
        """Where its findings will be written, with the backends that cannot run."""
        problem = self.problem  # which has the data read, where they were not
        return ProblemResult(
            name=problem.name,
            source=self.source,
            digest=self.digest,
            source_digest=self.source_digest,
            seed=self.settings.shown_seed,
            rows=problem.rows,
            spec=to_dict(problem.spec),
            threads=self.settings.threads,
            truth="",
            expected=self.expected,
            troubles=list(absent),
            idle=dict(self.idle),
            diagnoses=list(self.said),
        )


class BuiltInCase(Case):
    """The built-in model on one data set, which is read or made when it is first asked for."""

    def __init__(self, settings: Settings, names: Sequence[str], workers: int, scratch: Callable[[], Path]) -> None:
        super().__init__(settings, names)
        self.workers, self.scratch = workers, scratch
        self.source = settings.data[0]

    @property
    def problem(self) -> Problem | UserProblem:
        """The problem on the data.

        Raises:
            InputError: the data cannot be used, the model does not fit them, or the run would not fit in memory.
        """
        if self._problem is None:
            self.keep(dataset_of(self.settings, self.workers, self.scratch))
        return super().problem

    def keep(self, data: Dataset | StreamedDataset) -> None:
        """Take a data set that was read before.

        Raises:
            InputError: the model does not fit the data, or the run would not fit in memory.
        """
        self._problem = problem_on(self.settings, data, self.workers)
        if any(self.settings.registration(name).sharded for name in self.names):
            from gradparity.runner.ranks import require_divisible

            require_divisible(self.settings, self.names, self._problem)
        self.source, self.digest = data.source, data.digest

    @property
    def gigabytes(self) -> float:
        """Size of X, before it is made."""
        if self._problem is not None:
            return 8 * self._problem.cells / 1e9
        rows, features = map(int, self.source.removeprefix("synthetic:").split("x"))
        return rows * features * 8 / 1e9

    @property
    def label(self) -> str:
        """What the cell is called, before its data are made too: a file by its name, as in the results."""
        cell, name = self.settings, self.settings.data[0] if self._problem is None else self._problem.name
        fields = {"projection": cell.projection, "formulation": cell.formulation, "dtype": cell.dtype}
        return results.label(name, {k: v for k, v in fields.items() if v is not None}, cell.threads)


def built_in_cases(settings: Settings, plan: Plan, names: Sequence[str], scratch: Callable[[], Path]) -> list[Case]:
    """The cells of a run of the built-in model: what was given is read and checked, sizes are made in their turn.

    ``scratch`` makes a folder for rows that are to be read in pieces, where the user's file does not let them be.

    Raises:
        InputError: the data are at fault, or a size does not fit in memory.
    """
    workers = sum(settings.processes(name) for name in names) + (_BESIDE if plan.apart else 0)
    require_sizes_fit(settings, workers)
    cases = [BuiltInCase(cell, names, workers, scratch) for cell in settings.cells()]
    if not settings.sizes:
        loaded = {case.source: dataset_of(case.settings, workers, scratch) for case in cases}
        for case in cases:
            case.keep(loaded[case.source])
    return [*cases]


def stress_cases(settings: Settings, names: Sequence[str]) -> list[Case]:
    """The standard suite; the data and the model of ``settings`` are not looked at.

    Backends that go through a C++ compiler get only the problems marked for them, sharded ones those with a row a rank;
    what nobody gets is left out.
    """
    cases = []
    for each in stress_problems(settings.seed):
        given = [name for name in names if each.compiled or not settings.registration(name).compiler]
        few = [name for name in given if each.problem.rows < settings.processes(name)]
        case = Case(settings, [name for name in given if name not in few], each.problem)
        case.idle = dict.fromkeys(few, f"{each.problem.rows} rows, which are fewer than {settings.ranks} ranks")
        case.source, case.expected = each.why, each.expected
        if case.names:
            cases.append(case)
    return cases


def unreached(missed: Mapping[str, str]) -> list[Diagnosis]:
    """What is to be said of variables that the model reads, that are set here, and that its processes do not have."""
    found = withheld(missed)
    if not found:
        return []
    read, it = " and ".join(f"{name} ({place})" for name, place in found.items()), "it" if len(found) == 1 else "them"
    finding = f"the model reads {read} of the environment, and does not have {it}, though set where this was called"
    cure = f"{' '.join(f'--env {name}' for name in found)} passes {it} on."
    return [Diagnosis(name="environment", finding=finding, cure=cure)]


class Cell:
    """A case whose turn has come: the problem, as a message too, and what is asked of it."""

    def __init__(self, case: Case, plan: Plan) -> None:
        self.plan, self.settings, self.problem, self.oracle = plan, case.settings, case.problem, case.oracle
        self.names, self.expected, self.batches = case.names, case.expected, case.batches
        self.references = case.references
        self.load = m.load_request(self.problem)
