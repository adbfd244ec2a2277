"""A folder for what processes write along the way: gone with the run, however the run ends."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Waits until its standard input closes, which a kill of this process does too; then the folder goes, and again once
#: workers that the same kill ends have had time to end.
_GUARD = 'cat; [ -e "$1" ] && { rm -rf -- "$1"; sleep 0.5; rm -rf -- "$1"; }'


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new empty folder in the system's place for such. On leaving it is gone.

    A process of its own, one line of shell, sees to that where this process is killed and can do nothing any more.
    """
    folder = Path(tempfile.mkdtemp(prefix="gradparity-"))
    guard: subprocess.Popen[bytes] | None = None
    try:
        with contextlib.suppress(OSError):  # a system without such a shell: a kill leaves the folder to the system
            guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "gradparity-guard", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the parent alone
            )
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if guard is not None:
            with contextlib.suppress(OSError):
                guard.communicate()
