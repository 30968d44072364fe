"""`neurofit doctor`: on a machine that is fit, on broken ones, and where a probe cannot tell."""

import json
import tomllib

import pytest

from neurofit.cli import inventory, probes
from neurofit.cli.probes import Finding
from neurofit.files import machine
from neurofit.files.manifest import load_manifest

DATASET = "cowley2023-v4-201016"


@pytest.fixture(autouse=True)
def empty_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def quick(monkeypatch):
    """Leave out what takes seconds: every bundled file, every library's threads."""
    monkeypatch.setattr(probes, "threads", list)
    monkeypatch.setattr(probes, "accelerators", list)
    monkeypatch.setattr(probes, "self_tests", list)


def by_name(document):
    return {(found["section"], found["name"]): found for found in document["found"]}


def test_this_machine_is_fit(neurofit, empty_data_folder):
    code, printed, told = neurofit("doctor", "--json", "-q")
    document = json.loads(printed)
    assert (code, told, document["fit"], document["broken"]) == (0, "", True, [])
    found = by_name(document)
    for name in ("PLS", "torch", "network"):
        assert found["self-tests", name]["text"].startswith("works")
    assert found["devices", "cpu"]["facts"]["usable"] >= 1
    assert found["versions", "numpy"]["facts"]["version"]
    assert found["data", DATASET]["facts"]["status"] == "not fetched"
    assert found["weights", "bundled"]["facts"]["files"] == 13
    assert found["weights", "rgc_shallow"]["remedy"] == "neurofit models fetch rgc_shallow"
    assert not empty_data_folder.exists()  # nothing is changed


def test_it_is_said_in_words(neurofit, quick):
    code, printed, _ = neurofit("doctor")
    assert code == 0
    assert "\n  ok  packages  " in printed
    assert "SIMULATED, needs no files" in printed
    assert "can be fetched: neurofit data list" in printed
    assert printed.endswith("fit: nothing that neurofit needs is broken\n")


def test_what_is_broken_is_named_with_its_remedy(neurofit, quick, monkeypatch):
    def fails():
        raise RuntimeError("numbers\nare off")

    monkeypatch.setattr(probes, "self_tests", fails)
    code, printed, _ = neurofit("doctor", "--json")
    document = json.loads(printed)
    assert (code, document["fit"], document["broken"]) == (1, False, ["self-tests: self-tests"])
    assert neurofit("doctor")[1].endswith("self-tests: RuntimeError: numbers are off: install neurofit again\n")


def test_a_probe_that_cannot_tell_says_why(neurofit, quick, monkeypatch):
    def fails(*_):
        raise OSError("there is no /proc here")

    monkeypatch.setattr(machine, "memory", fails)
    monkeypatch.setattr(machine, "cores", fails)
    monkeypatch.setattr(machine, "free_disk", fails)
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    code, printed, _ = neurofit("doctor", "--json")
    found = by_name(json.loads(printed))
    assert code == 0
    for name in ("memory", "cpu"):
        assert found["devices", name]["state"] == "unknown"
        assert "no /proc" in found["devices", name]["text"]
    assert found["disk", "free for data"]["state"] == "unknown"
    assert found["shell", "completion"]["text"] == "tcsh is none of bash, zsh, fish"


def test_a_data_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path / "file" / "data"))
    finding = next(inventory.folders())
    assert finding.state == "broken"
    assert "is no folder" in finding.text
    assert "NEUROFIT_DATA" in finding.remedy


def test_a_full_disk_is_remarked(monkeypatch):
    monkeypatch.setattr(machine, "free_disk", lambda folder: (folder, 10**6))
    rooms = [finding for finding in inventory.folders() if finding.name.startswith("free")]
    assert len(rooms) == 3
    for finding in rooms:
        assert finding.text.startswith("1 MB")
        assert "free some space" in finding.remedy


