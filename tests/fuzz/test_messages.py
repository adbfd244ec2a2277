"""Messages that are damaged, or never were any: a `msgspec.MsgspecError` or a message, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st

from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.model_spec.data.row_file import RowFile
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.numerics.optimisers import Adam, GradientDescent, Path
from gradparity.oracle import messages as mm
from gradparity.truth.reference import Reference
from gradparity.truth.trajectory import Trajectory
from gradparity.worker import messages as m
from gradparity.worker.wire import Failed, Stop, encode
from tests.fuzz.inputs import anything_or, fuzz

_TREE = {"w": np.arange(3.0), "W": np.ones((3, 2), "float32"), "b": np.array(1.5), "none": np.empty((0, 2))}
_ARRAY = _TREE["w"]
_BLOCK = Block(wall_ns=10**6, cpu_ns=10**6, inner=8, minor_faults=0, context_switches=1, stolen_ns=None)
_PATH = Path(_ARRAY, _ARRAY.astype(int), _TREE["W"], _TREE["W"], evaluations=3)
_FOUND = {("gradient", "a b"): _ARRAY.astype(np.longdouble)}
_REFERENCE = Reference(_FOUND, _FOUND, "certified", 0.1, kinks={("gradient", "w", (0,)): (1.0, 2.0)}, ignored=("b",))
_RUN = Trajectory(Adam(), _PATH, _ARRAY, _TREE, _ARRAY, _ARRAY, evaluations=(3, 4), complete=True)
_PROBLEM = make_problem("toy", ProjectedLogistic(features=3, projection=2), np.ones((2, 3)), [0.0, 1.0])
_LOAD = m.load_request(_PROBLEM)

MESSAGES: dict[str, tuple[Callable[[bytes], Any], list[object]]] = {
    "requests": (
        m.decode_request,
        [
            m.Configure("gradparity.backends.numpy_backend:Backend", 1, names=("numpy",), memory_bytes=2**30),
            _LOAD,
            m.Load("rows", {}, {}, {}, {}, 0, RowFile("rows.npy", "float32", 4, 3, 128, 2)),
            m.Train(Adam(), 7),
            m.Warm("brief", 10**6, "loop", 5, 0.1),
            Stop(),
        ],
    ),
    "replies": (
        m.decode_reply,
        [
            m.Configured({"numpy": "2.0.0"}, 0.1, 0.1, 2**25),
            m.Evaluated({"gradient": _TREE, "loss": {"": _ARRAY}}, printed=True),
            m.Perturbed([{"loss": {"": _ARRAY}}], [{"gradient": _TREE}]),
            m.Trained(_PATH, 0.1),
            m.Warmed(WarmUp(calls=3, seconds=0.2, converged=True, call_s=0.001), 8),
            m.Sampled(_BLOCK, _TREE),
            Failed("ValueError", "no", "Traceback"),
        ],
    ),
    "model's requests": (
        mm.decode_request,
        [
            mm.Draw("model.py", "mine", 0, None, 2**30),
            mm.Try(),
            mm.Hold(_LOAD),
            mm.Certify(5.0, _TREE),
            mm.Follow(GradientDescent(), 9, 2.5),
        ],
    ),
    "model's replies": (
        mm.decode_reply,
        [
            mm.Drawn(_LOAD, neutral=True, gradient=False, written_for=["jax"]),
            mm.Tried("loss.py, line 3: erf"),
            mm.Certified(_REFERENCE),
            mm.Followed(_RUN),
            mm.Refused("InputError", "loss: no", "", "loss", "no", "a number", "Return one."),
        ],
    ),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_frame_is_decoded_or_is_no_message(kind: str):
    decode, valid = MESSAGES[kind]
    frames = [encode(message) for message in valid]
    assert [encode(decode(frame)) for frame in frames] == frames
    fuzz(kind, anything_or(*frames), decode, encode, msgspec.MsgspecError)


_DTYPES = st.one_of(
    st.sampled_from(["<f8", "<f4", ">f8", "|b1", "<i8", "<c16", "<f2", "<f16", "|S3", "<U2", "|V2", "<M8[ns]"]),
    st.sampled_from(["|O", "O8", "f8,O", "f8,f8", "(2,3)f4", "S0", "V0", "", "f3", "((", "U99999999999", "<f8\0"]),
    st.text(max_size=8),
)
_LENGTHS = st.one_of(st.integers(0, 4), st.sampled_from([-1, -3, 2**31, 2**62, 2**63, 2**64 - 1, 10**15]))


def reply_with(dtype: str, shape: list[int], data: bytes) -> bytes:
    """A reply with an array on the wire."""
    array = {"dtype": dtype, "shape": shape, "data": data}
    return msgspec.msgpack.encode({"type": "Descended", "losses": array, "params": {}, "loop_s": 0.0})


def test_an_array_is_as_it_says_or_refused():
    def make(given: tuple[str, list[int], bytes, bool]) -> tuple[np.ndarray[Any, Any], list[int], bytes]:
        dtype, lengths, data, filled = given
        if filled and 0 <= math.prod(lengths) < 100 and dtype in ("<f8", "<f4", "|b1", "<c16", "|V2"):
            data = bytes(math.prod(lengths) * np.dtype(dtype).itemsize)
        return m.decode_reply(reply_with(dtype, lengths, data)).losses, lengths, data

    def use(made: tuple[np.ndarray[Any, Any], list[int], bytes]) -> None:
        array, lengths, data = made
        assert array.shape == tuple(lengths)
        assert array.nbytes == len(data)
        assert not array.dtype.hasobject

    small = st.lists(st.integers(0, 4), max_size=3)
    shapes = st.one_of(small, small, st.lists(_LENGTHS, max_size=4), st.just([1] * 65))
    inputs = st.tuples(_DTYPES, shapes, st.binary(max_size=40), st.booleans())
    fuzz("arrays", inputs, make, use, msgspec.MsgspecError, accepted=50)


@pytest.mark.parametrize("shape", [[-1], [3, -1], [2**62], [0, 2**62, 2**62]])
def test_a_message_with_a_shape_that_its_bytes_do_not_fill_is_refused_as_it_is_decoded(shape: list[int]):
    with pytest.raises(msgspec.ValidationError):
        m.decode_reply(reply_with("<f8", shape, bytes(48)))


def test_a_message_nested_without_end_is_refused():
    frame = encode({"type": "Load", "name": "", "params": {}, "data": {}, "tangents": {}, "seed": 0, "spec": {"a": 1}})
    with pytest.raises(msgspec.DecodeError, match="recursion"):
        m.decode_request(frame[:-1] + b"\x91" * 100_000)
