"""Measure what noise corrections make of animals that predict each other: ``python docs/make_ceiling_table.py``.

Everything here is SIMULATED: rates of both animals are linear in the same latents, so that a perfect correction gives
1. Writes the table of docs/ceilings.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.assembly.schema import time_bins_of
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.inter_animal import inter_animal_consistency
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.score import nan_mean
from neurofit.vocabulary import NEUROID, NEUROID_ID, REPETITION, STIMULUS_ID, SUBJECT

PEAK_MS = (100, 130)
BEGIN, END = "<!-- written by make_ceiling_table.py -->", "<!-- end -->"
OPTIONS = {"splitter": StimulusShuffleSplit(5), "n_halvings": 5, "stratify": "object_name"}
COLUMNS = (
    "raw r of noise-free source and target",
    "noise-free source, `both`",
    "raw r",
    "`neural`",
    "`both`, source taken for noise-free",
    "`both`, halves of both (ours)",
)


def measure(region: str, most_repetitions: int | None = None) -> list[tuple[str, list[float]]]:
    """Return a row for each pair of animals; medians over neuroids, mean over the bins of `PEAK_MS`."""
    stream = SimulatedVentralStream()
    truth, recording = stream.truth(region), stream.record(region)
    bins = np.array(time_bins_of(recording))
    peak = np.flatnonzero((bins[:, 0] >= PEAK_MS[0]) & (bins[:, 1] <= PEAK_MS[1]))
    recording = recording.isel(time_bin=peak)
    if most_repetitions is not None:
        recording = recording.isel(presentation=np.flatnonzero(recording[REPETITION].values < most_repetitions))
    mean = average_repetitions(recording)
    rates = make_assembly(
        truth.rates()[:, :, peak],
        stimulus_id=stream.table()[STIMULUS_ID].tolist(),
        neuroid_id=recording[NEUROID_ID].values,
        subject=recording[SUBJECT].values,
        region=region,
        time_bins=time_bins_of(recording),
        presentation_coords={"object_name": stream.table()["object_name"].to_numpy(str)},
    )
    together = inter_animal_consistency(recording, **OPTIONS)
    rows = []
    for target in ("sim-A", "sim-B"):
        own = recording[SUBJECT].values == target
        p = int((~own).sum())
        options = OPTIONS | {"mapping": PLSMapping(min(PLSMapping().n_components, p))}
        source, theirs, noisy = rates[:, ~own], mean[:, ~own], recording[:, own]
        ignoring = predictivity(theirs, noisy, **options)
        values = [
            middle(predictivity(source, rates[:, own], **options | {"formula": "raw"}), "predictivity"),
            middle(predictivity(source, noisy, **options)),
            middle(ignoring, "predictivity"),
            middle(predictivity(theirs, noisy, **options | {"formula": "neural"})),
            middle(ignoring),
            middle(together.isel({NEUROID: np.flatnonzero(own)})),
        ]
        rows.append((f"{region}, {p} to {int(own.sum())} neuroids, {repetitions_of(recording)} repetitions", values))
    return rows


def middle(score: xr.Dataset, name: str = "predictivity_corrected") -> float:
    """Return the median over neuroids of a score, averaged over bins."""
    return float(np.mean(np.nanmedian(nan_mean(score[name].values, 0), axis=0)))


def repetitions_of(recording: xr.DataArray) -> str:
    """Return the fewest and most repetitions of a recording."""
    attrs = average_repetitions(recording).attrs
    fewest, most = attrs["repetitions_min"], attrs["repetitions_max"]
    return str(fewest) if fewest == most else f"{fewest}-{most}"


def table() -> str:
    """Return the table."""
    lines = ["| SIMULATED | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for region in ("IT", "V4"):
        for most in (None, 4):
            for name, values in measure(region, most):
                lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    page = Path(__file__).with_name("ceilings.md")
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}")
