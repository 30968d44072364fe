"""Options of `neurofit score` for wide layers."""

import json

import pytest
from typer.testing import CliRunner

from neurofit.cli.main import app
from neurofit.cli.output import size_in_bytes
from neurofit.errors import ConfigurationError

PIXELS = ("score", "--model", "pixels", "--region", "V4", "--splits", "1", "--components", "3", "--formula", "raw")


@pytest.mark.parametrize(
    ("text", "size"), [("8GiB", 2**33), ("500MB", 5e8), ("1.5 gib", 1.5 * 2**30), ("1e9", 1e9), ("2KiB", 2048)]
)
def test_sizes_are_read(text, size):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "0", "8 GiBs", "1e999"])
def test_what_is_no_size_is_told(text):
    with pytest.raises(ConfigurationError, match="a size is a number and a unit"):
        size_in_bytes(text)


def test_the_plan_is_said_first_and_recorded(tmp_path):
    done = CliRunner().invoke(app, [*PIXELS, "--features", "dual", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.exception
    plan = "features: 3,072 units, exact by the Gram matrix (dual): "
    assert done.stderr.index(plan) < done.stderr.index("benchmark sim-v4")
    subject = json.loads(done.stdout)["subject"]
    assert (subject["route"], subject["projected"]) == ("dual", False)
    assert subject["reduction"] == "exact (inner products of 3072 units)"
    assert subject["features"].startswith(plan)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memory", "10MiB"], "'raw' features of 3,072 units: it needs .* of 10 MiB memory"),
        (["--memory", "lots"], "'lots' is none"),
        (["--scratch", "nowhere"], "nowhere is no folder"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        CliRunner().invoke(app, [*PIXELS, "--out", str(tmp_path), *arguments], catch_exceptions=False)
