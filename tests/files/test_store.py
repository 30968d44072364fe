"""The store's promises, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import store_writer
from hypothesis import given, settings
from hypothesis import strategies as st
from store_writer import KEY, computed

from neurofit.errors import ConfigurationError, OutputError
from neurofit.files import store_chunks
from neurofit.files.store import DEFAULT, Entry, FeatureStore, key_name, store_folder
from neurofit.files.store_chunks import read_chunk, write_chunk
from neurofit.files.store_upkeep import Pruning, entry_named, list_entries, remove_entry, verify_entries

WRITER = Path(store_writer.__file__)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


def fill(store, chunks=5, key=KEY, model="a", finished=True):
    with store.drafts({"x": key}, {"x": {"model": model, "layer": "conv"}}, print) as drafts:
        for number in range(chunks):
            drafts["x"].keep("batch", number, computed(number))
        if finished:
            drafts["x"].finish("batch", chunks)
    return store.place(key_name(key))


def assert_whole(store, chunks=5, key=KEY):
    entry = store.find(key)
    assert entry.done() == ("batch", chunks)
    for number in range(chunks):
        np.testing.assert_array_equal(entry.chunk("batch", number)["values"], computed(number)["values"])


def run_writer(store, *arguments):
    words = [sys.executable, str(WRITER), str(store.folder), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_what_was_kept_comes_back_to_the_bit(store):
    assert store.find(KEY) is None
    fill(store)
    assert_whole(store)
    assert store.find({**KEY, "layer": "conv2"}) is None


def test_an_entry_is_not_finished_before_it_is(store):
    place = fill(store, finished=False)
    assert store.find(KEY) is None and Entry(place).done() is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(), json_values, max_size=4)


@given(documents, documents)
@settings(max_examples=200, deadline=None)
def test_two_keys_share_a_name_only_if_they_are_equal(a, b):
    import json

    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (key_name(a) == key_name(b)) == same
    assert key_name(dict(reversed(a.items()))) == key_name(a)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_chunk_is_never_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("chunks")
    path = write_chunk(folder, "batch-00000", computed(0), "owner")
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "zeros", "longer"]))
    if kind == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del content[at:]
    elif kind == "zeros":  # what a file system may leave after the power failed
        content[at:] = bytes(len(content) - at)
    else:
        content += b"\0"
    damaged = bytes(content) != path.read_bytes()
    path.write_bytes(content)
    assert (read_chunk(path, "owner") is None) == damaged


def test_chunks_of_others_are_not_read(tmp_path):
    path = write_chunk(tmp_path, "batch-00000", computed(0), "owner")
    assert read_chunk(path, "another") is None
    moved = path.rename(path.with_name(path.name.replace("00000", "00001")))
    assert read_chunk(moved, "owner") is None


def test_what_only_looks_like_a_chunk_is_not_expanded(tmp_path):
    import h5py

    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.attrs["owner"], file.attrs["chunk"] = "owner", "batch-00000"
        file.create_dataset("values", shape=(2**20, 2**10), chunks=(2**10, 2**10), compression="gzip", dtype="f8")
    named = path.rename(tmp_path / f"batch-00000.{store_chunks.digest_of(path.read_bytes())}.h5")
    assert read_chunk(named, "owner") is None


def test_a_torn_chunk_is_written_again(store):
    place = fill(store)
    path = next(place.glob("batch-00002.*"))
    path.write_bytes(path.read_bytes()[:-7])
    assert store.find(KEY).chunk("batch", 2) is None
    assert [problems for _, problems in verify_entries(store)] == [(f"{path.name} is not as it was written",)]
    assert run_writer(store).stdout.split() == ["2"]
    assert_whole(store)
    assert [problems for _, problems in verify_entries(store)] == [()]


@pytest.mark.parametrize("moment", [1, 3, 6, 9, 14])
def test_a_killed_writer_goes_on_where_it_was(store, moment):
    killed = run_writer(store, moment)
    assert killed.returncode == -9, killed.stderr
    computed_before, kept = len(killed.stdout.split()), len(list(store.folder.rglob("batch-*.h5")))
    assert store.find(KEY) is None
    assert kept >= computed_before - 1  # all but what was in flight
    went_on = run_writer(store)
    assert went_on.returncode == 0, went_on.stderr
    assert went_on.stdout.split() == [str(number) for number in range(kept, 5)]
    assert_whole(store)
    assert not list(store.folder.rglob("*.tmp"))


@pytest.mark.slow
def test_a_writer_killed_at_every_moment_loses_what_was_in_flight(tmp_path):
    for moment in range(1, 60):
        store = FeatureStore(tmp_path / str(moment))
        killed = run_writer(store, moment)
        if killed.returncode == 0:
            break
        assert killed.returncode == -9, killed.stderr
        assert run_writer(store).returncode == 0
        assert_whole(store)
        assert all(not problems for _, problems in verify_entries(store))
    assert moment > 15


def test_two_processes_share_the_work(store):
    words = [sys.executable, str(WRITER), str(store.folder), "0", "40"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    numbers = sorted(word for words in said for word in words if word.isdigit())
    assert len(numbers) == len(set(numbers)) == 40
    assert_whole(store, 40)


def test_who_waits_is_told_and_then_finds_it(store):
    told, found = [], []

    def second():
        with store.drafts({"x": KEY}, {"x": {}}, told.append) as drafts:
            found.append(drafts["x"].done())

    with store.drafts({"x": KEY}, {"x": {}}, print) as drafts:
        assert list_entries(store)[0].state == "being written"
        thread = threading.Thread(target=second)
        thread.start()
        while not told:
            pass
        drafts["x"].keep("batch", 0, computed(0))
        drafts["x"].finish("batch", 1)
        assert not found
    thread.join()
    assert (told, found) == (["x"], [("batch", 1)])


def test_a_lock_survives_the_removal_of_its_entry(store):
    place = fill(store, finished=False)
    got = []

    def second():
        with store.drafts({"x": KEY}, {"x": {}}, got.append) as drafts:
            got.append(drafts["x"].folder.is_dir())

    with store.drafts({"x": KEY}, {"x": {}}, print):
        thread = threading.Thread(target=second)
        thread.start()
        while not got:
            pass
        for path in place.iterdir():
            path.unlink()
        place.rmdir()
    thread.join()
    assert got == ["x", True] and list_entries(store)[0].state != "being written"


def test_a_full_disk_is_told_and_loses_nothing_else(store, monkeypatch):
    fill(store, finished=False)
    before = sorted(path.name for path in store.folder.rglob("*.h5"))

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.drafts({"x": KEY}, {"x": {}}, print) as drafts:
        monkeypatch.setattr("neurofit.files.atomic.os.fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            drafts["x"].keep("batch", 5, computed(5))
        monkeypatch.undo()
    assert sorted(path.name for path in store.folder.rglob("*.h5")) == before
    assert not list(store.folder.rglob("*.tmp"))


def test_a_really_full_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        store = FeatureStore(place / "store")
        with store.drafts({"x": KEY}, {"x": {}}, print) as drafts:
            kept = 0
            with pytest.raises(OutputError, match="No space left on device"):
                for kept in range(100):
                    drafts["x"].keep("batch", kept, computed(kept))
            assert kept > 2
        entry = Entry(store.place(key_name(KEY)))
        assert all(entry.chunk("batch", number) is not None for number in range(kept))
        assert entry.chunk("batch", kept) is None
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        with pytest.raises(OutputError, match="Read-only file system"), store.drafts({"x": KEY}, {"x": {}}, print):
            pass
        assert Entry(store.place(key_name(KEY))).chunk("batch", 0) is not None
    finally:
        subprocess.run(["umount", place], check=True)


def test_small_facts_are_remembered(store):
    assert store.recall({"what": "units"}) is None
    store.remember({"what": "units", "layer": "a"}, 5)
    assert store.recall({"layer": "a", "what": "units"}) == 5
    (path,) = (store.folder / "memos").iterdir()
    path.write_text(path.read_text().replace('"a"', '"b"'))
    assert store.recall({"what": "units", "layer": "a"}) is None
    path.write_text("{")
    assert store.recall({"what": "units", "layer": "a"}) is None


def three(store):
    places = [fill(store, key={"layer": name}, model=model) for name, model in (("1", "a"), ("2", "b"), ("3", "a"))]
    fill(store, key={"layer": "4"}, model="a", finished=False)
    for age, place in enumerate([*places, store.place(key_name({"layer": "4"}))]):
        for path in place.iterdir():
            os.utime(path, (1e9 + age * 86400, 1e9 + age * 86400))
    return list_entries(store)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"model": "a"}, "134"),
        ({"model": "b"}, "2"),
        ({"unused_days": 2.5}, "12"),
        ({"unused_days": 2.5, "model": "a"}, "1"),
        ({"unfinished": True}, "4"),
        ({"unfinished": True, "model": "b"}, ""),
        ({"to_bytes": 0}, "1234"),
        ({"to_bytes": 10**9}, ""),
    ],
)
def test_what_may_go_is_chosen(store, choice, expected):
    entries = three(store)
    chosen = Pruning(**choice).chosen(entries, now=1e9 + 4 * 86400)
    assert "".join(entry.key["layer"] for entry in chosen) == expected


def test_the_longest_unused_go_until_it_is_small_enough(store):
    entries = three(store)
    total = sum(entry.size_bytes for entry in entries)
    chosen = Pruning(to_bytes=total - 1).chosen(entries)
    assert [entry.key["layer"] for entry in chosen] == ["1"]


def test_a_clock_that_was_wrong_hides_no_entry_and_lets_none_go(store):
    (place,) = {fill(store)}
    for path in place.iterdir():  # stamped while the clock was years ahead
        os.utime(path, (4e9, 4e9))
    assert_whole(store)
    assert [entry.state for entry in list_entries(store)] == ["finished"]
    assert Pruning(unused_days=1).chosen(list_entries(store)) == []
    store.find(KEY).used()
    assert list_entries(store)[0].used < 4e9
    assert run_writer(store).stdout == ""


def test_an_entry_that_is_being_written_never_goes(store):
    fill(store)
    with store.drafts({"x": KEY}, {"x": {}}, print):
        (entry,) = list_entries(store)
        assert Pruning(to_bytes=0).chosen([entry]) == []
        assert not remove_entry(entry)
    (entry,) = Pruning(to_bytes=0).chosen(list_entries(store))
    assert remove_entry(entry)
    assert list_entries(store) == [] and list(store.folder.iterdir()) == []


def test_a_key_that_was_changed_by_hand_is_told(store):
    place = fill(store)
    (place / "key.json").write_text((place / "key.json").read_text().replace('"conv"', '"conv2"'))
    ((_, problems),) = verify_entries(store)
    assert problems == ("its key is not the one it is called by",)


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"{}", b'{"key": {"layer": "conv2"}}', None])
def test_a_torn_key_is_written_again_and_costs_no_chunk(store, content):
    place = fill(store)
    if content is None:
        (place / "key.json").unlink()
    else:
        (place / "key.json").write_bytes(content)
    assert store.find(KEY) is None
    assert run_writer(store).stdout == ""
    assert_whole(store)
    assert [problems for _, problems in verify_entries(store)] == [()]


def test_other_files_are_left_alone(store):
    fill(store)
    (store.folder / "ab" / "notes").mkdir(parents=True)
    (store.folder / "photo.png").touch()
    assert len(list_entries(store)) == 1


def test_entries_are_named_by_their_first_digits(store):
    name = fill(store).name
    assert entry_named(store, name[:6]).name == name
    with pytest.raises(ConfigurationError, match=r"0 of .* begin with 'zz'"):
        entry_named(store, "zz")


def test_nothing_goes_unless_something_was_chosen():
    with pytest.raises(ConfigurationError, match="what may go from a store is chosen"):
        Pruning()


def test_where_the_store_is(monkeypatch, tmp_path):
    monkeypatch.delenv("NEUROFIT_STORE", raising=False)
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path))
    assert store_folder() is None
    assert store_folder("here") == Path("here")
    assert store_folder(DEFAULT) == tmp_path / "store"
    monkeypatch.setenv("NEUROFIT_STORE", str(tmp_path / "elsewhere"))
    assert store_folder() == tmp_path / "elsewhere"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="a store is a folder"):
        FeatureStore(tmp_path / "file")
