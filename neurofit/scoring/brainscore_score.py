"""Scores to and from Brain-Score's `Score`, on disk.

A `Score` of Brain-Score is one number, with what it was made from in its attributes: `error`, `raw` (the uncorrected
number, whose own `raw` are the values by split and neuroid) and `ceiling` (likewise). netCDF holds no arrays as
attributes; Brain-Score's packaging puts further arrays into groups of the file (`write_netcdf(..., group=name)`) and
opens each with ``xarray.open_dataarray(path, group=name)``. So an attribute that is a `Score` is a group of its name::

    /data               center, with the attribute error
    /raw/data           center of the uncorrected values, error
    /raw/raw/data       (split, neuroid, time_bin)
    /ceiling/data       center of the ceiling
    /ceiling/raw/data   (split, neuroid, time_bin); here the halvings are called split

Older scores have their number and error on a dimension `aggregation` (center, error); both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.assembly.netcdf_file import write_netcdf
from neurofit.assembly.storage import load_netcdf
from neurofit.data.readers.checks import reading
from neurofit.data.readers.hdf5 import opened_hdf5
from neurofit.errors import AssemblyError, ConfigurationError, listed
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.formulas import FORMULAS, correct
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.population_score import metric_of
from neurofit.scoring.score import check_score, nan_mean
from neurofit.scoring.summary import headline_of_neuroids
from neurofit.vocabulary import HALVING, NEUROID, SPLIT, TIME_BIN, TIME_BIN_END, TIME_BIN_START

CENTER, ERROR = "center", "error"
TOLERANCE = 1e-6  # by which a center may differ from what a formula makes of raw and ceiling; theirs are float64
_WHAT = "a score of Brain-Score"
_GROUPS = ("", "raw", "raw/raw", "ceiling", "ceiling/raw")
_COMPRESSION = {"zlib": True, "complevel": 1}


def write_brainscore_score(score: xr.Dataset, path: str | Path, aggregation: AggregationSpec | None = None) -> Path:
    """Write a score of predictivity so that Brain-Score's own code opens each part of it.

    Parameters
    ----------
    score : xarray.Dataset
        From `neurofit.run`.
    path : path
        An older file stays until the new one is complete.
    aggregation : AggregationSpec, optional
        How the numbers are drawn from it; as in `headline`.

    Returns
    -------
    Path

    Raises
    ------
    ConfigurationError
        If it is a score of a whole population (RSA, decoding), which has no value by neuroid.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    check_score(score)
    if metric_of(score) != PREDICTIVITY:
        raise ConfigurationError(
            "Brain-Score's scores are made of values by split and neuroid",
            f"this is a score of '{metric_of(score)}'",
            "write it with neurofit.save_score",
        )
    arrays = _parts(score, aggregation or AggregationSpec())
    parts = {group: array.to_dataset(name="data") for group, array in arrays.items()}
    write_netcdf(parts, path, {"data": _COMPRESSION})
    return path


def _parts(score: xr.Dataset, aggregation: AggregationSpec) -> dict[str, xr.DataArray]:
    """Return the arrays of the file by group."""
    one = headline_of_neuroids(score, aggregation)
    names = {theirs: str(score.attrs[ours]) for ours, theirs in _NAMES.items() if ours in score.attrs}
    about = names | {"formula": one.formula, "order": aggregation.order}
    parts = {
        "": xr.DataArray(one.value, attrs={ERROR: one.standard_error, **about}),
        "raw": xr.DataArray(one.raw, attrs={ERROR: one.standard_error}),
        "raw/raw": score["predictivity"].transpose(SPLIT, NEUROID, TIME_BIN),
    }
    if "ceiling_by_halving" in score:
        ceiling = score["ceiling_by_halving"].rename({HALVING: SPLIT})
    else:
        ceiling = score["internal_consistency"].expand_dims(SPLIT)
    if np.isfinite(ceiling.values).any():
        parts["ceiling"] = xr.DataArray(one.ceiling)
        parts["ceiling/raw"] = ceiling.transpose(SPLIT, NEUROID, TIME_BIN)
    return {group: array.drop_attrs() if "/" in group else array for group, array in parts.items()}


_NAMES = {"benchmark": "benchmark_identifier", "subject": "model_identifier", "layer": "comment"}


def read_brainscore_score(path: str | Path, time_bin: tuple[int, int] | None = None) -> xr.Dataset:
    """Read a `Score` of Brain-Score as a score of ours.

    Parameters
    ----------
    path : path
    time_bin : (start, end) in ms, optional
        Of the values by neuroid, where the file does not say it.

    Returns
    -------
    xarray.Dataset
        With the formula that makes the file's center of its raw values and its ceiling (`brain-score`, ...-2019,
        ...-2018, or `raw` where there is no ceiling), aggregated as Brain-Score does: median over neuroids, then mean
        over splits. What such a score does not tell is NaN (mapping_consistency) or 0 (components, excluded terms).

    Raises
    ------
    DataFileError
        If the file cannot be read, has no values by split and neuroid, no time bin, or a center that no formula makes.
    """
    path = Path(path)
    with reading(path, _WHAT):
        with opened_hdf5(path) as (_, datasets):
            groups = {name for name in _GROUPS if any(d.rpartition("/")[0] == name for d in datasets)}
        found = {name: _opened(path, name) for name in sorted(groups)}
        if not {"", "raw/raw"} <= found.keys():
            raise AssemblyError(
                f"{_WHAT} holds its number and, in the group raw/raw, values by split and neuroid",
                f"the file has the groups {sorted(groups)}",
                "write the attributes of the Score into groups of their names",
            )
        raw = _by_neuroid(found["raw/raw"], time_bin)
        ceiling = _by_neuroid(found["ceiling/raw"], time_bin) if "ceiling/raw" in found else None
        center = _number(found[""])
        with np.errstate(all="ignore"):  # numbers out of all bounds are made by no formula
            formula = _formula_of(center, raw, ceiling)
        return _as_score(raw, ceiling, formula, found[""].attrs)


