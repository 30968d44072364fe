"""Boards: what is ranked with what, how sure ranks are, and that every rendering is safe and says SIMULATED."""

import csv
import io
import json

import numpy as np
import pytest
from toy_records import HASHES, record, write

from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.files.manifest import load_manifest
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.report.leaderboard import leaderboard
from neurofit.report.leaderboard_text import COLUMNS, csv_of, html_of, markdown_of, text_of
from neurofit.report.record import make_record
from neurofit.scoring.benchmark import load_benchmark
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.summary import headline

HOSTILE = [
    "<script>alert(1)</script>",
    '=HYPERLINK("http://x")',
    "+1",
    "@SUM(A1)",
    "a|b`c`*d*",
    "\x1b[31mred\x1b[0m",
    "two\nlines",
    "\u202eright to left",
    "日本語の名前",
    "\U0001f9e0",
]


def noise(q=60, seed=0, scale=0.2):
    return 0.4 + scale * np.random.default_rng(seed).standard_normal((q, 3))


def ranked(folder):
    (board,) = leaderboard(folder).boards
    return {row.run.model: (row.rank, row.rank_low, row.rank_high) for row in board.rows}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"benchmark__version": 2}, "version 2"),
        ({"benchmark__region": "pIT"}, "pIT"),
        ({"benchmark__splits": {"n_splits": 2}}, "2 splits"),
        ({"benchmark__mapping": {"kind": "ridge"}}, "ridge"),
        ({"benchmark__mapping": {"kind": "pls", "temporal": "fixed"}}, "one mapping for all bins"),
        ({"benchmark__metric": {"kind": "rsa"}}, "rsa"),
        ({"benchmark__correction": {"formula": "both", "n_halvings": 1}}, "1 halving"),
        ({"benchmark__aggregation": {"window_ms": [70, 100]}}, "70-100 ms"),
        ({"score__formula": "neural"}, "formula neural"),
        ({"score__n_stimuli": 39}, "39 stimuli"),
        ({"score__n_neuroids": 7}, "7 neuroids"),
        ({"dataset__name": "others"}, "others"),
        ({"dataset__files": []}, "dataset files"),
        ({"simulated": True}, "simulated"),
        ({"score__hashes": HASHES | {"responses_hash": "123456789"}}, "responses 123456"),
        ({"score__hashes": ...}, "records without hashes"),
        ({"benchmark__invented": 7}, "invented 7"),
    ],
)
def test_what_is_not_comparable_has_a_board_of_its_own(tmp_path, changes, words):
    write(tmp_path, record("one"))
    write(tmp_path, record("other", **changes))
    found = leaderboard(tmp_path)
    assert [len(board.rows) for board in found.boards] == [1, 1]
    assert len({board.id for board in found.boards}) == len({board.title for board in found.boards}) == 2
    (title,) = (board.title for board in found.boards if board.rows[0].run.model == "other")
    assert words in title
    assert all("one run" in board.rank_method for board in found.boards)


@pytest.mark.parametrize(
    "changes",
    [
        {"benchmark__title": "Another", "benchmark__source": "elsewhere"},
        {"benchmark__name": "toy-it (varied)"},
        {"benchmark__static": {"mode": "constant", "latency_ms": 70}, "subject__static_mode": "constant"},
        {"subject__layer": "conv2", "environment": {}},
        {"benchmark__viewing": {"on_ms": 100, "total_ms": 260}},
    ],
)
def test_how_a_model_is_shown_and_words_make_no_board(tmp_path, changes):
    write(tmp_path, record("one"))
    write(tmp_path, record("other", **changes))
    (board,) = leaderboard(tmp_path).boards
    assert {row.run.model for row in board.rows} == {"one", "other"}
    assert board.benchmark == "toy-it"


def test_real_recordings_come_first_and_equal_titles_get_their_names(tmp_path):
    write(tmp_path, record("a", simulated=True, benchmark__name="a-sim"))
    write(tmp_path, record("b", benchmark__name="z-real"))
    found = leaderboard(tmp_path)
    assert [board.simulated for board in found.boards] == [False, True]
    assert [board.title for board in found.boards] == [
        "Toy IT (z-real), version 1",
        "SIMULATED: Toy IT (a-sim), version 1",
    ]


def test_the_newest_run_is_ranked_and_older_ones_kept(tmp_path):
    write(tmp_path, record(score__value=0.55, date="2026-01-02T05:00:00+02:00"), "newest")
    write(tmp_path, record(score__value=0.45, date="2026-01-02T02:00:00+00:00"), "old")
    write(tmp_path, record(score__value=0.41, date="2025-12-31T02:00:00"), "older")
    (board,) = leaderboard(tmp_path).boards
    assert [row.run.path.stem for row in board.rows] == ["newest"]
    assert [run.path.stem for run in board.older] == ["old", "older"]
    assert "2 older runs" in text_of(leaderboard(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"subject__weights_sha256": "00"},
        {"subject__layer": "conv2"},
        {"subject__static_mode": "constant"},
        {"subject__parameters": 2},
        {"subject__commitment": "of something"},
    ],
)
def test_other_weights_layers_and_modes_are_ranked_beside_each_other(tmp_path, changes):
    write(tmp_path, record(), "one")
    write(tmp_path, record(**changes), "two")
    found = leaderboard(tmp_path)
    (board,) = found.boards
    assert len(board.rows) == 2 and not board.older
    names = [row["model"] for row in csv.DictReader(io.StringIO(csv_of(found)))]
    assert names == ["net", "net"]
    lines = [line.split("  ")[2:] for line in text_of(found).splitlines() if line.lstrip().startswith("1 ")]
    assert lines[0] != lines[1]


