"""What a run can be taken apart into: a model with a seed, or a data set. All that is compared stays together. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from gradparity.results import label
from gradparity.runner.paths import names_of
from gradparity.runner.settings import Settings


@dataclass(frozen=True)
class Job:
    """One model with one seed, or one cell of the built-in model.

    Attributes:
        settings: of it alone.
        name: what its problem is called, whatever the seed; a data set has its own name.
        number: its place among those of the run, from 0.
    """

    settings: Settings
    name: str
    number: int

    @property
    def label(self) -> str:
        """What it is called among those of other seeds."""
        return self.name if self.settings.shown_seed is None else f"{self.name}, seed {self.settings.shown_seed}"


def model_jobs(settings: Settings) -> list[Job]:
    """A job for every model of the user's and every seed, in this order."""
    paths = settings.models or (() if settings.model is None else (settings.model,))
    jobs: list[Job] = []
    for path, name in zip(paths, names_of(paths), strict=True):
        for seed in settings.seeds or (settings.seed,):
            own = (seed,) if settings.seeds else ()  # which says that there are others
            one = structs.replace(settings, model=path, models=(), seed=seed, seeds=own)
            jobs.append(Job(one, name, len(jobs)))
    return jobs


def jobs_of(settings: Settings) -> list[Job]:
    """Every job of a run; the stress suite, whose problems share their processes, is one."""
    if settings.model is not None:
        return model_jobs(settings)
    if settings.stress_suite:
        return [Job(settings, "the stress suite", 0)]
    cells = [
        structs.replace(cell, formulations=(cell.formulation,), thread_counts=(cell.threads,))
        for cell in settings.cells()
    ]
    return [Job(cell, _label(cell), number) for number, cell in enumerate(cells)]


def _label(cell: Settings) -> str:
    fields = {"projection": cell.projection, "formulation": cell.formulation, "dtype": cell.dtype}
    return label(cell.data[0], {name: value for name, value in fields.items() if value is not None}, cell.threads)
