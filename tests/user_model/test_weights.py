"""Parameters as people have them: flat names with dots, files of arrays, frameworks' arrays, buffers that are whole."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity import weights
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.spec import from_dict, to_dict
from gradparity.model_spec.trees import leaves
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.layouts import Layout
from gradparity.model_spec.user.model import UserModel, load_model
from gradparity.model_spec.user_spec import UserSpec
from tests.conftest import Command, python
from tests.user_model.models import model_folder


@pytest.fixture(autouse=True)
def _clean_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def drawn(parameters: Any, data: Any = None, **named: Any) -> Any:
    """The problem of a model whose functions return these."""

    class Module:
        pass

    module: Any = Module()
    vars(module).update(parameters=lambda rng: parameters, data=lambda rng: data or {}, **named)
    return draw_problem(UserModel(Path("/model.py"), None, module), "model", 0)


def same(a: Any, b: Any) -> bool:
    """Keys in the same order, containers of the same kind, the same bytes."""
    if isinstance(b, dict):
        return isinstance(a, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


names = st.text("ab.01 /", min_size=1, max_size=5)
arrays = st.builds(
    lambda shape, dtype: np.arange(1.0, 1 + np.prod(shape)).reshape(shape).astype(dtype),
    st.sampled_from([(), (2,), (2, 3)]),
    st.sampled_from(["float32", "float64", "int64", "bool"]),
)
containers = st.recursive(
    arrays,
    lambda inner: (
        st.dictionaries(names, inner, max_size=3) | st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=8,
)


@given(st.dictionaries(names, containers, max_size=4), st.dictionaries(names, containers, max_size=3))
def test_a_loss_gets_what_the_model_wrote_flat_nested_or_mixed(parameters: Any, data: Any):
    paths = [[path for path, _ in leaves(tree)] for tree in (parameters, data)]
    if any(len(set(each)) < len(each) for each in paths):
        with pytest.raises(InputError, match="got two leaves of that name"):
            drawn(parameters, data)
        return
    real = {path: leaf for path, leaf in leaves(parameters) if leaf.dtype.kind == "f"}
    if not real:
        with pytest.raises(InputError, match="expected at least one parameter"):
            drawn(parameters, data)
        return
    problem = drawn(parameters, data)
    assert list(problem.params) == list(real)
    assert list(problem.spec.constants) == [path for path in paths[0] if path not in real]
    spec = from_dict(json.loads(json.dumps(to_dict(problem.spec))))
    assert isinstance(spec, UserSpec)
    given = spec.nested(lambda *trees: trees)(problem.params, problem.data)
    assert same(given[0], parameters)
    assert same(given[1], data)


def test_names_keep_their_order_and_any_mapping_is_a_dict_to_the_loss(tmp_path: Path):
    flat = {f"layers.{i}.weight": np.full(2, float(i)) for i in (0, 10, 2)}
    np.savez(tmp_path / "net.npz", **flat)
    for each in (OrderedDict(flat), MappingProxyType(flat), np.load(tmp_path / "net.npz")):
        problem = drawn(each)
        assert list(problem.params) == list(flat)
        assert same(problem.spec.nest_params(problem.spec.whole(problem.params, problem.data)), flat)


def test_objects_in_a_file_of_arrays_are_not_unpickled(tmp_path: Path):
    np.savez(tmp_path / "net.npz", w=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"w: got Object arrays cannot be loaded .*nothing is unpickled"):
        drawn(np.load(tmp_path / "net.npz"))
    with pytest.raises(InputError, match=r"net\.npz: got Object arrays cannot be loaded .*nothing is unpickled"):
        weights(tmp_path / "net.npz")


def test_half_precision_is_widened_to_the_same_values_and_that_is_kept_to_be_said():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="JAX brings it, and is not installed")
    every = np.arange(2**16, dtype=np.uint16)
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        values = every.view(dtype)
        with np.errstate(invalid="ignore"):  # signalling nans
            values = values[np.isfinite(values)]
        problem = drawn({"w": values}, {"x": values})
        for found in (problem.params["w"], problem.data["x"]):
            assert found.dtype == np.float32
            assert found.astype(dtype).tobytes() == values.tobytes()
        assert problem.spec.halves == [dtype.name]
    assert drawn({"w": np.ones(2)}).spec.halves == []


def test_tensors_and_parameters_of_torch_are_taken_with_their_values_and_buffers_are_constants():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    for mapping in (net.state_dict(), {**dict(net.named_parameters()), **dict(net.named_buffers())}):
        problem = drawn(mapping)
        assert list(problem.params) == [name for name, _ in net.named_parameters()]
        assert set(problem.spec.constants) == {name for name, _ in net.named_buffers()}
        for name, value in net.named_parameters():
            assert problem.params[name].tobytes() == value.detach().numpy().tobytes()
        # What goes back into the module is the whole of its state, under its own names.
        back = problem.spec.nest_params(problem.spec.whole(problem.params, problem.data))
        torch.nn.Sequential(*net).load_state_dict({name: torch.tensor(value) for name, value in back.items()})
    half = torch.arange(8.0).to(torch.bfloat16)
    assert drawn({"w": half}).params["w"].tolist() == half.tolist()
    with pytest.raises(InputError, match=r"w: got a torch\.Tensor .*expected an array on the host"):
        drawn({"w": torch.ones(2, device="meta")})


def test_arrays_of_jax_are_taken_with_their_values():
    jnp = pytest.importorskip("jax.numpy")
    for dtype in (jnp.float32, jnp.bfloat16):
        assert drawn({"w": jnp.arange(4, dtype=dtype)}).params["w"].tolist() == [0, 1, 2, 3]


def test_constants_are_named_by_patterns_and_a_name_that_is_not_there_is_said_with_the_nearest():
    state = {"blocks.0.norm.scale": np.ones(2), "blocks.0.w": np.ones(2), "w": np.ones(2)}
    assert list(drawn(state, constants=["**.scale"]).spec.constants) == ["blocks.0.norm.scale"]
    assert list(drawn(state, constants=["blocks.*.w", "w"]).spec.constants) == ["blocks.0.w", "w"]
    with pytest.raises(InputError, match=r"constants: got 'blocks.0.norm.scael', .* The nearest is blocks.0.norm.sca"):
        drawn(state, constants=["blocks.0.norm.scael"])
    with pytest.raises(InputError, match="constants: got 'w', expected a list of names"):
        drawn(state, constants="w")


def test_statistics_are_constants_only_beside_the_counter_of_a_batch_norm():
    statistics = {"bn.running_mean": np.ones(2), "bn.weight": np.ones(2)}
    assert drawn(statistics).spec.constants == {}
    counted = {**statistics, "bn.num_batches_tracked": np.array(3)}
    assert set(drawn(counted).spec.constants) == {"bn.running_mean", "bn.num_batches_tracked"}
    assert drawn(counted, {"x": np.ones((1, 2))}).rows == 1


CONVOLUTION = """
import gradparity

