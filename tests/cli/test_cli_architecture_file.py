"""A network by its file, wherever a model is named on the command line."""

import json

import pytest
import torch

from neurofit.models.architecture_file import architecture_hash, write_architecture
from neurofit.models.entry import ZooEntry
from neurofit.models.network import ConvRNN, NetworkConfig, NodeConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig
from neurofit.models.weights import save_weights

BENCHMARK = ("--benchmark", "bench.toml", "--data", "data")
TINY = NetworkConfig(
    (NodeConfig("conv1", 4, 3, 2), NodeConfig("conv2", 6, cell=ReciprocalGatedConfig(6))), 16, 3, "average"
)
ENTRY = ZooEntry("tiny", TINY, Preprocessing(16), {"IT": "conv2"})


@pytest.fixture(autouse=True)
def networks(folder):
    write_architecture("nets/tiny.toml", ENTRY)
    write_architecture("nets/other.toml", ENTRY)


def test_it_is_scored_and_told_apart_in_the_record(neurofit, folder):
    code, out, err = neurofit("score", *BENCHMARK, "--model", "nets/tiny.toml", "--json")
    assert code == 0, err
    subject = json.loads(out)["subject"]
    assert (subject["name"], subject["layer"], subject["weights"]) == ("tiny", "conv2", "random, seed 0")
    assert (subject["architecture"], subject["architecture_sha256"]) == ("tiny.toml", architecture_hash(ENTRY))
    assert (folder / "neurofit-out" / "tiny-conv2-IT-colours.json").exists()


def test_its_weights_are_those_beside_it(neurofit, folder):
    path = folder / "nets" / "tiny.toml"
    path.write_text('weights = "own.safetensors"\n' + path.read_text())
    code, _, err = neurofit("score", *BENCHMARK, "--model", "nets/tiny.toml")
    assert code == 2 and "weights are a readable safetensors file" in err and err.count("neurofit: ") == 1
    save_weights(ConvRNN(TINY, 4), folder / "nets" / "own.safetensors", {"seed": "4"}, torch.float32)
    code, out, err = neurofit("score", *BENCHMARK, "--model", "nets/tiny.toml", "--json")
    assert code == 0, err
    assert json.loads(out)["subject"]["weights"] == "own.safetensors"


def test_its_layers_are_compared(neurofit):
    code, out, err = neurofit(
        "layers", *BENCHMARK, "--model", "nets/tiny.toml", "--layer", "conv1", "--layer", "conv2", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["subject"]["name"] == "tiny"


def test_two_are_compared(neurofit):
    code, out, err = neurofit("compare", *BENCHMARK, "nets/tiny.toml", "nets/other.toml@conv1", "--json")
    assert code == 0, err
    assert "tiny" in out and "other" in out


def test_two_of_one_stem_are_not_compared(neurofit, folder):
    write_architecture(folder / "tiny.toml", ENTRY)
    code, _, err = neurofit("compare", *BENCHMARK, "nets/tiny.toml", "tiny.toml")
    assert code == 2 and "two are called tiny, layer conv2" in err and err.count("neurofit: ") == 1


def test_bad_files_are_one_sentence_and_exit_code_2(neurofit, folder):
    (folder / "nets" / "tiny.toml").write_text("summary = 3\n")
    code, _, err = neurofit("score", *BENCHMARK, "--model", "nets/tiny.toml")
    assert code == 2 and "nets/tiny.toml has 3 problems" in err and err.count("neurofit: ") == 1
    code, _, err = neurofit("score", *BENCHMARK, "--model", "nets/none.toml")
    assert code == 2 and "nets/none.toml: No such file" in err
