"""Readers of data files refuse what is hostile: the kept corpus, files out of builders, and a few fresh mutations."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
from pathlib import Path

import data_bombs as bombs
import driver
import pytest
from data_seeds import picture
from targets_data import TARGETS

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path for name in TARGETS for path in (CORPUS / name).glob("*"))
FRESH = 4  # mutations of every target in the default run

pytest.importorskip("pynwb")
pytest.importorskip("pyreadr")


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    with driver.Child("targets_data", tmp_path_factory.mktemp("fuzz")) as one:
        yield one


@pytest.fixture
def case(child):
    """Return a function that copies or names a case in a folder of its own."""
    folder = child.work / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return lambda name: folder / name


def told(child, target: str, path: Path, *, promise: str = "") -> str:
    """Read a case; it is refused with a sentence that begins so."""
    found = child.read(target, path)
    assert found["outcome"] == "refused", found
    assert found["text"].startswith(promise), found["text"]
    return found["text"]


def test_there_is_a_corpus():
    assert len(CASES) > 20


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "pictures"])
def test_what_is_mutated_is_read_before(tmp_path, target):
    for seed in TARGETS[target].seeds(tmp_path):
        TARGETS[target].read(seed)  # else all that follows would be refused for a reason of the test's own


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_is_no_finding_any_more(child, case, path):
    copy = case(path.name.partition("__")[2].removesuffix(".xz"))
    if path.is_dir():
        shutil.copytree(path, copy)
    else:
        copy.write_bytes(lzma.decompress(path.read_bytes()))
    found = child.read(path.parent.name, copy)
    assert found["outcome"] != "finding", found


@pytest.mark.parametrize("target", TARGETS)
def test_fresh_mutations_are_no_findings(child, target):
    tally = driver.run(child, target, FRESH, seed=20)
    assert not tally["finding"], tally
    assert tally["refused"] + tally["read"] == FRESH


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_fresh_mutations_are_no_findings(child, target, tmp_path):
    tally = driver.run(child, target, 300, seed=21, out=tmp_path, guided=True)
    assert not tally["finding"], tally


@pytest.mark.parametrize("way", bombs.WAYS_OUT, ids=lambda way: way.__name__)
@pytest.mark.parametrize("target", bombs.HDF5_TARGETS)
def test_nothing_leads_out_of_an_hdf5_file(child, case, target, way):
    told(
        child,
        target,
        bombs.in_place_of(target, case("file.mat" if target == "mat_v73" else "file.h5"), way),
        promise="a file holds all of its content itself",
    )


@pytest.mark.parametrize("bomb", bombs.BOMBS, ids=lambda bomb: bomb.__name__)
@pytest.mark.parametrize("target", bombs.HDF5_TARGETS)
def test_an_hdf5_bomb_is_refused_before_memory_is_taken(child, case, target, bomb):
    path = bombs.in_place_of(target, case("file.mat" if target == "mat_v73" else "file.h5"), bomb)
    assert path.stat().st_size < 2**20
    assert "512 times as large" in told(child, target, path)


@pytest.mark.parametrize(
    ("build", "promise"),
    [
        (bombs.long_text_among_short, "texts of one data set have similar lengths"),
        (bombs.one_text_many_times, "texts of one data set have similar lengths"),
        (bombs.labels_for_nothing, "contents are at most 512 times"),
        (bombs.deep_groups, "an HDF5 file has at most 1000000 objects, 64 deep"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_hdf5_files_that_swell_otherwise_are_refused(child, case, build, promise):
    told(child, "plain_hdf5", build(case("recording.h5")), promise=promise)


@pytest.mark.parametrize("hard", [True, False])
def test_circles_of_links_end(child, case, hard):
    path = bombs.circles(case("session.nwb"), hard)
    told(child, "nwb_spikes", path, promise="the groups of an HDF5 file form a tree")


@pytest.mark.slow
def test_a_hundred_thousand_groups_deep(child, case):
    told(child, "nwb_spikes", bombs.deep_groups(case("recording.h5"), 100_000))


@pytest.mark.parametrize("build", [bombs.zip_of_zeros, bombs.zip_that_overlaps], ids=lambda build: build.__name__)
def test_zip_bombs_are_refused(child, case, build):
    told(child, "plain_npz", build(case("recording.npz")), promise="contents are at most 512 times")


def test_an_archive_is_read_in_place_whatever_its_members_are_called(child, case):
    place = case("stimuli")
    place.mkdir()
    with zipfile.ZipFile(place / "images.zip", "w") as archive:
        for name in ("../../outside.png", "/outside.png", "a\\..\\b.png"):
            archive.writestr(name, picture())
    (place / "table.csv").write_text("stimulus_id,filename\na,../../outside.png\n")
    assert child.read("stimuli_zip", place)["outcome"] in ("read", "refused")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_archive_are_not_followed(child, case, kind):
    path = case("sessions.tar")
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("Exp001-A/meta.json")
        member.type, member.linkname = kind, bombs.OUTSIDE
        archive.addfile(member)
    told(child, "evolution", path, promise="an archive has 'Exp001-A/meta.json'")


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (9000, 9000), (1, 10**8)])
def test_pictures_of_more_pixels_than_are_read_are_refused(child, case, size):
    path = case("large.png")
    path.write_bytes(bombs.png_of(*size))
    told(child, "pictures", path, promise="")


def test_a_picture_is_of_the_formats_that_are_read_and_starts_no_other_program(child, case):
    path = case("im0.png")
    path.write_bytes(picture("eps"))
    assert "cannot identify image file" in told(child, "pictures", path)
