"""What a campaign is taken apart into, and which files go with each part."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gradparity.model_spec.errors import InputError
from gradparity.runner import shipping
from gradparity.runner.jobs import Job, jobs_of
from gradparity.runner.settings import settings_from
from gradparity.runner.shipping import Shipment, not_sent, shipment_of
from tests.user_model.models import HEAD, LOSS, model_file, model_folder

OUT = {"out": "out"}


def job(path: str) -> Job:
    return jobs_of(settings_from("check", OUT, path))[0]


def test_every_model_is_a_job_with_every_seed_in_the_order_of_the_command(tmp_path: Path):
    paths = [model_file(tmp_path, HEAD + LOSS, name) for name in ("b.py", "a.py")]
    jobs = jobs_of(settings_from("check", OUT | {"seed": "3,0"}, paths))
    assert [each.label for each in jobs] == ["b.py, seed 3", "b.py, seed 0", "a.py, seed 3", "a.py, seed 0"]
    assert [each.settings.seed for each in jobs] == [3, 0, 3, 0]
    assert [each.number for each in jobs] == [0, 1, 2, 3]
    assert [jobs_of(each.settings)[0].label for each in jobs] == [each.label for each in jobs]
    assert [each.label for each in jobs_of(settings_from("check", OUT | {"seed": 7}, paths))] == ["b.py", "a.py"]


def test_what_is_timed_of_the_built_in_model_is_a_job_for_each_combination():
    options = {"sizes": "10x3x2,20x3", "threads": "1,2", "formulations": "as_written,blocked"}
    jobs = jobs_of(settings_from("bench", OUT | options))
    assert len({each.name for each in jobs}) == len(jobs) == 8
    assert all([cell.data for cell in each.settings.cells()] == [each.settings.data] for each in jobs)
    assert [each.name for each in jobs_of(settings_from("check", OUT | {"stress": True}))] == ["the stress suite"]


@pytest.mark.parametrize("seed", ["1.5", "", "a", "1,,2", -1, "0,-1", 2**53])
def test_a_seed_that_is_none_is_refused(seed: object, tmp_path: Path):
    with pytest.raises(InputError, match="--seed"):
        settings_from("check", OUT | {"seed": seed}, model_file(tmp_path, HEAD + LOSS))


def test_several_seeds_are_of_models_of_ones_own():
    with pytest.raises(InputError, match="one seed for the built-in model"):
        settings_from("check", OUT | {"seed": (0, 1)})


@pytest.mark.parametrize(
    "address", ["localhost:8786", "local:0", "local:", "http://a:1", "tcp://host", "", "tcp:// :1"]
)
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(InputError, match="--scheduler"):
        settings_from("check", OUT | {"scheduler": address})


def test_addresses_and_a_cluster_of_this_machine_are_taken():
    for address in ("tcp://10.0.0.1:8786", "tls://head.cluster:8786", "local", "local:16"):
        assert settings_from("check", OUT | {"scheduler": address}).scheduler == address


def test_a_file_goes_with_the_modules_that_it_imports_and_the_files_that_it_names(tmp_path: Path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "layers" / "deep").mkdir(parents=True)
    (tmp_path / "layers" / "__pycache__").mkdir()
    for name in ("helper.py", "further.py", "unused.py", "layers/__init__.py", "layers/deep/dense.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "layers/__pycache__/dense.cpython-311.pyc").write_bytes(b"1")
    for name in ("weights/net.npz", "scales.json", "other.json", "weights/other.npz"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "helper.py").write_text("def f():\n    import further\n")
    text = "import helper, numpy, os.path\nfrom layers.deep import dense\n" + HEAD + LOSS
    text += (
        "A = Path(__file__).parent / 'weights' / 'net.npz'\nB = open('scales.json'), '../secret', '/etc/passwd', '*'\n"
    )
    path = model_file(tmp_path, text)
    found = shipment_of(job(path), Path("/"))
    names = {"model.py", "helper.py", "further.py", "layers/__init__.py", "layers/deep/dense.py"}
    names |= {"weights/net.npz", "scales.json"}
    assert {Path("/", name) for name in found.files} == {tmp_path / name for name in names}
    assert found.inside
    outside = shipment_of(job(path), tmp_path / "weights")
    assert set(outside.files) == {f"{tmp_path.name}/{name}" for name in names}
    assert not outside.inside


def test_a_folder_goes_whole_but_for_what_is_hidden_or_made_of_it(tmp_path: Path):
    path = Path(model_folder(tmp_path / "ports", HEAD + LOSS, torch="", jax=""))
    for name in (".git/config", "backends/__pycache__/torch.pyc", "data/x.bin", "note.txt"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"1")
    found = shipment_of(job(f"{path}::loss"), tmp_path)
    names = ("model_spec.py", "backends/torch.py", "backends/jax.py", "data/x.bin", "note.txt")
    assert set(found.files) == {f"ports/{name}" for name in names}
    assert found.place == "ports::loss"


def test_what_links_lead_to_goes_with_a_folder_and_what_is_above_it_does_not(tmp_path: Path):
    path = Path(model_folder(tmp_path / "models" / "ports", HEAD + LOSS))
    for name in ("far/x.npy", "far/deep/y.npy", "models/other.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    for name, target in (
        ("data", tmp_path / "far"),
        ("up", ".."),
        ("here", "."),
        ("x.npy", tmp_path / "far" / "x.npy"),
    ):
        (path / name).symlink_to(target)
    (tmp_path / "far" / "back").symlink_to(path)
    found = shipment_of(job(str(path)), tmp_path)
    names = ("model_spec.py", "x.npy", "data/x.npy", "data/deep/y.npy")
    assert set(found.files) == {f"models/ports/{name}" for name in names}


def test_of_a_file_that_is_not_found_there_it_is_said_that_it_is_here(tmp_path: Path):
    for name in ("table3.txt", "table4.txt"):
        (tmp_path / name).touch()
    shipment = Shipment({"model.py": b"", "table4.txt": b""}, str(tmp_path), True, "model.py")
    here = "is here and was not sent"
    assert f"table3.txt {here}" in not_sent(f"FileNotFoundError: {tmp_path}/table3.txt not found.", shipment)
    assert f"table3.txt {here}" in not_sent("FileNotFoundError: [Errno 2] No such file: 'table3.txt', line 2", shipment)
    for said in ("FileNotFoundError: table4.txt not found.", "FileNotFoundError: no.txt", "ValueError: in table3.txt"):
        assert not_sent(said, shipment) == ""


def test_the_digest_is_of_names_and_contents(tmp_path: Path):
    one = Shipment({"a": b"1", "b": b"23"}, "", True, "a")
    assert one.digest == Shipment({"b": b"23", "a": b"1"}, "elsewhere", False, "").digest
    others = [{"a": b"1", "b": b"24"}, {"a": b"1", "c": b"23"}, {"a": b"12", "b": b"3"}, {"a": b"1"}]
    assert len({one.digest, *(Shipment(files, "", True, "a").digest for files in others)}) == 5
    stated = hashlib.sha256(b"1 1 a1" + b"1 2 b23").hexdigest()
    assert one.digest == stated


def test_files_that_are_too_large_to_send_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shipping, "MOST_BYTES", 2000)
    path = model_file(tmp_path, HEAD + LOSS + "A = 'weights.bin'\n")
    (tmp_path / "weights.bin").write_bytes(bytes(1900))
    with pytest.raises(InputError, match=r"files of model\.py.*weights\.bin"):
        shipment_of(job(path), tmp_path)


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x", "a/../../x", "", "C:/x", "a\\..\\x"])
def test_a_name_that_leads_out_of_the_folder_is_not_written(name: str, tmp_path: Path):
    folder = tmp_path / "in" / "it"
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match="relative to the job's folder"):
        Shipment({name: b"1"}, "", True, "").unpack(folder)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_data_of_a_file_are_sent_and_those_with_a_name_are_not(tmp_path: Path):
    (tmp_path / "patients.csv").write_text("a,y\n1,0\n")
    jobs = jobs_of(settings_from("check", OUT | {"data": ["toy", str(tmp_path / "patients.csv"), "synthetic:4x3"]}))
    sent = [shipment_of(each, tmp_path) for each in jobs]
    assert [list(each.files) for each in sent] == [[], ["patients.csv"], []]
    assert [bool(each.digest) for each in sent] == [False, True, False]
    assert os.fspath(tmp_path) == sent[1].base
