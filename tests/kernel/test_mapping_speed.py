"""The speed benchmark's contenders do the same job, and its table and figure come out. Nothing here looks at time."""

import json
import subprocess
import sys

import numpy as np
import pytest

SIZES = ["--images=120", "--features=30", "--neuroids=5", "--bins=2", "--splits=3", "--components=4", "--halvings=1"]
FAST = [*SIZES, "--shrink=40", "--rounds=2", "--growth-rounds=1", "--fits=2", "--product=64"]


@pytest.fixture(scope="module")
def mapping(request, load_script):
    folder = request.config.rootpath / "benchmarks" / "speed"
    sys.path.insert(0, str(folder))
    yield load_script(folder / "mapping.py")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def results(mapping, tmp_path_factory):
    folder = tmp_path_factory.mktemp("speed")
    page = folder / "page.md"
    page.write_text("before\n<!-- begin mapping table -->\nold\n<!-- end mapping table -->\nafter\n")
    outputs = [f"--json={folder / 'all.json'}", f"--markdown={page}", f"--figure={folder / 'all.png'}"]
    mapping.main([*FAST, *outputs, "--memory"])
    return folder, json.loads((folder / "all.json").read_text())


def test_everyone_installed_takes_part_and_agrees(mapping, results):
    rows = results[1]["rows"]
    installed = {one.name for one in mapping.MAPPINGS if not one.missing}
    assert {row["contender"] for row in rows if row["job"] == "temporal"} == installed
    assert installed >= {"neurofit", "neurofit, float32", "scikit-learn", "scikit-learn, standardised"}
    for row in rows:
        assert row["differs"] <= row["tolerance"], row
    exact = [row["differs"] for row in rows if row["contender"].startswith("ikpls") and row["job"] != "refits"]
    assert max(exact, default=0) < 1e-9


def test_cross_validation_is_left_out_of_random_splits(results):
    per_job = {job: {row["contender"] for row in results[1]["rows"] if row["job"] == job} for job in results[1]["jobs"]}
    assert per_job["temporal"] - per_job["random"] <= {f"ikpls, fast cross-validation {a}" for a in (1, 2)}
    assert per_job["refits"] - per_job["temporal"] == {"neurofit, without refits"}
    assert per_job["own"] == per_job["alike"] == {"neurofit", "plain NumPy loop"}


def test_only_what_was_not_all_run_is_marked(mapping, results):
    for row in (mapping.Row(**given) for given in results[1]["rows"]):
        whole = row.contender.startswith("neurofit") or (row.job, row.contender) == ("ceiling", "Brain-Score")
        if whole:
            assert row.share == 1
        assert all(cell.startswith("~") == (row.share < 1) for cell in row.cells()[1:4] if cell != "-")


def test_the_table_has_its_columns_and_replaces_the_old_one(results):
    page = (results[0] / "page.md").read_text()
    heads = [line for line in page.splitlines() if line.startswith("| contender")]
    assert len(heads) == len(results[1]["jobs"]) == 6
    for column in ("CPU-s", "x neurofit", "wall s, 2 threads", "of GEMM peak", "memory, MiB", "r differs by"):
        assert all(f"| {column} |" in line + " |" for line in heads)
    assert page.startswith("before\n") and page.endswith("\nafter\n") and "\nold\n" not in page


def test_a_page_without_markers_is_refused(mapping, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(SystemExit, match="add them where the table belongs"):
        mapping.write_markdown(page, "table")
    assert page.read_text() == "nothing\n"


def test_growth_has_every_axis_and_a_figure_is_drawn(mapping, results):
    growth = results[1]["growth"]
    assert set(growth) == set(mapping.GROWTH)
    assert list(growth["features"]) == ["8", "15", "30", "60", "120"]  # 120 features of 120 images: the dual form
    assert (results[0] / "all.png").read_bytes().startswith(b"\x89PNG")


def test_disagreement_stops_the_command(mapping, monkeypatch):
    wrong = mapping.Contender(
        "scikit-learn", "fits", lambda problem, units, _: np.ones((len(units), 5)), "neurofit", 0.1
    )
    monkeypatch.setattr(mapping, "MAPPINGS", (mapping.MAPPINGS[0], wrong))
    with pytest.raises(SystemExit, match="beyond the tolerance: scikit-learn at temporal"):
        mapping.main([*FAST, "--jobs", "temporal", "--memory"])


def test_memory_is_what_a_run_adds(repository):
    # in a process of its own: memory that other tests have let go of would be filled first
    code = """
import numpy as np, mapping, measuring
held = []
_, added = measuring.peak_above(lambda: held.append(np.ones(2**24)))  # 128 MiB: more than malloc keeps
assert 2**26 < added < 2**28, added
"""
    folder = repository / "benchmarks" / "speed"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = [sys.executable, "mapping.py", *FAST, "--jobs", "temporal", "--once", "scikit-learn"]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["added"] >= 0


def test_operations_are_those_of_the_formula(mapping):
    sizes = mapping.Sizes(images=60, features=10, neuroids=4, bins=3, splits=3, components=2, halvings=2)
    plain = mapping.make_problem(sizes)
    n, p, q, k, fits = 60, 10, 4, 2, 9
    statistics = n * (p**2 + 2 * p * q * 3)
    fit = p * q**2 + k * (2 * p**2 + 6 * p * q + 6 * q**2) + 4 * p * k**2
    score = 20 * (2 * p * k + k**2 + 2 * k * q) + 2 * k**2 * q
    assert plain.operations() == statistics + fits * (fit + score)
    assert mapping.make_problem(sizes, "random").operations() > 0
    refits = mapping.make_problem(sizes, refits=True)
    assert refits.n_fits == 3 * (3 + 2 * 6)
    np.testing.assert_allclose((refits.halves[0] + refits.halves[1]) / 2, np.tile(refits.Y, (2, 1, 1)), atol=1e-12)


def test_saved_runs_are_joined_job_by_job(mapping, tmp_path):
    for job in ("temporal", "ceiling"):
        mapping.main([*FAST, "--jobs", job, "--memory", "--json", str(tmp_path / f"{job}.json")])
    both = [str(tmp_path / f"{job}.json") for job in ("temporal", "ceiling")]
    mapping.main(["--join", *both, "--markdown", str(tmp_path / "both.md"), "--figure", str(tmp_path / "both.png")])
    text = (tmp_path / "both.md").read_text()
    assert "Temporal mapping" in text and text.count("| contender |") == 2
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
