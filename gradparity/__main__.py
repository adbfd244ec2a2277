"""The command ``gradparity``, and ``python -m gradparity``: whatever interrupts it, it ends in good order.

Nothing heavy is imported before the signals have their handlers.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

#: Seconds that the end may take once it was asked for; then it comes at once. Workers end with this process anyway.
PATIENCE_S = 1.5
#: Exit code where no verdict was given (`gradparity.cli.exits`, which may find no memory to be imported).
FAULT = 4


_received: list[int] = []


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Unwind, once: what comes after the first signal would interrupt the saving."""
    _received.append(number)
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _unwind()


def _unwind(*_: object) -> None:
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + _received[0]))
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    raise KeyboardInterrupt


def _once_more(lost: sys.UnraisableHookArgs) -> None:
    """An interruption where none can be raised, while an object is taken away, comes again a moment later."""
    if not _received or lost.exc_type is not KeyboardInterrupt or not hasattr(signal, "setitimer"):
        sys.__unraisablehook__(lost)
        return
    signal.signal(signal.SIGALRM, _unwind)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


_SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def main() -> None:
    """Entry point; ends with the command's exit code, or 128 and the signal that ended it."""
    for each in _SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup means it
            signal.signal(each, _interrupt)
    sys.unraisablehook = _once_more
    try:
        from gradparity.cli.app import main as run

        run()
    except (KeyboardInterrupt, SystemExit):  # Typer makes the one into the other
        if not _received:
            raise
        printing = sys.modules.get("gradparity.cli.printing")
        if not getattr(printing, "INTERRUPTIONS_SAID", ()):  # it came before a run had begun, or is of another command
            sys.stderr.write("gradparity: interrupted\n")
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads that are still judging answers need not be waited for: everything is saved.
        os._exit(128 + _received[0])
    except Exception as error:  # there was no memory to say of another error that there was none
        words = " ".join(f"{type(error).__name__} {error}".split())[-200:]
        sys.stderr.write(f"gradparity: no verdict was given: {words}\n")
        sys.exit(FAULT)


if __name__ == "__main__":
    main()
