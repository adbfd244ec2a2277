"""What memory there is to take: the machine's, and what control groups and ``ulimit`` leave of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gradparity.model_spec.data import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups and these limits are Linux's")

NAMES = {
    "1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_", "4:memory:/job/step\n3:cpu:/\n"),
    "2": ("memory.max", "memory.current", "", "0::/job/step\n"),
}


@pytest.mark.parametrize("version", NAMES)
@pytest.mark.parametrize("place", ["job/step", "job", ""])
def test_a_container_has_what_its_control_group_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, place: str
) -> None:
    limit, use, begin, own = NAMES[version]
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    (tmp_path / "own").write_text(own)
    for kind, (_, *names) in memory._GROUPS.items():
        monkeypatch.setitem(memory._GROUPS, kind, (tmp_path / f"root{kind}", *names))
    root = tmp_path / ("rootmemory" if version == "1" else "root")
    (root / place).mkdir(parents=True)
    free = memory.available_bytes()
    (root / place / use).write_text("900000\n")
    (root / place / "memory.stat").write_text(f"anon 1\n{begin}inactive_file 300000\n{begin}active_file 200000\n")
    (root / place / limit).write_text("max\n" if version == "2" else "9223372036854771712\n")
    assert memory.available_bytes() > 0.5 * free  # no limit
    (root / place / limit).write_text("1000000\n")
    assert memory.available_bytes() == 600_000  # pages of files make room
    (root / place / limit).write_text("100000\n")
    assert memory.available_bytes() == 0


def test_an_array_beyond_ulimit_is_refused_before_it_is_allocated() -> None:
    script = (
        "import resource, psutil\n"
        "from gradparity.model_spec.data.memory import own_bytes, require_memory\n"
        "assert own_bytes() == float('inf'), own_bytes()\n"
        "most = psutil.Process().memory_info().vms + 2**30\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "require_memory('rows', (10**7,))\n"
        "require_memory('rows', (10**8,))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert "rows: got 100000000 values, about 2.4 GB with working copies, expected at most the 1.0" in said
