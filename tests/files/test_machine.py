"""Limits of a machine, on file trees as Linux writes them."""

import os
from pathlib import Path

import pytest

from neurofit.files import machine

GIB = 2**30


@pytest.fixture
def root(tmp_path):
    """Return a function that writes files below a root of a file system."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


MEMINFO = {"proc/meminfo": "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n"}


def test_a_machine_without_limits(root):
    found = machine.memory(root(MEMINFO))
    assert (found.total, found.available, found.limit, found.free) == (16 * GIB, 8 * GIB, None, 8 * GIB)
    assert machine.cores(root({})).quota is None


def test_control_groups_of_version_2(root):
    place = root(
        MEMINFO
        | {
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/outer/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/outer/inner/memory.max": "4294967296\n",
            "sys/fs/cgroup/outer/inner/memory.current": "3221225472\n",
            "sys/fs/cgroup/outer/inner/memory.stat": "anon 5\ninactive_file 1073741824\n",
            "sys/fs/cgroup/outer/memory.max": "max\n",
            "sys/fs/cgroup/outer/memory.current": "1\n",
        }
    )
    found = machine.memory(place)
    assert (found.limit, found.used, found.free) == (4 * GIB, 2 * GIB, 2 * GIB)
    assert machine.cores(place).quota == 1.5


def test_control_groups_of_version_1_in_a_container_that_does_not_see_its_own_path(root):
    place = root(
        MEMINFO
        | {
            "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:cpuset:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1073741824\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        }
    )
    assert machine.memory(place).free == GIB
    assert machine.cores(place).quota == 2


def test_no_limit_of_version_1_is_written_as_a_huge_number(root):
    place = root(
        MEMINFO
        | {
            "proc/self/cgroup": "4:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        }
    )
    assert machine.memory(place).limit is None
    assert machine.cores(place).quota is None


@pytest.mark.parametrize(("quota", "usable"), [(None, 4), (0.4, 1), (2.0, 2), (64.0, 4)])
def test_usable_cores(quota, usable):
    assert machine.Cores(8, 4, quota).usable == usable


def test_a_system_without_proc_counts_its_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sysconf_names", {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 2}, raising=False)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.__getitem__, raising=False)
    found = machine.memory(tmp_path)
    assert (found.total, found.free) == (4096000, None)
    monkeypatch.setattr(os, "sysconf_names", {})
    with pytest.raises(OSError, match="does not count its pages"):
        machine.memory(tmp_path)


def test_free_disk_of_a_folder_that_is_not_made_yet(tmp_path):
    place, free = machine.free_disk(tmp_path / "a" / "b")
    assert place == tmp_path
    assert free > 0
    assert machine.free_disk(Path("x"))[0] == Path.cwd()
