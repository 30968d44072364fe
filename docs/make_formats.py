"""Write docs/benchmark-format.md and docs/manifest-format.md from the dataclasses: ``python docs/make_formats.py``.

Keys, types and defaults are those of the dataclasses. What a key of a benchmark means, and where its default is from,
is said here; what a key of a manifest means is taken from its docstring.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

from numpydoc.docscrape import NumpyDocString

from neurofit.data import datasets
from neurofit.files.manifest import FileEntry, Manifest
from neurofit.files.toml_schema import in_words
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.formulas import FORMULAS

DOCS = Path(__file__).resolve().parent

PAPERS = "the ConvRNN papers (Nayebi et al. 2018, 2022)"
BENCHMARK_KEYS: dict[str, tuple[str, str]] = {  # key -> (meaning, where the default is from)
    "name": ("what every table and record calls it", ""),
    "title": ("one line for people", ""),
    "version": ("raised whenever a choice changes; scores compare only within one name and version", ""),
    "dataset": ("name in `neurofit data list`, or the path of a manifest of yours", ""),
    "region": ("region or subregion of the recording", ""),
    "source": ("where the choices come from", ""),
    "time_bins.start_ms": ("start of the first bin, from stimulus onset", ""),
    "time_bins.end_ms": ("end of the last bin", ""),
    "time_bins.width_ms": ("width of a bin; start to end is a whole number of them", ""),
    "viewing.on_ms": ("how long a model is shown the image; a blank follows", "the recording's presentation"),
    "viewing.total_ms": ("how long a model is recorded", "26 steps of 10 ms: " + PAPERS),
    "viewing.field_deg": ("degrees that a model's input spans; none shows the image as it is", "ours"),
    "static.mode": ("what networks without dynamics do in time, see [static networks](static-networks.md)", "ours"),
    "static.latency_ms": ("when their responses begin", "the mode's own"),
    "static.layers": ("layers of the modes uniform and graded, in order", "all but the readout"),
    "metric.kind": ("which question is asked, see [metrics](metrics.md)", PAPERS),
    "metric.distance": ("of two patterns, of `rsa`; correlation unless given", "Kriegeskorte et al. 2008"),
    "metric.comparison": ("of two RDMs, of `rsa`; spearman unless given", "Kriegeskorte et al. 2008"),
    "metric.repetitions": ("showings of `rsa`; equal unless given", "ours, measured in [metrics](metrics.md)"),
    "metric.max_stimuli": ("of `rsa`: of more, so many are drawn; 1,000 unless given", "ours: half a million pairs"),
    "metric.labels": ("coordinate that `decoding` decodes; object_name unless given", "ours"),
    "metric.classifier": ("of `decoding`; svm unless given", PAPERS),
    "metric.penalty": ("C of the classifier; 1 unless given", "scikit-learn"),
    "metric.random_state": ("of the stimuli that are drawn, or of the classifier; 0 unless given", "ours"),
    "mapping.kind": ("partial least squares, or ridge regression", PAPERS),
    "mapping.n_components": ("of `pls`; 25 unless given", PAPERS),
    "mapping.scale": ("of `pls`: whether columns are divided by their standard deviation", PAPERS),
    "mapping.precision": ("of `pls`: float32 takes half the time and changes r by some 1e-5", "ours"),
    "mapping.alphas": ("of `ridge`: penalties to choose from for every neuroid", "[ADR 10](adr/0010-ridge.md)"),
    "mapping.relative_alphas": (
        "of `ridge`: whether they are multiplied by the features' total variance; true unless given",
        "[ADR 10](adr/0010-ridge.md)",
    ),
    "mapping.temporal": (
        "a mapping for every bin, or one for all",
        "ours; the papers' is the fixed one, as far as known",
    ),
    "splits.kind": ("random splits of stimuli, or Brain-Score's of rows", "neuroailab/streams @ 0570ab1"),
    "splits.n_splits": ("how many", "neuroailab/streams @ 0570ab1"),
    "splits.test_size": ("part of the stimuli that is held out", "neuroailab/streams @ 0570ab1"),
    "splits.random_state": ("seed of the splits", "ours"),
    "splits.stratify": ("coordinate whose values are held out in proportion; none unless given", "ours"),
    "correction.formula": (
        "noise correction, see below",
        "the authors' lineage (neuroailab/brainmodel_utils @ 164d3a2)",
    ),
    "correction.n_halvings": ("random halvings of the repetitions", "neuroailab/streams @ 0570ab1"),
    "correction.threshold": (
        "a neuroid x bin whose consistency is not above it is NaN and counted",
        "[ADR 3](adr/0003-which-terms-are-corrected.md)",
    ),
    "correction.random_state": ("seed of the halvings", "ours"),
    "aggregation.order": ("mean over splits, then median over neuroids; or the other way round (Brain-Score)", PAPERS),
    "aggregation.window_ms": (
        "the headline is the mean of the bins that lie inside",
        "the field's window of time-averaged responses",
    ),
    "aggregation.n_resamples": ("bootstrap resamples of an interval", "ours"),
    "aggregation.level": ("of the interval", "ours"),
}
PHRASES = {  # from clauses of a message to a cell of a table
    "text and text that says something": "text",
    r"^text and ": "text: ",
    r"a (?:whole|finite) number and (a positive number of)": r"\1",
    r" and (?=positive|at least|0 or more|3 or more|in \[|between|a start)": ", ",
    r"^a list \(of ": "list (of ",
}
BENCHMARK_EXAMPLE = """name = "my-v4"
title = "V4 of monkey M, natural images, bins of 20 ms"
version = 1
dataset = "my-recording.toml"     # a manifest; see its format
region = "V4"
source = "our laboratory; mapping, splits and correction of the ConvRNN papers"

