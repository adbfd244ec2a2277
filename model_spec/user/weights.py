"""Weights from a file: ``.npz`` by NumPy, ``.safetensors`` by its library. Nothing is unpickled, ever."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError

#: Files that are, or may be, pickled.
_PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib")

_CONVERT = (
    "Such a file is a pickle, a program, and is not run here. Convert it once, where you trust it:\n"
    "    import torch, safetensors.torch\n"
    '    safetensors.torch.save_file({{k: v.contiguous().clone() for k, v in torch.load("{name}", "cpu").items()}}, '
    '"{stem}.safetensors")'
)


def weights(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a ``.npz`` or ``.safetensors`` file, by name: what ``parameters(rng)`` may return.

    bfloat16, which NumPy lacks, is widened to float32, which is exact. Names of a ``.npz`` file are in the order in
    which they were written; ``.safetensors`` does not keep one, and they are sorted, numbers by their size.

    Args:
        path: relative to the folder of the file that calls this.

    Raises:
        InputError: there is no such file, it is of another kind, is damaged, or has objects in it.
    """
    caller = Path(sys._getframe(1).f_code.co_filename)  # as `warnings` finds who is meant
    file = (caller.parent if caller.is_file() else Path.cwd()) / path
    kind = file.suffix.lower()
    if kind in _PICKLED:
        cure = _CONVERT.format(stem=file.stem, name=file.name)
        raise InputError(f"weights {path}", got=f"a {kind} file", expected="a .npz or .safetensors file", cure=cure)
    if kind not in _READERS:
        got = f"the ending {kind!r}"
        raise InputError(f"weights {path}", got=got, expected="a .npz or .safetensors file", cure="Convert it.")
    if not file.is_file():
        there = sorted(each.name for each in file.parent.glob("*") if each.suffix.lower() in _READERS)
        cure = f"There is {', '.join(there)}." if there else "The path is relative to the file that names it."
        raise InputError(f"weights {path}", got="no such file", expected=f"a file at {file}", cure=cure)
    return _READERS[kind](file)


def _npz(file: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with file.open("rb") as stream:  # which NumPy leaves open where it is no archive
            members = np.load(stream, allow_pickle=False)
            return {name: members[name] for name in members.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise _damaged(file, error) from error


def read_safetensors(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Every array of the file by name; bfloat16 is widened to float32, which is exact.

    Raises:
        InputError: it is damaged, or the library is not there.
    """
    try:
        from safetensors import SafetensorError, deserialize, safe_open
    except ImportError:
        cure = "pip install safetensors"
        raise InputError("safetensors, the package", got="nothing", expected="to import", cure=cure) from None
    try:
        with safe_open(file, "np") as stream:
            kinds = {name: stream.get_slice(name).get_dtype() for name in sorted(stream.keys(), key=_by_numbers)}
            halves = dict(deserialize(file.read_bytes())) if "BF16" in kinds.values() else {}
            return {
                name: _widened(**halves[name]) if kind == "BF16" else stream.get_tensor(name)
                for name, kind in kinds.items()
            }
    except (SafetensorError, ValueError, OSError, TypeError, AttributeError) as error:
        raise _damaged(file, error) from error


def _widened(data: bytes, shape: list[int], **_: Any) -> npt.NDArray[np.float32]:
    """float32 of the same values: a bfloat16 is the upper half of one."""
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """The key by which ``layers.2`` comes before ``layers.10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _damaged(file: Path, error: Exception) -> InputError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    cure = "Save arrays of numbers; objects are pickled, and nothing is unpickled."
    return InputError(f"weights {file.name}", got=said.rstrip("."), expected="arrays of numbers", cure=cure)


_READERS = {".npz": _npz, ".safetensors": read_safetensors}
