"""Curves, tables and figures of training say what they show, and refuse what cannot be compared."""

import csv
import json
import math
from itertools import combinations

import numpy as np
import pytest

from neurofit.errors import ConfigurationError, DataFileError
from neurofit.report.record import save_record
from neurofit.report.style import save_figure
from neurofit.report.training_figure import plot_training, plot_zoo
from neurofit.report.training_record import (
    begin_training_record,
    curves_document,
    finish_training_record,
    load_training_run,
)
from neurofit.report.training_table import zoo_table

COLUMN = "SIMULATED.sim-it.conv5"
LOOK = {
    "simulated": True,
    "columns": {"conv5": COLUMN},
    "every": 2,
    "n_stimuli": 640,
    "benchmark": {
        "name": "sim-it", "region": "IT", "dataset": "sim-ventral", "correction": {"formula": "both", "n_halvings": 1},
        "splits": {"n_splits": 4}, "aggregation": {"window_ms": (70, 170)},
    },
}  # fmt: skip


def begun(model, seed, looks=(), **changes):
    given = {
        "model": model, "seed": seed, "parameters": 1000, "recipe": {"name": "toy", "phases": [{"epochs": 4}]},
        "presentation": {"steps": 5}, "preprocessing": {"size_px": 16},
        "data": {"name": "colours", "training": 60, "validation": 30, "classes": 5, "fingerprint": "a"},
        "engine": {"device": "cpu", "precision": "float32"}, "threads": 1, "looks": looks,
        "before": {"epoch": 0, "top1": 0.2, f"{COLUMN}.corrected": 0.3} if looks else {},
    }  # fmt: skip
    return begin_training_record(**given | changes)


def epochs(count, top1=0.5, looked=False, seconds=10.0):
    rows = []
    for epoch in range(1, count + 1):
        row = {"epoch": epoch, "size_px": 12 if epoch < 3 else 16, "training_loss": 2 / epoch}
        row |= {"top1": top1 * epoch / count, "top5": 0.9, "seconds": seconds, "images_per_second": 6.0}
        if looked and epoch % 2 == 0:
            row |= {f"{COLUMN}.corrected": 0.3 + epoch / 100, f"{COLUMN}.raw": 0.1}
        rows.append(row)
    return rows


def write(folder, record=None, rows=(), done=True):
    folder.mkdir()
    if rows:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (folder / "epochs.csv").open("w", newline="") as handle:
            table = csv.DictWriter(handle, columns)
            table.writeheader()
            table.writerows(rows)
    if record is not None:
        save_record(finish_training_record(record, rows) if done else record, folder / "record.json")
    return folder


def words(figure):
    texts = [figure.get_supxlabel(), *(t.get_text() for legend in figure.legends for t in legend.get_texts())]
    for axes in figure.axes:
        texts += [axes.get_xlabel(), axes.get_ylabel(), *(t.get_text() for t in axes.texts)]
    return " ".join(texts).replace("\n", " ")


def test_a_run_is_read_with_what_each_epoch_has(tmp_path):
    run = load_training_run(write(tmp_path / "a", begun("gru", 1, [LOOK]), epochs(4, looked=True)))
    assert (run.label, run.complete, run.seconds) == ("gru, seed 1", True, 40.0)
    assert [f"{COLUMN}.corrected" in row for row in run.looked()] == [True, False, True, False, True]
    (series,) = run.looks
    assert (series.label, series.simulated, series.n_splits, series.window_ms) == ("sim-it.conv5", True, 4, (70, 170))
    json.dumps(curves_document([run]))
    assert curves_document([run])["simulated"]


def test_a_run_without_a_record_is_called_as_its_folder(tmp_path):
    rows = epochs(2, looked=True)
    rows[1][f"{COLUMN}.corrected"] = math.nan
    run = load_training_run(write(tmp_path / "lstm-0", None, rows))
    assert (run.label, run.seed, run.complete) == ("lstm-0", None, False)
    assert math.isnan(run.rows[1][f"{COLUMN}.corrected"])
    assert run.looks[0].simulated and run.looks[0].dataset == ""
    assert "SIMULATED responses" in words(plot_training([run]))


def test_a_run_that_goes_on_and_one_that_has_just_begun(tmp_path):
    going = load_training_run(write(tmp_path / "a", begun("gru", 0), epochs(2), done=False))
    fresh = load_training_run(write(tmp_path / "b", begun("lstm", 0), done=False))
    assert not going.complete and len(going.rows) == 2 and fresh.rows == ()
    said = words(plot_training([going, fresh]))
    assert "Not ended: gru, seed 0." in said and "lstm" not in said
    with pytest.raises(ConfigurationError, match="0 of 1 runs have one"):
        plot_training([fresh])


def test_folders_that_are_no_runs_are_told(tmp_path):
    with pytest.raises(DataFileError, match="has neither"):
        load_training_run(tmp_path)
    with pytest.raises(DataFileError, match="is no folder"):
        load_training_run(tmp_path / "absent")
    (tmp_path / "epochs.csv").write_text("epoch,top1\n1,many\n")
    with pytest.raises(DataFileError, match="a CSV file of numbers"):
        load_training_run(tmp_path)
    (tmp_path / "epochs.csv").write_text("top1\n0.5\n")
    with pytest.raises(DataFileError, match="one without epoch"):
        load_training_run(tmp_path)
    (tmp_path / "record.json").write_text('{"kind": "health", "record_version": 1}')
    with pytest.raises(DataFileError, match="a record of something else"):
        load_training_run(tmp_path)


