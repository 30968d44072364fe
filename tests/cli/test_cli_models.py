from __future__ import annotations

import json
import subprocess
import sys

import pytest
from toy_release import DATA, INDEX, NAME
from typer.testing import CliRunner

from neurofit.cli.main import app as whole
from neurofit.cli.models import app
from neurofit.errors import ConfigurationError, DataFileError, HashMismatchError, OutputError, UnknownNameError
from neurofit.models.architecture_file import write_architecture
from neurofit.models.network import ConvRNN
from neurofit.models.released import RELEASED
from neurofit.models.weights import save_weights
from neurofit.models.zoo import ZOO


@pytest.fixture(autouse=True)
def empty_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path / "data"))


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def document(*arguments):
    return json.loads(run(*arguments, "--json").stdout)


# --- list


def test_list_names_every_model_with_parameters_weights_accuracy_and_licence():
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["name", "parameters", "weights", "top-1", "%", "licence", "summary"]
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    assert list(rows) == list(ZOO)
    assert rows["rgc_intermediate"][1:5] == ["15,445,800", "released", "73.00", "MIT"]
    assert rows["rgc_untrained"][2:4] == ["random", "-"] and rows["ff"][2] == "bundled"
    assert rows["pixels"][1:3] == ["0", "none"]


def test_list_as_json_is_one_document_with_the_published_counts():
    models = {model["name"]: model for model in document("list")}
    assert list(models) == list(ZOO) and "layers" not in models["rgc"]
    assert {name: models[name]["parameters"] for name in RELEASED} == {
        name: model.parameters for name, model in RELEASED.items()
    }
    assert all(models[name]["licence"] == "MIT" and models[name]["top1"] > 50 for name in RELEASED)


# --- show


def test_show_tells_layers_shapes_cells_feedback_and_times():
    text = run("show", "rgc_intermediate").stdout
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line}
    assert rows["conv1"] == "64 x 56 x 56 - - 9,472 0 0"
    assert rows["conv6"] == "256 x 14 x 14 ReciprocalGated conv7, conv9 1,314,880 5 50"
    assert rows["conv10"] == "512 x 4 x 4 ReciprocalGated - 5,240,128 9 90"
    assert rows["logits"] == "1000 - - 513,000 10 100"
    assert "10 ms a step; biological unroll; trained with 17 steps, the image on for 12" in text
    assert "weights:       released by the authors, not here yet: run `neurofit models fetch rgc_intermediate`" in text
    assert "73.00 %, top-5 91.16 % (ImageNet validation, as published)" in text and "MIT" in text
    assert "224 x 224 px, minus (0.485, 0.456, 0.406)" in text and "V4: conv6" in text


def test_show_as_json():
    model = document("show", "rgc_intermediate_t22_tmaxconf")
    assert model["decoder"] == "max_conf" and model["presentation"] == {"steps": 22, "on": None}
    assert model["step_ms"] == 10 and model["preprocessing"]["blank"] == 0.5
    layers = {layer["name"]: layer for layer in model["layers"]}
    assert sum(layer["parameters"] for layer in layers.values()) == model["parameters"] == 15_445_800
    assert {name: layer["feedback_from"] for name, layer in layers.items() if layer["feedback_from"]} == {
        "conv5": ["conv8"], "conv6": ["conv7", "conv9"], "conv7": ["conv10"], "conv9": ["conv10"],
    }  # fmt: skip
    assert layers["conv8"]["shape"] == [256, 7, 7] and layers["conv8"]["first_step"] == 7


@pytest.mark.parametrize("name", ZOO)
def test_every_model_can_be_shown(name):
    model = document("show", name)
    assert model["name"] == name and sum(layer["parameters"] for layer in model["layers"]) == model["parameters"]


def test_a_file_is_shown_by_its_stem(tmp_path):
    path = tmp_path / "mine.toml"
    exported = document("export", "rgc", str(path))
    assert exported["path"] == str(path) and len(exported["architecture_sha256"]) == 64
    shown, rgc = document("show", str(path)), document("show", "rgc")
    assert (shown["name"], shown["weights"], shown["licence"], shown["top1"]) == ("mine", "random", "not stated", None)
    assert shown["layers"] == rgc["layers"] and shown["macs"] == rgc["macs"]
    path.write_text('weights = "mine.safetensors"\n' + path.read_text())
    assert (
        "weights:       missing: the file that the architecture names is not beside it" in run("show", str(path)).stdout
    )
    save_weights(ConvRNN(ZOO["rgc"].network), tmp_path / "mine.safetensors", {"top1": "0.2", "seed": "3"})
    text = run("show", str(path)).stdout
    assert "weights:       file (seed 3)" in text
    assert "20.00 %, top-5 - % (as measured when they were trained)" in text


