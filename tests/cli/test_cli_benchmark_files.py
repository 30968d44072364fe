"""What commands write of one benchmark and its variations, and what they refuse of other metrics."""

import json
from dataclasses import replace

import pytest

from neurofit.scoring.benchmark import load_benchmark

BENCH = ("--benchmark", "bench.toml", "--data", "data")
SCORE = ("score", *BENCH, "--model", "pixels", "--layer", "pixels", "--json")


def test_variations_are_called_by_what_they_vary():
    plain = load_benchmark("sim-it")
    assert plain.stem() == "sim-it"
    stems = [plain.varied(n_splits=2).stem(), plain.varied(temporal="fixed").stem()]
    assert all(stem.startswith("sim-it varied ") and len(stem) == len("sim-it varied ") + 6 for stem in stems)
    assert stems[0] != stems[1]
    assert stems[0] == load_benchmark("sim-it").varied(n_splits=2).stem()
    assert stems[0] == replace(plain, name="sim-it (varied)", splits=replace(plain.splits, n_splits=2)).stem()


def test_variations_of_a_benchmark_do_not_overwrite_each_other(folder, neurofit):
    written = []
    for options in ((), ("--formula", "raw"), ("--formula", "raw", "--mapping", "fixed")):
        code, out, err = neurofit(*SCORE, *options)
        assert code == 0, err
        written += json.loads(out)["written"].values()
    assert len(set(written)) == 9
    assert all((folder / path).exists() for path in written)
    assert written[0] == "neurofit-out/pixels-pixels-IT-colours.json"
    assert written[3].startswith("neurofit-out/pixels-pixels-IT-colours-varied-")


@pytest.mark.parametrize("metric", ["rsa", "decoding"])
@pytest.mark.parametrize(
    "command",
    [
        ("layers", "--model", "pixels"),
        ("health", "--model", "pixels"),
        ("ceiling",),
        ("compare", "pixels", "nets/mine.py:static@conv"),
    ],
)
def test_commands_about_predictivity_refuse_other_metrics_at_once(folder, neurofit, command, metric):
    bench = folder / "bench.toml"
    bench.write_text(bench.read_text() + f'\nmetric = {{kind = "{metric}"}}\n')
    code, out, err = neurofit(*command, *BENCH)
    assert code == 2
    assert out == ""
    assert err == (
        f"neurofit: neurofit {command[0]} is about predictivity - the metric of colours is '{metric}' - "
        'take a benchmark with the metric "predictivity", or use neurofit score\n'
    )


def test_a_device_for_mappings_is_refused_before_anything_is_shown(folder, neurofit, monkeypatch):
    monkeypatch.setattr("neurofit.subjects.model_subject.choose_device", lambda name: name)
    code, _, err = neurofit(*SCORE, "--metric", "rsa", "--mapping-device", "cuda")
    assert code == 2
    assert "'rsa' fits no mapping to the neuroids, and has no --mapping-device 'cuda'" in err
    assert not (folder / "neurofit-out").exists()