def test_accuracy_is_drawn_against_predictivity(tmp_path):
    runs = [
        load_training_run(write(tmp_path / f"{i}", begun("gru", i, [LOOK]), epochs(4, 0.4 + i / 10, looked=True)))
        for i in (0, 1)
    ]
    figure = plot_training(runs)
    said = words(figure)
    for part in (
        "SIMULATED", "predictivity (both) [SIMULATED] sim-it.conv5", "validation top-1 (%)", "training loss (nats)",
        "gru (seeds 0, 1)", "16 px", "IT of sim-ventral (SIMULATED responses), 640 stimuli", "70-170 ms",
    ):  # fmt: skip
        assert part in said
    first = figure.axes[2].lines[0]
    assert first.get_xdata() == pytest.approx([20, 20, 40])
    assert first.get_ydata() == pytest.approx([0.3, 0.32, 0.34])
    assert save_figure(figure, tmp_path / "curves.png").stat().st_size > 10_000


def test_many_models_are_told_apart_by_more_than_colour(tmp_path):
    runs = [
        load_training_run(write(tmp_path / f"{i}-{seed}", begun(f"model{i}", seed), epochs(3)))
        for i in range(11)
        for seed in (0, 1)
    ]
    figure = plot_training(runs)
    assert len(figure.axes) == 2 and "Data" not in words(figure)
    styles = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in figure.axes[0].lines[:22:2]]
    for one, other in combinations(styles, 2):
        assert sum(mine == yours for mine, yours in zip(one, other, strict=True)) <= 1
    alphas = [line.get_alpha() for line in figure.axes[0].lines[:22]]
    assert alphas == [1.0, 0.55] * 11


@pytest.fixture
def zoo(tmp_path):
    for model, size, top1 in (("ff", 1000, (0.2, 0.24)), ("rgc", 7000, (0.4, 0.3)), ("gru", 9000, (0.1,))):
        for seed, value in enumerate(top1):
            record = begun(model, seed, parameters=size)
            write(tmp_path / f"{model}-{seed}", record, epochs(2, value, seconds=60.0 * (1 + seed)))
    write(tmp_path / "lstm-0", begun("lstm", 0), epochs(1), done=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "file.txt").write_text("")
    return tmp_path


def test_the_table_has_mean_and_spread_over_seeds(zoo):
    table = zoo_table(zoo)
    assert [row.model for row in table.rows] == ["rgc", "ff", "gru"]
    first = table.rows[0]
    assert (first.seeds, first.parameters, first.top1, first.seconds) == ((0, 1), 7000, (0.4, 0.3), (120.0, 240.0))
    assert first.mean_top1 == pytest.approx(0.35) and first.sd_top1 == pytest.approx(0.1 / math.sqrt(2))
    assert math.isnan(table.rows[2].sd_top1)
    assert table.left_out == ("lstm-0 (epoch 1, not ended)", "other (no record)")
    text = table.as_text()
    assert "40.0, 30.0" in text and "3 min" in text and "left out: lstm-0" in text and "60 training" in text
    assert "| rgc | 7,000 | 2 | 35.0 | 40.0, 30.0 | 7.1 |" in table.as_text("markdown")
    rows = list(csv.DictReader(table.as_text("csv").splitlines()))
    assert [row["model"] + row["seed"] for row in rows] == ["rgc0", "rgc1", "ff0", "ff1", "gru0"]
    assert float(rows[1]["top1"]) == 0.3


def test_the_figure_of_the_table_names_every_model_beside_its_mean(zoo, tmp_path):
    figure = plot_zoo(zoo_table(zoo))
    for axes in figure.axes:
        assert {text.get_text() for text in axes.texts} == {"rgc", "ff", "gru"}
        means = [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_markersize() > 5]
        assert np.ravel([line.get_ydata() for line in means]) == pytest.approx([35, 22, 10])
    assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(3)
    assert "mean over seeds" in words(figure) and "parameters" in words(figure)
    assert save_figure(figure, tmp_path / "zoo.png").stat().st_size > 10_000


def test_runs_that_were_not_trained_alike_make_no_table(zoo):
    write(zoo / "other-0", begun("other", 0, recipe={"name": "toy", "phases": [{"epochs": 9}]}), epochs(2))
    with pytest.raises(ConfigurationError, match=r"trained alike - recipe.phases is .* in ff-0 and .* in other-0"):
        zoo_table(zoo)
    with pytest.raises(ConfigurationError, match="trained alike - recipe.phases"):
        zoo_table([zoo / "ff-0", zoo / "other-0"])
    assert len(zoo_table([zoo / "other-0"]).rows) == 1


def test_a_seed_counts_once(zoo):
    write(zoo / "again", begun("ff", 1), epochs(2))
    with pytest.raises(ConfigurationError, match=r"ff has seeds 0, 1, 1"):
        zoo_table(zoo)
    with pytest.raises(ConfigurationError, match="none has"):
        zoo_table([zoo / "lstm-0"])
