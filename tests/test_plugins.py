"""Backends of other packages as they may be found installed: half gone, hostile, many; none of their code is run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradparity.backends import BACKENDS, available, load, missing, registered
from gradparity.cli.exits import ExitCode
from gradparity.results import store
from gradparity.runner.crew import chosen_backends
from gradparity.runner.settings import Settings
from gradparity.worker.repeated import loss_impurity
from tests.faults.harness import ended

Install = Callable[..., None]

#: A module that must not be imported, but where it is a worker's.
LOUD = "import pathlib\npathlib.Path({!r}).touch()\n"
#: NumPy's backend under another name.
SOUND = "from gradparity.backends.numpy_backend import NumpyBackend\n\nbackend = NumpyBackend()\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package where this interpreter and its workers find it: its entry points, and its modules."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", str(place))

    def installed(package: str, entries: str | bytes, modules: Mapping[str, str]) -> None:
        folder = place / f"{package.replace('-', '_')}-1.0.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        said = entries if isinstance(entries, bytes) else f"[gradparity.backends]\n{entries}\n".encode()
        (folder / "entry_points.txt").write_bytes(said)
        for name, text in modules.items():
            file = place / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        monkeypatch.setattr(sys, "path", [*sys.path])  # another path, so that nothing known of the old one is taken

    return installed


def others() -> dict[str, str | None]:
    """What keeps each backend of other packages from running."""
    return {name: missing(found) for name, found in registered().items() if found.package}


def test_what_a_plugin_needs_and_is_not_there_is_named_and_nothing_of_it_is_imported(install: Install, tmp_path: Path):
    touched = tmp_path / "touched"
    loud, needy = LOUD.format(str(touched)), "import os\nimport no_such_framework as nf\n"
    install(
        "gp-some",
        "\n".join(
            [
                "fine = fine_backend:backend",
                "gone = no_such_module:backend",
                "half = half_there.no_such_part:backend",
                "within = half_there.part:backend",
                "needy = needy_backend:backend",
                "early = early_backend:backend",
                "maybe = maybe_backend:backend",
            ]
        ),
        {
            "fine_backend.py": loud + SOUND,
            "half_there/__init__.py": loud,
            "half_there/part.py": "from __future__ import annotations\nfrom no_such_framework.core import thing\n",
            "needy_backend.py": '"""Needs it."""\nimport os\nX = 3\nos.environ.setdefault("A", "B")\n' + needy + loud,
            "early_backend.py": "import sys\nsys.path.insert(0, '/opt/somewhere')\n" + needy,
            "maybe_backend.py": "try:\n    import no_such_framework\nexcept ImportError:\n    pass\n" + SOUND,
        },
    )
    wants = "install what has the module no_such_framework, which gp-some imports"
    assert others() == {
        "fine": None,
        "gone": "reinstall gp-some, whose module no_such_module is not there",
        "half": "reinstall gp-some, whose module half_there.no_such_part is not there",
        "within": wants,
        "needy": wants,
        "early": None,  # what it does first may be what makes it possible
        "maybe": None,
    }
    assert not touched.exists()
    assert {"fine", "early", "maybe"} < {*available()}
    assert not {"gone", "half", "within", "needy"} & {*available()}
    names, infos, absent = chosen_backends(Settings(command="check", out="", backends=["numpy", "needy"]))
    assert names == ["numpy"]
    assert [(each.backend, each.stage, each.reason) for each in absent] == [
        ("needy", "import", f"not available: {wants}")
    ]
    assert {each.name: each.cure for each in infos if each.cure and each.name in others()}.keys() == {
        "gone", "half", "within", "needy",
    }  # fmt: skip


@pytest.mark.slow
def test_a_plugin_without_its_framework_is_listed_so_and_no_part_of_a_default_run(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The frameworks are blocked here, so that numpy and the plugins are all there is.
    blocked = "import sys\nfor name in ('autograd', 'jax', 'torch'):\n    sys.modules[name] = None\n"
    install(
        "gp-some",
        "fine = fine_backend:backend\nneedy = needy_backend:backend\nnumpy = needy_backend:backend",
        {"fine_backend.py": SOUND, "needy_backend.py": "import no_such_framework\n", "sitecustomize.py": blocked},
    )
    code, out, _ = ended("backends", "--json", cwd=tmp_path)
    assert code == 0
    listed = {info["name"]: (info["versions"], info["cure"]) for info in json.loads(out)}
    assert listed["fine"] == ({"gp-some": "1.0"}, "")
    assert listed["needy"] == (
        {"gp-some": "1.0"},
        "install what has the module no_such_framework, which gp-some imports",
    )
    assert "backend of gradparity's own" in listed["numpy of gp-some"][1]
    code, out, err = ended("check", "--data", "toy", "--steps", "2", "--out", "out", cwd=tmp_path)
    assert code == 0, err
    assert "needy is not available: install what has the module no_such_framework" in " ".join(out.split())
    result = store.read(tmp_path / "out")
    assert {found.backend for found in result.problems[0].findings} == {"numpy", "fine"}
    assert result.troubles == []
    code, out, _ = ended("check", "--data", "toy", "--backends", "numpy,needy", "--out", "named", cwd=tmp_path)
    assert code == ExitCode.BACKEND
    assert "needy failed in import on toy: not available: install what has" in " ".join(out.split())


def test_hostile_entry_points_are_nobodys_backend(install: Install):
    install("gp-one", "jaxy = fine_backend:backend\ntwin = fine_backend:backend\ntwin = fine_backend:other", {})
    install(
        "gp-two",
        "\n".join(
            [
                "jaxy = other_backend:backend",
                "numpy = other_backend:backend",
                "no module = 1 2 3",
                "no attribute = fine_backend",
                "nothing =",
                "= fine_backend:backend",
                "a,b = fine_backend:backend",
                "bad name = fine_backend:backend",
                "numpy~twin = fine_backend:backend",
                "red\x1b[31m = fine_backend:backend",
                "../../etc/passwd = fine_backend:backend",
                "extra = fine_backend:inner.backend [some]",
            ]
        ),
        {"fine_backend.py": f"{SOUND}\n\nclass inner:\n    backend = backend\n", "other_backend.py": SOUND},
    )
    install("gp-broken", b"[gradparity.backends]\nbroken\n", {})
    install("gp-latin", "gr\u00fcn = fine_backend:backend".encode("latin-1"), {})
    (Path(sys.path[0]) / "gp_empty-1.0.dist-info").mkdir()
    found = others()
    mended = "have gp-two mended: "
    assert found.pop("../../etc/passwd") is None
    assert found.pop("extra") is None
    assert load(registered()["extra"].target).versions()
    one, two = "uninstall gp-one or gp-two", "uninstall gp-two or gp-one"
    assert str(found.pop("jaxy")).startswith((one, two))
    assert found.pop("twin") == "have gp-one mended, which registers that name twice"
    assert found.pop("numpy of gp-two") == f"{mended}numpy is a backend of gradparity's own"
    assert registered()["numpy"] is BACKENDS["numpy"]
    assert all(str(said).startswith(mended) for said in found.values()), found
    assert str(found["bad name"]).startswith(f"{mended}rename 'bad name', since --backends takes no name with a space")
    odd = {"a,b", "bad name", "numpy~twin", "red\x1b[31m"}
    assert found.keys() == {"no module", "no attribute", "nothing", "''", *odd}
    assert not {*found} & {*available()}


def test_a_family_is_read_with_the_entry_point_and_held_to_be_a_name(install: Install):
    entries = "\n".join(f"{name} = fine_backend:backend" for name in ("xla", "plain", "odd"))
    families = "xla = tensorflow\nodd = a b\nnobody = jax"
    install("gp-some", f"{entries}\n[gradparity.families]\n{families}", {"fine_backend.py": SOUND})
    assert {name: each.family for name, each in registered().items() if each.package and not each.fault} == {
        "xla": "tensorflow",
        "plain": "",
    }
    assert others()["odd"] == "have gp-some mended: 'a b' in gradparity.families is no name of a framework"


def test_a_hundred_plugins_are_listed_and_looked_at_at_once(install: Install, tmp_path: Path):
    entries = "\n".join(f"many-{i} = many.part_{i}:backend" for i in range(100))
    install("gp-many", entries, {"many/__init__.py": "", **{f"many/part_{i}.py": SOUND for i in range(100)}})
    code, out, _ = ended("backends", cwd=tmp_path)
    assert code == 0
    assert sum(line.startswith("many-") and "available" in line for line in out.splitlines()) == 100


def test_a_tape_that_get_does_not_read_is_said_to_be_what_a_loss_made() -> None:
    class Node:
        """What a backend's operators make of plain arrays, and its `get` passes on."""

    backend: Any = SimpleNamespace(get=lambda tree: tree, wait=lambda result: result)
    with pytest.raises(TypeError, match=r"^get of the backend made Node of a loss, and no number: it is called"):
        loss_impurity(backend, lambda params, data: Node(), {}, {})
