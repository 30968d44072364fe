"""What a folder or archive holds, whatever lies in it; damage to an archive is never taken for its end."""

import io
import os
import socket
import tarfile

import pytest
from toy_images import archived, encoded, noisy, write, write_classes, write_dataset

from neurofit.errors import DataFileError
from neurofit.training import image_store
from neurofit.training.image_store import Place, Skipped, contents, inventory, read_bytes

IMAGE = encoded(noisy())


def names(places):
    return [place.name for place in places]


def test_a_folder_and_its_archive_hold_the_same(tmp_path):
    folder = write_dataset(tmp_path / "set")
    write(folder / "README.txt", b"about")
    plain, packed = inventory(tmp_path / "set"), inventory(archived(folder, tmp_path / "set.tar"))
    assert [f"set/{name}" for name in names(plain.images)] == names(packed.images)
    assert len(plain.images) == 18
    assert names(packed.others) == ["set/README.txt"]
    assert {f"set/{name}" for name in plain.folders} | {"set"} == packed.folders
    for own, inside in zip(plain.images, packed.images, strict=True):
        assert own.size == inside.size
        assert read_bytes(plain.path, own) == read_bytes(packed.path, inside) == (folder / own.name).read_bytes()


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_archives_are_read_in_their_own_order(tmp_path, mode):
    folder = write_dataset(tmp_path / "set")
    found = inventory(archived(folder, tmp_path / "set.tar", mode))
    assert found.compressed
    assert not inventory(archived(folder, tmp_path / "plain.tar")).compressed
    backwards = found.images[::-1]
    read = list(contents(found, backwards))
    assert [backwards[index].offset for index, _ in read] == sorted(place.offset for place in backwards)
    for index, content in read:
        assert content == (tmp_path / backwards[index].name).read_bytes()


def test_hidden_files_and_other_files(tmp_path):
    for name in (".DS_Store", "._a.jpg", ".git/a.jpg", "__MACOSX/a.jpg", "a/.ipynb_checkpoints/a.jpg", "a/a.JPG"):
        write(tmp_path / "set" / name, IMAGE)
    write(tmp_path / "set" / "a" / "boxes.xml", b"<box/>")
    for found in (inventory(tmp_path / "set"), inventory(archived(tmp_path / "set", tmp_path / "set.tar"))):
        assert [name.removeprefix("set/") for name in names(found.images)] == ["a/a.JPG"]
        assert [name.removeprefix("set/") for name in names(found.others)] == ["a/boxes.xml"]
        assert found.lost == []


def test_links_are_followed_but_not_in_circles(tmp_path):
    real = write_classes(tmp_path / "elsewhere", each=2)
    root = tmp_path / "set"
    (root / "sub").mkdir(parents=True)
    (root / "linked").symlink_to(real)
    (root / "again").symlink_to(real / "ant")
    (root / "one.JPEG").symlink_to(real / "ant" / "ant_0.JPEG")
    (root / "sub" / "up").symlink_to(root)
    (root / "gone.JPEG").symlink_to(root / "absent")
    (root / "gone").symlink_to(root / "absent")
    (root / "itself.JPEG").symlink_to(root / "itself.JPEG")
    found = inventory(root)
    assert len(found.images) == 6 + 2 + 1
    reasons = {one.name: one.reason for one in found.lost}
    assert reasons.keys() == {"sub/up", "gone.JPEG", "gone", "itself.JPEG"}
    assert reasons["sub/up"] == "a link back to a folder that it lies in"
    assert "No such file" in reasons["gone"]
    assert "symbolic links" in reasons["itself.JPEG"]


