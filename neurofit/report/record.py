"""RunRecord: what was run, on what, with what result, so that it can be run again.

One JSON document per run; numbers that are not finite are null.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import neurofit
from neurofit.errors import DataFileError
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.files.json_text import plain_values, read_json, to_json
from neurofit.files.manifest import Manifest
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.population_score import metric_of
from neurofit.scoring.run import SOURCE_ATTRS
from neurofit.scoring.score import nan_mean
from neurofit.scoring.summary import headline, summarise
from neurofit.vocabulary import NEUROID, NEUROID_ID, SPLIT, TIME_BIN

if TYPE_CHECKING:
    from neurofit.subjects.library import LoadedSubject

RECORD_VERSION = 2
"""2 since records say the hashes of what was scored, and how every neuroid was predicted."""
FINGERPRINTS = ("stimuli_hash", "neuroids_hash", "splits_hash", "halvings_hash", "responses_hash")
NEUROID_DIGITS = 4
PACKAGES = ("numpy", "scipy", "scikit-learn", "xarray", "pandas", "torch", "h5py")


@dataclass(frozen=True)
class RunRecord:
    """A run as it is kept.

    Parameters
    ----------
    simulated : bool
        Whether the responses are simulated; first, so that nobody misses it.
    status : str
        'complete'.
    date : str
        UTC, ISO 8601.
    benchmark : mapping
        The whole specification.
    subject : mapping
        `Subject.describe()`, and the layer.
    score : mapping
        The headline, the formula in words, and the counts.
    time_bins : list of mapping
        One row per bin, as `summarise` gives them.
    dataset : mapping
        Manifest name, licence, citation, and the files with their hashes.
    environment : mapping
        Versions, platform, git revision.
    cost : mapping
        Seconds per stage and peak memory.
    neuroids : mapping
        How every neuroid was predicted: 'neuroid_id' (q,), and 'raw', 'internal_consistency' and, where the formula
        corrects neuroid by neuroid, 'corrected', each (q, T), to four digits, means over splits; empty for scores of
        whole populations. Figures and leaderboards need no more than this.
    record_version : int
    """

    simulated: bool
    status: str
    date: str
    benchmark: Mapping[str, Any]
    subject: Mapping[str, Any]
    score: Mapping[str, Any]
    time_bins: list[dict[Hashable, Any]]
    dataset: Mapping[str, Any]
    environment: Mapping[str, Any]
    cost: Mapping[str, Any]
    neuroids: Mapping[str, Any] = field(default_factory=dict)
    record_version: int = RECORD_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, NaN as None."""
        return plain_values(asdict(self))

    def save(self, path: Path) -> Path:
        """Write the record, whole or not at all.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        return save_record(asdict(self), path)


def save_record(record: Mapping[str, Any], path: Path) -> Path:
    """Write a record of any kind as JSON, whole or not at all.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    with reporting_output_errors(path), atomic_write(path) as handle:
        handle.write(to_json(record).encode())
    return path


def make_record(
    score: xr.Dataset, benchmark: Benchmark, manifest: Manifest, subject: Mapping[str, object]
) -> RunRecord:
    """Return the record of a score.

    Parameters
    ----------
    score : xarray.Dataset
        From `neurofit.run`.
    benchmark : Benchmark
    manifest : Manifest
        Of the benchmark's dataset.
    subject : mapping
        `Subject.describe()`.
    """
    result = headline(score, benchmark.aggregation).as_dict()
    counts = ("n_stimuli", "n_splits", "n_halvings", "repetitions_min", "repetitions_max", "n_source_neuroids")
    features = {name: score.attrs.get(f"source_{name}") for name in SOURCE_ATTRS}
    return RunRecord(
        simulated=bool(score.attrs["simulated"]),
        status="complete",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        benchmark=asdict(benchmark),
        subject={
            **{name: score.attrs[name] for name in ("weights_sha256",) if name in score.attrs},
            **subject,
            "layer": score.attrs["layer"],
            "units": score.attrs["source_units"],
            "projected": features["route"] == "projected",
            **features,
        },
        score={
            **result,
            **(_of_mapping(score) if metric_of(score) == PREDICTIVITY else _of_populations(score)),
            **{name: score.attrs[name] for name in counts},
            "hashes": {name: score.attrs[name] for name in FINGERPRINTS if name in score.attrs},
            "silent_bins": int(score["silent"].sum()),
        },
        time_bins=summarise(score, benchmark.aggregation).to_dict("records"),
        dataset={
            "name": manifest.name,
            "licence": manifest.licence,
            "citation": manifest.citation,
            "files": [{"name": f.name, "size": f.size, "digest": f.digest} for f in manifest.files],
        },
        environment=environment(),
        cost={
            **{key: value for key, value in score.attrs.items() if key.startswith("seconds_")},
            "peak_memory_mib": peak_memory_mib(),
        },
        neuroids=neuroid_table(score) if metric_of(score) == PREDICTIVITY else {},
    )