[time_bins]
start_ms = 0
end_ms = 260
width_ms = 20

[viewing]
on_ms = 100
total_ms = 260
field_deg = 8.0

[static]
mode = "graded"
latency_ms = 60
layers = ["conv2", "conv3"]

[metric]
kind = "predictivity"

[mapping]
kind = "pls"
n_components = 25
scale = false
precision = "float64"
temporal = "fixed"

[splits]
kind = "stimulus-shuffle"
n_splits = 10
test_size = 0.25
random_state = 0
stratify = "object_name"

[correction]
formula = "both"
n_halvings = 10
threshold = 0.1
random_state = 0

[aggregation]
order = "splits-then-neuroids"
window_ms = [60, 160]
n_resamples = 1000
level = 0.95
"""
MANIFEST_EXAMPLE = """name = "my-recording"
title = "V4 of monkey M, natural images, 2026"
kind = "recording"
reader = "hdf5"
regions = ["V4"]
subjects = ["M"]
time_bins_ms = []                 # read from the file
size_deg = 8.0
repetitions = true
licence = "CC-BY-4.0"
licence_url = "https://creativecommons.org/licenses/by/4.0/"
terms = "may be shared with attribution"
citation = "Our laboratory (2026), in preparation"
source = "our laboratory"
notes = "Sites with a signal-to-noise ratio below 1 were left out."

[[files]]
name = "responses.h5"
role = "assembly"
url = "https://example.org/my-recording/responses.h5"
size = 123456
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"

[[files]]
name = "images.zip"
role = "images"
hash_unknown = "not public; made by ourselves"
"""
BENCHMARK_HEAD = """<!-- generated by docs/make_formats.py -->
# Benchmark files

A benchmark is everything that decides a score except the subject: a TOML file, read by `neurofit.Benchmark.from_toml`
and by `--benchmark` of every command. The shipped ones lie in `benchmarks/`. A file is checked as a whole: every
unknown key (with the nearest known one), wrong type and impossible value is told at once.
"""
MANIFEST_HEAD = """<!-- generated by docs/make_formats.py -->
# Data manifests

