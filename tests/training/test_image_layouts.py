"""Which images are trained on and tested on, in every layout that is read; what fits none is told."""

import itertools

import numpy as np
import pytest
from scipy.io import savemat
from toy_images import archived, encoded, noisy, write, write_classes, write_dataset

from neurofit.errors import ConfigurationError, DataFileError
from neurofit.training.image_layouts import find_subset, find_subsets
from neurofit.training.image_store import Skipped, inventory

IMAGE = encoded(noisy())


def labelled(listing):
    """Class by the file's own name."""
    return {
        place.name.split("/")[-1]: listing.classes[label]
        for place, label in zip(listing.places, listing.labels, strict=True)
    }


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
@pytest.mark.parametrize("leading", ["", "a/b"])
def test_folders_of_classes(tmp_path, leading, validation):
    root = tmp_path / "set" / leading
    write_classes(root / "train", 3)
    write_classes(root / validation, 2, first=50)
    write(tmp_path / "set" / "logo.png", IMAGE)
    for path in (tmp_path / "set", archived(tmp_path / "set", tmp_path / "set.tar")):
        training, held = find_subsets(inventory(path))
        assert training.classes == held.classes == ("ant", "bee", "cat")
        assert (len(training.places), len(held.places)) == (9, 6)
        for listing in (training, held):
            assert all(name.startswith(name_of) for name, name_of in labelled(listing).items())
            assert [place.name for place in listing.places] == sorted(place.name for place in listing.places)
            assert (listing.lost, listing.others) == ((), 0)


def test_classes_may_have_folders_of_their_own(tmp_path):
    for subset, name in itertools.product(("train", "val"), ("ant", "bee")):
        write(tmp_path / subset / name / "images" / f"{name}.png", IMAGE)
        write(tmp_path / subset / name / f"{name}_boxes.txt", b"1 2 3 4")
    training, held = find_subsets(inventory(tmp_path))
    assert labelled(training) == labelled(held) == {"ant.png": "ant", "bee.png": "bee"}
    assert training.others == held.others == 2


def test_a_class_may_be_called_train(tmp_path):
    write_classes(tmp_path / "train", 2, classes=("train", "val"))
    write_classes(tmp_path / "val", 2, classes=("train", "val"))
    training, held = find_subsets(inventory(tmp_path))
    assert training.classes == held.classes == ("train", "val")
    write_classes(tmp_path / "plain", 4, classes=("train", "plane"))
    assert find_subsets(inventory(tmp_path / "plain"), 0.25)[0].classes == ("plane", "train")


VAL = [f"ILSVRC2012_val_{number:08d}" for number in range(1, 7)]
WNIDS = ["n03", "n01", "n02", "n01", "n02", "n03"]


def imagenet(root, inside=""):
    write_classes(root / inside / "train", 2, classes=("n01", "n02", "n03"))
    for name in VAL:
        write(root / inside / "val" / f"{name}.JPEG", IMAGE)
    return root


def kaggle(root):
    imagenet(root, "ILSVRC/Data/CLS-LOC")
    write(root / "ILSVRC" / "Annotations" / "CLS-LOC" / "train" / "n01" / "n01_1.xml", b"<box/>")
    for number in range(3):
        write(root / "ILSVRC" / "Data" / "CLS-LOC" / "test" / f"{number}.JPEG", IMAGE)
    rows = [f"{name},{wnid} 1 2 3 4 {wnid} 5 6 7 8" for name, wnid in zip(VAL, WNIDS, strict=True)]
    write(root / "LOC_val_solution.csv", "\n".join(["ImageId,PredictionString", *rows[::-1]]).encode())


def kit(root):
    imagenet(root)
    numbers = {"n01": 2, "n02": 3, "n03": 1, "n09": 4}  # the kit's own order
    data = root / "ILSVRC2012_devkit_t12" / "data"
    write(data / "ILSVRC2012_validation_ground_truth.txt", "\n".join(str(numbers[w]) for w in WNIDS).encode())
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array([(number, wnid, "word") for wnid, number in numbers.items()], fields)
    savemat(data / "meta.mat", {"synsets": synsets[:, None]})


def synset_labels(root):
    imagenet(root)
    write(root / "imagenet_2012_validation_synset_labels.txt", ("\n".join(WNIDS) + "\n").encode())


def tiny(root):
    imagenet(root)
    for name in VAL:
        (root / "val" / "images").mkdir(exist_ok=True)
        (root / "val" / f"{name}.JPEG").rename(root / "val" / "images" / f"{name}.JPEG")
    rows = [f"{name}.JPEG\t{wnid}\t0\t0\t9\t9" for name, wnid in zip(VAL, WNIDS, strict=True)]
    write(root / "val" / "val_annotations.txt", "\n".join(rows).encode())


