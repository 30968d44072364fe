"""The record of a comparison of layers: the commitment with its table, every layer over time, and the nested score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from neurofit.files.json_text import plain_values
from neurofit.files.manifest import Manifest
from neurofit.report.record import make_record
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.committed import LayerScores
from neurofit.scoring.summary import headline, summarise


def make_layers_record(
    result: LayerScores, benchmark: Benchmark, manifest: Manifest, subject: Mapping[str, object]
) -> dict[str, Any]:
    """Return the record in JSON's own types: that of the committed score, and `kind`, `commitment` and `layers`.

    Parameters
    ----------
    result : LayerScores
    benchmark : Benchmark
        With the formula of the scores.
    manifest : Manifest
        Of the benchmark's dataset.
    subject : mapping
        `Subject.describe()`.
    """
    record = make_record(result.committed, benchmark, manifest, subject).as_dict()
    spec = replace(benchmark.aggregation, n_resamples=1)  # intervals are the commitment's
    columns = ["time_bin_start", "time_bin_end", "raw", "corrected", "counted", "silent"]
    layers = [
        {
            "layer": layer,
            "held_out_raw": headline(score, spec).raw,
            "held_out": headline(score, spec).value,
            "units": score.attrs["source_units"],
            "features": score.attrs.get("source_features"),
            "time_bins": summarise(score, spec)[columns].to_dict("records"),
        }
        for layer, score in result.scores.items()
    ]
    use = {"use": result.committed.attrs["commitment_use"]}
    added = {"commitment": asdict(result.commitment) | use, "layers": layers}
    return plain_values({"simulated": record["simulated"], "kind": "layers", **record, **added})
