import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from neurofit.errors import OutputError
from neurofit.report.leaderboard import Leaderboard
from neurofit.report.site import write_site
from neurofit.report.site.build import CONTENT_SECURITY_POLICY, CSV_COLUMNS, csv_text, record_text
from neurofit.report.site.folder import MARKER

from site_boards import HOSTILE, board_of_runs, hostile_leaderboard, run_of  # isort: skip


class Page(HTMLParser):
    """What tests ask of a page: elements by name, and its text."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return "".join(self.texts)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "out"
    return out, write_site(hostile_leaderboard(), out)


def pages(out):
    return sorted(out.rglob("*.html"))


def files(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_summary_counts_what_was_written(site):
    out, summary = site
    written = files(out)
    assert summary.files == len(written)
    assert summary.bytes == sum(map(len, written.values()))
    assert (summary.boards, summary.runs) == (4, len(HOSTILE) + 12 + 1 + 3 + 2 + 1)
    assert summary.seconds > 0


def test_there_is_a_page_for_every_board_and_model(site):
    out, _ = site
    assert {path.stem for path in (out / "boards").iterdir()} == {"session-00", "session-01", "session-04", "sim-02"}
    assert len(list((out / "models").iterdir())) == len({*HOSTILE, "ff", "gru"} | {f"m{i}" for i in range(12)})


def test_every_link_and_script_is_a_file_of_the_site(site):
    out, _ = site
    for path in pages(out):
        page = Page(path)
        links = [a.get("href") for a in page.all("a") + page.all("link")] + [s["src"] for s in page.all("script")]
        for link in links:
            if link.startswith(("#", "data:image/svg+xml,")):
                continue
            target = (path.parent / link).resolve()
            assert target.is_relative_to(out.resolve()), link
            assert target.is_file(), link


def test_no_page_has_a_script_of_its_own(site):
    for path in pages(site[0]):
        page = Page(path)
        assert all("src" in script for script in page.all("script"))
        assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
        assert "img" not in {tag for tag, _ in page.elements}


def test_every_page_forbids_what_is_not_its_own(site):
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    for path in pages(site[0]):
        metas = Page(path).all("meta")
        assert {"http-equiv": "Content-Security-Policy", "content": CONTENT_SECURITY_POLICY} in metas


def test_ids_of_a_page_are_its_own_and_labels_have_fields(site):
    for path in pages(site[0]):
        page = Page(path)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), path
        assert {label["for"] for label in page.all("label") if "for" in label} <= set(ids)
        named = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
        assert named <= set(ids)
        assert sum(tag == "h1" for tag, _ in page.elements) == sum(tag == "main" for tag, _ in page.elements) == 1


def test_the_first_page_shows_names_and_tells_data_apart(site):
    page = Page(site[0] / "index.html")
    assert "<script>window.pwned=1</script>" in page.text
    assert "a⟨U+202E⟩gpj.exe" in page.text
    assert "long" * 30 + "… (10,000 characters)" in page.text
    assert "{{ 7 * 7 }}" in page.text
    kinds = [s["data-kind"] for s in page.all("section") if "data-kind" in s]
    assert kinds == ["real", "real", "real", "simulated"]
    assert "SIMULATED." in page.text


def test_places_of_the_machine_are_not_published(site):
    for path in pages(site[0]):
        assert "/secret" not in path.read_text(), path
    assert "broken.json: broken.json is <b>no</b> record." in Page(site[0] / "index.html").text


def test_the_first_page_loads_no_charts_and_no_runs(site):
    sources = [script["src"] for script in Page(site[0] / "index.html").all("script")]
    assert not [source for source in sources if "plotly" in source or "runs/" in source]


def test_the_table_of_a_board_has_its_runs_in_their_order(site):
    page = Page(site[0] / "boards" / "session-01.html")
    board = hostile_leaderboard().boards[1]
    assert [row["data-run"] for row in page.all("tr") if "data-run" in row] == [row.run.id for row in board.rows]
    assert "noise" in page.text
    assert "Nobody \\& Co. (2020) <i>100 \\%</i>" not in page.text  # the record's own citation comes first
    assert "@software{neurofit," in page.text


def test_a_model_page_lists_superseded_runs(site):
    found = [path for path in (site[0] / "models").glob("rgc-*.html") if "superseded" in path.read_text()]
    assert len(found) == 1


def test_records_are_data_of_scripts(site):
    out, _ = site
    board = hostile_leaderboard().boards[0]
    for row in board.rows:
        text = (out / "runs" / f"{row.run.id}.js").read_text()
        assert text.isascii()
        assert "<" not in text
        name, record = json.loads("[" + text.removeprefix("neurofit.receive(").removesuffix(");\n") + "]")
        assert name == row.run.id
        assert json.loads(record)["subject"]["name"] == row.run.model


def test_a_record_is_the_file_to_the_letter(tmp_path):
    run = run_of(0, "rgc")
    text = json.dumps(run.document, indent=3) + "\n\n"
    (tmp_path / "r.json").write_text(text)
    assert record_text(replace(run, path=tmp_path / "r.json")) == text


def test_a_record_with_numbers_that_browsers_do_not_read_is_written_anew(tmp_path):
    run = run_of(0, "rgc")
    run.document["score"]["standard_error"] = float("nan")
    (tmp_path / "r.json").write_text(json.dumps(run.document))
    assert json.loads(record_text(replace(run, path=tmp_path / "r.json")))["score"]["standard_error"] is None


def test_the_same_records_make_the_same_site(site, tmp_path):
    write_site(hostile_leaderboard(), tmp_path / "again")
    assert files(tmp_path / "again") == files(site[0])


def test_csv_has_all_digits_and_no_formula():
    board = hostile_leaderboard().boards[0]
    rows = list(csv.DictReader(io.StringIO(csv_text(board))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [float(row["value"]) for row in rows] == [row.run.value for row in board.rows]
    assert [row["rank"] for row in rows] == [str(row.rank) for row in board.rows]
    assert not [row for row in rows if row["model"].startswith("=")]


def test_csv_leaves_out_what_is_not_known():
    run = run_of(0, "rgc", low=float("nan"), high=float("nan"), ceiling=float("nan"), parameters=None, top1=None)
    row = next(csv.DictReader(io.StringIO(csv_text(board_of_runs(0, [run])))))
    assert [row[name] for name in ("low", "high", "ceiling", "parameters", "top1")] == [""] * 5


def test_runs_without_numbers_have_pages(tmp_path):
    run = run_of(0, "rgc", **dict.fromkeys(("low", "high", "raw", "ceiling"), float("nan")), parameters=None, top1=None)
    bare = {"score": {"formula": "raw"}, "subject": {}, "time_bins": [], "benchmark": {}}
    write_site(Leaderboard(tmp_path, (board_of_runs(0, [replace(run, document=bare)]),), ()), tmp_path / "out")
    assert "not corrected for noise" in (tmp_path / "out/boards/session-00.html").read_text()


def test_a_leaderboard_without_boards_says_so(tmp_path):
    write_site(Leaderboard(tmp_path, (), ()), tmp_path / "out")
    assert "There is no board yet" in Page(tmp_path / "out/index.html").text
    assert "There is no board yet" in Page(tmp_path / "out/compare.html").text


def test_identifiers_that_are_no_file_names_are_replaced(tmp_path):
    run = replace(run_of(0, "rgc"), id="../../outside")
    board = replace(board_of_runs(0, [run]), id="..\\up/CON")
    out = tmp_path / "deep" / "er" / "out"
    write_site(Leaderboard(tmp_path, (board,), ()), out)
    assert not list(tmp_path.glob("*outside*"))
    assert [path.name.split("-")[0] for path in (out / "boards").iterdir()] == ["up"]


@pytest.fixture
def small(tmp_path):
    return Leaderboard(tmp_path, (board_of_runs(1, [run_of(1, "rgc")]),), ())


def test_a_former_site_is_replaced_as_a_whole(small, tmp_path):
    out = tmp_path / "out"
    write_site(hostile_leaderboard(), out)
    (out / ".DS_Store").write_text("")  # what file managers leave does not matter
    write_site(small, out)
    assert {path.name for path in (out / "boards").iterdir()} == {"session-01.html"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_used(small, tmp_path):
    (tmp_path / "out").mkdir()
    assert write_site(small, tmp_path / "out").boards == 1


@pytest.mark.parametrize("name", ["notes.txt", "boards/mine.html", "runs"])
def test_files_of_others_are_not_replaced(small, tmp_path, name):
    out = tmp_path / "out"
    if name != "notes.txt":
        write_site(small, out)
    if name == "runs":
        (out / "runs" / "link").symlink_to(tmp_path)
    else:
        out.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    before = files(out)
    with pytest.raises(OutputError, match="a site replaces only a former site - .* which no site wrote - give another"):
        write_site(small, out)
    assert files(out) == before


def test_a_file_is_not_replaced(small, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        write_site(small, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_marker_that_says_nothing_protects_nothing(small, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MARKER).write_text('{"files": 3}')
    with pytest.raises(OutputError, match="which no site wrote"):
        write_site(small, tmp_path / "out")


def test_a_full_disk_leaves_the_former_site(small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_site(small, out)
    before = files(out)
    opened = Path.open

    def full(path, mode="r", *args, **kwargs):
        if mode == "xb" and path.name.endswith(".js") and path.parent.name == "runs":
            raise OSError(28, "No space left on device")
        return opened(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_site(small, out)
    monkeypatch.undo()
    assert files(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_swap_that_fails_brings_the_former_site_back(small, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_site(small, out)
    before = files(out)
    renamed = Path.rename

    def refuse(path, target):
        if path.name.endswith(".tmp"):
            raise OSError(13, "Permission denied")
        return renamed(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        write_site(small, out)
    monkeypatch.undo()
    assert files(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
