from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from neurofit.errors import OutputError
from neurofit.files.atomic import atomic_path, atomic_write, exclusive_lock, remove_leftovers, reporting_output_errors


def test_a_file_appears_whole_at_the_end(tmp_path):
    target = tmp_path / "a.bin"
    with atomic_write(target) as handle:
        handle.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyError, match="stop"), atomic_write(target) as handle:
        handle.write(b"new")
        raise KeyError("stop")
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_leftovers_of_this_file_alone_are_removed(tmp_path):
    kept = [tmp_path / name for name in ("a.bin", ".b.bin.00.tmp", "a.bin.tmp")]
    for path in [*kept, tmp_path / ".a.bin.00.tmp"]:
        path.touch()
    remove_leftovers(tmp_path / "a.bin")
    assert sorted(tmp_path.iterdir()) == sorted(kept)


KILLED = """
import os, signal, sys
from pathlib import Path
from neurofit.files.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as part:
    part.write_bytes(b"half")
    print("writing", flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(target, how):
    """A process that writes a file, and is killed in the midst or waits until its input ends."""
    words = [sys.executable, "-c", KILLED, str(target), how]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"writing"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no locks there")
def test_what_a_killed_writer_left_goes_when_the_same_file_is_written(tmp_path):
    writer(tmp_path / "a.bin", "killed").communicate()
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    for name in ("b.bin", "a.bin"):
        with atomic_write(tmp_path / name) as handle:
            handle.write(b"whole")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"whole", "b.bin": b"whole"}


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no locks there")
def test_what_a_live_writer_writes_stays(tmp_path):
    other = writer(tmp_path / "a.bin", "waiting")
    with atomic_write(tmp_path / "a.bin") as handle:
        handle.write(b"whole")
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    other.communicate()
    assert other.returncode == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"half"}


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    done = []
    sync, rename = os.fsync, Path.replace

    def synced(handle):
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def renamed(source, target):
        done.append("rename")
        return rename(source, target)

    monkeypatch.setattr("neurofit.files.atomic.os.fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    for write in (lambda: atomic_write(tmp_path / "a"), lambda: atomic_path(tmp_path / "b")):
        with write() as each:
            each.write(b"1") if hasattr(each, "write") else each.write_bytes(b"1")
        assert done == ["file", "rename", "folder"]
        done.clear()


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no locks there")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_or_syncs_of_folders_is_written_to(tmp_path, monkeypatch, number):
    sync = os.fsync

    def files_alone(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not for folders")
        sync(handle)

    def no_locks(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr("neurofit.files.atomic.os.fsync", files_alone)
    monkeypatch.setattr("neurofit.files.atomic.fcntl.flock", no_locks)
    (tmp_path / ".a.00.tmp").touch()
    with atomic_write(tmp_path / "a") as handle:
        handle.write(b"1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.00.tmp", "a"]


def test_one_holder_at_a_time_and_none_after_an_error(tmp_path):
    path, inside, most = tmp_path / ".lock", [], []

    def hold():
        with exclusive_lock(path):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    with pytest.raises(KeyError, match="stop"), exclusive_lock(path):
        raise KeyError("stop")
    threads = [threading.Thread(target=hold) for _ in range(8)]
    with exclusive_lock(path):
        for thread in threads:
            thread.start()
        assert not most
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_errors_of_the_system_name_the_place(tmp_path):
    with (
        pytest.raises(OutputError, match=f"{tmp_path}: No space left on device - give another folder"),
        reporting_output_errors(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
