import json

import pytest

from neurofit.report.site import words
from neurofit.report.site.colours import DARK, LIGHT, contrast, readable, series
from neurofit.report.site.text import bibtex_entry, csv_cell, file_stem, file_stems, script_call, shown
from neurofit.report.style import MARKERS, PALETTE

from site_boards import HOSTILE  # isort: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rgc", "rgc"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\x00b\nc", "a⟨U+0000⟩b⟨U+000A⟩c"),
        ("half\ud800", "half⟨U+D800⟩"),
        ("same\u200b", "same⟨U+200B⟩"),
        ("ש\u200dא", "ש\u200dא"),  # joiners belong to scripts
        ("  ", "(no name)"),
        ("", "(no name)"),
    ],
)
def test_characters_without_a_trace_are_shown(text, expected):
    assert shown(text) == expected


def test_long_names_are_cut_and_say_so():
    assert shown("x" * 10_000, 20) == "x" * 20 + "… (10,000 characters)"
    assert shown("x" * 20, 20) == "x" * 20


def test_names_become_parts_of_file_names():
    names = [*HOSTILE, "Rgc", "rGC", "CON", "ünïcode/ß\\x:y*?"]
    stems = [file_stem(name) for name in names]
    assert len({stem.lower() for stem in stems}) == len(names)
    assert all(set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(stem) < 60 for stem in stems)
    assert file_stem("rgc") == file_stem("rgc")


def test_identifiers_are_kept_if_they_are_safe_and_one_of_a_kind():
    stems = file_stems(["sim-it-v1", "Sim-IT-v1", "../up", ".hidden", "a/b", "dot.", "ok_1.2"])
    assert stems["sim-it-v1"] == "sim-it-v1"
    assert stems["ok_1.2"] == "ok_1.2"
    for name in ("Sim-IT-v1", "../up", ".hidden", "a/b", "dot."):
        assert stems[name] != name
        assert not {"/", "."} & set(stems[name])
    assert len({stem.lower() for stem in stems.values()}) == len(stems)


@pytest.mark.parametrize("name", HOSTILE)
def test_scripts_hold_names_as_data(name):
    line = script_call("neurofit.receive", "id", json.dumps({"name": name}))
    assert line.isascii()
    assert "<" not in line
    assert line.count("\n") == 1
    arguments = json.loads("[" + line.removeprefix("neurofit.receive(").removesuffix(");\n") + "]")
    assert json.loads(arguments[1]) == {"name": name}


def test_a_script_takes_no_numbers_that_json_has_not():
    with pytest.raises(ValueError, match="JSON"):
        script_call("f", float("nan"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\uff1d1", '=HYPERLINK("x")'])
def test_no_cell_is_a_formula(text):
    assert str(csv_cell(text))[0] in "'⟨"


def test_cells_keep_numbers_and_names():
    assert [csv_cell(value) for value in (-0.4, 3, "rgc", None, "a-b")] == [-0.4, 3, "rgc", "", "a-b"]


def test_bibtex_is_escaped():
    entry = bibtex_entry("misc", "a b,{x}", title="50 % of {x} & \\y_z", note="", author="the group")
    assert entry.splitlines()[0] == "@misc{a-b-x,"
    assert r"title = {50 \% of \{x\} \& \textbackslash{}y\_z}," in entry
    assert "note" not in entry
    assert "author = {{the group}}," in entry


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5034, ".503"), (-0.04, "−.040"), (1.0, "1.000"), (-0.0001, ".000"), (float("nan"), "–"), (None, "–")],
)
def test_correlations_are_written_as_in_papers(value, expected):
    assert words.correlation(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(608, "608"), (259_092, "259 k"), (1_788_948, "1.79 M"), (999_800, "1.00 M"), (44_500_000, "44.5 M"), (None, "–")],
)
def test_parameters_have_three_digits(value, expected):
    assert words.size(value) == expected


def test_accuracies_of_records_are_fractions_percent_or_text(monkeypatch):
    from site_boards import run_of

    run = run_of(0, "rgc")
    for value in ("0.3130", 0.313, 31.3):
        run.document["subject"]["top1"] = value
        assert ("Top-1 of the validation images", "31.3 %") in words.details([run])


def test_details_name_what_differs():
    from site_boards import run_of

    runs = [run_of(0, "rgc", seed=seed) for seed in range(2)]
    runs[1].document["subject"]["weights_sha256"] = "other"
    said = dict(words.details(runs))
    assert said["Weights, SHA-256"].endswith("; or other")
    assert said["Input, pixels"] == "64"
    assert "Layer" not in said


@pytest.mark.parametrize(("theme", "background"), [("light", LIGHT), ("dark", DARK)])
def test_curves_stand_out_from_the_page(theme, background):
    assert min(contrast(colour, background) for colour in series()[theme]) >= 3
    assert len(set(series()[theme])) == len(PALETTE)


def test_every_colour_has_a_mark_of_its_own():
    assert len(set(series()["symbols"])) == len(MARKERS) == len(PALETTE)


def test_contrast_is_that_of_the_guidelines():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the guidelines' well-known near miss
    assert readable("#0072B2", LIGHT) == "#0072b2"
