"""The record of a recording's ceilings, so that they can be computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from neurofit.files.json_text import plain_values
from neurofit.files.manifest import Manifest
from neurofit.report.record import make_record
from neurofit.scoring.animal_pairs import pair_table
from neurofit.scoring.benchmark import Benchmark


def make_ceiling_record(scores: Sequence[xr.Dataset], benchmark: Benchmark, manifest: Manifest) -> dict[str, Any]:
    """Return a record of ceilings: that of a score whose subject are animals, and a row for every pair of them.

    Parameters
    ----------
    scores : sequence of xarray.Dataset
        Of `run_inter_animal`, all sources pooled first.
    benchmark : Benchmark
    manifest : Manifest
        Of the benchmark's dataset.
    """
    attrs = scores[0].attrs
    subject = {"kind": "animals", "name": attrs["subject"], "animals": attrs["animals"], "source": attrs["source"]}
    record = make_record(scores[0], benchmark, manifest, subject)
    fingerprints = {name: value for name, value in attrs.items() if name.endswith("_hash")}
    record = replace(record, score={**record.score, "mapping": attrs["mapping"], **fingerprints})
    return plain_values({**record.as_dict(), "pairs": pair_table(scores, benchmark.aggregation).to_dict("records")})
