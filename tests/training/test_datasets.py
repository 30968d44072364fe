"""Tasks as a command opens them: what is left out is counted and named, and too much of it ends the run."""

import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from toy_images import COLOURS, archived, encoded, noisy, write, write_classes, write_dataset

from neurofit.errors import ConfigurationError, DataFileError
from neurofit.training.augmentation import Augmentation, cropped
from neurofit.training.datasets import LabelledImages, Task, open_task, read_labelled_images
from neurofit.training.image_files import ImageFiles, failures_of, load_images
from neurofit.training.image_layouts import find_subsets
from neurofit.training.image_store import Skipped, inventory

SIZE = 12
KINDS = pytest.mark.parametrize("images", ["memory", "files"])


@pytest.fixture
def folder(tmp_path):
    return write_dataset(tmp_path / "set", each=5)


@KINDS
def test_labels_are_those_of_the_pictures(folder, images):
    task = open_task(folder, SIZE, images=images)
    assert task.classes == ("ant", "bee", "cat")
    assert (len(task.training), len(task.validation)) == (15, 6)
    assert (task.remarks, task.training.skipped, task.training.others) == ([], (), 0)
    wanted = np.array([COLOURS[name] for name in task.classes])
    for source in (task.training, task.validation):
        seen = 0
        for pictures, labels in source.batches(list(torch.arange(len(source)).split(4)), None, SIZE):
            assert pictures.dtype == torch.float32
            assert pictures.shape[1:] == (3, SIZE, SIZE)
            assert np.abs(pictures.mean((2, 3)).numpy() - wanted[labels]).max() < 12
            seen += len(labels)
        assert seen == len(source)


def test_memory_workers_and_compression_change_nothing(folder, tmp_path):
    first = open_task(folder, SIZE)
    paths = [archived(folder, tmp_path / "set.tar"), archived(folder, tmp_path / "set.tgz", "w:gz")]
    for other in (open_task(folder, SIZE, workers=2), *(open_task(path, SIZE, workers=1) for path in paths)):
        for own, same in ((first.training, other.training), (first.validation, other.validation)):
            assert torch.equal(own.images, same.images)
            assert torch.equal(own.labels, same.labels)
        assert other.fingerprint == first.fingerprint
    alone = read_labelled_images(folder, "train", SIZE)
    assert torch.equal(alone.images, first.training.images)


def test_images_in_memory_are_cropped_from_what_is_kept(folder):
    source = open_task(folder, SIZE).training
    crops = Augmentation(0.3).crops(0, 0, len(source))
    rows = torch.tensor([3, 1])
    ((shown, labels),) = source.batches([rows], crops, 8)
    assert torch.equal(shown, cropped(source.images[rows].float(), crops[rows], 8))
    assert torch.equal(labels, source.labels[rows])


def test_the_centre_is_kept_of_validation_images_alone(tmp_path):
    write_dataset(tmp_path, size=(48, 32))
    whole, centre = open_task(tmp_path, SIZE), open_task(tmp_path, SIZE, view="centre")
    assert torch.equal(whole.training.images, centre.training.images)
    assert not torch.equal(whole.validation.images, centre.validation.images)


@KINDS
def test_a_few_bad_images_are_skipped_counted_and_named(folder, tmp_path, images):
    write(folder / "train" / "ant" / "ant_2.JPEG", b"")
    write(folder / "train" / "cat" / "notes.txt", b"about cats")
    (folder / "train" / "bee" / "gone.png").symlink_to(folder / "absent")
    good = open_task(write_dataset(tmp_path / "good", each=5), SIZE, images=images).training
    task = open_task(folder, SIZE, images=images, allow_skipped=0.2)
    assert task.training.skipped == (
        Skipped("train/ant/ant_2.JPEG", "it is empty"),
        Skipped("train/bee/gone.png", "No such file or directory"),
    )
    assert task.remarks == [
        "2 of 16 training images are skipped: train/ant/ant_2.JPEG (it is empty), "
        "train/bee/gone.png (No such file or directory)",
        "files among the training images that are not called as images are: 1",
    ]
    kept = [row for row in range(15) if row != 2]
    rows = [torch.arange(14)]
    (shown, labels), (wanted, _) = (
        next(task.training.batches(rows, None, SIZE)),
        next(good.batches([torch.tensor(kept)], None, SIZE)),
    )
    assert torch.equal(shown, wanted)
    assert torch.equal(labels, good.labels[kept])
    assert task.validation.skipped == ()


@KINDS
def test_too_many_bad_images_end_it(folder, images):
    write(folder / "val" / "ant" / "ant_1000.JPEG", b"no image")
    with pytest.raises(DataFileError, match=r"1 of 6 validation images in .*part of 0\.01 .*--allow-skipped 0\.17"):
        open_task(folder, SIZE, images=images)
    with pytest.raises(DataFileError, match="part of 0 "):
        open_task(folder, SIZE, images=images, allow_skipped=0)
    assert len(open_task(folder, SIZE, images=images, allow_skipped=0.17).validation) == 5


@KINDS
def test_a_class_without_usable_images_ends_it(folder, images):
    for file in (folder / "val" / "bee").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(
        DataFileError, match=r"every class has images .* - none of the validation images of bee .*known"
    ):
        open_task(folder, SIZE, images=images, allow_skipped=0.9)


