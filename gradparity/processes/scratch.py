"""A folder for what processes write along the way: gone with the run, however the run ends; and so are the processes.

It is the ``TMPDIR`` of every process of the run, and of what these start: by that one is known that has made itself
independent of its parent. One that has another environment is not.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

#: Waits until its standard input closes, which a kill of this process does too; then what is left of the run is ended
#: and the folder goes, and again once workers that the same kill ends have had time to end.
_GUARD = r"""
cat || exit  # which is no sign of an end where it is not there, or was ended itself
[ -e "$1" ] || exit
for turn in 1 2; do
  for each in $(grep -lzxF "TMPDIR=$2" /proc/[0-9]*/environ 2> /dev/null); do
    number=${each#/proc/}
    kill -9 "${number%/environ}" 2> /dev/null
  done
  rm -rf -- "$1"
  [ "$turn" = 2 ] || sleep 0.5
done
"""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new empty folder in the system's place for such. On leaving it is gone.

    A process of its own, one line of shell, sees to that where this process is killed and can do nothing any more.
    """
    folder = Path(tempfile.gettempdir()) / f"gradparity-{secrets.token_hex(8)}"  # whose guard is there before it is
    guard: subprocess.Popen[bytes] | None = None
    try:
        with contextlib.suppress(OSError):  # a system without such a shell: a kill leaves the folder to the system
            sought = str(folder) if "\n" not in str(folder) else folder.name  # of two lines grep would seek either
            guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "gradparity-guard", str(folder), sought],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the parent alone
            )
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        _end_all(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if guard is not None:
            with contextlib.suppress(OSError):
                guard.communicate()


def _end_all(folder: Path) -> None:
    """End every process that has the folder for its own files: those of the run have ended, but for what left them."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # another user's, or one that has ended meanwhile
            if process.environ().get("TMPDIR") == str(folder):
                process.kill()
