"""One job of a campaign, measured by the engine on a machine of the cluster (``python -m`` with this module's name).

The job comes on standard input, whose end is the end of the job; the answer goes out on standard output.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import traceback
from pathlib import Path

import msgspec

from gradparity.model_spec.errors import InputError
from gradparity.processes.lifeline import end_with_parent
from gradparity.processes.scratch import scratch_folder
from gradparity.results.folder import LOGS
from gradparity.results.store import RESULTS_FILE
from gradparity.runner.jobs import Job
from gradparity.runner.observer import NullObserver
from gradparity.runner.remote import LAST_WORDS, Answer, Asked

#: What a system says where it is full, or does not let anybody write.
_UNFIT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}


def main() -> None:
    """Measure what is asked for and answer; an interruption ends it without an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed is no answer
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    given = sys.stdin.buffer
    asked = msgspec.msgpack.decode(given.read(int(given.readline())), type=Asked)
    end_with_parent()
    try:
        answer = _answer(asked)
    except KeyboardInterrupt:
        sys.exit(130)
    answers.write(msgspec.msgpack.encode(answer))
    answers.close()


def _answer(asked: Asked) -> Answer:
    """The results, or what is at fault: the job, this machine, or gradparity."""
    files = Path()
    try:
        with scratch_folder() as scratch:
            files = scratch.resolve() / "files"
            return _measured(asked, scratch.resolve(), files)
    except InputError as error:
        if error.rule == "--out":  # which nobody gave here
            return Answer(fault=f"{platform.node()}: {error.got}", unfit=True)
        return Answer(fault=str(error).replace(str(files), asked.shipment.base))
    except OSError as error:
        return Answer(fault=f"{platform.node()}: {error.strerror or error}", unfit=error.errno in _UNFIT)
    except Exception as error:
        said = f"a fault of gradparity itself, {type(error).__name__}: {error}"
        return Answer(fault=said, detail=traceback.format_exc()[-LAST_WORDS:])


def _measured(asked: Asked, scratch: Path, files: Path) -> Answer:
    from gradparity.runner.session import run

    elsewhere, out = scratch / "elsewhere", scratch / "out"
    for folder in (files, elsewhere):
        folder.mkdir()
    asked.shipment.unpack(files)
    os.chdir(files if asked.shipment.inside else elsewhere)  # which decides how paths are shown
    settings, place = asked.settings, asked.shipment.place
    if place:
        shown = place if asked.shipment.inside else str(files / place)
        settings = msgspec.structs.replace(
            settings, **({"data": (shown,)} if settings.model is None else {"model": shown})
        )
    settings = msgspec.structs.replace(settings, out=str(out))
    result = run(settings, NullObserver(), job=Job(settings, asked.name, asked.number))
    here, there = (msgspec.json.encode(each)[1:-1] for each in (str(files), asked.shipment.base))
    content = (out / RESULTS_FILE).read_bytes().replace(here, there)
    return Answer(result=content, logs=_last_words(out / LOGS) if result.troubles else {})


def _last_words(logs: Path) -> dict[str, str]:
    """What each log ends with, by its name."""
    found = {}
    for each in sorted(logs.glob("*.log")):
        with each.open("rb") as file:
            file.seek(max(0, each.stat().st_size - LAST_WORDS))
            found[each.name] = file.read().decode("utf-8", "replace")
    return {name: said for name, said in found.items() if said.strip()}


if __name__ == "__main__":
    main()