@pytest.mark.parametrize("write_layout", [kaggle, kit, synset_labels, tiny])
def test_flat_validation_images_with_a_published_table(tmp_path, write_layout):
    write_layout(tmp_path / "set")
    folder = inventory(tmp_path / "set")
    packed = inventory(archived(tmp_path / "set", tmp_path / "set.tar"))
    pressed = inventory(archived(tmp_path / "set", tmp_path / "set.tgz", "w:gz"))
    for found in (folder, packed, pressed):
        training, held = find_subsets(found)
        assert labelled(held) == {f"{name}.JPEG": wnid for name, wnid in zip(VAL, WNIDS, strict=True)}
        assert held.classes == training.classes == ("n01", "n02", "n03")
        assert (held.lost, held.others) == ((), 0)
        assert labelled(find_subset(found, "val")) == labelled(held)


def test_images_without_labels_and_labels_without_images_are_lost(tmp_path):
    kaggle(tmp_path)
    folder = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    (folder / f"{VAL[1]}.JPEG").unlink()
    write(folder / "stray.JPEG", IMAGE)
    _, held = find_subsets(inventory(tmp_path))
    assert len(held.places) == 5
    assert {(one.name.split("/")[-1], one.reason) for one in held.lost} == {
        (VAL[1], "LOC_val_solution.csv has a label for it, but it is absent"),
        ("stray.JPEG", "LOC_val_solution.csv has no label for it"),
    }


def test_flat_validation_images_without_a_table_are_told(tmp_path):
    imagenet(tmp_path)
    with pytest.raises(DataFileError, match="a table has their labels - .*neither - .*LOC_val_solution.csv"):
        find_subsets(inventory(tmp_path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("LOC_val_solution.csv", b"a,b\n1,2\n"),
        ("LOC_val_solution.csv", b"ImageId,PredictionString\nx,\n"),
        ("val_annotations.txt", b"no tabs here\n"),
        ("ILSVRC2012_validation_ground_truth.txt", b"one\ntwo\n"),
        ("ILSVRC2012_validation_ground_truth.txt", b"1\n77\n"),
    ],
)
def test_tables_that_are_not_as_published_are_told(tmp_path, name, content):
    kit(tmp_path)
    (tmp_path / "ILSVRC2012_devkit_t12" / "data" / "ILSVRC2012_validation_ground_truth.txt").unlink()
    write(tmp_path / name, content)
    with pytest.raises(DataFileError, match=f"labels are as they are published - {name}"):
        find_subsets(inventory(tmp_path))


def test_the_kits_numbers_are_never_guessed(tmp_path):
    kit(tmp_path)
    meta = tmp_path / "ILSVRC2012_devkit_t12" / "data" / "meta.mat"
    meta.write_bytes(b"no matrix")
    with pytest.raises(DataFileError, match="meta.mat is that of ImageNet's development kit"):
        find_subsets(inventory(tmp_path))
    meta.unlink()
    with pytest.raises(DataFileError, match="are explained by meta.mat of the same kit"):
        find_subsets(inventory(tmp_path))


def held_names(listing):
    return {place.name for place in listing.places}


@pytest.mark.parametrize("inside", ["", "Images", "train", "a/train"])
def test_a_part_of_each_class_is_held_out(tmp_path, inside):
    write_classes(tmp_path / "set" / inside, 10)
    for path in (tmp_path / "set", archived(tmp_path / "set", tmp_path / "set.tar")):
        training, held = find_subsets(inventory(path), 0.2, 3)
        assert np.bincount(held.labels).tolist() == [2, 2, 2]
        assert np.bincount(training.labels).tolist() == [8, 8, 8]
        assert training.classes == held.classes == ("ant", "bee", "cat")
        assert not held_names(training) & held_names(held)
        assert labelled(training) | labelled(held) == {
            f"{name}_{i}.JPEG": name for name in held.classes for i in range(10)
        }


def test_what_is_held_out_depends_on_names_and_seed_alone(tmp_path):
    folder = write_classes(tmp_path / "a", 12)
    chosen = held_names(find_subsets(inventory(folder), 0.25, 1)[1])
    assert chosen != held_names(find_subsets(inventory(folder), 0.25, 2)[1])
    moved = {name.split("/", 1)[1] for name in held_names(find_subsets(inventory(tmp_path), 0.25, 1)[1])}
    assert moved == chosen
    # other classes change nothing
    write_classes(folder, 12, classes=("dog",))
    assert {name for name in held_names(find_subsets(inventory(folder), 0.25, 1)[1]) if "dog" not in name} == chosen


def test_each_class_keeps_an_image_on_both_sides(tmp_path):
    write_classes(tmp_path, 2)
    for part in (0.01, 0.99):
        training, held = find_subsets(inventory(tmp_path), part)
        assert len(training.places) == len(held.places) == 3
    (tmp_path / "ant" / "ant_0.JPEG").unlink()
    with pytest.raises(DataFileError, match="has at least two - 'ant' has one"):
        find_subsets(inventory(tmp_path), 0.5)


