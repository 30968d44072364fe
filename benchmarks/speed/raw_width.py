"""Exact PLS on 100,352 raw features: ``OMP_NUM_THREADS=1 python benchmarks/speed/raw_width.py``.

Features of 3,200 images come from a seed in batches of 32, as from a network; they go through `kernel.gram_stream`, and
ten splits of ten target bins (168 neuroids) are mapped with 25 components. Printed are seconds per stage and the peak
memory of the process: no n x p array is ever held. `--ikpls` fits one split of one bin of the same array with ikpls
(`pip install ikpls`) in a process of its own, which takes 8 GiB, multiplies its time by the number of fits, and
compares the correlations. `--model rgc_shallow` records a wide layer of a network instead.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.kernel.gram import SharedSource
from neurofit.kernel.gram_stream import GramStream
from neurofit.kernel.pls import predict_held_out
from neurofit.kernel.routes import Demand, plan_features, size_text

LATENTS = 60


def batches(options: argparse.Namespace) -> Iterator[np.ndarray]:
    """Yield rectified features (b, p), float32: 60 latents of falling strength, and noise."""
    rng = np.random.default_rng(options.seed)
    weights = rng.standard_normal((LATENTS, options.features), np.float32)
    latents = latent_values(options)
    for start in range(0, options.images, options.batch):
        signal = latents[start : start + options.batch] @ weights
        yield np.maximum(signal + 0.5 * rng.standard_normal(signal.shape, np.float32), 0)


def latent_values(options: argparse.Namespace) -> np.ndarray:
    """Return what images differ by (n, 60), float32."""
    rng = np.random.default_rng(options.seed + 1)
    falling = np.exp(-np.arange(LATENTS) / 15)
    return (rng.standard_normal((options.images, LATENTS)) * falling).astype(np.float32)


def targets(options: argparse.Namespace, latents: np.ndarray) -> np.ndarray:
    """Return responses (T, n, q): other mixtures of the latents in every bin, and noise of their size."""
    rng = np.random.default_rng(options.seed + 2)
    mixtures = rng.standard_normal((options.bins, latents.shape[1], options.neuroids))
    signal = latents @ mixtures
    return signal + signal.std() * rng.standard_normal(signal.shape)


def splits(options: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return random splits with a quarter of the images held out."""
    rng = np.random.default_rng(options.seed + 3)
    orders = [rng.permutation(options.images) for _ in range(options.splits)]
    return [(order[options.images // 4 :], order[: options.images // 4]) for order in orders]


def correlations(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return Pearson's r over images (..., q)."""
    a, b = (values - values.mean(axis=-2, keepdims=True) for values in (predicted, measured))
    return (a * b).sum(-2) / np.sqrt((a**2).sum(-2) * (b**2).sum(-2))


def exact(options: argparse.Namespace) -> tuple[dict[str, Any], np.ndarray]:
    """Map by the Gram matrix of the stream; return what it took, and r (S, T, q)."""
    plan = plan_features(
        Demand(options.images, options.features, 1, "per-bin", 4096, 4 * options.batch * options.features)
    )
    print(plan.sentence())
    seconds = dict.fromkeys(("features", "stream", "inner products", "mapping"), 0.0)
    clock = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[stage] += now - clock
        clock = now

    with GramStream(options.images, options.features, folder=options.scratch, precision=options.precision) as stream:
        for batch in batches(options):
            lap("features")
            stream.add([batch])
            lap("stream")
        features = stream.features(0)
        lap("inner products")
    Y = targets(options, latent_values(options))
    clock = time.perf_counter()
    r = mapped(options, features, Y)
    lap("mapping")
    row = {
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "predicted_memory_gib": round(plan.memory_bytes / 2**30, 2),
        "peak_memory_gib": round(peak_bytes() / 2**30, 2),
        "scratch_gib": round(plan.disk_bytes / 2**30, 2),
        "columns": features.shape[1],
        "median_r": float(np.median(r)),
    }
    return row, r


def mapped(options: argparse.Namespace, features: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return r (S, T, q) of all splits and bins."""
    source = SharedSource.of(features)
    prepared = source.with_targets(Y)
    r = []
    for train, test in splits(options):
        predictions, _ = predict_held_out(source, prepared, train, test, options.components)
        r.append(correlations(predictions, Y[:, test]))
    return np.stack(r)


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def ikpls_fit(options: argparse.Namespace) -> dict[str, Any]:
    """Fit the first split of the first bin with ikpls, algorithm 1 in float64; return seconds and r (q,)."""
    from ikpls.numpy import PLS

    X = np.empty((options.images, options.features))
    begin = 0
    for batch in batches(options):
        X[begin : begin + len(batch)] = batch
        begin += len(batch)
    train, test = splits(options)[0]
    Y = targets(options, latent_values(options))[0]
    inputs, outputs, held_out = X[train], Y[train], X[test]
    del X
    model = PLS(algorithm=1, center_X=True, center_Y=True, scale_X=False, scale_Y=False)
    clock = time.perf_counter()
    model.fit(inputs, outputs, options.components)
    predictions = model.predict(held_out, options.components)
    seconds = time.perf_counter() - clock
    return {"seconds": seconds, "peak_gib": peak_bytes() / 2**30, "r": correlations(predictions, Y[test]).tolist()}


def compare(options: argparse.Namespace, row: dict[str, Any], r: np.ndarray) -> dict[str, Any]:
    """Run ikpls in a process of its own; return its time for all fits, and the difference."""
    words = [sys.executable, __file__, "--child", *sys.argv[1:]]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    fit = json.loads(answer.splitlines()[-1])
    ours = sum(seconds for stage, seconds in row["seconds"].items() if stage != "features")
    extrapolated = fit["seconds"] * options.splits * options.bins
    return {
        "one_fit_s": round(fit["seconds"], 1),
        "extrapolated_s": round(extrapolated),
        "peak_memory_gib": round(fit["peak_gib"], 1),
        "times_faster": round(extrapolated / ours, 1),
        "r_differs": float(np.abs(r[0, 0] - np.asarray(fit["r"])).max()),
    }


def network_stream(options: argparse.Namespace) -> dict[str, Any]:
    """Record a wide layer of a network exactly, from its stream of activations, and map it; return what it took.

    The network has random weights and sees rendered pictures for 20 ms; the 10 ms bin asked for is the second.
    """
    from neurofit.data.simulated import SimulatedVentralStream
    from neurofit.models.zoo import load_model
    from neurofit.subjects.model_subject import ModelSubject
    from neurofit.subjects.viewing import Viewing

    model = load_model(options.model, random_weights=True)
    subject = ModelSubject(
        model.network,
        name=options.model,
        layers=model.layers,
        preprocessing=model.entry.preprocessing,
        batch=options.batch,
        announce=print,
    )
    stimuli = SimulatedVentralStream(options.images // 64).stimuli()
    clock = time.perf_counter()
    activations = subject.record(
        stimuli, layer=options.layer, time_bins=[(10, 20)], viewing=Viewing(20, 20), basis="per-bin", progress=True
    )
    recorded = time.perf_counter() - clock
    features = activations.values[:, :, 0]
    clock = time.perf_counter()
    r = mapped(options, features, targets(options, features[:, :LATENTS]))
    return {
        "images": len(stimuli),
        "units": activations.attrs["units"],
        "columns": activations.sizes["neuroid"],
        "recording_s": round(recorded, 1),
        "mapping_s": round(time.perf_counter() - clock, 1),
        "peak_memory_gib": round(peak_bytes() / 2**30, 2),
        "median_r": float(np.median(r)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Exact PLS on raw features of a wide layer.")
    parser.add_argument("--images", type=int, default=3200)
    parser.add_argument("--features", type=int, default=100_352)
    parser.add_argument("--neuroids", type=int, default=168)
    parser.add_argument("--bins", type=int, default=10)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--components", type=int, default=25)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("float64", "float32"), default="float64", help="of the inner products")
    parser.add_argument("--scratch", type=Path, help="folder of the scratch file")
    parser.add_argument("--ikpls", action="store_true", help="compare with ikpls")
    parser.add_argument("--model", help="record a layer of this network of the zoo, with random weights, instead")
    parser.add_argument("--layer", default="conv2")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(ikpls_fit(options)))
        return
    document: dict[str, Any] = {"options": {key: str(value) for key, value in vars(options).items()}}
    if options.model:
        document["network"] = network_stream(options)
    else:
        document["exact"], r = exact(options)
        if options.ikpls:
            document["ikpls"] = compare(options, document["exact"], r)
    for name, figures in document.items():
        if name != "options":
            for key, value in figures.items():
                print(f"{name:8} {key:22} {value}")
    if not options.model:
        print(f"one n x p array in float32: {size_text(4 * options.images * options.features)}")
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