def test_datasets_by_their_files(folder, monkeypatch):
    manifest = load_manifest("colours.toml")
    monkeypatch.setattr("neurofit.files.manifest.list_manifests", lambda: [folder / "colours.toml"])
    place = folder / "data" / manifest.name

    def state(deep=False):
        (finding,) = inventory.datasets(deep)
        return finding.state, finding.facts["status"], finding.text

    assert state()[:2] == ("ok", "fetched")
    assert state(deep=True)[2].endswith("hashes verified")
    content = (place / "images.zip").read_bytes()
    (place / "images.zip").write_bytes(b"x" + content[1:])  # this manifest gives no size
    assert state()[:2] == ("ok", "fetched")
    assert state(deep=True) == ("broken", "damaged", "damaged (images.zip: wrong hash)")
    (place / "images.zip").unlink()
    assert state() == ("absent", "partly fetched", "1 of 2 files fetched")
    (place / "responses.h5").unlink()
    assert state()[:2] == ("absent", "not fetched")


def test_bundled_weights_that_are_cut(tmp_path, monkeypatch):
    from neurofit.models import zoo

    monkeypatch.setattr(zoo, "PRETRAINED", tmp_path)
    (tmp_path / "rgc.safetensors").write_bytes(b"cut")
    finding = inventory._bundled()
    assert finding.state == "broken"
    assert "rgc.safetensors" in finding.text
    assert len(finding.facts["wrong"]) == 13


def test_released_weights_whose_pointer_is_broken(empty_data_folder):
    (empty_data_folder / "weights").mkdir(parents=True)
    (empty_data_folder / "weights" / "rgc_shallow.json").write_text("{")
    finding = inventory._released("rgc_shallow", False)
    assert (finding.state, finding.facts["status"]) == ("broken", "damaged")
    assert finding.remedy == "neurofit models fetch rgc_shallow"


def test_extras_are_those_of_the_package(repository):
    table = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    written = {name: tuple(line.split(">")[0] for line in lines) for name, lines in table.items() if name != "dev"}
    for name, packages in probes.EXTRAS.items():
        assert written[name] == packages


def test_a_package_that_is_missing_or_old(monkeypatch):
    monkeypatch.setattr(probes.metadata, "requires", lambda _: ["numpy>=999", "no-such-package>=1", "x; extra == 'y'"])
    old, missing = probes._packages()
    assert (old.state, missing.state) == ("broken", "broken")
    assert "which is not >=999" in old.text
    assert missing.remedy == "pip install 'no-such-package>=1'"


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(probes, "OLDEST_PYTHON", (99, 1))
    assert probes._python().state == "broken"


def test_completion_that_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    monkeypatch.setattr(inventory.Path, "home", lambda: tmp_path)
    (finding,) = inventory.completion()
    assert (finding.state, finding.remedy) == ("absent", "neurofit --install-completion")
    script = tmp_path / inventory.COMPLETIONS["fish"]
    script.parent.mkdir(parents=True)
    script.write_text("")
    (finding,) = inventory.completion()
    assert finding.state == "ok"


def test_more_threads_than_cores_are_remarked(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: machine.Cores(1, 1, None))
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    finding = next(f for f in probes.threads() if f.name == "torch")
    assert "OMP_NUM_THREADS=1" in finding.remedy


def test_a_self_test_can_fail(monkeypatch):
    from neurofit.mapping.estimators import PLSMapping

    fit = PLSMapping.fit

    def off(self, X, Y):
        fitted = fit(self, X, Y)
        fitted.coef_ = fitted.coef_ * 1.001
        return fitted

    monkeypatch.setattr(PLSMapping, "fit", off)
    states = {finding.name: finding for finding in probes.self_tests()}
    assert states["PLS"].state == "broken"
    assert "is off by" in states["PLS"].text
    assert states["torch"] == Finding("self-tests", "torch", "ok", "works: a convolution of ones counts its taps")