def test_what_is_no_file_is_lost_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    os.mkfifo("pipe.png")
    (tmp_path / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        found = inventory(tmp_path)
    assert sorted(found.lost) == [Skipped("pipe.png", "no regular file"), Skipped("socket.png", "no regular file")]
    assert found.folders == {"folder.png"}


def test_links_and_devices_in_archives_are_lost(tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for name, kind in (
            ("a/link.png", tarfile.SYMTYPE),
            ("a/hard.png", tarfile.LNKTYPE),
            ("a/p.png", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    found = inventory(tmp_path / "set.tar")
    assert found.images == []
    assert {one.name for one in found.lost} == {"a/link.png", "a/hard.png", "a/p.png"}


def test_a_later_member_of_the_same_name_replaces_the_first(tmp_path):
    other = encoded(noisy(seed=5))
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for name, content in (("./a/x.png", IMAGE), ("a/x.png", other)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (place,) = inventory(tmp_path / "set.tar").images
    assert read_bytes(tmp_path / "set.tar", place) == other


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives_that_are_cut_short_are_told_wherever(tmp_path, mode):
    content = archived(write_dataset(tmp_path / "set", each=1), tmp_path / "set.tar", mode).read_bytes()
    if mode == "w":
        content = content.rstrip(b"\0")  # the end mark, which is longer than it need be
        ends = range(0, len(content), 512)
    else:
        ends = range(0, len(content) - 200, 97)  # as little holds the end mark
    assert len(ends) > 20
    for end in ends:
        (tmp_path / "cut.tar").write_bytes(content[:end])
        with pytest.raises(DataFileError, match="folder or a readable tar file - .*cut.tar"):
            inventory(tmp_path / "cut.tar")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    path = archived(write_dataset(tmp_path / "set"), tmp_path / "set.tar")
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        header = tar.getmembers()[10].offset
    content[header + 150] ^= 0xFF  # in the checksum
    path.write_bytes(content)
    with tarfile.open(path) as tar:
        assert len(tar.getmembers()) == 10  # what the standard library sees
    with pytest.raises(DataFileError, match="cut short or damaged"):
        inventory(path)


def test_what_is_neither_folder_nor_archive_is_told(tmp_path):
    with pytest.raises(DataFileError, match="readable tar file - .*No such file"):
        inventory(tmp_path / "absent")
    for content in (b"", b"no archive"):
        with pytest.raises(DataFileError, match="readable tar file"):
            inventory(write(tmp_path / "text.tar", content))


def test_files_too_large_for_an_image_are_lost(tmp_path, monkeypatch):
    write(tmp_path / "a" / "x.png", IMAGE)
    write(tmp_path / "a" / "x.txt", IMAGE)
    monkeypatch.setattr(image_store, "MAX_FILE_BYTES", 10)
    found = inventory(tmp_path)
    assert found.images == []
    assert found.lost == [Skipped("a/x.png", f"it has {len(IMAGE)} bytes (limit 10)")]


def test_files_that_cannot_be_read_have_a_reason(tmp_path, monkeypatch):
    with pytest.raises(DataFileError, match="can be read - No such file"):
        read_bytes(tmp_path, Place("absent.png", 10))
    with pytest.raises(DataFileError, match="the archive ends before it does"):
        read_bytes(write(tmp_path / "short.tar", IMAGE), Place("x.png", 100, len(IMAGE) - 10))

    def forbidden(*args, **options):
        raise PermissionError(13, "Permission denied")

    write(tmp_path / "x.png", IMAGE)
    monkeypatch.setattr(image_store.Path, "open", forbidden)
    with pytest.raises(DataFileError, match="can be read - Permission denied - .*rights"):
        read_bytes(tmp_path, Place("x.png", 10))


def test_folders_that_cannot_be_read_are_remembered(tmp_path, monkeypatch):
    write_dataset(tmp_path)
    real = os.scandir

    def scandir(folder):
        if str(folder).endswith(("bee", "closed")):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert sorted(inventory(tmp_path).closed) == [
        Skipped("train/bee", "Permission denied"),
        Skipped("val/bee", "Permission denied"),
    ]
    (tmp_path / "closed").mkdir()
    with pytest.raises(DataFileError, match="readable tar file - .*Permission denied"):
        inventory(tmp_path / "closed")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_rights_are_those_of_the_file_system(tmp_path):
    write(tmp_path / "x.png", IMAGE).chmod(0)
    (place,) = inventory(tmp_path).images
    with pytest.raises(DataFileError, match="Permission denied"):
        read_bytes(tmp_path, place)


def test_names_that_are_no_text_are_kept(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    write(tmp_path / "a" / name, IMAGE)
    for found in (inventory(tmp_path / "a"), inventory(archived(tmp_path / "a", tmp_path / "set.tar"))):
        assert [one.split("/")[-1] for one in names(found.images)] == [name]
        assert read_bytes(found.path, found.images[0]) == IMAGE
