"""Which module of PyTorch's is running: its path from the outermost one that was called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn import Module
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


class RunningModules:
    """The stack of calls of modules."""

    def __init__(self) -> None:
        self._stack: list[tuple[Module, str]] = []
        self._names: dict[int, str] = {}

    def path(self) -> str:
        """Of the innermost call, ``layers.3.norm``; empty outside of modules, and in the outermost one."""
        return self._stack[-1][1] if self._stack else ""

    def enter(self, module: Module, _arguments: Any) -> None:
        """A module is called."""
        if not self._stack:
            self._names = {id(part): name for name, part in module.named_modules()}
        self._stack.append((module, self._names.get(id(module), self.path())))

    def leave(self, module: Module, _arguments: Any, _result: Any) -> None:
        """A module has returned, or raised."""
        while self._stack and self._stack.pop()[0] is not module:  # calls that ended in an exception
            pass


@contextmanager
def running_modules() -> Iterator[RunningModules]:
    """Every call of a module is followed in this block."""
    running = RunningModules()
    hooks = (
        register_module_forward_pre_hook(running.enter),
        register_module_forward_hook(running.leave, always_call=True),
    )
    try:
        yield running
    finally:
        for hook in hooks:
            hook.remove()