@pytest.mark.parametrize("part", [-0.1, 1.0, float("nan")])
def test_an_impossible_part_is_told(folder, part):
    with pytest.raises(ConfigurationError, match="at least 0 and below 1"):
        open_task(folder, SIZE, allow_skipped=part)


def test_memory_is_asked_before_images_are_read(folder):
    needed = 3 * SIZE**2 * 21
    assert len(open_task(folder, SIZE, memory_bytes=needed).training) == 15
    with pytest.raises(ConfigurationError, match=r"21 images of .* at 12 px take 1 MiB of .*--images files"):
        open_task(folder, SIZE, memory_bytes=needed - 1)
    assert len(open_task(folder, SIZE, images="files", memory_bytes=1).training) == 15


def test_compressed_archives_are_not_read_one_by_one(folder, tmp_path):
    with pytest.raises(ConfigurationError, match="is compressed - uncompress it.*--images memory"):
        open_task(archived(folder, tmp_path / "set.tgz", "w:gz"), SIZE, images="files")


@KINDS
def test_a_part_is_held_out_and_bad_images_move_no_others(tmp_path, images):
    folder = write_classes(tmp_path / "set", 10)
    first = open_task(folder, SIZE, images=images, holdout=0.2)
    assert (len(first.training), len(first.validation)) == (24, 6)
    assert first.fingerprint != open_task(folder, SIZE, images=images, holdout=0.2, holdout_seed=1).fingerprint
    files = open_task(folder, SIZE, images="files", holdout=0.2)
    write(folder / files.training.places[0].name, b"")
    second = open_task(folder, SIZE, images=images, holdout=0.2, allow_skipped=0.1)
    assert (len(second.training), len(second.validation)) == (23, 6)
    assert second.validation.fingerprint == first.validation.fingerprint
    assert second.fingerprint != first.fingerprint


def test_names_that_are_no_text_can_be_printed(folder):
    write(folder / "train" / "ant" / os.fsdecode(b"caf\xe9.png"), b"")
    task = open_task(folder, SIZE, allow_skipped=0.1)
    assert "caf\\udce9.png (it is empty)" in task.remarks[0].encode("utf-8").decode()
    with pytest.raises(DataFileError, match="it is empty") as caught:
        open_task(folder, SIZE)
    assert str(caught.value).encode("utf-8")


def test_fingerprints_of_images_in_memory_are_of_their_content():
    pixels, labels = torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    first = LabelledImages(pixels, labels, ("a", "b"))
    assert first.fingerprint == LabelledImages(pixels.clone(), labels.clone(), ("a", "b")).fingerprint
    changed = pixels.clone()
    changed[3, 2, 1, 1] = 1
    others = [
        LabelledImages(changed, labels, ("a", "b")),
        LabelledImages(pixels, labels.flip(0), ("a", "b")),
        LabelledImages(pixels, labels, ("a", "c")),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert Task(first, others[0]).fingerprint != Task(others[0], first).fingerprint


def test_what_cannot_be_read_at_all_is_told(tmp_path, folder):
    with pytest.raises(DataFileError, match="folder or a readable tar file"):
        open_task(tmp_path / "absent.tar", SIZE)
    with pytest.raises(DataFileError, match="lie in train/CLASS/"):
        open_task(write(tmp_path / "empty" / "x.txt", b"").parent, SIZE)
    with pytest.raises(DataFileError, match="every training image can be decoded, or nearly every one - 1 of 1 train"):
        write(tmp_path / "bad" / "train" / "a" / "x.png", b"\x89PNG nothing")
        read_labelled_images(tmp_path / "bad", "train", SIZE)


def test_the_bundled_networks_images(shared):
    archive = shared("data", "natural_images", "tiny-imagenet-100.tar")
    training, validation = find_subsets(inventory(archive))
    assert (training.lost, training.others) == (validation.lost, validation.others) == ((), 0)
    assert np.bincount(training.labels).tolist() == [170] * 100
    assert np.bincount(validation.labels).tolist() == [30] * 100
    some = validation.places[::60]
    assert failures_of(archive, some, "decode", 0) == {}
    pixels, failures = load_images(archive, some, 64, "whole", 0)
    assert failures == {}
    with tarfile.open(archive) as tar:
        tar.getmembers()
        for place, found in zip(some, pixels, strict=True):
            picture = Image.open(tar.extractfile(place.name)).convert("RGB")  # 64 px already
            assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), found)
    source = ImageFiles(archive, some, torch.arange(len(some)), validation.classes)
    ((shown, _),) = source.batches([torch.arange(len(some))], None, 64)
    assert np.array_equal(shown.numpy(), pixels)


def test_encoded_noise_is_not_lost_between_sources(tmp_path):
    # small pictures are not resized: both sources show the same pixels
    for subset in ("train", "val"):
        for c, name in enumerate(("ant", "bee")):
            write(tmp_path / subset / name / "x.png", encoded(noisy(seed=c, size=(SIZE, SIZE))))
    memory, files = open_task(tmp_path, SIZE), open_task(tmp_path, SIZE, images="files")
    rows = [torch.arange(2)]
    assert torch.equal(
        next(memory.training.batches(rows, None, SIZE))[0], next(files.training.batches(rows, None, SIZE))[0]
    )