def parameters(rng):
    return gradparity.weights("{file}")

def data(rng):
    return {{"x": rng.standard_normal(3)}}

def loss(params, data, xp):
    return xp.sum(params["layers.10.weight"] * data["x"]) + xp.sum(params["layers.2.weight"])
"""


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_weights_are_read_beside_the_file_that_names_them(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch):
    flat = {"layers.2.weight": np.arange(2.0), "layers.10.weight": np.arange(3.0)}
    folder = Path(model_folder(tmp_path / "m", CONVOLUTION.format(file=f"net.{kind}")))
    save(folder / f"net.{kind}", flat)
    monkeypatch.chdir(tmp_path)
    problem = draw_problem(load_model(folder), "m", 0)
    assert same(dict(problem.params), flat)


def save(file: Path, flat: dict[str, Any]) -> None:
    if file.suffix == ".npz":
        np.savez(file, **flat)
    else:
        pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").save_file(flat, file)


def test_bfloat16_of_a_file_needs_no_package_and_has_the_values_that_torch_reads(tmp_path: Path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16).reshape(256, 256)
    files.save_file({"w": every, "n": torch.tensor(3)}, tmp_path / "net.safetensors")
    program = """
import sys
sys.modules["ml_dtypes"] = None
import numpy as np, gradparity
found = gradparity.weights(sys.argv[1])
assert found["n"] == 3
np.save(sys.argv[2], found["w"])
"""
    ran = python("-c", program, str(tmp_path / "net.safetensors"), str(tmp_path / "w.npy"))
    assert ran.returncode == 0, ran.stderr
    found = np.load(tmp_path / "w.npy")
    assert np.array_equal(found, files.load_file(tmp_path / "net.safetensors")["w"].float().numpy(), equal_nan=True)


@pytest.mark.parametrize("kind", [".pt", ".pth", ".bin", ".pkl", ".ckpt"])
def test_a_pickle_is_refused_unread(tmp_path: Path, kind: str):
    (tmp_path / f"net{kind}").write_bytes(pickle.dumps(print))
    with pytest.raises(InputError, match=rf"weights .*net\{kind}: got a \{kind} file, expected a .npz or .safetensors"):
        weights(tmp_path / f"net{kind}")


@pytest.mark.slow
def test_the_two_lines_that_are_printed_convert_a_checkpoint_with_shared_and_transposed_tensors(
    tmp_path: Path, command: Command
):
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    tied = torch.arange(6.0).reshape(2, 3)
    state = {"a": tied, "b": tied, "t": tied.T, "h": torch.ones(2, dtype=torch.bfloat16), "n": torch.tensor(3)}
    folder = Path(model_folder(tmp_path / "m", CONVOLUTION.format(file="net.pt")))
    torch.save(state, folder / "net.pt")
    code, _, said = command("check", str(folder), "--backends", "torch", "--out", str(tmp_path / "out"))
    assert code == 2
    told, *lines = said[said.index("gradparity: ") :].splitlines()
    assert told.startswith("gradparity: weights net.pt: got a .pt file, expected a .npz or .safetensors file.")
    assert len(lines) == 2
    program = "\n".join(line.strip() for line in lines)
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, timeout=60)
    found = weights(folder / "net.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {k: v.tolist() for k, v in state.items()}


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.npz", b"", "weights net.npz: got No data left in file, expected arrays of numbers."),
        ("net.npz", b"PK\x03\x04nothing", "weights net.npz: got File is not a zip file"),
        ("net.npz", pickle.dumps(print), "weights net.npz: got "),
        (
            "net.npz",
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }".ljust(127) + b"\n",
            "got ",
        ),
        ("net.safetensors", b"", "weights net.safetensors: got "),
        ("net.safetensors", b"\xff" * 64, "weights net.safetensors: got Error while deserializing"),
        ("net.h5", b"", "got the ending '.h5', expected a .npz or .safetensors file."),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, name: str, content: bytes, said: str):
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as raised:
        weights(tmp_path / name)
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_said_with_those_that_are(tmp_path: Path):
    (tmp_path / "net.safetensors").touch()
    with pytest.raises(InputError, match=r"got no such file, expected a file .*net\.npz\. There is net\.safetensors"):
        weights(tmp_path / "net.npz")


def test_a_gradient_by_hand_may_leave_constants_out_or_in():
    spec = drawn({"bn.weight": np.ones(2), "bn.count": np.array(2)}).spec
    for extra in ({}, {"bn.count": None}):
        assert list(Layout(spec).flat("here", {"bn.weight": np.ones(2), **extra}, "gradient")) == ["bn.weight"]
