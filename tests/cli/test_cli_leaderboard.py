"""The leaderboard from the command line."""

import csv
import io
import json

import pytest
from toy_records import record, write


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "records"
    for name, value in (("a", 0.5), ("b", 0.45)):
        write(folder, record(name, simulated=True, score__value=value))
    write(folder, '{"record_version": 1, "kind": "health"}', "health")
    return folder


def test_a_table_is_printed(records, neurofit):
    code, out, _ = neurofit("leaderboard", "records")
    assert code == 0
    assert out.startswith("SIMULATED: Toy IT, version 1")
    assert next(line.split()[:3] for line in out.splitlines() if line.startswith("   ")) == ["1", "1-2", "a"]
    assert "Left out: 1 JSON file" in out and "something else than a score ('health')" in out


def test_markdown_and_csv_are_written(records, neurofit):
    code, out, _ = neurofit("leaderboard", "records", "--format", "markdown")
    assert code == 0 and out.startswith("## SIMULATED: Toy IT") and "| 1 | 1-2 | a |" in out
    code, out, err = neurofit("leaderboard", "records", "--format", "csv", "--out", "new/scores.csv")
    assert code == 0 and "table: new/scores.csv" in out
    assert "left out:" in err
    rows = list(csv.DictReader(io.StringIO((records.parent / "new" / "scores.csv").read_text())))
    assert [row["model"] for row in rows] == ["a", "b"] and {row["data"] for row in rows} == {"SIMULATED"}


def test_json_is_one_document(records, neurofit):
    code, out, _ = neurofit("leaderboard", "records", "--json")
    assert code == 0
    document = json.loads(out)
    (board,) = document["boards"]
    assert board["simulated"] is True and [row["model"] for row in board["rows"]] == ["a", "b"]
    assert board["rows"][0]["rank_high"] == 2 and "normal" in board["rank_method"]
    assert [each["path"] for each in document["left_out"]] == ["records/health.json"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere",), "nowhere is not there"),
        (("records", "--region", "it"), "use 'IT'"),
        (("records", "--real"), "all records are of SIMULATED data"),
        ((".", "--benchmark", "toys"), "use 'toy-it'"),
        (("empty",), "none among 0 JSON files"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(records, neurofit, arguments, reason):
    (records.parent / "empty").mkdir()
    code, out, err = neurofit("leaderboard", *arguments)
    assert code == 2 and not out
    assert reason in err and len(err.splitlines()) == 1
