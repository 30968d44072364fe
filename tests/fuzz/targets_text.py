"""What of neurofit reads text: manifests, benchmarks, recipes, commitments, records, tables; and what is made of it."""

from __future__ import annotations

import dataclasses
import hashlib
import html.parser
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

for _place in (Path(__file__).parent, Path(__file__).parents[1], Path(__file__).parents[1] / "report"):
    if str(_place) not in sys.path:
        sys.path.insert(0, str(_place))

import targets_models  # noqa: E402
import text_mutations as change  # noqa: E402
import toy_records  # noqa: E402
from driver import Target  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
LAYER = {
    "layer": "a", "r": 0.5, "low": 0.4, "high": 0.6, "r_by_split": [0.5, 0.4], "fraction": 1.0,
    "fraction_by_split": [1.0, 1.0],
}  # fmt: skip
COMMITMENT = {
    "simulated": True, "model": "net", "weights_sha256": "ab" * 8, "benchmark": "toy-it", "benchmark_version": 1,
    "dataset": "toys", "region": "IT", "per": "bin", "window_ms": [70, 90], "average": "responses", "mapping": "pls",
    "inner_splits": "5 of 80 %", "stimuli_hash": "a", "splits_hash": "b", "neuroids_hash": "c", "responses_hash": "d",
    "split_hashes": ["e", "f"], "layer": "a", "split_layers": ["a", "b"], "units": ["70-80"], "choices": [["a"], ["b"]],
    "overall": ["a"], "table": [LAYER, {**LAYER, "layer": "b"}], "date": "2026-01-01", "neurofit_version": "0.1",
}  # fmt: skip


