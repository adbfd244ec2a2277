"""What stands between an evaluation and a tool of GradBench: each line of one is the other's, until the first ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Session(NamedTuple):
    """What was said: each message with its response."""

    rounds: list[tuple[dict[str, Any], dict[str, Any]]]

    def of(self, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [each for each in self.rounds if each[0]["kind"] == kind]

    @property
    def valid(self) -> list[bool]:
        """Of each analysis whether it says so."""
        return [message["valid"] for message, _ in self.of("analysis")]


def session(
    evaluation: Sequence[str], tool: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Session:
    """Run both, the evaluation in a folder and an environment, until the evaluation ends."""
    pipe = subprocess.PIPE
    asks = subprocess.Popen(evaluation, stdin=pipe, stdout=pipe, cwd=cwd, env=env)
    answers = subprocess.Popen(tool, stdin=pipe, stdout=pipe)
    assert asks.stdin is not None
    assert asks.stdout is not None
    assert answers.stdin is not None
    assert answers.stdout is not None
    rounds = []
    try:
        for line in asks.stdout:
            answers.stdin.write(line)
            answers.stdin.flush()
            response = answers.stdout.readline()
            rounds.append((json.loads(line), json.loads(response)))
            asks.stdin.write(response)
            asks.stdin.flush()
        assert asks.wait(60) == 0
        answers.stdin.close()
        assert answers.wait(60) == 0
    finally:
        for each in (asks, answers):
            each.kill()
            each.wait()
            for one in (each.stdin, each.stdout):
                one.close()
    return Session(rounds)
