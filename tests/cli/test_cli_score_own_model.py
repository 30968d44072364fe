"""A user's own network from the command line: named by file or module, told in one sentence what is wrong with it."""

import json

import pytest

SCORE = ("score", "--benchmark", "bench.toml", "--data", "data")


def test_a_file_is_scored(folder, neurofit):
    code, out, err = neurofit(*SCORE, "--model", "nets/mine.py:static", "--layer", "pool", "--json")
    assert code == 0, err
    record = json.loads(out)  # one document, although the user's code prints
    assert "says somebody else's code" in err
    subject = record["subject"]
    assert (subject["name"], subject["layer"], subject["units"]) == ("mine", "pool", 8 * 3 * 3)
    assert (subject["static_mode"], subject["latency_steps"]) == ("once", "conv 5, pool 5")
    assert [row["silent"] for row in record["time_bins"]] == [True, False, False, True]  # the image is on for 100 ms
    assert record["time_bins"][1]["raw"] > 0.5
    assert sorted(p.name for p in (folder / "neurofit-out").iterdir()) == [
        "mine-pool-IT-colours.json",
        "mine-pool-IT-colours.nc",
        "mine-pool-IT-colours.png",
    ]


def test_its_words_are_left_alone_where_nothing_is_to_be_parsed(folder, neurofit):
    code, out, err = neurofit(*SCORE, "--model", "nets.mine:committed")
    assert code == 0, err
    assert out.startswith("loading, says somebody else's code")
    assert "mine, layer pool, on IT of responses to colours" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nets.mine:static"], "'mine' commits none to IT or any region - add --layer: conv, pool"),
        (["--model", "nets/mine.py:committed", "--region", "aIT"], "'aIT' is not known - use 'IT'"),
        (["--model", "nets/mine.py:static", "--layer", "poll"], "'poll' is not known - use 'pool'"),
        (["--model", "nets/yours.py:static"], "nets/yours.py is no file"),
        (["--model", "nets.yours:static"], "there is no module 'nets.yours'"),
        (["--model", "nets/mine.py:statik"], "'statik' is not known - use 'static'"),
        (["--model", "nets/mine.py:torn"], "raised ValueError: the weights are elsewhere (mine.py, line"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(folder, neurofit, arguments, message):
    code, _, err = neurofit(*SCORE, *arguments)
    assert code == 2
    assert message in err
    assert err.count("neurofit: ") == 1
    assert not (folder / "neurofit-out").exists()


@pytest.mark.parametrize("ending", ["raise MemoryError('too many')", "raise SystemExit(0)"])
def test_what_comes_up_in_the_run_is_told_too(folder, neurofit, ending):
    network = f"""
class Late(torch.nn.Module):
    def forward(self, frames, layers):
        if len(frames[0]) > 3:
            {ending}
        return {{"conv": torch.stack([frame.mean((2, 3)) for frame in frames], 1)}}


def late():
    return nf.ModelSubject(Late(), name="late", layers=["conv"], preprocessing=nf.Preprocessing(8))
"""
    mine = folder / "nets" / "mine.py"
    mine.write_text(mine.read_text() + network)
    code, _, err = neurofit(*SCORE, "--model", "nets/mine.py:late", "--layer", "conv")
    assert code == 2
    assert "nets/mine.py:late raised " in err
    assert "(mine.py, line " in err
    assert not list(folder.glob("neurofit-out/*"))


def test_its_features_are_as_its_factory_has_them_unless_options_are_given(folder, neurofit):
    factory = "def exact():\n    return make(features=FeatureOptions('dual'), region_layers={'IT': 'conv'})\n"
    mine = folder / "nets" / "mine.py"
    mine.write_text("from neurofit.subjects.features import FeatureOptions\n" + mine.read_text() + factory)
    for options, route in [((), "dual"), (("--features", "raw"), "raw")]:
        code, out, err = neurofit(*SCORE, "--model", "nets/mine.py:exact", "--json", *options)
        assert code == 0, err
        assert json.loads(out)["subject"]["route"] == route
