"""A campaign over two machines, which are network namespaces: other addresses, another host name, and TLS between."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gradparity.results import store
from tests.faults.harness import eventually
from tests.user_model.models import GRADIENT, HEAD, LOSS, model_file

pytest.importorskip("distributed")

HERE, THERE, PORT = "10.213.0.1", "10.213.0.2", 8786
FILES = ("ca_file", "client__cert", "client__key", "scheduler__cert", "scheduler__key", "worker__cert", "worker__key")


def dask(role: str) -> list[str]:
    return [sys.executable, "-c", f"from distributed.cli.dask_{role} import main; main()"]


def ran(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=30)


@pytest.fixture
def machines() -> Iterator[tuple[list[str], list[str]]]:
    """What to begin a command with, so that it runs on the one or on the other."""
    if not all(map(shutil.which, ("ip", "unshare", "openssl"))) or os.geteuid():
        pytest.skip("needs iproute2, util-linux, openssl and the right to make network namespaces")
    one, other = f"gradparity-{os.getpid()}-a", f"gradparity-{os.getpid()}-b"
    with ExitStack() as stack:
        try:
            for name in (one, other):
                ran("ip", "netns", "add", name)
                stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
            ran("ip", "link", "add", "gp-a", "netns", one, "type", "veth", "peer", "name", "gp-b", "netns", other)
            for name, link, address in ((one, "gp-a", HERE), (other, "gp-b", THERE)):
                ran("ip", "-n", name, "addr", "add", f"{address}/24", "dev", link)
                for each in ("lo", link):
                    ran("ip", "-n", name, "link", "set", each, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield ["ip", "netns", "exec", one], ["ip", "netns", "exec", other, "unshare", "--uts"]


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Variables by which Dask finds a certificate of its own authority, and the key of it."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=gradparity"
    ran(*words.split(), "-keyout", str(key), "-out", str(cert))
    names = {name: str(key if name.endswith("key") else cert) for name in FILES}
    return {f"DASK_DISTRIBUTED__COMM__TLS__{name.upper()}": path for name, path in names.items()}


@pytest.mark.slow
@pytest.mark.variation
def test_a_model_is_checked_on_the_other_machine_over_tls(
    tmp_path: Path, machines: tuple[list[str], list[str]], certificates: dict[str, str]
) -> None:
    here, there = machines
    environment = {**os.environ, **certificates, "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}
    address = f"tls://{HERE}:{PORT}"
    named = ["sh", "-c", 'hostname machine-b && exec "$@"', "sh"]
    commands = [
        [*here, *dask("scheduler"), "--host", f"tls://{HERE}", "--port", str(PORT), "--no-dashboard"],
        [*there, *named, *dask("worker"), address, "--nthreads", "1", "--no-dashboard"],
    ]
    with ExitStack() as stack:
        for number, words in enumerate(commands):
            log = stack.enter_context((tmp_path / f"{number}.log").open("wb"))
            process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=tmp_path)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        eventually(lambda: "Registered to" in (tmp_path / "1.log").read_text(), within_s=60)
        words = [
            "check",
            model_file(tmp_path, HEAD + LOSS + GRADIENT, "model.py"),
            "--backends",
            "numpy",
            "--steps",
            "2",
            "--scheduler",
            address,
        ]
        command = [*here, sys.executable, "-m", "gradparity", *words, "--out", str(tmp_path / "out")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        plain = [each.replace("tls://", "tcp://") for each in [*command[:-1], str(tmp_path / "plain")]]
        refused = subprocess.run(plain, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") <= 2, refused.stderr  # progress, and why
    result = store.read(tmp_path / "out" / "results.json")
    (problem,) = result.problems
    assert {each.verdict for each in problem.findings} == {"agrees"}
    assert problem.place is not None
    assert "machine-b" in problem.place.machine
