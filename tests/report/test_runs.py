"""Records from anywhere: read, or left out with a reason; nothing in them does harm."""

import copy
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_records import RECORD, record, write

from neurofit.errors import ConfigurationError
from neurofit.report import runs_json
from neurofit.report.leaderboard import leaderboard
from neurofit.report.leaderboard_text import csv_of, html_of, markdown_of, text_of
from neurofit.report.runs import identity, read_runs

VALUES = [[0.5, 0.4, None], [0.1, None, 0.3]]


def only_reason(folder):
    runs, left_out = read_runs(folder)
    assert not runs and len(left_out) == 1
    return left_out[0].reason


def test_a_record_is_read(tmp_path):
    path = write(tmp_path / "a" / "b", record())
    (run,), left_out = read_runs(tmp_path)
    assert not left_out and run.path == path
    assert (run.model, run.layer, run.region, run.value, run.low, run.high) == ("net", "conv", "IT", 0.5, 0.4, 0.6)
    assert (run.raw, run.ceiling, run.parameters, run.top1, run.trained_on) == (0.3, 0.7, 1000, 0.313, "some images")
    assert (run.metric, run.formula, run.static_mode, run.git_revision) == ("predictivity", "both", "own", "abc")
    assert run.versions["torch"] == "2.0"
    assert run.id.startswith("net-conv-IT-toy-it-") and run.id == read_runs(tmp_path)[0][0].id


def test_the_first_version_of_records_is_read(tmp_path):
    old = record(record_version=1, neuroids=..., score__hashes=..., benchmark__metric=..., benchmark__static=...)
    old["benchmark"]["mapping"].pop("precision")
    write(tmp_path, old)
    (run,), left_out = read_runs(tmp_path)
    assert not left_out and run.metric == "predictivity"
    same = {k: v for k, v in identity(record()).items() if k != "hashes"}
    same["benchmark.metric"] = {"kind": "predictivity"}
    assert {k: v for k, v in identity(run.document).items() if k != "hashes"} == same


@pytest.mark.parametrize("top1", ["31.3", 73.0, "high", None, True, [0.3], "1e400", float("1e300")])
def test_an_accuracy_that_is_no_fraction_is_not_shown(tmp_path, top1):
    write(tmp_path, record(subject__top1=top1))
    assert read_runs(tmp_path)[0][0].top1 is None


