"""Outside a check, a tap is nothing: the same object, the same program, no import, next to no time."""

from __future__ import annotations

import subprocess
import sys
import threading
import timeit

import numpy as np
import pytest

from gradparity import tap
from gradparity.taps import probing
from gradparity.worker.recording import recording, taps_of
from tests.conftest import configured


@pytest.mark.parametrize("value", [np.ones(2), 1.5, 3, True, None, {"a": [1.0]}, "text"])
def test_a_tap_returns_the_very_same_object(value):
    assert tap("anything", value) is value


def test_importing_tap_imports_no_more_than_the_standard_library():
    program = (
        "import sys; before = set(sys.modules); from gradparity import tap; print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = {name.partition(".")[0] for name in ran.stdout.split()}
    assert names - set(sys.stdlib_module_names) == {"gradparity"}


def test_a_tap_costs_a_few_calls_of_an_empty_function():
    def nothing(name, value):
        return value

    x = np.ones(3)
    # Side by side, and the best of many: what else runs on the machine only adds.
    ours, empty = (min(timeit.repeat(lambda f=f: f("h", x), number=5000, repeat=20)) for f in (tap, nothing))
    assert ours < 3 * empty


def test_under_jit_the_program_is_the_one_without_a_tap():
    configured("jax")
    import jax
    import jax.numpy as jnp

    def with_tap(x):
        return (tap("h", jnp.tanh(x)) ** 2).sum()

    def without(x):
        return (jnp.tanh(x) ** 2).sum()

    x = jnp.ones(3)
    assert str(jax.make_jaxpr(jax.grad(with_tap))(x)) == str(jax.make_jaxpr(jax.grad(without))(x))


def test_torch_compile_traces_through_a_tap_without_a_graph_break_and_into_the_same_graph():
    configured("torch")
    import torch

    def graph_of(function):
        seen = []

        def backend(graph, inputs):
            seen.append([(node.op, str(node.target)) for node in graph.graph.nodes])
            return graph.forward

        compiled = torch.compile(function, backend=backend, fullgraph=True, dynamic=False)
        x = torch.arange(3.0)
        assert torch.equal(compiled(x), (torch.tanh(x) ** 2).sum())
        return seen, compiled

    with_tap, compiled = graph_of(lambda x: (tap("h", torch.tanh(x)) ** 2).sum())
    without, _ = graph_of(lambda x: (torch.tanh(x) ** 2).sum())
    assert with_tap == without
    # In a check the compiled function runs eagerly, and its taps are seen; afterwards it is compiled as before.
    with recording(taps_of(configured("torch"))) as sink:
        compiled(torch.arange(3.0))
    np.testing.assert_array_equal(sink.values["h#0"], np.tanh(np.arange(3.0, dtype=np.float32)))
    compiled(torch.arange(3.0))
    assert len(with_tap) == 1


def test_an_exception_leaves_no_recording_behind():
    def raises():
        with probing(lambda name, value: None):
            assert tap("h", 1) is None
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            raises()
        assert tap("h", 1) == 1


def test_a_recording_within_a_recording_is_refused_and_the_outer_one_goes_on():
    with probing(lambda name, value: name):
        with pytest.raises(RuntimeError, match="one recording at a time"), probing(lambda name, value: value):
            raise AssertionError("unreachable")
        assert tap("h", 1) == "h"


def test_taps_of_other_threads_belong_to_the_recording():
    with recording(taps_of(configured("numpy"))) as sink:
        threads = [threading.Thread(target=tap, args=("h", np.full(2, i))) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert list(sink.values) == [f"h#{i}" for i in range(20)]
    assert sorted(value[0] for value in sink.values.values()) == list(range(20))