def described(subject: LoadedSubject, benchmark: Benchmark, score: xr.Dataset) -> dict[str, object]:
    """Return what a record says of a subject: itself, its cost in this presentation, and a commitment it followed."""
    from neurofit.scoring.committed import commitment_of
    from neurofit.subjects.cost import describe_cost  # torch, of which those that read records need nothing

    return {
        **subject.describe(),
        **describe_cost(subject, benchmark.viewing.viewing()),
        **commitment_of(score),
    }


def neuroid_table(score: xr.Dataset) -> dict[str, Any]:
    """Return how every neuroid was predicted; see `RunRecord`."""
    named = {
        "raw": nan_mean(score["predictivity"].transpose(SPLIT, NEUROID, TIME_BIN).values, 0),
        "internal_consistency": score["internal_consistency"].transpose(NEUROID, TIME_BIN).values,
    }
    if "predictivity_corrected" in score:
        named["corrected"] = nan_mean(score["predictivity_corrected"].transpose(SPLIT, NEUROID, TIME_BIN).values, 0)
    return {
        NEUROID_ID: score[NEUROID_ID].values.astype(str).tolist(),
        **{name: values.round(NEUROID_DIGITS).tolist() for name, values in named.items()},
    }


def _of_mapping(score: xr.Dataset) -> dict[str, Any]:
    """Return what is said of a score of predictivity alone."""
    return {
        "metric": PREDICTIVITY,
        "formula_text": formula_named(str(score.attrs["formula"])).text,
        "temporal_mapping": score.attrs["temporal_mapping"],
        "n_neuroids": score.sizes["neuroid"],
        **_fitted(score),
    }


def _of_populations(score: xr.Dataset) -> dict[str, Any]:
    """Return what is said of a score of two whole populations."""
    said = ("measure", "formula_text", "n_neuroids", "n_stimuli_known", "repetitions", "n_objects", "chance")
    return {name: score.attrs[name] for name in said if name in score.attrs}


def _fitted(score: xr.Dataset) -> dict[str, Any]:
    """Return what the fits chose where the source is not silent: fewest components of PLS, or penalties of ridge."""
    heard = ~score["silent"].values
    if "alpha" not in score:
        return {"components_least": int(score["components"].values[:, heard].min(initial=10**6))}
    alphas = score["alpha"].values[:, :, heard]
    if not alphas.size:
        return {}
    return {
        "alpha_least": float(alphas.min()),
        "alpha_median": float(np.median(alphas)),
        "alpha_largest": float(alphas.max()),
    }


def load_record(path: str | Path) -> dict[str, Any]:
    """Read a record.

    Raises
    ------
    DataFileError
        If the file is unreadable or no record.
    """
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise DataFileError(
            "a record is a readable JSON file", f"{path}: {error}", "run the benchmark again"
        ) from error
    if not isinstance(document, dict) or "record_version" not in document:
        raise DataFileError("a record names its version", f"{path} has no record_version", "name a record's file")
    return document


def environment() -> dict[str, Any]:
    """Return versions, platform and, in a checkout, the git revision."""
    versions = {"neurofit": neurofit.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """Return the revision of the checkout that runs, '+changes' if it was edited; None for an installed package."""
    root = Path(neurofit.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        revision = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # git is absent or the folder is not a repository of ours: the record says so by null
    return revision + ("+changes" if changes else "")


def peak_memory_mib() -> float | None:
    """Return the largest resident memory of this process so far, in MiB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource  # of Unix alone

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
