"""`neurofit sweep`: the records of `neurofit score`, kept as they come, and one table with what failed."""

import json

import pandas as pd
import pytest

from neurofit.files.sizes import size_in_bytes
from neurofit.report.record import load_record
from neurofit.scoring.benchmark import load_benchmark
from neurofit.sweeps.cells import cells_of
from neurofit.sweeps.cluster import DaskEngine, job_script, load_cluster
from neurofit.sweeps.specification import SweepSpec, Variations, load_sweep, vary
from neurofit.sweeps.sweep import InProcess, run_sweep
from neurofit.sweeps.work import score_cell

SWEEP = """
models = ["pixels", "nets/mine.py:static"]
benchmarks = ["bench.toml"]
layers = {layers}

[[vary]]
regression = {regressions}

[run]
data = "data"
{run}
"""
PASSING = ("seconds", "date", "peak_memory", "environment", "macs")


def write(folder, layers='"all"', run="", regressions='["pls"]'):
    """Write and read a sweep of three scores for each regression."""
    (folder / "sweep.toml").write_text(SWEEP.format(layers=layers, run=run, regressions=regressions))
    return load_sweep(folder / "sweep.toml")


def lasting(document):
    """What is the same in every run."""
    if isinstance(document, dict):
        return {k: lasting(v) for k, v in document.items() if not any(word in k for word in PASSING)}
    return [lasting(each) for each in document] if isinstance(document, list) else document


def records(folder):
    """What the records of a sweep say, by their names."""
    return {path.name: lasting(load_record(path)) for path in sorted((folder / "records").glob("*.json"))}


def test_a_sweep_has_the_records_of_score_and_is_not_repeated(folder, neurofit):
    write(folder, regressions='["pls", "ridge"]')
    code, out, err = neurofit("sweep", "sweep.toml", "--out", "swept", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert [(row["model"], row["layer"], row["regression"]) for row in told["rows"]] == [
        ("pixels", "pixels", "pls"), ("pixels", "pixels", "ridge"),
        ("nets/mine.py:static", "conv", "pls"), ("nets/mine.py:static", "pool", "pls"),
        ("nets/mine.py:static", "conv", "ridge"), ("nets/mine.py:static", "pool", "ridge"),
    ]  # fmt: skip
    assert {row["status"] for row in told["rows"]} == {"complete"} and told["scored_now"] == 6
    for row in told["rows"][1:4:2]:
        options = ("--model", row["model"], "--layer", row["layer"], "--regression", row["regression"])
        code, out, err = neurofit("score", "--benchmark", "bench.toml", "--data", "data", "--json", *options)
        assert code == 0, err
        alone = json.loads(out)
        alone.pop("written")
        assert lasting(load_record(folder / "swept" / row["record"])) == lasting(alone)
    before = {path: path.stat().st_mtime_ns for path in (folder / "swept" / "records").iterdir()}
    code, out, err = neurofit("sweep", "sweep.toml", "--out", "swept")
    assert code == 0 and "6 finished before, 0 to do" in out
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "swept" / "records").iterdir()}
    table = pd.read_csv(folder / "swept" / "sweep.csv")
    assert list(table["value"]) == [row["value"] for row in told["rows"]]
    assert neurofit("leaderboard", "swept/records", "--out", "board")[0] == 0


def test_failures_are_listed_with_their_reasons_and_tried_again(folder, neurofit):
    models = '["pixels", "nets/mine.py:torn", "nets/mine.py:make", "nope"]'
    (folder / "sweep.toml").write_text(f'models = {models}\nbenchmarks = ["bench.toml"]\n[run]\ndata = "data"\n')
    code, out, err = neurofit("sweep", "sweep.toml", "--out", "swept")
    assert code == 1, err
    assert "1 of 4 scores complete" in out and "3 failures:" in out
    assert "the weights are elsewhere" in out and "'nope' is not known" in out
    assert "a score needs a layer" in out and "nets/mine.py:make on colours (IT)" in out
    notes = [json.loads(path.read_text()) for path in (folder / "swept" / "failures").iterdir()]
    assert "in torn" in next(note["traceback"] for note in notes if note["model"] == "nets/mine.py:torn")
    assert sorted(note["model"] for note in notes) == ["nets/mine.py:make", "nets/mine.py:torn", "nope"]
    mended = (folder / "nets" / "mine.py").read_text().replace('raise ValueError("the weights are elsewhere")',
                                                               'return make(region_layers={"IT": "conv"})')  # fmt: skip
    (folder / "nets" / "mine.py").write_text(mended)
    code, out, err = neurofit("sweep", "sweep.toml", "--out", "swept", "--json")
    status = {row["model"]: row["status"] for row in json.loads(out)["rows"]}
    assert status == {"pixels": "complete", "nets/mine.py:torn": "complete", "nets/mine.py:make": "failed",
                      "nope": "failed"}  # fmt: skip


