"""Images decoded when they are shown: the same whatever the workers, and gone with the run."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_images import archived, encoded, noisy, write, write_dataset

from neurofit.errors import DataFileError, OutputError
from neurofit.training import image_files
from neurofit.training.augmentation import Augmentation
from neurofit.training.datasets import open_task
from neurofit.training.image_decoding import Part, shown
from neurofit.training.image_files import failures_of
from neurofit.training.image_store import inventory

SIZE = 12


@pytest.fixture
def folder(tmp_path):
    return write_dataset(tmp_path / "set", each=5)


def epoch(source, seed=0, number=0, batch=4, augmentation=None):
    crops = (augmentation or Augmentation(0.3)).crops(seed, number, len(source))
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed + number))
    return list(source.batches(list(order.split(batch)), crops, SIZE)), order


def joined(batches):
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def test_the_crop_is_cut_from_the_original_picture(folder):
    source = open_task(folder, SIZE, images="files").training
    crops = Augmentation(0.3).crops(1, 2, len(source))
    (images, labels), order = joined(epoch(source, 1, 2)[0]), epoch(source, 1, 2)[1]
    assert images.dtype == torch.float32
    assert torch.equal(labels, source.labels[order])
    for image, row in zip(images, order.tolist(), strict=True):
        part = Part(*(float(values[row]) for values in (crops.left, crops.top, crops.width, crops.height)))
        part = part._replace(mirrored=bool(crops.mirrored[row]))
        content = (folder / source.places[row].name).read_bytes()
        assert np.array_equal(image.numpy(), shown(content, SIZE, part))
    assert len(set(crops.mirrored.tolist())) == 2


def test_workers_batches_and_archives_change_nothing(folder, tmp_path):
    path = archived(folder, tmp_path / "set.tar")
    results = []
    for where, workers in ((folder, 0), (folder, 1), (folder, 2), (path, 0), (path, 2)):
        source = open_task(where, SIZE, images="files", workers=workers).training
        results.append(joined(epoch(source)[0]))
    for images, labels in results[1:]:
        assert torch.equal(images, results[0][0])
        assert torch.equal(labels, results[0][1])
    # another batch size: each image is shown as before
    again, _ = joined(epoch(source, batch=7)[0])
    assert torch.equal(again, results[0][0])
    # some of the batches, as after an interruption
    crops = Augmentation(0.3).crops(0, 0, len(source))
    rest = list(epoch(source)[1].split(4))[2:]
    assert torch.equal(joined(list(source.batches(rest, crops, SIZE)))[0], results[0][0][8:])


@pytest.mark.parametrize("workers", [0, 1])
def test_no_global_generator_is_read(folder, workers):
    source = open_task(folder, SIZE, images="files", workers=workers).training
    before = torch.get_rng_state(), random.getstate()
    epoch(source)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_whole_and_central_images(folder):
    rows = [torch.arange(6)]
    for view in ("whole", "centre"):
        task = open_task(folder, SIZE, images="files", view=view)
        ((images, _),) = task.validation.batches(rows, None, SIZE)
        contents = [(folder / place.name).read_bytes() for place in task.validation.places]
        assert np.array_equal(images.numpy(), np.stack([shown(content, SIZE, view=view) for content in contents]))
        # training images are never cut to their centre
        ((images, _),) = task.training.batches([torch.tensor([0])], None, SIZE)
        content = (folder / task.training.places[0].name).read_bytes()
        assert np.array_equal(images[0].numpy(), shown(content, SIZE))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("change", ["vanish", "spoil"])
def test_a_file_that_changes_during_a_run_ends_it_by_name(folder, workers, change):
    source = open_task(folder, SIZE, images="files", workers=workers).training
    file = folder / source.places[7].name
    if change == "vanish":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:200])
    reason = "No such file" if change == "vanish" else "(?i)truncated"
    with pytest.raises(DataFileError, match="stay as they were when the run began") as caught:
        epoch(source)
    assert caught.match(reason)
    assert file.name in str(caught.value)
    assert "goes on from the last checkpoint" in str(caught.value)


def test_an_archive_that_shrinks_during_a_run_ends_it(folder, tmp_path):
    path = archived(folder, tmp_path / "set.tar")
    source = open_task(path, SIZE, images="files").training
    path.write_bytes(path.read_bytes()[: source.places[3].offset])
    with pytest.raises(DataFileError, match="stay as they were.*the archive ends before it does"):
        epoch(source)


def test_fingerprints_tell_data_apart(folder, tmp_path):
    def fingerprint(**options):
        return open_task(folder, SIZE, images="files", **options).fingerprint

    first = fingerprint()
    assert first == fingerprint(workers=2) == fingerprint(verify="header")
    assert first != fingerprint(view="centre")
    write(folder / "train" / "ant" / "more.JPEG", encoded(noisy(), "JPEG"))
    second = fingerprint()
    assert second != first
    (folder / "train" / "ant" / "more.JPEG").rename(folder / "train" / "bee" / "more.JPEG")
    third = fingerprint()
    assert third not in (first, second)
    write(folder / "train" / "bee" / "more.JPEG", encoded(noisy(size=(30, 30)), "JPEG"))
    assert fingerprint() != third


def test_the_check_finds_what_decoding_would(folder):
    spoilt = folder / "train" / "bee" / "bee_1.JPEG"
    spoilt.write_bytes(encoded(noisy(size=(64, 64)), "JPEG")[:-200])
    empty = write(folder / "train" / "ant" / "ant_0.JPEG", b"")
    places = inventory(folder).images
    numbers = {(folder / place.name): index for index, place in enumerate(places)}
    for workers in (0, 2):
        failures = failures_of(folder, places, "decode", workers)
        assert failures.keys() == {numbers[spoilt], numbers[empty]}
        assert "truncated" in failures[numbers[spoilt]]
        assert failures[numbers[empty]] == "it is empty"
    assert failures_of(folder, places, "header", 0).keys() == {numbers[empty]}


def test_what_was_checked_is_remembered(folder, tmp_path, monkeypatch):
    write(folder / "train" / "ant" / "ant_0.JPEG", b"\xff\xd8\xff")
    places = inventory(folder).images
    file = tmp_path / "run" / "checked.json"
    found = failures_of(folder, places, "decode", 0, file)
    assert len(found) == 1
    looked = []
    real = image_files.check_image
    monkeypatch.setattr(image_files, "check_image", lambda content: (looked.append(1), real(content))[1])
    assert failures_of(folder, places, "decode", 0, file) == found
    assert looked == []
    # other files are checked, and both are remembered
    assert failures_of(folder, places[1:], "decode", 0, file) == {}
    assert len(looked) == len(places) - 1
    assert len(json.loads(file.read_text())) == 2
    for damage in ("", "[1, 2]", '{"a": 3}'):
        file.write_text(damage)
        assert failures_of(folder, places, "decode", 0, file) == found
    assert len(looked) == len(places) - 1 + 3 * len(places)
    with pytest.raises(OutputError, match="written where they were asked"):
        failures_of(folder, places, "decode", 0, folder / "train" / "ant" / "ant_1.JPEG" / "checked.json")


def test_a_dead_worker_is_told(folder, monkeypatch):
    source = open_task(folder, SIZE, images="files", workers=1).training
    monkeypatch.setattr(image_files, "shown", lambda *args: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataFileError, match="processes that decode images live as long as the run - .*--workers"):
        epoch(source)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.skipif(not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    "ending",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_workers_end_with_the_run(folder, tmp_path, ending):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            """
            import signal, sys, torch
            from pathlib import Path
            from neurofit.training.datasets import open_task

            if __name__ == "__main__":
                asked = []
                signal.signal(signal.SIGTERM, lambda *details: asked.append(1))  # as a run that saves its state first
                source = open_task(Path(sys.argv[1]), 12, images="files", workers=2).training
                for images, labels in source.batches([torch.arange(4)] * 10**7, None, 12):
                    if asked:
                        sys.exit(5)
                    print("shown", flush=True)
            """
        )
    )
    errors = tmp_path / "errors.txt"
    with errors.open("w") as stderr:
        run = subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert run.stdout is not None
        for _ in range(5):
            assert run.stdout.readline() == b"shown\n"
        workers = children(run.pid)
        assert len(workers) == 2
        # a terminal sends Ctrl-C to all processes of the group
        (os.killpg if ending == signal.SIGINT else os.kill)(run.pid, ending)
        run.stdout.close()
        code = run.wait(120)
    wait_until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    assert code == {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 5, signal.SIGKILL: -signal.SIGKILL}[ending]
    if ending == signal.SIGKILL:
        return  # workers may well complain that nobody listens
    assert "DataLoader" not in errors.read_text()
    assert errors.read_text().count("Traceback") == (ending == signal.SIGINT)  # the run's own


def test_pictures_of_any_mode_train_together(tmp_path):
    pictures = {
        "grey.png": encoded(noisy().convert("L")),
        "palette.png": encoded(noisy().quantize(8)),
        "alpha.png": encoded(noisy().convert("RGBA")),
        "deep.png": encoded(Image.fromarray(np.full((9, 9), 30000, np.uint16))),
        "cmyk.jpg": encoded(noisy().convert("CMYK"), "JPEG"),
        "misnamed.jpg": encoded(noisy()),
        "moving.gif": encoded(noisy(), "GIF", save_all=True, append_images=[noisy(seed=1)]),
    }
    for subset in ("train", "val"):
        for name, content in pictures.items():
            write(tmp_path / subset / name.split(".")[1] / name, content)
    task = open_task(tmp_path, SIZE, images="files")
    assert task.remarks == []
    images, _ = joined(epoch(task.training)[0])
    assert images.shape == (7, 3, SIZE, SIZE)
    memory = open_task(tmp_path, SIZE)
    assert torch.equal(memory.training.labels, task.training.labels)
    deep = [place.name.endswith("deep.png") for place in task.training.places].index(True)
    assert memory.training.images[deep].unique().tolist() == [117]
