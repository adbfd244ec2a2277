"""References of examples by torch, on a GPU where there is one, in every precision: ``gpu_references.py FOLDER``.

It imports nothing of gradparity, as `docs/howto/references.md` has it, and draws the inputs as gradparity does: streams
0, 1 and 2 of the seed. Those in ``tests/references/recorded`` were written by it; their metadata say on which device.
``wide`` is ``examples/mlp.py`` with layers of 256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

EXAMPLES = Path(__file__).parents[2] / "examples"
MODELS = {
    "mlp": EXAMPLES / "mlp.py",
    "attention_block": EXAMPLES / "attention_block.py",
    "logistic_regression": EXAMPLES / "logistic_regression" / "model_spec.py",
    "wide": EXAMPLES / "mlp.py",
}
WIDE = (64, 256, 256, 16)
PRECISIONS = ("float64", "float32", "tf32", "bfloat16", "float16")
SEED = 0


class Namespace:
    """torch, called as NumPy is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def max(x: Any, axis: int, keepdims: bool) -> Any:
        """The largest along an axis."""
        return torch.amax(x, axis, keepdims)


def digest(value: np.ndarray[Any, Any]) -> str:
    """As the page has it."""
    value = np.array(value, value.dtype.newbyteorder("<"), order="C")
    return hashlib.sha256(f"{value.dtype.name} {list(value.shape)}".encode() + value.tobytes()).hexdigest()


def flat(tree: Any, path: str) -> dict[str, Any]:
    """Leaves by dotted path."""
    if not isinstance(tree, dict | list):
        return {path: tree}
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {name: leaf for key, value in parts for name, leaf in flat(value, f"{path}.{key}").items()}


def like(tree: Any, leaves: dict[str, Any], path: str) -> Any:
    """The tree with these leaves."""
    if isinstance(tree, dict):
        return {key: like(value, leaves, f"{path}.{key}") for key, value in tree.items()}
    if isinstance(tree, list):
        return [like(value, leaves, f"{path}.{i}") for i, value in enumerate(tree)]
    return leaves[path]


def write(name: str, precision: str, device: str, folder: Path) -> None:
    """One reference, ``NAME_PRECISION.safetensors``."""
    spec = importlib.util.spec_from_file_location(name, MODELS[name])
    assert spec is not None and spec.loader is not None  # noqa: PT018
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    if name == "wide":
        model.WIDTHS = WIDE
    streams = [np.random.default_rng([SEED, which]) for which in range(3)]
    tree, given = model.parameters(streams[0]), model.data(streams[1])
    params, data = flat(tree, "params"), flat(given, "data")
    along = {path: streams[2].standard_normal(value.shape) for path, value in params.items()}
    inputs = {**params, **data, **{"direction" + path.removeprefix("params"): v for path, v in along.items()}}

    dtype = torch.float32 if precision == "tf32" else getattr(torch, precision)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"

    def put(value: np.ndarray[Any, Any]) -> Any:
        found = torch.from_numpy(np.asarray(value)).to(device)
        return found.to(dtype) if found.is_floating_point() else found

    there = like(given, {path: put(value) for path, value in data.items()}, "data")

    def loss(leaves: dict[str, Any]) -> Any:
        return model.loss(like(tree, leaves, "params"), there, Namespace())

    at, towards = ({path: put(value) for path, value in each.items()} for each in (params, along))
    (gradient, value), (hvp, jvp) = torch.func.jvp(torch.func.grad_and_value(loss), (at,), (towards,))
    answers = {"loss": value, "jvp": jvp}
    answers |= {"gradient" + path.removeprefix("params"): each for path, each in gradient.items()}
    answers |= {"hvp" + path.removeprefix("params"): each for path, each in hvp.items()}
    where = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    facts = {
        "gradparity_reference": "1",
        "name": f"torch-{precision}@{device}",
        "dtype": precision,
        "device": where,
        "plain": "",
        "versions": json.dumps({"torch": torch.__version__}),
        "inputs": json.dumps({path: digest(np.asarray(value)) for path, value in inputs.items()}),
    }
    kept = {path: each.detach().cpu().contiguous() for path, each in answers.items()}
    save_file(kept, folder / f"{name}_{precision}.safetensors", facts)


def main() -> None:
    """All models in all precisions."""
    folder, device = Path(sys.argv[1]), "cuda" if torch.cuda.is_available() else "cpu"
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        for precision in PRECISIONS:
            try:
                write(name, precision, device, folder)
                print(f"{name} in {precision} on {device}: written")
            except Exception as error:  # the others are worth having
                print(f"{name} in {precision}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