def test_a_defect_in_a_users_network_stops_its_own_row_alone(folder, monkeypatch):
    spec = write(folder)
    from neurofit.sweeps.work import run

    def fail(benchmark, subject, **options):
        return run(benchmark, subject, **options) if subject.name == "pixels" else 1 / 0

    monkeypatch.setattr("neurofit.sweeps.work.run", fail)
    result = run_sweep(spec, folder / "swept")
    assert set(result.complete["model"]) == {"pixels"}
    assert len(result.failed) == 2 and all("ZeroDivisionError" in reason for reason in result.failed["reason"])
    note = json.loads(next((folder / "swept" / "failures").iterdir()).read_text())
    assert "Traceback" in note["traceback"]


def test_an_interrupted_sweep_goes_on_and_ends_as_if_it_had_not_been(folder, neurofit):
    spec = write(folder)
    run_sweep(spec, folder / "whole")

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(spec, folder / "swept", on_outcome=interrupt)
    assert len(records(folder / "swept")) == 1
    (damaged,) = (folder / "swept" / "records").iterdir()
    damaged.write_text('{"record_version": 2, "status": "complete"}')
    scored = []
    result = run_sweep(spec, folder / "swept", on_outcome=lambda cell, *_: scored.append(cell.key))
    assert len(scored) == len(set(scored)) == 3 == len(result.complete)
    assert records(folder / "swept") == records(folder / "whole")


def test_the_key_is_of_all_that_decides_a_score_and_of_nothing_else(folder):
    def keys(**settings):
        return [cell.key for cell in cells_of(write(folder, run="\n".join(f"{k} = {v}" for k, v in settings.items())))]

    first = keys()
    assert len(set(first)) == 3
    assert keys(memory='"1GiB"', store='"kept"') == first
    assert not set(keys(threads=2)) & set(first)
    assert not set(keys(batch=7)) & set(first)
    bench = (folder / "bench.toml").read_text()
    (folder / "bench.toml").write_text(bench.replace("version = 1", "version = 2"))
    assert not set(keys()) & set(first)
    (folder / "bench.toml").write_text(bench)
    assert keys() == first
    code = (folder / "nets" / "mine.py").read_text()
    (folder / "nets" / "mine.py").write_text(code.replace("manual_seed(0)", "manual_seed(1)"))
    changed = keys()
    assert changed[:1] == first[:1] and not set(changed[1:]) & set(first)


def test_a_worker_with_another_model_or_other_releases_says_so(folder):
    cell = cells_of(write(folder))[1]
    path = folder / "nets" / "mine.py"
    path.write_text(path.read_text().replace("manual_seed(0)", "manual_seed(1)"))
    assert "other weights or code" in score_cell(cell).reason
    cell.versions["torch"] = "1.0"
    assert "and not 1.0" in score_cell(cell).reason


def test_variations_are_those_of_the_benchmark():
    plain = load_benchmark("sim-it")
    assert vary(plain, {}) == plain
    wide = vary(plain, {"bin_ms": 20, "splits": 2})
    assert (wide.time_bins.width_ms, wide.splits.n_splits, wide.name) == (20, 2, "sim-it (varied)")
    both = SweepSpec(("ff",), regions=("IT",), vary=(Variations(splits=(2, 3)), Variations(splits=(3,), bin_ms=(10,))))
    stems = [benchmark.stem() for benchmark, _ in both.varied_benchmarks()]
    assert len(stems) == len(set(stems)) == 2  # 10 ms are the benchmark's own


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models = []", "models is [], which is not one or more"),
        ('models = ["ff"]', "regions and benchmarks are both missing"),
        ('models = ["ff", "ff"]\nregions = ["IT"]', "distinct"),
        ('models = ["ff"]\nregions = ["IT"]\nlayer = "conv1"', "layer is not a known key"),
        ('models = ["ff"]\nregions = ["TI"]', "'TI' is not known"),
        ('models = ["ff"]\nregions = ["IT"]\n[[vary]]\nregression = ["ols"]', "regression"),
        ('models = ["ff"]\nregions = ["IT"]\n[[vary]]\nformula = ["boht"]', "'boht' is not known"),
        ('models = ["ff"]\nregions = ["IT"]\n[[vary]]\nbin_ms = [7]', "bins"),
        ('models = ["ff"]\nregions = ["IT"]\n[[vary]]\nregression = ["ridge"]\ncomponents = [3]', "n_components"),
        ('models = ["ff"]\nregions = ["IT"]\n[run]\nmemory = "much"', "a size is a number and a unit"),
    ],
)  # fmt: skip
def test_a_wrong_sweep_is_one_sentence_before_anything_is_loaded(folder, neurofit, text, told):
    (folder / "wrong.toml").write_text(text)
    code, out, err = neurofit("sweep", "wrong.toml")
    assert (code, out) == (2, "") and told in err and err.count("\n") == 1
    assert not (folder / "neurofit-sweep").exists()


