"""What training is given that it cannot use, and what is left on disk by a process that was killed."""

import errno
import struct
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from torch import nn

from neurofit.errors import ConfigurationError, DataFileError, OutputError
from neurofit.files.toml_schema import parse_table
from neurofit.models.network import ConvRNN, NetworkConfig, NodeConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.training.augmentation import Augmentation
from neurofit.training.checkpoints import Checkpoints, hold_folder
from neurofit.training.datasets import LabelledImages, Task
from neurofit.training.engine import Engine
from neurofit.training.learner import Viewing
from neurofit.training.logs import Logs
from neurofit.training.recipe import Optimiser, Phase, Recipe
from neurofit.training.train import train

NETWORK = NetworkConfig((NodeConfig("conv1", 4, 3, 2), NodeConfig("conv2", 8, pool=False)), 16, 3)
VIEWING = Viewing(Presentation(3), Preprocessing(16))
RECIPE = Recipe("tiny", 10, (Phase(1),))


def noise(count):
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 255, (count, 3, 16, 16), np.uint8))
    return LabelledImages(pixels, torch.arange(count) % 3, tuple("abc"))


def run(folder=None, *, network=None, recipe=RECIPE, validation=6, viewing=VIEWING, **options):
    network = ConvRNN(NETWORK) if network is None else network
    task = Task(noise(20), noise(validation))
    return train(network, task, recipe, folder, viewing=viewing, engine=Engine("cpu"), progress=False, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation": 0}, "there are no validation images"),
        ({"recipe": replace(RECIPE, batch=0)}, "images in its batch and epochs in its phases"),
        ({"recipe": replace(RECIPE, phases=())}, "images in its batch and epochs in its phases"),
        ({"recipe": replace(RECIPE, phases=(Phase(1), Phase(0)))}, "images in its batch and epochs in its phases"),
        ({"network": ConvRNN(replace(NETWORK, classes=2))}, "it has 2, and the task 3 classes"),
        ({"viewing": Viewing(Presentation(2), Preprocessing(16))}, r"the first step .* is 2 .* choose 3 steps or more"),
        ({"viewing": Viewing(Presentation(5, 2), Preprocessing(16))}, r"it sees frame 2 .* and the image is on for 2"),
    ],
)
def test_what_cannot_be_trained_is_told(options, words):
    with pytest.raises(ConfigurationError, match=words):
        run(**options)


def test_a_momentum_of_nesterov_is_asked_for():
    with pytest.raises(ConfigurationError, match="nesterov is true and momentum 0"):
        parse_table({"nesterov": True, "momentum": 0}, Optimiser, source="own.toml", what="recipe")


def test_sizes_that_a_users_network_refuses_in_its_own_way_are_told():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Linear(3, 3)

        def decide(self, frames, *backward):
            assert frames[0].shape[-1] == 16
            return self.scores(frames[0].mean((2, 3)))

    with pytest.raises(ConfigurationError, match="of sizes that the network takes - size_px 12"):
        run(network=Fixed(), recipe=replace(RECIPE, phases=(Phase(1, 12),)))


def test_any_seed_shows_crops():
    crops = [Augmentation().crops(seed, 0, 4) for seed in (0, 10**15, -1)]
    assert not torch.equal(crops[0].left, crops[1].left)
    assert torch.equal(crops[1].left, Augmentation().crops(10**15, 0, 4).left)


def test_numbers_of_numpy_in_a_row_can_be_read_again(tmp_path):
    rows = run(tmp_path, after_epoch=[lambda epoch, network, row: {"seen": np.float64(0.5)}])
    assert run(tmp_path) == rows
    assert type(rows[0]["seen"]) is float


