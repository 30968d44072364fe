"""Sweeps on processes that are killed, and on a SLURM that this machine plays."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from test_cli_sweep import records, write

from neurofit.report.record import load_record
from neurofit.sweeps.sweep import run_sweep

pytestmark = pytest.mark.slow

SBATCH = """#!/bin/sh
setsid sh "$1" > "$(dirname "$0")/job.log" 2>&1 &
echo $! >> "$(dirname "$0")/jobs"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -- "-$job" 2>/dev/null; done
exit 0
"""
SLOW_NETWORK = """
    import time

    class Slow(torch.nn.Module):
        def forward(self, x):
            time.sleep(0.7)
            return x

    network = torch.nn.Sequential(Slow(), *network)
    return static_subject(
        network, {"conv": "2", "pool": "3"}, name="mine", preprocessing=nf.Preprocessing(32), mode="once", **options
    )
"""


@pytest.fixture
def slow_folder(folder):
    """The folder with a network that takes a second, so that there is time to kill."""
    path = folder / "nets" / "mine.py"
    text = path.read_text()
    i, j = text.index("    return static_subject("), text.index("def static(")
    path.write_text(text[:i] + SLOW_NETWORK + "\n\n" + text[j:])
    return folder


def start(*arguments, out):
    command = [sys.executable, "-m", "neurofit", "sweep", "sweep.toml", *arguments]
    with out.open("w") as handle:
        return subprocess.Popen(command, stdout=handle, stderr=subprocess.STDOUT, start_new_session=True)


def until(condition, process, seconds=200):
    """Wait for something while a process runs."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    return found


def workers(process):
    """Return the worker processes of a local cluster."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def finished(folder):
    return list((folder / "records").glob("*.json")) if (folder / "records").is_dir() else []


def end(process):
    """Kill whatever is left of a process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_dead_workers_cell_is_scored_by_another(slow_folder):
    spec = write(slow_folder, regressions='["pls", "ridge"]')
    process = start("--workers", "2", "--out", "swept", out=slow_folder / "log")
    try:
        until(lambda: finished(slow_folder / "swept"), process)
        max(workers(process), key=lambda child: child.cpu_times().user).kill()
        assert process.wait(timeout=300) == 0, (slow_folder / "log").read_text()
    finally:
        end(process)
    run_sweep(spec, slow_folder / "alone")
    assert len(finished(slow_folder / "swept")) == 6
    assert records(slow_folder / "swept") == records(slow_folder / "alone")


def test_a_killed_sweep_leaves_no_worker_and_goes_on(slow_folder):
    write(slow_folder, regressions='["pls", "ridge"]')
    process = start("--workers", "2", "--out", "swept", out=slow_folder / "log")
    try:
        until(lambda: finished(slow_folder / "swept"), process)
        left = workers(process)
        assert left
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(left, timeout=30)
        assert not alive
    finally:
        end(process)
    kept = {path: path.stat().st_mtime_ns for path in finished(slow_folder / "swept")}
    assert all(load_record(path)["status"] == "complete" for path in kept)
    again = start("--out", "swept", "--json", out=slow_folder / "log")
    try:
        assert again.wait(timeout=300) == 0, (slow_folder / "log").read_text()
    finally:
        end(again)
    assert len(finished(slow_folder / "swept")) == 6
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())


def test_a_cell_that_kills_its_workers_fails_alone(folder):
    path = folder / "nets" / "mine.py"
    path.write_text(path.read_text() + "\n\nimport os, multiprocessing\n"
                    "if multiprocessing.parent_process() is not None:\n    os._exit(9)\n")  # fmt: skip
    write(folder)
    process = start("--workers", "1", "--out", "swept", "--json", out=folder / "log")
    try:
        assert process.wait(timeout=400) == 1
    finally:
        end(process)
    table = json.loads((folder / "log").read_text().partition("\n{")[2].join(["{", ""]))
    reasons = {row["model"]: row.get("reason") for row in table["rows"]}
    assert reasons["pixels"] is None and "workers died while they scored it" in reasons["nets/mine.py:static"]


def test_jobs_of_slurm(folder, monkeypatch):
    spec = write(folder)
    tools = folder / "tools"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (folder / "slurm.toml").write_text(
        'kind = "slurm"\nworkers = 2\nmemory = "2GB"\nwalltime = "00:10:00"\ninterface = "lo"\n'
        'log_folder = "logs"\nresources = {GPU = 1}\n'
    )
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    process = start("--cluster", "slurm.toml", "--out", "swept", out=folder / "log")
    try:
        assert process.wait(timeout=300) == 0, (folder / "log").read_text() + (tools / "job.log").read_text()
        jobs = [int(line) for line in (tools / "jobs").read_text().split()]
        assert len(jobs) == 2
        until_gone = time.monotonic() + 60
        while any(psutil.pid_exists(job) for job in jobs):
            assert time.monotonic() < until_gone
            time.sleep(0.2)
    finally:
        end(process)
    run_sweep(spec, folder / "alone")
    assert records(folder / "swept") == records(folder / "alone")