def test_paired_draws_know_more_than_intervals_that_overlap(tmp_path):
    base = noise()
    for name, values in {"best": base + 0.05, "middle": base + 0.02, "worst": base}.items():
        write(tmp_path, record(name, values))
    assert ranked(tmp_path) == {"best": (1, 1, 1), "middle": (2, 2, 2), "worst": (3, 3, 3)}
    for name in ("best", "middle", "worst"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"neuroids": {}}))
    assert ranked(tmp_path) == {"best": (1, 1, 3), "middle": (2, 1, 3), "worst": (3, 1, 3)}
    assert "independent" in leaderboard(tmp_path).boards[0].rank_method


def test_rank_intervals_are_those_of_drawn_neuroids(tmp_path):
    tables = {f"m{i}": np.round(noise(seed=i), 4) for i in range(5)}
    for name, values in tables.items():
        values[:5] = np.nan if name == "m0" else values[:5]
        write(tmp_path, record(name, values))
    found = ranked(tmp_path)
    rng = np.random.default_rng(1)
    scores = []
    joined = np.concatenate([values[:, :2] for values in tables.values()], axis=1)
    for _ in range(1000):
        scores.append(np.nanmedian(joined[rng.integers(0, 60, 60)], 0).reshape(-1, 2).mean(1))
    ranks = (-np.array(scores)).argsort(1).argsort(1) + 1
    low, high = np.percentile(ranks, [2.5, 97.5], axis=0, method="inverted_cdf")
    for name, lowest, highest in zip(tables, low, high, strict=True):
        rank, *interval = found[name]
        assert interval[0] <= rank <= interval[1]
        assert abs(interval[0] - lowest) <= 1 and abs(interval[1] - highest) <= 1
    assert any(low < high for _, low, high in found.values())


def test_draws_are_moved_to_the_headlines(tmp_path):
    base = noise(scale=0.01)
    write(tmp_path, record("first", base, score__value=0.9, score__low=0.8, score__high=1.0))
    write(tmp_path, record("second", base + 0.1))
    assert ranked(tmp_path) == {"first": (1, 1, 1), "second": (2, 2, 2)}


def test_only_shared_neuroids_are_drawn_by_their_names(tmp_path):
    base = noise()
    write(tmp_path, record("whole", base))
    part = record("part", base[::-1] + 0.03, score__n_neuroids=60)
    part["neuroids"]["neuroid_id"] = [f"n{i}" for i in range(59, 4, -1)] + [f"other{i}" for i in range(5)]
    write(tmp_path, part)
    board = leaderboard(tmp_path).boards[0]
    assert "the 55 neuroids that all runs share" in board.rank_method
    assert ranked(tmp_path) == {"part": (1, 1, 1), "whole": (2, 2, 2)}


def test_of_few_neuroids_nothing_is_sure(tmp_path):
    for name, shift in (("a", 0.0), ("b", 0.3)):
        write(tmp_path, record(name, noise(5) + shift))
    assert ranked(tmp_path) == {"b": (1, 1, 2), "a": (2, 1, 2)}
    assert "share 5 neuroids, too few" in leaderboard(tmp_path).boards[0].rank_method


def test_runs_without_intervals_may_have_any_rank_and_equal_ones_share(tmp_path):
    for name, value in (("a", 0.9), ("b", 0.5), ("c", 0.5)):
        write(tmp_path, record(name, score__value=value, score__low=value, score__high=value))
    write(tmp_path, record("d", score__value=0.1, score__low=None, score__high=None))
    assert ranked(tmp_path) == {"a": (1, 1, 1), "b": (2, 2, 2), "c": (2, 2, 2), "d": (4, 1, 4)}
    assert "Runs without an interval (1) may have any rank" in leaderboard(tmp_path).boards[0].rank_method


@pytest.fixture
def hostile(tmp_path):
    for i, name in enumerate(HOSTILE):
        made = record(name, simulated=True, score__value=0.5 - i / 100)
        made["benchmark"]["title"] = "Toys | <b>bold</b>"
        write(tmp_path, made, f"r{i}")
    return leaderboard(tmp_path)


