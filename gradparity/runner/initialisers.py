"""The ports' own initialisers, and the model's ``parameters(rng)``: drawn over seeds, and held together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gradparity.judge.initialisers import judged
from gradparity.processes.deadline import Deadline, waited_s
from gradparity.processes.machine import usable_cores
from gradparity.processes.peer import WorkerFailed
from gradparity.results.initialisers import MODEL
from gradparity.runner.cases import Cell
from gradparity.runner.crew import Crew, Member
from gradparity.runner.own_training import members_with
from gradparity.runner.record import Recorder
from gradparity.worker import messages as m

#: Seconds below which nothing is begun: three draws are made in any case.
LEAST_S = 0.5
#: Times that share that one draw is waited for, beyond it.
PATIENCE = 3


def compare_initialisers(cell: Cell, crew: Crew, recorder: Recorder, deadline: Deadline) -> bool:
    """Draw all, hold them together, and write down what was found; whether a process has been ended for it.

    What fails here is said of the initialiser, and costs its backend nothing else.
    """
    brings, workers = members_with(lambda loaded: loaded.initialises, crew), crew.workers
    members = {name: member for name, member in brings.items() if name in workers}
    missing = dict.fromkeys(brings.keys() - members, "its process had ended")
    seconds = deadline.stage_s("initialising")
    if brings and seconds < LEAST_S:
        recorder.leave_out("initialisers")
    if not brings or seconds < LEAST_S:
        return False

    def ask(name: str, member: Member) -> m.StartsDrawn | None:
        recorder.begin("initialising", name)
        try:
            request = m.DrawStarts(seconds, model=name == MODEL)
            return member.worker.ask(request, share_s=PATIENCE * waited_s(seconds))
        except WorkerFailed as failure:
            missing[name] = failure.reason
            if failure.alive:
                return None
        finally:
            recorder.end(name)
        member.stop()
        return None

    with ThreadPoolExecutor(max(1, usable_cores() // cell.settings.threads)) as pool:
        drawn = dict(zip(members, pool.map(ask, members, members.values()), strict=True))
    living = next((member for member in members.values() if not member.ended), None)
    if living is not None:
        drawn[MODEL] = ask(MODEL, living)
    found = {name: given for name, given in drawn.items() if given is not None}
    recorder.initialisers(judged(found, cell.problem.spec.shapes, missing))
    return any(member.ended for member in members.values())
