"""Measure what approximations of a wide layer cost: ``python docs/make_raw_width_table.py`` prints a table.

A network of the zoo with random weights sees the 640 simulated stimuli; one layer is kept exactly (inner products of
all units), projected at random to several sizes, and projected to principal components of other images as Brain-Score
does. Each predicts the simulated IT, with a mapping per bin and with one for all; the table holds how far r of single
neuroids, splits and bins is from the exact one. The responses are SIMULATED.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurofit.assembly.build import make_assembly, select_region
from neurofit.assembly.time_bins import make_time_bins, overlap_weights, rebin, step_bins
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.data.stimuli import StimulusSet, stimuli_from_folder
from neurofit.kernel.gram_stream import GramStream
from neurofit.kernel.projection import RandomProjection
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.models.zoo import load_model
from neurofit.scoring.predictivity import predictivity
from neurofit.subjects.features import binned
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.viewing import Viewing

BINS = make_time_bins(70, 170, 20)
VIEWING = Viewing(100, 170)
SIZES = (512, 1024, 4096, 16384)
COMPONENTS = 1000  # Brain-Score's number of principal components


def batches(subject: ModelSubject, stimuli: StimulusSet, layer: str) -> Iterator[np.ndarray]:
    """Yield activations (T, b, p), float32."""
    weights = overlap_weights(step_bins(VIEWING.steps(10)[1], 10), BINS).astype(np.float32)
    for batch in subject.stream(stimuli, [layer], VIEWING, progress=True):
        yield np.stack(binned(batch.activations[layer], weights))


def principal_components(subject: ModelSubject, others: StimulusSet, layer: str) -> np.ndarray:
    """Return the leading principal axes (p, k) over images and bins of other stimuli."""
    X = np.concatenate([b.reshape(-1, b.shape[-1]) for b in batches(subject, others, layer)]).astype(np.float64)
    X -= X.mean(axis=0)
    values, vectors = np.linalg.eigh(X @ X.T)
    kept = min(COMPONENTS, int((values > 1e-9 * values[-1]).sum()))
    leading = slice(-1, -1 - kept, -1)
    return (X.T @ (vectors[:, leading] / np.sqrt(values[leading]))).astype(np.float32)


def features(subject: ModelSubject, stimuli: StimulusSet, layer: str, others: dict[str, StimulusSet], p: int) -> dict:
    """Return {name: {mapping: features (T, n, k)}}; the first is exact."""
    n, T = len(stimuli), len(BINS)
    axes = {name: principal_components(subject, images, layer) for name, images in others.items()}
    projections = {k: RandomProjection(p, k, random_state=0) for k in SIZES if k < p}
    approximate: dict[str, list[np.ndarray]] = {}
    with ExitStack() as stack:
        double, single = (
            stack.enter_context(GramStream(n, p, T, joint=True, precision=precision))
            for precision in (np.float64, np.float32)
        )
        for batch in batches(subject, stimuli, layer):
            double.add(batch)
            single.add(batch)
            for k, projection in projections.items():
                flat = projection.transform(batch.reshape(-1, p)).reshape(*batch.shape[:2], -1)
                approximate.setdefault(f"random projection to {k:,}", []).append(flat)
            for name, columns in axes.items():
                approximate.setdefault(f"{columns.shape[1]} principal axes of {name}", []).append(batch @ columns)
        found = {}
        for name, stream in (("exact, float64", double), ("exact, products in float32", single)):
            apart = np.zeros((T, n, n - 1))
            for t in range(T):
                own = stream.features(t)
                apart[t, :, : own.shape[1]] = own
            found[name] = {"per-bin": apart, "fixed": stream.joint_features()}
    reference = found["exact, float64"]
    found["exact, as recorded"] = {mapping: values.astype(np.float32) for mapping, values in reference.items()}
    for name, parts in approximate.items():
        values = np.concatenate(parts, axis=1)
        found[name] = {"per-bin": values, "fixed": values}
    return found


def correlations(values: np.ndarray, ids: list[str], recording: xr.DataArray, temporal: str, splits: int) -> np.ndarray:
    """Return raw r (S, q, T) of predictions from features (T, n, k)."""
    source = make_assembly(
        values.transpose(1, 2, 0),
        stimulus_id=ids,
        neuroid_id=[str(i) for i in range(values.shape[2])],
        subject="features",
        layer="any",
        time_bins=BINS,
    )
    splitter = StimulusShuffleSplit(splits)
    score = predictivity(source, recording, temporal=temporal, formula="raw", splitter=splitter, n_jobs=1)
    return score.predictivity.values


def say(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="rgc_shallow_128")
    parser.add_argument("--layer", default="conv3")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--views", type=int, default=10, help="pictures of each of 64 objects")
    parser.add_argument(
        "--images",
        type=Path,
        help="folder of natural images for principal axes; another draw of the pictures by default",
    )
    options = parser.parse_args()
    simulation = SimulatedVentralStream(options.views)
    stimuli = simulation.stimuli()
    recording = rebin(select_region(simulation.record("IT"), "IT"), BINS)
    if options.images is None:
        others = {"256 pictures of another draw": SimulatedVentralStream(4, random_state=1).stimuli()}
    else:
        natural = stimuli_from_folder(options.images)
        others = {f"{len(natural)} natural images": natural}
    model = load_model(options.model, random_weights=True)
    p = int(np.prod(model.entry.layer_shapes()[options.layer]))
    subject = ModelSubject(
        model.network, name=options.model, layers=model.layers, preprocessing=model.entry.preprocessing
    )
    with threadpool_limits(1):
        kept = features(subject, stimuli, options.layer, others, p)
        say(f"\n{options.model}, {options.layer}: {p:,} units, {len(stimuli)} images, {len(BINS)} bins; SIMULATED IT\n")
        say("| features | mapping | median r | median abs. error of r | worst |")
        say("|---|---|---|---|---|")
        for temporal in ("per-bin", "fixed"):
            exact = None
            for name, values in kept.items():
                r = correlations(values[temporal], stimuli.ids, recording, temporal, options.splits)
                exact = r if exact is None else exact
                error = np.abs(r - exact)
                say(f"| {name} | {temporal} | {np.median(r):.4f} | {np.median(error):.1e} | {error.max():.1e} |")


if __name__ == "__main__":
    main()
