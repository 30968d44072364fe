"""The driver notices what it is there to notice."""

from __future__ import annotations

import driver
import numpy as np
import pytest
from targets_bad import EXPECTED


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    with driver.Child("targets_bad", tmp_path_factory.mktemp("driver")) as one:
        yield one


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_reader_may_not_do_is_a_finding(child, name):
    tally = driver.run(child, name, 1, seed=0)
    kinds = [key.removeprefix("finding: ") for key in tally if key.startswith("finding: ")]
    if EXPECTED[name]:
        assert len(kinds) == 1
        assert kinds[0].startswith(EXPECTED[name].replace(" ", "-"))
    else:
        assert tally["refused"] == 1
        assert not kinds


def test_a_finding_is_kept_and_made_small(tmp_path):
    with driver.Child("targets_bad", tmp_path / "work") as child:
        driver.run(child, "value_error", 3, 0, tmp_path / "out")
    (kept,) = (tmp_path / "out" / "value_error").iterdir()
    assert (kept / "seed.bin").read_bytes() == b"badfine"
    assert "ValueError: of a library" in (kept / "told.txt").read_text()


def test_a_case_depends_on_its_seed_and_number_alone():
    first, again, other = (
        driver.flip_and_cut(bytes(range(200)), np.random.default_rng([seed, 3])) for seed in (0, 0, 1)
    )
    assert first == again != other