@pytest.mark.parametrize("part", [0.0, 1.0, -0.1, float("nan")])
def test_no_part_is_told(tmp_path, part):
    write_classes(tmp_path, 2)
    with pytest.raises(ConfigurationError, match="above 0 and below 1"):
        find_subsets(inventory(tmp_path), part)


def test_nothing_is_held_out_unasked_or_needlessly(tmp_path):
    write_classes(tmp_path / "plain", 2)
    with pytest.raises(DataFileError, match="lie in train/CLASS/.* has none there - .*--holdout 0.1"):
        find_subsets(inventory(tmp_path / "plain"))
    write_classes(tmp_path / "half" / "train", 2)
    with pytest.raises(DataFileError, match="lie in val/CLASS/.* has none there - .*--holdout 0.1"):
        find_subsets(inventory(tmp_path / "half"))
    with pytest.raises(ConfigurationError, match="where there are none for validation - .*val/"):
        find_subsets(inventory(write_dataset(tmp_path / "both")), 0.1)


def test_train_beside_other_classes_is_not_guessed(tmp_path):
    write(tmp_path / "train" / "ant" / "a.png", IMAGE)
    write(tmp_path / "train" / "bee" / "a.png", IMAGE)
    write(tmp_path / "plane" / "a.png", IMAGE)
    with pytest.raises(DataFileError, match="class folders of one folder - .*other images in plane - name .*train"):
        find_subsets(inventory(tmp_path), 0.5)


def test_two_datasets_are_told(tmp_path):
    for name in "ab":
        write_dataset(tmp_path / name)
    with pytest.raises(DataFileError, match="one folder is called train - .*a/train, b/train"):
        find_subsets(inventory(tmp_path))
    write_classes(tmp_path / "a" / "valid", 1)
    with pytest.raises(DataFileError, match="one folder is called val or valid or validation - .*val, valid"):
        find_subsets(inventory(tmp_path / "a"))


@pytest.mark.parametrize("packed", [False, True])
def test_empty_classes_are_told(tmp_path, packed):
    folder = write_dataset(tmp_path / "set")
    (folder / "train" / "dog").mkdir()
    write(folder / "train" / "elk" / "elk.doc", b"no image")
    path = archived(folder, tmp_path / "set.tar") if packed else folder
    with pytest.raises(DataFileError, match=r"every class folder has images - 2 .*: dog, elk \(1 other files; images"):
        find_subsets(inventory(path))


def test_both_subsets_have_the_same_classes(tmp_path):
    write_dataset(tmp_path)
    write_classes(tmp_path / "val", 1, classes=("dog",))
    with pytest.raises(DataFileError, match="have the same classes - .*training have none, .*validation dog"):
        find_subsets(inventory(tmp_path))
    write_classes(tmp_path / "one" / "train", 1, classes=("dog",))
    write_classes(tmp_path / "one" / "val", 1, classes=("dog",))
    with pytest.raises(DataFileError, match="at least two classes - .*dog"):
        find_subsets(inventory(tmp_path / "one"))


def test_images_in_no_class_are_lost(tmp_path):
    write_dataset(tmp_path)
    write(tmp_path / "train" / "stray.png", IMAGE)
    write(tmp_path / "train" / "labels.txt", b"")
    training, _ = find_subsets(inventory(tmp_path))
    assert training.lost == (Skipped("train/stray.png", "it lies in no class folder"),)
    assert training.others == 0
    assert len(training.places) == 12


def test_folders_that_cannot_be_read_end_it_where_they_matter(tmp_path):
    found = inventory(write_dataset(tmp_path))
    found.closed.append(Skipped("lost+found", "Permission denied"))
    assert len(find_subsets(found)[0].places) == 12
    found.closed.append(Skipped("train/bee/more", "Permission denied"))
    with pytest.raises(DataFileError, match=r"1 of .* cannot: train/bee/more \(Permission denied\)"):
        find_subsets(found)


def test_archives_in_an_archive_are_told(tmp_path):
    write_classes(tmp_path / "n01")
    (tmp_path / "set").mkdir()
    archived(tmp_path / "n01", tmp_path / "set" / "n01.tar")
    with pytest.raises(DataFileError, match="1 archives: those are not unpacked"):
        find_subsets(inventory(archived(tmp_path / "set", tmp_path / "set.tar")))
    with pytest.raises(DataFileError, match="has none there"):
        find_subsets(inventory(tmp_path / "set"), 0.5)


def test_one_subset_is_found_alone(tmp_path):
    folder = write_dataset(tmp_path / "set")
    write_classes(folder / "test", 1)
    found = inventory(folder)
    assert len(find_subset(found, "train").places) == 12
    assert len(find_subset(found, "val").places) == 6
    assert len(find_subset(found, "test").places) == 3
    with pytest.raises(DataFileError, match="lie in other/CLASS/.*has none there"):
        find_subset(found, "other")
