"""Training as the user wrote it, each backend with steps of its own: runs held against each other, step by step."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

#: What a first divergence comes from: at the parameters where runs still agree, gradients differ or they do not; where
#: only losses diverge, the loss is another there, or it is not, and the step returns another number; where parameters
#: and gradients agree, what the step does with its state.
Blame: TypeAlias = Literal["", "gradient", "update", "loss", "returned loss", "state"]


class OwnRun(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's run: the loss that each step returned, ``None`` where it is not a finite number.

    ``again`` says how a second run from the same start differed, if it did: then it is held against nothing. ``rule``
    is the update rule that its gradients and updates follow to rounding at its first ``rule_steps`` steps, ``""`` where
    none was looked for.
    ``stopped`` says why it has fewer steps than were asked for.
    """

    backend: str
    steps: int
    losses: list[float | None]
    seconds: float
    rule: str = ""
    rule_steps: int = 0
    again: str = ""
    stopped: str = ""


class OwnDivergence(msgspec.Struct, frozen=True, kw_only=True):
    """Two backends whose runs part by more than rounding explains, first after ``step``, in ``what``.

    ``floors`` is the difference there over how far runs go apart that are moved by one rounding at every step;
    ``relative`` the same over the way from the start, of a loss over the loss. ``later`` are such figures at steps
    after it, the last among them. ``blame`` says what of the step is to blame, ``detail`` how that is known;
    ``rules`` what the update rules of both differ in, where both are known.
    """

    backends: tuple[str, str]
    step: int
    what: str
    floors: float | None
    relative: float | None
    later: list[tuple[int, float]] = []
    blame: Blame = ""
    detail: str = ""
    rules: list[str] = []


class OwnTraining(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of all backends that have steps of their own.

    ``compared`` is the number of steps up to which rounding does not explain whatever difference there may be; of
    ``batches`` there is one a step, or none where every step has the data. ``missing`` are backends whose steps gave no
    run, and why; ``notes`` say what else was not compared.
    """

    steps: int
    compared: int
    batches: int
    runs: list[OwnRun]
    divergences: list[OwnDivergence] = []
    missing: dict[str, str] = {}
    notes: list[str] = []

    @property
    def verdict(self) -> Literal["agrees", "diverges", "unresolved", "impure", "alone"]:
        """What its runs come to: ``alone`` is one, which nothing is held against, or none."""
        if self.divergences:
            return "diverges"
        if any(run.again for run in self.runs):
            return "impure"
        if len(self.runs) < 2:
            return "alone"
        return "agrees" if self.compared else "unresolved"

    @property
    def unheld(self) -> list[str]:
        """Backends whose steps were held against none: those that gave no run, and one that is left alone."""
        alone = [run.backend for run in self.runs] if self.verdict == "alone" else []
        return [*alone, *self.missing]

    @property
    def ok(self) -> bool:
        """Whether nothing in its runs is to be looked into."""
        return self.verdict in ("agrees", "alone")