def _opened(path: Path, group: str) -> xr.DataArray:
    dataset = load_netcdf(path, _WHAT, "write it anew", group=group or None, decode_times=False)
    if len(dataset.data_vars) != 1:
        raise AssemblyError(
            f"every group of {_WHAT} holds one array",
            f"'{group or '/'}' holds {listed(sorted(map(str, dataset.data_vars))) or 'none'}",
            "write one array into each group",
        )
    return next(iter(dataset.data_vars.values()))


def _number(score: xr.DataArray) -> float:
    """Return the center of a score of today (one number) or of older days (on `aggregation`)."""
    if "aggregation" in score.dims:
        score = score.sel(aggregation=CENTER)
    if score.size != 1:
        raise AssemblyError("a score is one number", f"found shape {score.shape}", "aggregate it")
    return float(score.values.item())


def _by_neuroid(values: xr.DataArray, time_bin: tuple[int, int] | None) -> xr.DataArray:
    """Return values (split, neuroid, time_bin) with integer bins."""
    if TIME_BIN not in values.dims:
        scalars = [values.coords[n].item() for n in (TIME_BIN_START, TIME_BIN_END) if n in values.coords]
        start_end = tuple(scalars) if len(scalars) == 2 else time_bin
        if start_end is None:
            raise AssemblyError("values by neuroid have a time bin", "the file does not say it", "give time_bin")
        values = values.drop_vars([TIME_BIN_START, TIME_BIN_END], errors="ignore").expand_dims(TIME_BIN, -1)
        bins = {n: (TIME_BIN, [int(v)]) for n, v in zip((TIME_BIN_START, TIME_BIN_END), start_end, strict=True)}
        values = values.assign_coords(bins)
    if set(values.dims) != {SPLIT, NEUROID, TIME_BIN}:
        raise AssemblyError(
            "values are by split, neuroid and perhaps time bin", f"found {values.dims}", "reduce the others"
        )
    return values.transpose(SPLIT, NEUROID, TIME_BIN)


def _formula_of(center: float, raw: xr.DataArray, ceiling: xr.DataArray | None) -> str:
    """Return the name of the formula that makes the center of raw values and ceiling."""
    r = _aggregated(raw)
    if ceiling is None:
        candidates = {"raw": r}
    else:
        names = [name for name, formula in FORMULAS.items() if formula.on_aggregates]
        candidates = {name: correct(name, r, _aggregated(ceiling)) for name in names}
    means = {name: float(nan_mean(np.asarray(values), 0)) for name, values in candidates.items()}
    for name, mean in means.items():
        if abs(mean - center) <= TOLERANCE:
            return name
    made = ", ".join(f"{mean:.5f} ({name})" for name, mean in means.items())
    raise AssemblyError(
        "the center of a score is made of its raw values and its ceiling by a formula on aggregates",
        f"it is {center:.5f}, and not {made}",
        "read the score that it was written from, if it is one of neurofit's (.nc)",
    )


def _aggregated(values: xr.DataArray) -> np.ndarray:
    """Return the mean over splits of the median over neuroids, (T,)."""
    return nan_mean(values.median(NEUROID, skipna=True).transpose(SPLIT, TIME_BIN).values, 0)


def _as_score(raw: xr.DataArray, ceiling: xr.DataArray | None, formula: str, attrs: Mapping[str, Any]) -> xr.Dataset:
    shape = raw.shape[1:]
    nothing = np.full(shape, np.nan)
    variables: dict[str, Any] = {
        "predictivity": (raw.dims, raw.values),
        "internal_consistency": ((NEUROID, TIME_BIN), nothing),
        "mapping_consistency": ((NEUROID, TIME_BIN), nothing),
        "terms_excluded": ((NEUROID, TIME_BIN), np.zeros(shape, int)),
        "components": ((SPLIT, TIME_BIN), np.zeros((raw.shape[0], shape[1]), int)),
        "silent": ((TIME_BIN,), np.zeros(shape[1], bool)),
    }
    if ceiling is None:
        variables["predictivity_corrected"] = (raw.dims, raw.values)
    else:
        variables["ceiling_by_halving"] = ((HALVING, NEUROID, TIME_BIN), ceiling.values)
        variables["internal_consistency"] = ((NEUROID, TIME_BIN), nan_mean(ceiling.values, 0))
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in attrs.items()}
    ours = {ours: str(plain[theirs]) for ours, theirs in _NAMES.items() if theirs in plain}
    coords = {name: c for name, c in raw.coords.items() if c.dims in ((NEUROID,), (TIME_BIN,))}
    return check_score(xr.Dataset(variables, coords=coords, attrs={**ours, "formula": formula, "threshold": 0.0}))