def test_an_export_writes_over_nothing(tmp_path):
    (tmp_path / "mine.toml").write_text("mine")
    with pytest.raises(OutputError, match="is not written over another"):
        run("export", "rgc", str(tmp_path / "mine.toml"))
    with pytest.raises(ConfigurationError, match="let it end in .toml"):
        run("export", "rgc", str(tmp_path / "mine"))
    assert (tmp_path / "mine.toml").read_text() == "mine"


def test_the_weights_of_a_released_network_are_asked_for_by_its_name(tmp_path):
    write_architecture(tmp_path / "mine.toml", ZOO["rgc_shallow"])
    assert "run `neurofit models fetch rgc_shallow`" in run("show", str(tmp_path / "mine.toml")).stdout


def test_a_decay_that_stays_zero_is_no_cell():
    cells = {layer["name"]: layer["cell"] for layer in document("show", "timedecay_shallow")["layers"]}
    assert cells == {
        "conv1": None, "conv2": None, "conv3": "TimeDecay", "conv4": "TimeDecay", "conv5": "TimeDecay", "logits": None,
    }  # fmt: skip


def test_bundled_weights_say_how_they_were_made():
    text = run("show", "ff").stdout
    assert "bundled (" in text and "trained on 17000 images" in text and "(as measured when they were trained)" in text


def test_unknown_names_offer_near_ones():
    with pytest.raises(UnknownNameError, match="'rgc_shalow' is not known - use 'rgc_shallow'"):
        run("show", "rgc_shalow")
    with pytest.raises(UnknownNameError, match="a model with released weights .* 'ff' is not known"):
        run("fetch", "ff")


# --- fetch


def test_fetch_downloads_converts_and_says_what_it_trusts(release):
    first = run("fetch", NAME)
    lines = first.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["trusted on first use", "trusted on first use", "converted"]
    assert "nobody publishes checksums of these weights" in first.stderr and "licence: MIT" in first.stderr
    again = run("fetch", NAME)
    assert again.stdout.startswith("already there and verified: ") and len(release.server.requests) == 2


def test_fetch_as_json(release, tmp_path):
    first = document("fetch", NAME)
    assert first["status"] == "converted" and first["path"].endswith(f"{first['sha256']}.safetensors")
    assert first["trusted_on_first_use"] is True and first["model"] == NAME
    assert [source["name"] for source in first["sources"]] == [INDEX, DATA]
    assert document("fetch", NAME) == first | {"status": "already there"}


def test_fetch_from_a_folder_into_another_and_without_keeping_the_checkpoint(release, tmp_path):
    disk, elsewhere = release.put(tmp_path / "disk"), tmp_path / "elsewhere"
    arguments = ("fetch", NAME, "--from", str(disk), "--folder", str(elsewhere), "--discard-checkpoint")
    path = document(*arguments)["path"]
    assert path.startswith(str(elsewhere)) and not release.server.requests and not release.folder.exists()
    assert not list(elsewhere.rglob("model.ckpt*"))


def test_broken_promises_reach_the_caller(release):
    page = release.server.pages[f"/{DATA}"]
    page.cut_after = 60
    with pytest.raises(DataFileError, match="run the same command to start again"):
        run("fetch", NAME)
    right, page.body = page.body, page.body * 3
    with pytest.raises(HashMismatchError, match="at most 168 bytes"):
        run("fetch", NAME)
    page.body = right[::-1]
    with pytest.raises(DataFileError, match="is not that of its bytes"):
        run("fetch", NAME)
    page.body = right
    assert "converted" in run("fetch", NAME).stdout


def test_the_golden_checkpoint_becomes_a_model_with_weights(shared, tmp_path):
    folder = shared("golden", "ckpt", INDEX).parent
    arguments = ("--folder", str(tmp_path))
    assert "released" in run("show", "timedecay_shallow", *arguments).stdout
    assert "converted" in run("fetch", "timedecay_shallow", "--from", str(folder), *arguments).stdout
    assert document("show", "timedecay_shallow", *arguments)["weights"] == "fetched"


# --- help


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["fetch"]])
def test_help_has_an_example(command):
    assert f"\n neurofit {' '.join(['models', *command])}" in run(*command, "--help").stdout


def test_the_command_is_part_of_neurofit():
    assert "neurofit models list" in CliRunner().invoke(whole, ["models", "--help"]).stdout


def test_help_needs_no_heavy_modules():
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from neurofit.cli.models import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'numpy', 'pandas', 'pooch', 'requests', 'torch', 'tqdm', 'xarray', 'safetensors'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
