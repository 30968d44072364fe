"""The wheel, installed alone, does the main job from an empty folder."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def installed(tmp_path_factory, request):
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(request.config.rootpath)]
    subprocess.run(build, check=True, capture_output=True, cwd=wheels)
    (wheel,) = wheels.glob("neurofit-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, cwd=wheels)
    return wheel, site


def run(site, *arguments, cwd):
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


def test_what_the_wheel_carries(installed):
    import zipfile

    wheel, _ = installed
    assert wheel.stat().st_size < 40e6
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "neurofit/_resources/benchmarks/sim-it.toml",
        "neurofit/_resources/data_manifests/sim-ventral.toml",
        "neurofit/models/pretrained/rgc.safetensors",
        "neurofit/py.typed",
        "neurofit-0.1.0.dist-info/licenses/LICENSE",
    ):
        assert part in names
    assert not [n for n in names if n.startswith(("tests", "docs", "notebooks"))]


def test_the_main_job_from_an_empty_folder(installed, tmp_path):
    _, site = installed
    where = run(site, "-c", "import neurofit; print(neurofit.__file__)", cwd=tmp_path)
    assert where.stdout.strip().startswith(str(site))
    quick = ("--splits", "1", "--halvings", "1", "--components", "5", "--json")
    done = run(site, "-m", "neurofit", "score", "--model", "ff", "--region", "V4", *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["environment"]["git_revision"] is None
    assert record["score"]["n_neuroids"] == 88


def test_datasets_are_listed_from_an_empty_folder(installed, tmp_path):
    _, site = installed
    done = run(site, "-m", "neurofit", "data", "list", cwd=tmp_path)
    assert done.returncode == 0
    assert "sim-ventral" in done.stdout
