"""PyTorch's tensors as a trace sees them: taken out of the wrappers of ``torch.func``, and copied for the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch
from torch._C import _functorch as functorch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from gradparity.backends.protocol import Array, HostArray

#: Axes of the vmaps that a tensor is in, the innermost first: where each is in what its wrapper holds.
Axes: TypeAlias = tuple[int, ...]


def outside_transforms() -> AbstractContextManager[Any]:
    """In this block operations are not those of the ``torch.func`` transforms that are running."""
    return temporarily_clear_interpreter_stack() if transforming() else nullcontext()


def transforming() -> bool:
    """Whether a ``torch.func`` transform is running."""
    return functorch.peek_interpreter_stack() is not None


def unwrapped(x: Array) -> tuple[Array, Axes]:
    """The tensor that is computed with, and the axes of the vmaps in it."""
    axes = []
    while functorch.is_functorch_wrapped_tensor(x):
        if functorch.is_batchedtensor(x):
            axes.append(functorch.maybe_get_bdim(x))
        x = functorch.get_unwrapped(x)
    return x, tuple(axes)


def host(x: Array, axes: Axes = ()) -> HostArray:
    """A copy as a host array, the axes of vmaps in front; bfloat16 and its like, which NumPy lacks, as float32."""
    with outside_transforms(), torch._C.DisableTorchFunction():
        x = x.detach()
        x = x.clone(memory_format=torch.contiguous_format) if x.layout == torch.strided else x.to_dense().clone()
        if x.dtype == torch.complex32:
            x = x.to(torch.complex64)
        if x.dtype.is_floating_point and x.dtype not in (torch.float64, torch.float32, torch.float16):
            x = x.float()
        value = x.numpy(force=True)  # of the copy: a tensor that NumPy has seen can no longer be resized
    for count, axis in enumerate(reversed(axes)):
        value = np.moveaxis(value, count + axis, count)
    return np.ascontiguousarray(value) if axes else value


def tensors_in(tree: Any) -> Iterator[Array]:
    """The tensors of nested tuples, lists and dictionaries."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        if not isinstance(tree, torch.Size):
            for each in tree:
                yield from tensors_in(each)
    elif isinstance(tree, dict):
        for each in tree.values():
            yield from tensors_in(each)