def test_what_would_be_scored_is_told_without_scoring(folder, neurofit):
    write(folder, layers='["conv"]', regressions='["pls", "ridge"]')
    code, out, err = neurofit("sweep", "sweep.toml", "--plan")
    assert code == 0, err
    assert "4 scores, 4 to do" in out and "pending" in out and "failed" in out  # pixels has no conv
    assert not (folder / "neurofit-sweep").exists()


def test_places_are_one_and_exist(folder, neurofit):
    write(folder)
    (folder / "cluster.toml").write_text('kind = "slurm"\n')
    assert (
        "--workers and --scheduler were given"
        in neurofit("sweep", "sweep.toml", "--workers", "2", "--scheduler", "x")[2]
    )
    assert "memory is missing" in neurofit("sweep", "sweep.toml", "--cluster", "cluster.toml")[2]
    (folder / "cluster.toml").write_text('queue = "gpu"\n')
    assert "queue is for kind 'slurm'" in neurofit("sweep", "sweep.toml", "--cluster", "cluster.toml")[2]
    code, _, err = neurofit("sweep", "sweep.toml", "--scheduler", "nonsense://1")
    assert code == 2 and "a scheduler answers at its address" in err


def test_more_workers_than_memory_are_refused(folder, neurofit):
    write(folder, run='memory = "1000GiB"')
    code, _, err = neurofit("sweep", "sweep.toml", "--workers", "2")
    assert code == 2 and "fit into this machine's memory" in err
    assert size_in_bytes(err.rpartition('memory = "')[2].partition('"')[0]) > 0


def test_without_dask_the_extra_is_named(folder, neurofit, monkeypatch):
    write(folder)
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    code, _, err = neurofit("sweep", "sweep.toml", "--workers", "2")
    assert code == 2 and "pip install 'neurofit[dask]'" in err


def test_a_full_or_forbidden_folder_is_told(folder, neurofit):
    write(folder)
    (folder / "swept").write_text("a file")
    code, _, err = neurofit("sweep", "sweep.toml", "--out", "swept")
    assert code == 2 and "files can be written where they were asked to go" in err


@pytest.fixture
def scheduler():
    """A scheduler with a worker of one thread, in this process."""
    distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1",
        memory_limit=0, resources={"GPU": 1},
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.mark.filterwarnings("default")  # Dask's own
def test_dask_has_the_records_of_one_process_and_says_what_failed(folder, scheduler):
    spec = write(folder, run="resources = {GPU = 1}")
    run_sweep(spec, folder / "alone", engine=InProcess())
    heard = []
    cells = cells_of(spec)
    cells[0].versions["torch"] = "1.0"  # of all cells
    result = run_sweep(cells, folder / "swept", engine=DaskEngine(scheduler.scheduler_address, heard.append))
    assert set(result.failed["status"]) == {"failed"} and len(result.failed) == 3
    result = run_sweep(spec, folder / "swept", engine=DaskEngine(scheduler.scheduler_address, heard.append))
    assert len(result.complete) == 3 and heard == []
    assert records(folder / "swept") == records(folder / "alone")


@pytest.mark.filterwarnings("default")
def test_a_missing_resource_is_told_and_an_interruption_cancels(folder, scheduler):
    spec = write(folder, run="resources = {quantum = 1}")

    class ToldError(Exception):
        pass

    def announce(text):
        assert "no worker offers quantum = 1" in text
        raise ToldError

    with pytest.raises(ToldError):
        run_sweep(spec, folder / "swept", engine=DaskEngine(scheduler.scheduler_address, announce))
    assert not list((folder / "swept" / "records").iterdir())


@pytest.mark.filterwarnings("default")
def test_the_script_of_a_job_has_what_the_file_says(folder):
    pytest.importorskip("dask_jobqueue", reason="needs the extra 'dask'")
    (folder / "slurm.toml").write_text(
        'kind = "slurm"\nworkers = 3\ncores = 4\nmemory = "16GB"\nwalltime = "02:00:00"\nqueue = "gpu"\n'
        'directives = ["--gres=gpu:1"]\nprologue = ["source venv/bin/activate"]\nresources = {GPU = 1}\n'
        'interface = "lo"\n'
    )
    script = job_script(load_cluster("slurm.toml"))
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=15G", "#SBATCH -t 02:00:00",
                 "#SBATCH --gres=gpu:1", "source venv/bin/activate"):  # fmt: skip
        assert line in script.splitlines(), script
    assert "--resources 'GPU=1'" in script and "--nthreads 1" in script
