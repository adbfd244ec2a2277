"""A backend as a tool of GradBench in this process, and what it answers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from gradparity.backends import load, lookup
from gradparity.backends.gradbench import wire_of
from gradparity.worker.gradbench import Tool

RUNS = {"min_runs": 1, "min_seconds": 0}


def backend_tool(name: str) -> Tool:
    backend = load(lookup(name).target)
    backend.configure(1)
    return Tool(name, backend)


def asked(tool: Tool, **message: Any) -> dict[str, Any]:
    return tool.respond(json.dumps({"id": 7, **message}).encode())


def both(tool: Tool, name: str, given: Any) -> tuple[Any, Any]:
    """What both functions of an evaluation give."""
    assert asked(tool, kind="define", module=name) == {"id": 7, "success": True}
    found = []
    for function in (wire_of(name).primal, wire_of(name).derivative):
        answer = asked(tool, kind="evaluate", module=name, function=function, input=given)
        assert answer["success"], answer
        assert [each["name"] for each in answer["timings"]] == ["first call", "evaluate"]
        found.append(answer["output"])
    return found[0], found[1]


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)
