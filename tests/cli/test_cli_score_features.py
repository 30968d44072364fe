"""Options of `neurofit score` for wide layers."""

import json

import pytest

from neurofit.cli.output import size_in_bytes
from neurofit.errors import ConfigurationError

PIXELS = ("score", "--benchmark", "bench.toml", "--data", "data", "--model", "pixels", "--layer", "pixels")


@pytest.mark.parametrize(
    ("text", "size"), [("8GiB", 2**33), ("500MB", 5e8), ("1.5 gib", 1.5 * 2**30), ("1e9", 1e9), ("2KiB", 2048)]
)
def test_sizes_are_read(text, size):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "0", "8 GiBs", "1e999"])
def test_what_is_no_size_is_told(text):
    with pytest.raises(ConfigurationError, match="a size is a number and a unit"):
        size_in_bytes(text)


def test_the_plan_is_said_first_and_recorded(folder, neurofit):
    code, out, err = neurofit(*PIXELS, "--features", "dual", "--json")
    assert code == 0, err
    plan = "features: 3,072 units, exact by the Gram matrix (dual): "
    assert err.index(plan) < err.index("benchmark colours")
    subject = json.loads(out)["subject"]
    assert (subject["route"], subject["projected"]) == ("dual", False)
    assert subject["reduction"] == "exact (inner products of 3072 units)"
    assert subject["features"].startswith(plan)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memory", "1MiB"], "'raw' features of 3,072 units: it needs "),
        (["--memory", "lots"], "'lots' is none"),
        (["--scratch", "nowhere"], "nowhere is no folder"),
        (["--device", "cpu:x"], "'cpu:x' is not"),
        (["--layer", "pixel"], "'pixel' is not known - use 'pixels'"),
    ],
)
def test_what_cannot_be_is_refused(folder, neurofit, arguments, message):
    code, _, err = neurofit(*PIXELS, *arguments)
    assert code == 2
    assert message in err
    assert err.count("neurofit: ") == 1
    assert not list(folder.glob("neurofit-out/*"))
