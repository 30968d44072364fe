"""Static modes from the command line: by option and by the benchmark's file."""

import json

import pytest

from neurofit.scoring.storage import load_score

SCORE = ("score", "--benchmark", "bench.toml", "--data", "data")
UNTRAINED = (*SCORE, "--model", "ff_untrained")


@pytest.fixture
def static(folder):
    """Add a table to the benchmark's file."""
    bench = folder / "bench.toml"
    plain = bench.read_text()
    return lambda table: bench.write_text(f"{plain}static = {table}\n")


def test_a_mode_by_option_is_in_words_record_and_score(folder, neurofit):
    code, out, err = neurofit(*UNTRAINED, "--static-mode", "graded", "--mapping", "fixed", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert record["benchmark"]["name"] == "colours (varied)"
    assert record["benchmark"]["static"] == {"mode": "graded", "latency_ms": None, "layers": None}
    subject = record["subject"]
    assert (subject["layer"], subject["static_mode"], subject["latency_steps"]) == ("all", "graded", "all 7")
    assert subject["sequence_all"] == "conv1 x 1, conv2 x 2, conv3 x 3, conv4 x 4, conv5 x 5"
    assert f"time course of ff_untrained: {subject['time_course']}" in err
    assert ", fixed in time, " in err
    score = load_score(record["written"]["score"])
    assert score.attrs["source_static_mode"] == "graded"
    assert score.attrs["temporal_mapping"] == record["score"]["temporal_mapping"] == "fixed"


def test_a_mode_in_the_benchmarks_file_is_that_benchmark(folder, neurofit, static):
    static('{mode = "once", latency_ms = 50}')
    code, out, err = neurofit(*SCORE, "--model", "pixels", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert record["benchmark"]["name"] == "colours"
    assert [row["silent"] for row in record["time_bins"]] == [True, False, False, True]
    assert record["subject"]["time_course"].endswith("; pixels 50-150 ms")


def test_a_recurrent_model_is_scored_as_it_is_and_the_output_says_so(folder, neurofit, static):
    static('{mode = "constant"}')
    code, _, err = neurofit(*SCORE, "--model", "rgc_untrained", "--layer", "logits", "--json")
    assert code == 0, err
    assert (
        "time course of rgc_untrained: own: it has cells with memory in conv3, conv4, conv5 "
        "(the benchmark's static mode 'constant' is for subjects without)" in err
    )


def test_an_own_static_network_is_laid_out_anew(folder, neurofit):
    code, out, err = neurofit(*SCORE, "--model", "nets/mine.py:committed", "--static-mode", "uniform", "--json")
    assert code == 0, err
    subject = json.loads(out)["subject"]
    assert (subject["layer"], subject["static_mode"]) == ("all", "uniform")
    assert subject["time_course"].endswith("; conv 70-130, pool 130-200 ms")


def test_named_layers_are_one_sequence(folder, neurofit):
    options = ("--static-mode", "uniform", "--static-layers", "conv4, conv5", "--static-latency-ms", "40")
    code, out, err = neurofit(*UNTRAINED, *options, "--json")
    assert code == 0, err
    subject = json.loads(out)["subject"]
    assert (subject["layer"], subject["units"]) == ("conv4+conv5", 96 * 4 + 128 * 4)
    assert subject["time_course"].endswith("; conv4 40-120, conv5 120-200 ms")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "rgc_untrained", "--static-mode", "once"), "'rgc_untrained': it has cells with memory in"),
        (("--model", "ff_untrained", "--static-mode", "once", "--static-latency-ms", "45"), "a latency of 45 ms, and"),
        (("--model", "ff_untrained", "--static-mode", "once", "--static-latency-ms", "200"), "the viewing ends at 200"),
        (("--model", "ff_untrained", "--static-latency-ms", "40"), "latency_ms is not for mode 'own'"),
        (("--model", "ff_untrained", "--static-mode", "once", "--static-layers", "conv5"), "layers is for the modes"),
        (("--model", "ff_untrained", "--static-mode", "graded", "--static-layers", "conv55"), "'conv55' is not known"),
        (("--model", "ff_untrained", "--static-mode", "graded", "--static-layers", ","), "'' is empty"),
        (("--model", "ff_untrained", "--static-mode", "graded", "--layer", "conv5"), "'conv5' is not known"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(folder, neurofit, arguments, message):
    code, _, err = neurofit(*SCORE, *arguments)
    assert code == 2
    assert message in err
    assert err.count("neurofit: ") == 1
    assert not list(folder.glob("neurofit-out/*"))


def test_an_unknown_mode_is_bad_usage(folder, neurofit):
    assert neurofit(*UNTRAINED, "--static-mode", "twice")[0] == 2