def test_a_folder_is_needed(tmp_path):
    with pytest.raises(ConfigurationError, match="is not there"):
        read_runs(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="is a file"):
        read_runs(write(tmp_path, record()))
    assert read_runs(tmp_path / ".")[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"record_version": ...}, "names no record_version"),
        ({"record_version": 99}, "record_version 99 is not known"),
        ({"record_version": True}, "names no record_version"),
        ({"score": ..., "kind": "health"}, r"a record of something else than a score \('health'\)"),
        ({"benchmark": "sim-it"}, "something else"),
        ({"score__value": ...}, "something else"),
        ({"score__value": None}, "its score is not defined"),
        ({"score__value": "0.5"}, "its score.value is no number"),
        ({"score__value": True}, "its score.value is no number"),
        ({"score__low": 0.9}, "its interval ends"),
        ({"score__formula": 3}, "its formula is missing"),
        ({"score__n_stimuli": "many"}, "its score.n_stimuli is no count"),
        ({"score__hashes": {"stimuli_hash": 3}}, "hashes are no texts"),
        ({"simulated": "false"}, "does not say whether"),
        ({"status": "broken"}, r"not complete \('broken'\)"),
        ({"date": ...}, "its date is missing"),
        ({"date": "yesterday"}, "its date is none"),
        ({"subject__name": 3}, "its name is missing"),
        ({"subject__name": "n" * 400}, "its name has 400 characters"),
        ({"subject__layer": " "}, "its layer is missing"),
        ({"subject__parameters": "1000"}, "parameters is no count"),
        ({"subject__parameters": -1}, "parameters is no count"),
        ({"benchmark__version": "1"}, "version is no number"),
        ({"benchmark__mapping": ["pls"]}, "mapping is no table"),
        ({"benchmark__title": ["a"]}, "title is no text"),
        ({"benchmark__region": None}, "its region is missing"),
        ({"dataset__files": "toys.h5"}, "dataset.files is no list"),
        ({"environment": [1]}, "its environment is no table"),
        ({"time_bins": [1]}, "time_bins are no rows"),
        ({"subject__notes": "x" * 30_000}, "a text of 30,000 characters"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, changes, reason):
    write(tmp_path, record(**changes), "wrong")
    write(tmp_path / "ok", record())
    runs, left_out = read_runs(tmp_path)
    assert len(runs) == 1 and len(left_out) == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(left_out[0].reason)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"neuroid_id": ["a", "a"]}, "no names of their own"),
        ({"neuroid_id": "ab"}, "no names of their own"),
        ({"corrected": [[0.1] * 3]}, "neuroids.corrected is no table"),
        ({"corrected": [[0.1] * 3, [0.1] * 2]}, "neuroids.corrected is no table"),
        ({"corrected": [[0.1] * 3, ["0.1"] * 3]}, "neuroids.corrected is no table"),
        ({"raw": [[0.1] * 3, [True] * 3]}, "neuroids.raw is no table"),
        ({"internal_consistency": None}, "neuroids.internal_consistency is no table"),
    ],
)
def test_tables_per_neuroid_are_numbers(tmp_path, tables, reason):
    good = {"neuroid_id": ["a", "b"], "raw": VALUES, "internal_consistency": VALUES, "corrected": VALUES}
    write(tmp_path, record(neuroids=good), "good")
    assert len(read_runs(tmp_path)[0]) == 1
    write(tmp_path, record(neuroids=good | tables), "good")
    assert reason in only_reason(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 30 + "1" + "}" * 30, "no record"),
        ('{"a": 1, "a": 2}', "names 'a' twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "out of bounds"),
        ('{"a": ' + "9" * 5000 + "}", "an integer of 5,000 digits"),
        (json.dumps(record()).replace('"conv"', '"\\ud800"'), "not Unicode"),
        (json.dumps(record()).replace('"conv"', '{"a":' * 30 + "1" + "}" * 30), "nested too deeply"),
    ],
)
def test_json_is_read_strictly(tmp_path, text, reason):
    write(tmp_path, text, "x")
    assert reason in only_reason(tmp_path)


def test_files_that_are_no_text(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_bytes(b'{"a": "\xff"}')
    assert "not UTF-8" in only_reason(tmp_path)
    monkeypatch.setattr(runs_json, "MAX_BYTES", 10)
    write(tmp_path, record(), "x")
    assert "larger than any record" in only_reason(tmp_path)


def test_links_and_pipes_do_not_hang(tmp_path):
    write(tmp_path, record())
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "absent.json")
    (tmp_path / "self.json").symlink_to(tmp_path / "self.json")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    runs, left_out = read_runs(tmp_path)
    assert len(runs) == 1
    assert {each.path.name for each in left_out} == {"nowhere.json", "self.json", "pipe.json"}


def test_a_copy_counts_once(tmp_path):
    first = write(tmp_path, record())
    write(tmp_path / "copy", record())
    runs, left_out = read_runs(tmp_path)
    assert [run.path for run in runs] == [first]
    assert "a copy of" in left_out[0].reason


def places(value, path=()):
    """All places in nested tables and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


BASE = record(neuroids={"neuroid_id": ["a", "b"], "raw": VALUES, "internal_consistency": VALUES, "corrected": VALUES})
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(places(BASE))[1:]), ANYTHING | st.just(...))
def test_any_change_of_a_record_is_read_or_left_out(tmp_path_factory, path, value):
    folder = tmp_path_factory.mktemp("fuzz")
    made = copy.deepcopy(BASE)
    place = made
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    write(folder, made, "changed")
    write(folder, RECORD, "good")
    found = leaderboard(folder)
    assert len(found.left_out) + sum(len(board.rows) + len(board.older) for board in found.boards) == 2
    for render in (text_of, markdown_of, csv_of, html_of):
        render(found).encode()
    assert len(found.frame()) == sum(len(board.rows) for board in found.boards)