def test_hostile_names_are_shown_and_do_nothing(hostile):
    page = html_of(hostile)
    assert "<script" not in page and "<b>" not in page and "&lt;script&gt;" in page
    assert hostile._repr_html_() == page
    assert repr(hostile) + "\n" == text_of(hostile) and "time_bins" not in repr(hostile.boards)
    for text in (text_of(hostile), markdown_of(hostile)):
        assert "\x1b" not in text and "\u202e" not in text and "two\nlines" not in text
    tables = [line for line in markdown_of(hostile).splitlines() if line.startswith("|")]
    assert len(tables) == 2 + len(HOSTILE)
    assert {line.replace("\\|", "").count("|") for line in tables} == {tables[0].count("|")}
    rows = list(csv.DictReader(io.StringIO(csv_of(hostile))))
    assert [row["model"].removeprefix("'") for row in rows] == HOSTILE
    assert not any(row["model"].startswith(("=", "+", "-", "@")) for row in rows)


def test_every_rendering_says_simulated(hostile):
    for text in (text_of(hostile), text_of(hostile, 40), markdown_of(hostile), csv_of(hostile), html_of(hostile)):
        assert "SIMULATED" in text
    assert set(hostile.frame()["data"]) == {"SIMULATED"}


@pytest.mark.parametrize("width", [50, 60, 80, 120, 200])
def test_text_fits_its_width(tmp_path, width):
    for i in range(3):
        write(tmp_path, record(f"a_network_with_quite_a_long_name_{i}", score__value=0.5 - i / 100))
    lines = text_of(leaderboard(tmp_path), width).splitlines()
    assert max(map(len, lines)) <= width
    assert ("top-1" in "\n".join(lines)) == (width >= 120)


@pytest.mark.parametrize(("formula", "drawn"), [("both", True), ("raw", True), ("brain-score", False)])
def test_records_of_scores_are_ranked_with_their_own_headlines(tmp_path, make_recording, formula, drawn):
    bins = [(t, t + 10) for t in range(70, 170, 10)]
    recording = make_recording(n=60, q=8, bins=bins)
    mean = average_repetitions(recording).values[:, :3]
    benchmark = load_benchmark("sim-it").varied(formula=formula, n_halvings=2)
    scores = {}
    for name, noise in (("good", 0.1), ("bad", 2.0)):
        source = make_assembly(
            mean + noise * np.random.default_rng(0).standard_normal(mean.shape),
            stimulus_id=average_repetitions(recording).stimulus_id.values,
            neuroid_id=list("abc"), subject=name, layer="conv5", time_bins=bins,
        )  # fmt: skip
        score = predictivity(
            source, recording, mapping=PLSMapping(2), splitter=StimulusShuffleSplit(2), n_halvings=2, formula=formula
        ).assign_attrs(
            benchmark="sim-it", dataset="sim-ventral", region="IT", subject=name, layer="conv5", simulated=1,
            source_units=3,
        )  # fmt: skip
        scores[name] = score
        record = make_record(score, benchmark, load_manifest("sim-ventral"), {"kind": "model", "name": name})
        record.save(tmp_path / f"{name}.json")
    (board,) = leaderboard(tmp_path).boards
    assert [row.run.model for row in board.rows] == ["good", "bad"]
    for row in board.rows:
        assert row.run.value == pytest.approx(headline(scores[row.run.model], benchmark.aggregation).value)
    assert ("the 8 neuroids that all runs share" in board.rank_method) == drawn
    assert board.simulated and "SIMULATED" in text_of(leaderboard(tmp_path))


def test_the_frame_has_a_row_per_run(tmp_path):
    write(tmp_path, record("a"))
    write(tmp_path, record("b", subject__parameters=None, subject__top1=None, score__value=0.4))
    frame = leaderboard(tmp_path).frame()
    assert tuple(frame.columns) == COLUMNS
    assert frame["model"].tolist() == ["a", "b"] and frame["rank"].tolist() == [1, 2]
    assert frame["parameters"].isna().tolist() == [False, True] and frame["parameters"][0] == 1000
    assert frame["top1"].isna().tolist() == [False, True]
    assert frame.loc[0, ["neurofit", "torch", "git_revision", "data", "n_splits"]].tolist() == [
        "0.1.0", "2.0", "abc", "real", 10,
    ]  # fmt: skip


def test_boards_are_chosen(tmp_path):
    with pytest.raises(ConfigurationError, match="none among 0 JSON files"):
        leaderboard(tmp_path)
    write(tmp_path, record("a"))
    write(tmp_path, record("b", benchmark__name="toy-v4", benchmark__region="V4", simulated=True))
    found = leaderboard(tmp_path)
    assert [board.benchmark for board in found.chosen(region="V4").boards] == ["toy-v4"]
    assert [board.benchmark for board in found.chosen(simulated=False).boards] == ["toy-it"]
    assert [board.benchmark for board in found.chosen(benchmark="toy-it").boards] == ["toy-it"]
    with pytest.raises(UnknownNameError, match="use 'toy-it'"):
        found.chosen(benchmark="toyit")
    with pytest.raises(UnknownNameError, match="region of the records"):
        found.chosen(region="A1")
    with pytest.raises(ConfigurationError, match="all records are of SIMULATED data"):
        found.chosen(region="V4", simulated=False)
