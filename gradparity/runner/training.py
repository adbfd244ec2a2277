"""A backend's training runs, asked for and judged: with an optimiser of ours, and in the backend's own loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradparity.judge.training import judge_training, own_loop
from gradparity.numerics.optimisers import OUT_OF_TIME, GradientDescent
from gradparity.processes.deadline import waited_s
from gradparity.processes.peer import WorkerFailed
from gradparity.results import Training
from gradparity.runner.crew import Member
from gradparity.runner.judging import LOOP_STEPS_CHECKED, Judging
from gradparity.truth.trajectory import Trajectory
from gradparity.worker import messages as m
from gradparity.worker.wire import ReplyT, Request

#: Seconds of a backend's own loop that are compared where our optimiser has taken the same steps: the gradients are
#: the same, and what the loop itself does it does at every step.
LOOP_SECONDS = 1.0


def train(judging: Judging, member: Member, known: Trajectory) -> list[Training]:
    """The verdicts on a backend's run with an optimiser of ours, and in its own loop of gradient descent.

    Args:
        judging: of the problem.
        member: the backend's process.
        known: the reference run.

    Returns:
        The own loop's first; of it fewer steps where they take over `LOOP_SECONDS` and ours has taken them.

    Raises:
        WorkerFailed: it failed meanwhile.
    """
    name, problem, oracle = member.name, judging.cell.problem, judging.cell.oracle
    judging.recorder.begin("training", name)
    found: list[Training] = []
    with judging.where_known("judgement of training", f"{name}: training: "):
        if judging.cell.plan.trains == "all":
            seconds = judging.deadline.stage_s("training") / len(judging.cell.settings.optimisers())
            answer = _run(judging, member, lambda steps: m.Train(known.optimiser, steps, seconds), known)
            cut = answer.path.stopped == OUT_OF_TIME
            ended = _ended(judging, f"{name}: training", known, len(answer.path.losses) - 1) if cut else known
            found.append(judge_training(name, answer.path, ended, problem, answer.loop_s, oracle=oracle))
        if isinstance(known.optimiser, GradientDescent):
            try:
                own = _in_its_own_loop(judging, member, known, known.optimiser.learning_rate, found)
            except WorkerFailed:
                judging.recorder.trained(found)  # the other run stands
                raise
            found.insert(0, own)
    return found


def _in_its_own_loop(
    judging: Judging, member: Member, known: Trajectory, rate: float, found: list[Training]
) -> Training:  # fmt: skip
    name, problem, share_s = member.name, judging.cell.problem, judging.deadline.stage_s("training")
    shared, seconds = (found[0] if found else None), share_s
    if shared is not None:
        seconds = min(share_s, max(LOOP_SECONDS, LOOP_STEPS_CHECKED * shared.loop_s / max(1, shared.steps)))
    all_finite = bool(np.isfinite(known.path.losses).all())  # otherwise it was asked for fewer
    descent = _run(judging, member, lambda steps: m.Descend(steps, rate, seconds), known)
    ran, done = own_loop(descent.losses, problem.spec.pack(descent.params)), len(descent.losses) - 1
    ended = known
    if done < judging.steps and all_finite:
        if seconds < share_s:
            said = f"its own loop is compared over {done:,} of {judging.steps:,} steps, as many as take {seconds:.2g} s"
            ran, ended = replace(ran, stopped=said), replace(known, complete=False)
        else:
            ended = _ended(judging, f"{name}: training in its own loop", known, done)
    return judge_training(name, ran, ended, problem, descent.loop_s, shared=shared, oracle=judging.cell.oracle)


def _ended(judging: Judging, what: str, known: Trajectory, steps: int) -> Trajectory:
    """The reference of a run that has so many steps, for want of time: its last loss is no final loss."""
    judging.recorder.leave_out(f"{what}: {steps} of {judging.steps} steps")
    return replace(known, complete=False)


def _run(
    judging: Judging, member: Member, request: Callable[[int], Request[ReplyT]], known: Trajectory
) -> ReplyT:  # fmt: skip
    """All steps; where the reference leaves the domain of the loss and this framework raises there, those before.

    Raises:
        WorkerFailed: it failed, and not for that.
    """
    try:
        share_s = judging.deadline.stage_s("compilation") + waited_s(judging.deadline.stage_s("training"))
        return member.ask_compiled("descend", request(judging.steps), judging.cell, judging.recorder, share_s)
    except WorkerFailed as failure:
        finite = np.isfinite(known.path.losses)
        ends = int(np.argmin(finite)) - 1 if not finite.all() else len(finite) - 1
        if not failure.alive or not 0 < ends < judging.steps:
            raise
        return member.worker.ask(request(ends))
