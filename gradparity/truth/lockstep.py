"""Runs that ask for an evaluation now and then, all answered at once: each goes on in a thread until it asks.

SciPy's optimisers call back and cannot be suspended otherwise. One thread runs at a time, and answers are given when
every run that is not done has asked: nothing depends on which was first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, TypeVar

from gradparity.threads import Thread

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class _EndedError(Exception):
    """Another run has failed."""


class _Run(Thread, Generic[Asked, Answer, Result]):
    """One run; what it asks, and at last None, goes to a queue that all share, as they do the turn to go on."""

    def __init__(
        self, place: int, run: Callable[[Callable[[Asked], Answer]], Result], asked: SimpleQueue[Any], turn: Lock
    ) -> None:
        super().__init__(daemon=True)
        self.place, self.steps, self.asked, self.turn = place, run, asked, turn
        self.answers: SimpleQueue[Any] = SimpleQueue()
        self.result: Result
        self.error: BaseException | None = None

    def run(self) -> None:
        """In its thread."""
        with self.turn:
            try:
                self.result = self.steps(self._ask)
            except BaseException as error:
                self.error = error
        self.asked.put((self.place, None))

    def _ask(self, question: Asked) -> Answer:
        self.turn.release()
        self.asked.put((self.place, (question,)))
        answer = self.answers.get()
        self.turn.acquire()
        if isinstance(answer, BaseException):
            raise answer
        found: Answer = answer
        return found


def in_lockstep(
    runs: Sequence[Callable[[Callable[[Asked], Answer]], Result]],
    answers: Callable[[Mapping[int, Asked]], Mapping[int, Answer]],
) -> list[Result]:
    """What each run returns.

    Args:
        runs: functions of a function that they call to ask.
        answers: from what each run asks, by its place, to what it gets; runs that have ended ask no more.

    Returns:
        Results, in the order of the runs.

    Raises:
        Exception: what a run, or answering, has raised; the others are ended.
    """
    asked: SimpleQueue[Any] = SimpleQueue()
    turn = Lock()
    threads = [_Run(place, run, asked, turn) for place, run in enumerate(runs)]
    for thread in threads:
        thread.start()
    going, waiting = len(threads), dict[int, Asked]()
    failed: BaseException | None = None
    while going:
        place, question = asked.get()
        if question is not None:
            waiting[place] = question[0]
        else:
            going -= 1
            failed = failed or threads[place].error
        if waiting and len(waiting) == going:
            questions, waiting = dict(sorted(waiting.items())), {}
            replies: Mapping[int, Any] = dict.fromkeys(questions, _EndedError())
            if failed is None:
                try:
                    replies = answers(questions)
                except Exception as error:
                    failed = error
            for each in questions:
                threads[each].answers.put(replies[each])
    if failed is not None:
        raise failed
    return [thread.result for thread in threads]
