"""Readers of text, models and records refuse what is hostile: the kept corpus, bounds, and a few fresh mutations."""

from __future__ import annotations

import lzma
import os
import shutil
from pathlib import Path

import driver
import numpy as np
import pytest
import targets_models
import targets_text
import text_mutations as change
from targets_text import TARGETS

from neurofit.errors import ConfigurationError, DataFileError, NeurofitError
from neurofit.files.json_text import MAX_JSON_BYTES, misfit, read_json
from neurofit.files.manifest import Manifest
from neurofit.files.toml_schema import MAX_TOML_BYTES
from neurofit.report.plain_text import drawable, markdown, printable
from neurofit.report.record import load_record
from neurofit.training.checkpoints import Checkpoints

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path for name in TARGETS for path in (CORPUS / name).glob("*"))
SLOW = ("site", "tradeoff-figure", "training-figure", "study", "architecture", "weights-details")
FRESH = 8  # mutations of a target in the default run; slow ones wait for the slow run, but for one of the site


def _case(path: Path) -> object:
    marks = pytest.mark.slow if path.parent.name in SLOW else ()
    return pytest.param(path, marks=marks, id=f"{path.parent.name}/{path.name}")


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    with driver.Child("targets_text", tmp_path_factory.mktemp("fuzz")) as one:
        yield one


def test_there_is_a_corpus():
    assert len(CASES) > 40


@pytest.mark.parametrize("path", [_case(path) for path in CASES])
def test_what_was_found_once_is_no_finding_any_more(child, path):
    folder = child.work / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    copy = folder / path.name.partition("__")[2].removesuffix(".xz")
    copy.write_bytes(lzma.decompress(path.read_bytes()))
    found = child.read(path.parent.name, copy)
    assert found["outcome"] != "finding", found


@pytest.mark.parametrize("target", [*(target for target in TARGETS if target not in SLOW), "site"])
def test_fresh_mutations_are_no_findings(child, target):
    n = 1 if target in SLOW else FRESH
    tally = driver.run(child, target, n, seed=20)
    assert not tally["finding"], tally
    assert tally["refused"] + tally["read"] == n


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_fresh_mutations_are_no_findings(child, target, tmp_path):
    tally = driver.run(child, target, 60 if target in SLOW else 400, seed=21, out=tmp_path)
    assert not tally["finding"], tally


def test_mutations_keep_most_files_readable_as_what_they_are():
    rng = np.random.default_rng(0)
    content = change.json_text(targets_text.toy_records.record()).encode()
    texts = [change.json_words(content, rng) for _ in range(20)]
    assert len({bytes(text) for text in texts}) == 20


def test_text_beyond_its_bound_is_refused_before_it_is_parsed(tmp_path):
    large = tmp_path / "large.toml"
    large.touch()
    os.truncate(large, MAX_TOML_BYTES + 1)
    with pytest.raises(ConfigurationError, match=f"{MAX_TOML_BYTES + 1:,} bytes, and at most {MAX_TOML_BYTES:,} are"):
        Manifest.from_toml(large)
    os.truncate(large, MAX_JSON_BYTES + 1)
    with pytest.raises(DataFileError, match=f"at most {MAX_JSON_BYTES:,} are read"):
        load_record(large)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for read in (Manifest.from_toml, load_record):
        with pytest.raises(NeurofitError, match="no regular file"):
            read(tmp_path / "pipe.toml")


@pytest.mark.parametrize(
    "text",
    ["a" + ".a" * 100_000 + " = 1", "[" + "a." * 100_000 + "a]", "a" + ".a" * 200 + " = 1",
     "[[files]]\n" * 20_000, "".join(f"licence{i} = 1\n" for i in range(20_000)), "name" + ".a" * 1_000 + " = 1"],
    ids=["dotted key", "dotted table", "short key", "many tables", "many keys", "deep value"],
)  # fmt: skip
def test_toml_that_would_take_minutes_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as found:
        Manifest.from_toml(path)
    assert str(found.value).isprintable() and len(str(found.value)) < 3_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": NaN}', "NaN, which JSON does not have"),
        ('{"a": 1e999}', "out of bounds"),
        ('{"a": ' + "1" * 10**6 + "}", "1,000,000 digits"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        ('{"a": "\xff"}', "not UTF-8"),
    ],
)
def test_json_is_read_to_the_letter(tmp_path, text, reason):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=reason):
        read_json(path)


def test_shapes_say_where_a_value_is_another():
    shape = {"a": int, "b": [{"c": (float, int)}], ...: str}
    assert misfit({"a": 1, "b": [{"c": 2.5}], "d": "x", "e": None}, shape) == ""
    assert misfit({"a": True}, shape) == "a is no whole number"
    assert misfit({"b": [{"c": 1}, {"c": "1"}]}, shape) == "b #2.c is no number"
    assert misfit({"b": {}}, shape) == "b is no list"
    assert misfit({"a": 10**30}, shape).startswith("a is out of bounds")
    assert misfit([], shape) == "it is no table"


def test_names_are_shown_and_not_obeyed():
    assert printable("a\x1b[31m\u202eb") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b"
    assert markdown("a|b <i>") == r"a\|b \<i\>"
    assert drawable(r"$\frac{$") == r"\$\frac{\$"
    assert drawable("\U0001f9e0\x00n") == "\N{REPLACEMENT CHARACTER}" * 2 + "n"
    assert len(drawable("x" * 500)) == 60


def test_a_checkpoint_asks_for_no_more_than_it_has(tmp_path):
    seed = targets_models.checkpoint_seeds(tmp_path)[0]
    content = seed.read_bytes()
    assert Checkpoints(tmp_path, targets_models.IDENTITY).load()["epoch"] == 1
    for payload, reason in (
        (b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "damaged, or holds more than numbers"),
        (b"\x80\x02((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\xff\xff\xff\x7ftQ.",
         "which are not there"),
    ):  # fmt: skip
        seed.write_bytes(targets_models.with_pickle(content, payload))
        with pytest.raises(DataFileError, match=reason):
            Checkpoints(tmp_path, targets_models.IDENTITY).load()
