"""Several processes train one network, as `torchrun` starts them: the weights of one, and one that dies ends all."""

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow  # every run starts Python three times

TIMEOUT_S = 300
RECIPE = """
name = "tiny"
batch = 8
[[phases]]
epochs = 2
[optimiser]
kind = "sgd"
learning_rate = 0.05
[gradient]
clip = "norm"
limit = 1.0
"""
# The process of rank DIES kills itself when it has been asked for so many answers.
NETWORK = """
import os, signal
from neurofit.models.network import ConvRNN, NetworkConfig, NodeConfig
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig


def tiny():
    cell = ReciprocalGatedConfig(6)
    return NetworkConfig((NodeConfig("conv1", 4, 3, 2), NodeConfig("conv2", 6, cell=cell, pool=False)), 16, 3)


rank, _, answers = os.environ.get("DIES", "").partition(":")
if rank and rank == os.environ.get("RANK"):
    decide, left = ConvRNN.decide, [int(answers)]

    def fatal(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return decide(self, *arguments)

    ConvRNN.decide = fatal
"""
UPDATES_PER_EPOCH = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images of three classes, a network and a recipe."""
    root, rng = tmp_path_factory.mktemp("distributed"), np.random.default_rng(0)
    for subset, count in (("train", 9), ("val", 5)):
        for label, name in enumerate(("cat", "dog", "emu")):
            folder = root / "images" / subset / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (16, 16, 3)) + 50 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    (root / "images" / "train" / "cat" / "note.txt").write_text("no image")
    (root / "own.py").write_text(NETWORK)
    (root / "tiny.toml").write_text(RECIPE)
    return root


def trained(place, name, processes=1, *options, **variables):
    """Run the command; return its exit status, standard output and standard error."""
    command = ["-m", "neurofit", "train", "--model", f"{place}/own.py:tiny", "--data", f"{place}/images"]
    command += ["--recipe", f"{place}/tiny.toml", "--out", f"{place}/{name}", "--json", "--device", "cpu", *options]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        command = [*launcher, "--nproc-per-node", str(processes), *command]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"} | variables
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings,
        start_new_session=True,
    ) as running:
        try:
            said, words = running.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            raise
        return running.returncode, said, words


def weights(place, name):
    state = torch.load(place / name / "checkpoint.pt", weights_only=True)["state"]
    return state["learner"]["network"], state


@pytest.fixture(scope="module")
def pair(place):
    """What two processes made and said."""
    return trained(place, "two", 2)


def test_two_processes_end_with_the_weights_of_one(place, pair):
    code, _, words = pair
    assert code == 0, words
    assert trained(place, "one")[0] == 0
    (one, alone), (two, together) = weights(place, "one"), weights(place, "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-6)
    timed = ("seconds", "images_per_second")
    for mine, theirs in zip(together["rows"], alone["rows"], strict=True):
        assert mine == pytest.approx(theirs | {key: mine[key] for key in timed}, rel=1e-4)


def test_only_the_first_process_speaks_and_writes(place, pair):
    _, said, words = pair
    assert len(json.loads(said)["epochs"]) == 2  # one document, from one process
    assert words.count("epoch 1/2") == words.count("epoch 2/2") == 1
    assert words.count("not called as images are") == 1
    assert sorted(path.name for path in (place / "two").iterdir()) == [
        ".lock", "checkpoint.pt", "epochs.csv", "record.json", "tensorboard", "tiny.safetensors", "tiny.toml"
    ]  # fmt: skip
    assert len(list((place / "two" / "tensorboard").iterdir())) == 1
    with (place / "two" / "epochs.csv").open(newline="") as handle:
        assert [row["epoch"] for row in csv.DictReader(handle)] == ["1", "2"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_ends_the_run_which_goes_on_to_the_same_weights(place, pair, rank):
    name = f"dead{rank}"
    answers = UPDATES_PER_EPOCH + 2  # one more for the test after an epoch: the second update of the second epoch
    code, said, words = trained(place, name, 2, DIES=f"{rank}:{answers}")
    assert code != 0
    assert said == ""
    if rank == 1:  # the first is left to say what happened
        told = [line for line in words.splitlines() if line.startswith("neurofit: ")]
        assert len(told) == 1
        assert "all processes of a run go on together" in told[0]
    assert len(weights(place, name)[1]["rows"]) == 1
    code, _, words = trained(place, name, 2)
    assert code == 0, words
    found, expected = weights(place, name)[0], weights(place, "two")[0]
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_one_process_goes_on_where_two_stopped(place, pair):
    assert trained(place, "shared", 2, DIES=f"1:{UPDATES_PER_EPOCH + 2}")[0] != 0
    code, _, words = trained(place, "shared")
    assert code == 0, words
    found, expected = weights(place, "shared")[0], weights(place, "two")[0]
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-6)


def test_checkpointed_activations_and_parts_give_the_same_weights(place, pair):
    code, _, words = trained(place, "parts", 2, "--parts", "2", "--checkpoint-activations")
    assert code == 0, words
    found, expected = weights(place, "parts")[0], weights(place, "two")[0]
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-6)


def test_a_batch_that_cannot_be_shared_out_is_told(place):
    code, said, words = trained(place, "odd", 3)
    assert code != 0
    assert said == ""
    assert "a batch can be shared out among processes and parts - 8 images, 3 processes, 1 parts" in words
    assert words.count("Traceback") == 1  # the launcher's own