def copies(*patterns: str, at_most: int = 4) -> Callable[[Path], list[Path]]:
    """Return seeds that are files of this repository."""

    def seeds(folder: Path) -> list[Path]:
        found = sorted(path for pattern in patterns for path in REPOSITORY.glob(pattern))
        chosen = found[:: max(1, len(found) // at_most)][:at_most]
        return [Path(shutil.copy(path, folder / path.name)) for path in chosen]

    return seeds


def texts(**documents: object) -> Callable[[Path], list[Path]]:
    """Return seeds that are JSON documents, or text, by file name with '__' for the dot."""

    def seeds(folder: Path) -> list[Path]:
        paths = []
        for name, document in documents.items():
            path = folder / name.replace("__", ".")
            path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
            paths.append(path)
        return paths

    return seeds


def read_manifest(path: Path) -> object:
    from neurofit.files.manifest import Manifest

    manifest = Manifest.from_toml(path)
    inside = path.parent / "data"
    for entry in manifest.files:
        assert (inside / entry.name).resolve().is_relative_to(inside.resolve()), entry.name
        assert entry.url is None or entry.url.startswith(("https://", "http://127.0.0.1", "http://localhost"))
    return manifest


def read_benchmark(path: Path) -> object:
    from neurofit.scoring.benchmark import Benchmark

    benchmark = Benchmark.from_toml(path)
    return benchmark.time_bins.bins(), benchmark.viewing.viewing(), benchmark.mapping.estimator()


def read_recipe(path: Path) -> object:
    from neurofit.training.recipe import load_recipe

    recipe = load_recipe(str(path))
    return [recipe.learning_rate(epoch) for epoch in (0.0, 0.5)], recipe.size_px(0, 32)


def read_space(path: Path) -> object:
    from neurofit.training.search_space import load_space

    return load_space(str(path))


def read_commitment(path: Path) -> object:
    from neurofit.scoring.commitment import load_commitment

    return load_commitment(path)


def record_seeds(folder: Path) -> list[Path]:
    """Records of two models on a board, one with neuroids."""
    values = np.array([[0.2, 0.4, np.nan], [0.5, 0.6, 0.7], [0.1, 0.2, 0.3]])
    made = [
        toy_records.record("one", values, subject__macs=10, subject__network_units=4),
        toy_records.record("two", subject__macs=20, subject__network_units=5),
        toy_records.record("three", simulated=True, benchmark__metric={"kind": "rsa", "distance": "correlation"}),
    ]
    return [toy_records.write(folder, each) for each in made]


def read_record(path: Path) -> object:
    from neurofit.report.record import load_record
    from neurofit.report.tradeoff import tradeoff_of_records

    load_record(path)
    shutil.rmtree(path.parent / "others", ignore_errors=True)
    shutil.copy(path, folder_of(path.parent / "others") / "again.json")
    return tradeoff_of_records([path, path.parent / "others"], "parameters")


def read_tradeoff_figure(path: Path) -> object:
    from neurofit.report.style import save_figure
    from neurofit.report.tradeoff_figure import plot_tradeoff

    return save_figure(plot_tradeoff(read_record(path)), path.parent / "figure.png")


def read_leaderboard(path: Path) -> object:
    from neurofit.report.leaderboard import leaderboard
    from neurofit.report.leaderboard_text import csv_of, document_of, html_of, markdown_of, text_of

    folder = _beside_others(path)
    board = leaderboard(folder)
    csv_of(board).encode()
    for text in (text_of(board), markdown_of(board)):
        assert all(line.isprintable() for line in text.split("\n"))
    check_markup(html_of(board), frozenset())
    return json.dumps(document_of(board))


def read_site(path: Path) -> object:
    from neurofit.report.leaderboard import leaderboard
    from neurofit.report.site import write_site

    site = path.parent / "site"
    shutil.rmtree(site, ignore_errors=True)
    write_site(leaderboard(_beside_others(path)), site)
    check_site(site)
    return site


def _beside_others(path: Path) -> Path:
    folder = path.parent / "records"
    shutil.rmtree(folder, ignore_errors=True)
    record_seeds(folder_of(folder))
    shutil.copy(path, folder / "zz.json")
    return folder


def folder_of(folder: Path) -> Path:
    """Make a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Markup(html.parser.HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.scripts: set[str] = set()
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        for name, value in attrs:
            leads = name in ("href", "src", "action", "formaction") and tag != "link"
            if name.startswith("on") or (leads and re.match(r"\s*(javascript|data|vbscript|file):", value or "", re.I)):
                self.bad.append(f"{tag} {name}={value}")
            if name == "src":
                self.scripts.add(value or "")
            if name in ("href", "src") and re.match(r"(//|https?:)", value or ""):
                self.bad.append(f"{tag} leads outside: {value}")
        if (tag, dict(attrs).get("rel")) == ("link", "icon"):
            return
        if tag in ("img", "iframe", "object", "embed", "base", "svg", "math"):
            self.bad.append(tag)

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.bad.append(f"script text {data[:60]!r}")
        self._in_script = False


def check_markup(text: str, scripts: frozenset[str] | None) -> None:
    """Assert that a page runs and loads nothing but the site's own files."""
    parser = _Markup()
    parser.feed(text)
    parser.close()
    assert not parser.bad, f"markup of a record is alive: {parser.bad[:3]}"
    own = {src for src in parser.scripts if re.fullmatch(r"(\.\./)?assets/[a-zA-Z./-]+\.js", src)}
    assert parser.scripts <= (own if scripts is None else scripts), parser.scripts


def check_site(site: Path) -> None:
    """Assert that a site's files have harmless names, lie in it, and say what they say without acting."""
    for path in site.rglob("*"):
        name = path.relative_to(site).as_posix()
        assert re.fullmatch(r"[A-Za-z0-9._/-]+", name) and len(path.name) < 200 and not path.is_symlink(), name
        assert not re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", path.name, re.I), name
        if path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            assert "\x00" not in text and "\u202e" not in text
            check_markup(text, None)
        elif path.suffix == ".js" and (path.parent.name == "runs" or path.stem in ("boards", "series")):
            check_call(path.read_text(encoding="utf-8"))


def check_call(text: str) -> None:
    """Assert that a script is one call with JSON arguments that cannot end it."""
    found = re.fullmatch(r"neurofit\.[A-Za-z]+\((.*)\);\n", text, re.S)
    assert found and text.count("\n") == 1 and "<" not in text and text.isascii(), text[:80]
    arguments = json.loads(f"[{found[1]}]", parse_constant=_refuse)
    if len(arguments) == 2 and isinstance(arguments[1], str):
        json.loads(arguments[1], parse_constant=_refuse)


def _refuse(text: str) -> None:
    raise AssertionError(f"a browser does not read {text}")


def read_site_marker(path: Path) -> object:
    from neurofit.report.site.folder import MARKER, new_folder

    out = path.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    (folder_of(out) / "index.html").write_text("former")
    shutil.copy(path, out / MARKER)
    with new_folder(out) as folder:
        folder.write("index.html", "x")
    return out


def training_seeds(folder: Path) -> list[Path]:
    """The record of a run of training that has ended."""
    from neurofit.report.record import save_record

    return [save_record(_training_record(), folder / "record.json")]


def _training_record() -> dict:
    from neurofit.report.training_record import begin_training_record, finish_training_record

    column = "SIMULATED.sim-it.conv5"
    look = {
        "simulated": True, "columns": {"conv5": column}, "every": 2, "n_stimuli": 640,
        "benchmark": {
            "name": "sim-it", "region": "IT", "dataset": "sim-ventral", "splits": {"n_splits": 4},
            "correction": {"formula": "both", "n_halvings": 1}, "aggregation": {"window_ms": (70, 170)},
        },
    }  # fmt: skip
    begun = begin_training_record(
        model="net", seed=0, parameters=1000, recipe={"name": "toy", "phases": [{"epochs": 4}]},
        presentation={"steps": 5}, preprocessing={"size_px": 16},
        data={"name": "colours", "training": 60, "validation": 30, "classes": 5, "fingerprint": "a"},
        engine={"device": "cpu", "precision": "float32"}, threads=1, looks=[look],
        before={"epoch": 0, "top1": 0.2, f"{column}.corrected": 0.3},
    )  # fmt: skip
    rows = [
        {"epoch": epoch, "size_px": 16, "training_loss": 2 / epoch, "top1": 0.1 * epoch, "top5": 0.9, "seconds": 9.0,
         "images_per_second": 6.0, f"{column}.corrected": 0.3, f"{column}.raw": 0.2}
        for epoch in (1, 2)
    ]  # fmt: skip
    return finish_training_record(begun, rows)


def read_training_record(path: Path) -> object:
    from neurofit.files.json_text import to_json
    from neurofit.report.training_record import load_training_run
    from neurofit.report.training_table import zoo_table

    folder = folder_of(path.parent / "run")
    shutil.copy(path, folder / "record.json")
    run = load_training_run(folder)
    table = zoo_table([folder])
    return to_json(run.as_dict()), [table.as_text(form) for form in ("text", "markdown", "csv")]


def read_training_figure(path: Path) -> object:
    from neurofit.report.style import save_figure
    from neurofit.report.training_figure import plot_training, plot_zoo
    from neurofit.report.training_record import load_training_run
    from neurofit.report.training_table import zoo_table

    folder = folder_of(path.parent / "run")
    shutil.copy(path, folder / "record.json")
    save_figure(plot_training([load_training_run(folder)]), path.parent / "curves.png")
    return save_figure(plot_zoo(zoo_table([folder])), path.parent / "zoo.png")


EPOCHS = "epoch,size_px,training_loss,top1,top5,seconds,images_per_second,SIMULATED.sim-it.conv5.corrected\n" + "".join(
    f"{epoch},16,{2 / epoch},{epoch / 10},0.9,9.0,6.0,0.3\n" for epoch in (1, 2, 3)
)


def read_epochs(path: Path) -> object:
    from neurofit.report.training_record import load_training_run

    folder = folder_of(path.parent / "run")
    shutil.copy(path, folder / "epochs.csv")
    return load_training_run(folder).as_dict()


def read_updates(path: Path) -> object:
    from neurofit.training.logs import UPDATES, Logs

    folder = folder_of(path.parent / "run")
    shutil.copy(path, folder / UPDATES)
    with Logs(folder, 2, [{"epoch": 1}]):
        return None


def read_pointer(path: Path) -> object:
    from neurofit.models.released_store import stored_weights

    folder = path.parent / "data"
    shutil.copy(path, folder_of(folder / "weights") / "rgc_intermediate.json")
    (folder / "weights" / f"{POINTER['sha256']}.safetensors").write_bytes(WEIGHTS)
    return stored_weights("rgc_intermediate", folder, verify=True)


WEIGHTS = b"0123456789"
POINTER = {
    "model": "rgc_intermediate", "sha256": hashlib.sha256(WEIGHTS).hexdigest(), "size": 10,
    "converted_at": "2026-01-01", "neurofit_version": "0.1",
    "sources": [{"name": "a.index", "size": 3, "digest": "sha256:" + "cd" * 32, "known_by": "the manifest"}],
}  # fmt: skip


def read_ledger(path: Path) -> object:
    from neurofit.files.manifest import FIRST_SEEN_NAME, Manifest
    from neurofit.files.verify import examine, expectation, read_first_seen

    folder = folder_of(path.parent / "data")
    shutil.copy(path, folder / FIRST_SEEN_NAME)
    (folder / "a.h5").write_bytes(b"abc")
    manifest = Manifest.from_toml(REPOSITORY / "data_manifests" / "convrnn-rgc-intermediate.toml")
    entry = next(each for each in manifest.files)
    ledger = read_first_seen(folder)
    for name in list(ledger)[:3]:
        unknown = dataclasses.replace(entry, name=name, sha256=None, sha1=None, hash_unknown="x", size=None)
        examine(folder / "a.h5", expectation(unknown, folder))
    return ledger


def read_remembered(path: Path) -> object:
    from neurofit.training.image_files import failures_of

    return failures_of(path.parent, [], "header", 0, path)


LEDGER = {"a.h5": {"sha256": "ab" * 32, "size": 3}}
MARKER = {"made_by": "x", "files": ["index.html"]}
TARGETS = {
    target.name: target
    for target in (
        Target("manifest", copies("data_manifests/*.toml"), change.toml_file, read_manifest),
        Target("benchmark", copies("benchmarks/*.toml"), change.toml_file, read_benchmark),
        Target("recipe", copies("neurofit/training/recipes/*.toml"), change.toml_file, read_recipe),
        Target("space", copies("neurofit/training/searches/*.toml"), change.toml_file, read_space),
        Target("commitment", texts(layers__json=COMMITMENT), change.json_file, read_commitment),
        Target("record", record_seeds, change.json_file, read_record),
        Target("tradeoff-figure", record_seeds, (change.json_file, change.json_words), read_tradeoff_figure),
        Target("leaderboard", record_seeds, (change.json_file, change.json_words), read_leaderboard),
        Target("site", record_seeds, (change.json_file, change.json_words), read_site),
        Target("training-record", training_seeds, (change.json_file, change.json_words), read_training_record),
        Target("training-figure", training_seeds, (change.json_file, change.json_words), read_training_figure),
        Target("epochs", texts(epochs__csv=EPOCHS), change.csv_file, read_epochs),
        Target("updates", texts(updates__csv="update,loss\n1,2.0\n2,1.0\n3,0.5\n"), change.csv_file, read_updates),
        Target("weights-pointer", texts(pointer__json=POINTER), change.json_file, read_pointer),
        Target("first-seen", texts(seen__json=LEDGER), change.json_file, read_ledger),
        Target("remembered", texts(checked__json={"ab" * 32: {"0": "why"}}), change.json_file, read_remembered),
        Target("site-marker", texts(marker__json=MARKER), change.json_file, read_site_marker),
    )
} | targets_models.TARGETS  # fmt: skip
