from __future__ import annotations

import os
import shutil
import signal
import threading
import time

import h5py
import numpy as np
import pytest

from neurofit.errors import DataFileError
from neurofit.files import hdf5_look, hdf5_walk
from neurofit.files.hdf5_look import _Walker, look_at_hdf5


@pytest.fixture
def walker():
    one = _Walker()
    yield one
    one.close()


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["a"] = np.arange(10.0)
    return tmp_path / "file.h5"


def test_a_sound_file_is_let_through_and_known(walker, path):
    assert walker.look(path, True) is None
    child = walker._process
    walker._process = None  # what is known is not asked for
    assert walker.look(path, True) is None
    walker._process = child


def test_a_changed_file_is_looked_at_again(walker, path):
    assert walker.look(path, True) is None
    with h5py.File(path, "r+") as file:
        file["b"] = h5py.ExternalLink("elsewhere.h5", "/")
    promise, found, _ = walker.look(path, True)
    assert (promise, found) == ("a file holds all of its content itself", "'//b' links to elsewhere.h5")


def test_one_child_looks_at_all_files_and_ends(walker, path, tmp_path):
    walker.look(path, True)
    child = walker._process
    walker.look(shutil.copy(path, tmp_path / "other.h5"), True)
    assert walker._process is child and child.poll() is None
    walker.close()
    assert child.returncode == 0


def test_a_file_that_ends_the_child_is_refused_and_the_next_one_read(walker, path, tmp_path, monkeypatch):
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os\ninput()\nos.abort()\n")
    monkeypatch.setattr(hdf5_look, "_SCRIPT", deadly)
    assert walker.look(path, True)[1] == "this one ends it (SIGABRT)"
    monkeypatch.undo()
    assert walker.look(shutil.copy(path, tmp_path / "other.h5"), True) is None


def test_a_child_that_does_not_answer_is_ended(walker, path, tmp_path, monkeypatch):
    silent = tmp_path / "silent.py"
    silent.write_text("import time\ninput()\ntime.sleep(100)\n")
    monkeypatch.setattr(hdf5_look, "_SCRIPT", silent)
    monkeypatch.setattr(hdf5_look, "WAITING_S", 0.5)
    assert walker.look(path, True)[1] == "this one ends it (it does not come to an end)"


def test_a_child_that_was_ended_by_others_is_started_again(walker, path, tmp_path):
    walker.look(path, True)
    os.kill(walker._process.pid, signal.SIGKILL)
    walker._process.wait()
    assert walker.look(shutil.copy(path, tmp_path / "other.h5"), True) is None


def test_threads_wait_for_each_other(walker, path, tmp_path):
    paths = [shutil.copy(path, tmp_path / f"{i}.h5") for i in range(6)]
    found = []
    threads = [threading.Thread(target=lambda p=p: found.append(walker.look(p, True))) for p in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_a_child_of_its_own(path, tmp_path):
    look_at_hdf5(path, whole=True)
    other = shutil.copy(path, tmp_path / "other.h5")
    forked = os.fork()
    if forked == 0:
        status = 1
        try:
            status = 0 if hdf5_look._walker.look(other, True) is None else 2
            hdf5_look._walker.close()
        finally:
            os._exit(status)
    until = time.monotonic() + 60
    while (ended := os.waitpid(forked, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    look_at_hdf5(shutil.copy(path, tmp_path / "third.h5"), whole=True)


def test_what_is_read_in_parts_may_declare_more_elsewhere(path):
    with h5py.File(path, "r+") as file:
        file.create_dataset("raw", (2**31, 4), "f4", chunks=(2**20, 4))
    look_at_hdf5(path, whole=False)
    with pytest.raises(DataFileError, match=r"512 times as large as their file - .*file\.h5: it has \d+ bytes and dec"):
        look_at_hdf5(path, whole=True)


def test_the_walk_reads_texts_references_and_chunks(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["texts"] = ["a", "bb"]
        file["texts"].attrs["of"] = ["x", "y"]
        file.create_dataset("packed", data=np.arange(10_000).reshape(100, 100), chunks=(7, 100), compression="gzip")
        file.create_dataset(
            "references", data=np.array([file["texts"].ref, file["/"].ref], object), dtype=h5py.ref_dtype
        )
        file["soft"], file["nowhere"] = h5py.SoftLink("/texts"), h5py.SoftLink("/none")
        file["group/soft"] = h5py.SoftLink("/")
        del file["group/soft"]
    hdf5_walk.walk(str(path), True)


def test_scales_of_another_type_are_refused(path):
    with h5py.File(path, "r+") as file:
        file["a"].attrs["DIMENSION_LIST"] = np.arange(5.0)
    with pytest.raises(DataFileError, match="DIMENSION_LIST of '//a' is of another type or length"):
        look_at_hdf5(path, whole=True)