@pytest.mark.parametrize(
    "content", [b"\x80\x02.", b"]a", torch.zeros(2), {"version": 1, "identity": 5, "state": {}}, [1]]
)  # fmt: skip
def test_any_other_file_in_the_place_of_a_checkpoint_is_told(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(DataFileError, match="a checkpoint is a file that neurofit train wrote"):
        Checkpoints(tmp_path, {}).load()


def test_numbers_that_changed_on_the_disk_are_not_read(tmp_path):
    run(tmp_path)
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    at = max(range(0, len(content) - 64, 64), key=lambda i: len(set(content[i : i + 64])))  # numbers, not padding
    content[at : at + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="a checkpoint is a file that neurofit train wrote - .* - remove it"):
        run(tmp_path)


def test_two_processes_do_not_train_in_one_folder_at_once(tmp_path):
    said, rows = [], []
    with hold_folder(tmp_path, print):
        other = threading.Thread(target=lambda: rows.extend(run(tmp_path, report=said.append)))
        other.start()
        while not said:
            time.sleep(0.01)
        assert not (tmp_path / "checkpoint.pt").exists()
    other.join()
    assert said[0] == f"another process trains in {tmp_path}: waiting for it"
    assert rows == run(tmp_path)


def test_nobody_is_told_how_to_execute_a_checkpoint(tmp_path):
    torch.save({"version": 1, "identity": {}, "state": np.float64(1)}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataFileError, match="it is damaged, or holds more than numbers") as told:
        Checkpoints(tmp_path, {}).load()
    assert "weights_only" not in str(told.value)


def test_a_state_of_other_parameters_is_told(tmp_path):
    run(tmp_path)
    network = ConvRNN(NETWORK)
    network.nodes["conv1"].pre.bias.requires_grad_(False)
    with pytest.raises(DataFileError, match="train the same parameters as before"):
        run(tmp_path, network=network)


def events(folder):
    """Scalars by (tag, step) as TensorBoard shows them: a START hides what is at its step and after."""
    shown = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                shown = {key: value for key, value in shown.items() if key[1] < event.step}
            for value in event.summary.value:
                assert (value.tag, event.step) not in shown
                shown[value.tag, event.step] = value.simple_value
    return shown


def test_events_of_a_killed_process_are_hidden_and_those_of_its_state_kept(tmp_path):
    killed = Logs(tmp_path, 0, [])
    killed.update(20, {"loss": 3.0})
    killed.epoch(20, [{"top1": 0.25}])
    killed.update(40, {"loss": 2.0})  # never closed; its state was that after update 20
    with Logs(tmp_path, 20, [{"top1": 0.25}]) as logs:
        logs.update(40, {"loss": 1.5})
    assert events(tmp_path) == {("loss", 20): 3.0, ("epoch/top1", 20): 0.25, ("loss", 40): 1.5}
    with Logs(tmp_path, 0, []) as logs:  # its state was that before the first update
        logs.update(20, {"loss": 2.5})
    assert events(tmp_path) == {("loss", 20): 2.5}
    killed.__exit__(None, None, None)


def test_events_are_in_their_order_though_the_clock_was_set_back(tmp_path, monkeypatch):
    for number in range(3):
        monkeypatch.setattr("tensorboardX.event_file_writer.time.time", lambda number=number: 1.7e9 - 86400 * number)
        with Logs(tmp_path, 20 * number, []) as logs:
            logs.update(20 * number + 20, {"loss": float(number)})
            logs.update(20 * number + 40, {"loss": -1.0})  # beyond the state from which the next one goes on
    assert events(tmp_path) == {("loss", 20): 0.0, ("loss", 40): 1.0, ("loss", 60): 2.0, ("loss", 80): -1.0}


def test_a_disk_that_is_full_of_events_is_told(tmp_path, monkeypatch):
    with Logs(tmp_path, 0, []) as logs:

        def full(self):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(EventsWriter, "flush", full)
        with pytest.raises(OutputError, match="No space left on device"):
            logs.update(20, {"loss": 1.0})
        monkeypatch.undo()


def test_an_epoch_is_logged_before_its_state_is_saved(tmp_path, monkeypatch):
    def killed(self, state):
        if state["rows"]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Checkpoints, "save", killed)
        run(tmp_path)
    rows = run(tmp_path)
    assert len(rows) == 1
    assert events(tmp_path)["epoch/training_loss", 2] == pytest.approx(rows[0]["training_loss"])
