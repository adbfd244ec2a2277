"""Dask's own commands, ended with who called them: ``python -m gradparity.runner.local_node scheduler WORDS...``."""

from __future__ import annotations

import sys

from gradparity.processes.lifeline import end_with_parent


def main() -> None:
    """Run ``dask scheduler`` or ``dask worker`` with the words that follow."""
    from distributed.cli import dask_scheduler, dask_worker

    end_with_parent()
    role, words = sys.argv[1], sys.argv[2:]
    {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[role](words)


if __name__ == "__main__":
    main()
