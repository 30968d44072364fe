from __future__ import annotations

import hashlib

import pytest

from neurofit.errors import ConfigurationError, DataFileError, UnknownNameError
from neurofit.files.manifest import Manifest, is_safe_url, list_manifests, load_manifest
from neurofit.files.resources import list_resources, resource_folder

SHA256, SHA1 = "0" * 64, "1" * 40

HEAD = """
name = "toy"
title = "A toy"
kind = "stimuli"
licence = "CC0"
citation = "nobody"
source = "nowhere"
"""


def file_table(**changes):
    facts = {"name": "a.bin", "role": "images", "url": "https://example.org/a", "size": 3, "sha256": SHA256} | changes
    lines = [f"{key} = {value!r}" for key, value in facts.items() if value is not None]
    return "\n".join(["[[files]]", *lines, ""])


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a manifest of some head lines and file tables."""

    def write(*files, head=HEAD, more=""):
        path = tmp_path / "toy.toml"
        path.write_text("\n".join([head, more, *files]), encoding="utf-8")
        return path

    return write


def problems_of(path):
    with pytest.raises(ConfigurationError) as caught:
        Manifest.from_toml(path)
    assert str(path) in caught.value.found
    return caught.value.found


# --- what a manifest may say


def test_a_good_manifest(written):
    manifest = Manifest.from_toml(written(file_table(), more="size_deg = 8\ntime_bins_ms = [[70, 170]]"))
    assert manifest.size_deg == 8.0 and manifest.time_bins_ms == ((70, 170),)
    assert manifest.file("a.bin").digest == ("sha256", SHA256)
    assert manifest.file_with_role("images").url == "https://example.org/a"


def test_all_problems_come_at_once(written):
    found = problems_of(
        written(file_table(size=-3, sha1="xyz", rôle=None), file_table(sizze=3), head=HEAD, more="licens = 1")
    )
    assert "4 problems" in found
    assert "licens is not a known key (the nearest is licence_url)" in found
    assert "files #1: size is -3" in found and "files #1: sha1 is 'xyz'" in found
    assert "files #2: sizze is not a known key" in found


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../a", "a/../../b", "a/..", ".", "..", "a\\b", "C:a", "C:/a", "a//b", "a/", "", "a\0", "a\n",
        "a ", "a.", " a", "a?", "first_seen.json", ".lock", ".LOCK", "a.part",
    ],
)  # fmt: skip
def test_file_names_cannot_escape_or_clash(written, name):
    quoted = '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'
    table = file_table(name=None) + f"name = {quoted}\n"
    assert "which is not a relative path" in problems_of(written(table))


@pytest.mark.parametrize("name", ["a.bin", "sub/a b-1.tar.gz", ".hidden", "ü.png", "identifier=resnet,x=1.nc"])
def test_ordinary_file_names_are_fine(written, name):
    assert Manifest.from_toml(written(file_table(name=name))).files[0].name == name


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "example.org", "https://", "http://[::1",
        "http://127.0.0.1.example.org/", "http://localhost@example.org/",
    ],
)  # fmt: skip
def test_addresses_are_https(written, url):
    assert not is_safe_url(url)
    assert "which is not an https address" in problems_of(written(file_table(url=url)))


@pytest.mark.parametrize("url", ["https://example.org/a", "http://127.0.0.1:80/a", "http://localhost/a"])
def test_addresses_that_are_fine(url):
    assert is_safe_url(url)


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"sha256": "0" * 63}, "not 64 lower-case hexadecimal digits"),
        ({"sha256": "A" * 64}, "not 64 lower-case hexadecimal digits"),
        ({"sha1": "0" * 64}, "not 40 lower-case hexadecimal digits"),
        ({"size": 0}, "not a positive number of bytes"),
        ({"size": 1.5}, "not a whole number"),
        ({"sha256": None}, "sha256 and sha1 are missing and hash_unknown does not say why"),
        ({"sha256": None, "hash_unknown": " "}, "not text that says something"),
        ({"hash_unknown": "lazy"}, "hash_unknown gives a reason although there is a hash"),
        ({"size_min": 1}, "size_min and size_max are given although the size is known"),
        ({"size": None, "size_min": 5, "size_max": 4}, "size_min is 5, which is more than size_max, 4"),
        ({"size": None, "size_max": -1}, "not a positive number of bytes"),
        ({"url": None, "url_unconfirmed": "not tried"}, "url_unconfirmed speaks of a url that is missing"),
        ({"role": "pictures"}, "not one of 'assembly'"),
    ],
)
def test_facts_of_a_file(written, changes, clause):
    assert clause in problems_of(written(file_table(**changes)))


def test_what_may_be_absent(written):
    manifest = Manifest.from_toml(written(file_table(size=None, sha256=None, url=None, hash_unknown="not published")))
    assert manifest.files[0].digest is None
    assert Manifest.from_toml(written(file_table(sha256=None, sha1=SHA1))).files[0].digest == ("sha1", SHA1)


@pytest.mark.parametrize(
    ("more", "clause"),
    [
        ("size_deg = 0", "not a positive number of degrees"),
        ("time_bins_ms = [[10, 10]]", "time_bins_ms #1 is [10, 10], which is not a start and a later end in ms"),
        ("simulated = true", "files are given for simulated data"),
    ],
)
def test_facts_of_a_dataset(written, more, clause):
    assert clause in problems_of(written(file_table(), more=more))


def test_a_recording_needs_more(written):
    found = problems_of(written(file_table(), head=HEAD.replace("stimuli", "recording")))
    assert all(f"{key} is missing, which a recording needs" in found for key in ("reader", "regions", "repetitions"))


def test_files_are_needed_and_named_once(written):
    assert "files is missing" in problems_of(written())
    assert "files name 'a.bin' 2 times" in problems_of(written(file_table(), file_table(name="A.bin")))


@pytest.mark.parametrize("name", ["../toy", "Toy", "a/b", "-a", "a..b", ""])
def test_names_of_datasets_make_safe_folders(written, name):
    assert "name is" in problems_of(written(file_table(), head=HEAD.replace('"toy"', f'"{name}"')))


def test_files_by_name_and_role(written):
    manifest = Manifest.from_toml(written(file_table(), file_table(name="b.bin")))
    with pytest.raises(UnknownNameError, match=r"file of 'toy' .*'b\.bn' is not known - use 'b\.bin'"):
        manifest.file("b.bn")
    with pytest.raises(ConfigurationError, match="one file with the role 'images' - it has 2"):
        manifest.file_with_role("images")


# --- the manifests that travel with neurofit


def test_manifests_by_name_and_by_path(written):
    assert load_manifest("sim-ventral").simulated
    path = written(file_table())
    assert load_manifest(path).name == load_manifest(str(path)).name == "toy"
    with pytest.raises(UnknownNameError, match=r"'majajhong-public' is not known - use 'majajhong2015-public'"):
        load_manifest("majajhong-public")
    with pytest.raises(DataFileError, match="No such file"):
        load_manifest("absent.toml")


def test_there_are_manifests():
    names = list_manifests()
    assert names == sorted(names) and {"sim-ventral", "cowley2023-v4-201016", "majajhong2015-public"} <= set(names)
    assert sum(name.startswith("cowley2023-v4-") for name in names) == 12
    assert sum(load_manifest(name).kind == "weights" for name in names) == 20


WITHOUT_IMAGES = ("freiwaldtsao2010-am", "zhang2011-7objects")  # published without


@pytest.mark.parametrize("name", list_manifests())
def test_every_manifest_loads_and_is_called_as_its_file(name):
    manifest = load_manifest(name)
    assert manifest.name == name
    assert not any("\n" in text for text in (manifest.notes, manifest.citation, manifest.terms or ""))
    if manifest.kind == "recording" and manifest.files and name not in WITHOUT_IMAGES:
        manifest.file_with_role("images")


@pytest.mark.parametrize("name", [name for name in list_manifests() if name.startswith("cowley2023")])
def test_facts_of_the_v4_sessions_are_those_of_the_files(name, shared):
    manifest = load_manifest(name)
    responses = "responses_raw" if manifest.repetitions else "responses_repeat_averaged"
    for role, folder in (("images", "images"), ("responses", responses)):
        entry = manifest.file_with_role(role)
        content = shared("data", "cowley2023_v4", folder, entry.name).read_bytes()
        assert (entry.size, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_facts_of_the_training_images_are_those_of_the_file(shared):
    entry = load_manifest("tiny-imagenet-100").file_with_role("images")
    path = shared("data", "natural_images", entry.name)
    with path.open("rb") as handle:
        assert (entry.size, entry.sha256) == (path.stat().st_size, hashlib.file_digest(handle, "sha256").hexdigest())


# --- where resources lie


def test_resources_of_a_checkout_and_of_a_wheel(tmp_path):
    package = tmp_path / "neurofit"
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "b.toml").touch()
    with pytest.raises(DataFileError, match="the folder 'benchmarks' travels with neurofit"):
        resource_folder("benchmarks", package=package)  # beside a package of site-packages: somebody else's
    (tmp_path / "pyproject.toml").touch()
    assert list_resources("benchmarks", package=package) == [tmp_path / "benchmarks" / "b.toml"]
    inside = package / "_resources" / "benchmarks"
    inside.mkdir(parents=True)
    assert resource_folder("benchmarks", package=package) == inside


def test_both_resource_folders_are_found():
    assert resource_folder("benchmarks").is_dir() and resource_folder("data_manifests").is_dir()