A manifest says what a dataset, a set of stimuli or a set of weights consists of, and how to know its files: a TOML
file, read by `neurofit data ...` and by the `dataset` key of a benchmark. The shipped ones lie in `data_manifests/`;
[your own data](your-own-data.md) has the shortest way to one of yours. A file is checked as a whole: every unknown key
(with the nearest known one), wrong type and impossible value is told at once.
"""


def benchmark_page() -> str:
    """Return docs/benchmark-format.md."""
    keys = dict(_keys(Benchmark))
    if keys.keys() != BENCHMARK_KEYS.keys():
        raise SystemExit(f"BENCHMARK_KEYS says nothing of {sorted(keys.keys() ^ BENCHMARK_KEYS.keys())}")
    parts = [BENCHMARK_HEAD, "\n## Keys of the file itself\n"]
    table = ""
    rows: list[str] = []
    for key, (field, hint) in keys.items():
        here = key.rpartition(".")[0]
        if here != table:
            parts.append(_table(("key", "value", "default", "meaning", "default from"), rows))
            parts.append(f"\n## `[{here}]`\n")
            table, rows = here, []
        meaning, origin = BENCHMARK_KEYS[key]
        rows.append(_row(key.rpartition(".")[2], field, hint, meaning, origin))
    parts.append(_table(("key", "value", "default", "meaning", "default from"), rows))
    formulas = [f"| `{formula.name}` | {formula.text} |" for formula in FORMULAS.values()]
    parts.append("\n## Formulas\n\n" + "\n".join(["| name | value |", "|---|---|", *formulas]) + "\n")
    parts.append(
        "\nr is the raw predictivity; consistencies are Spearman-Brown corrected split-half correlations. The reasons "
        "are in\n"
        "[ADR 3](adr/0003-which-terms-are-corrected.md), Brain-Score's three in "
        "[coming from Brain-Score](coming-from-brain-score.md).\n"
    )
    return "".join(parts) + f"\n## A complete file\n\n```toml\n{BENCHMARK_EXAMPLE}```\n"


def manifest_page() -> str:
    """Return docs/manifest-format.md."""
    parts = [MANIFEST_HEAD]
    for title, schema in (("Keys of the file itself", Manifest), ("`[[files]]`, one table for each file", FileEntry)):
        meanings = _documented(schema)
        rows = [
            _row(key, field, hint, meanings[key])
            for key, (field, hint) in _keys(schema)
            if not dataclasses.is_dataclass(_item(hint))
        ]
        parts.append(f"\n## {title}\n" + _table(("key", "value", "default", "meaning"), rows))
    parts.append(
        "\nA recording has a `reader`, `regions` and `repetitions`; data that are not simulated have files; a file has "
        "a digest\n(`sha256`, or `sha1`) or says in `hash_unknown` why not. Readers: "
        + ", ".join(f"`{name}`" for name in datasets._RECORDINGS)
        + ".\n"
    )
    return "".join(parts) + f"\n## A complete file\n\n```toml\n{MANIFEST_EXAMPLE}```\n"


def pages() -> dict[str, str]:
    """Return every page by its file name."""
    return {"benchmark-format.md": benchmark_page(), "manifest-format.md": manifest_page()}


def _keys(schema: Any, before: str = "") -> Any:
    """Yield (dotted key, (field, annotation)) of a dataclass, those of its tables after its own."""
    hints = get_type_hints(schema, include_extras=True)
    tables = []
    for field in dataclasses.fields(schema):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            tables.append((field.name, hint))
        else:
            yield before + field.name, (field, hint)
    for name, table in tables:
        yield from _keys(table, f"{before}{name}.")


def _item(hint: Any) -> Any:
    """Return what a list holds."""
    return get_args(hint)[0] if get_args(hint) else hint


def _row(key: str, field: Any, hint: Any, *more: str) -> str:
    """Return the row of one key."""
    words = re.sub(r"'([^']+)'", r"`\1`", in_words(hint)).replace("|", "\\|")
    for pattern, written in PHRASES.items():
        words = re.sub(pattern, written, words)
    return "| " + " | ".join([f"`{key}`", words, _default(field), *more]) + " |"


def _default(field: Any) -> str:
    """Return a default as a TOML file would have it."""
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "required"
    value = field.default
    if value in (None, (), ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{list(value) if isinstance(value, tuple) else value}`"


def _documented(schema: Any) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each field."""
    found = {}
    for parameter in NumpyDocString(inspect.getdoc(schema) or "")["Parameters"]:
        for name in parameter.name.split(", "):
            found[name] = " ".join(" ".join(parameter.desc).split()).replace("|", "\\|").removesuffix(".")
    return found


def _table(head: tuple[str, ...], rows: list[str]) -> str:
    """Return a table."""
    return "\n" + "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows]) + "\n"


if __name__ == "__main__":
    for file_name, text in pages().items():
        (DOCS / file_name).write_text(text)
