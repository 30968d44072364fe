"""The contract of an assembly.

An assembly is a plain `xarray.DataArray` with dimensions exactly ``(presentation, neuroid, time_bin)``, flat
coordinates and finite values. A *recording* names each neuroid's `region`, *activations* name its `layer`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurofit.errors import AssemblyError, listed
from neurofit.vocabulary import (
    ASSEMBLY_DIMS,
    LAYER,
    NEUROID,
    NEUROID_ID,
    PRESENTATION,
    REGION,
    REPETITION,
    REQUIRED_COORDS,
    STIMULUS_ID,
    TIME_BIN_END,
    TIME_BIN_START,
)


def check_assembly(assembly: xr.DataArray) -> xr.DataArray:
    """Return the assembly if it keeps the contract, and say what is wrong if not.

    Parameters
    ----------
    assembly : xarray.DataArray (presentation, neuroid, time_bin)
        Needs the coordinates stimulus_id on presentation; neuroid_id, subject and region or layer on neuroid; integer
        milliseconds time_bin_start < time_bin_end on time_bin. `repetition` on presentation is optional; without it
        every stimulus_id occurs once.

    Returns
    -------
    xarray.DataArray
        The same object.

    Raises
    ------
    AssemblyError
        Naming the broken promise, what was found, and the remedy.
    """
    _check_shape(assembly)
    _check_coordinates(assembly)
    _check_identity(assembly)
    _check_time_bins(assembly)
    _check_values(assembly)
    return assembly


def _check_shape(assembly: xr.DataArray) -> None:
    if not isinstance(assembly, xr.DataArray):
        raise AssemblyError(
            "an assembly is an xarray.DataArray",
            f"got {type(assembly).__name__}",
            "build one with neurofit.make_assembly",
        )
    if assembly.dims != ASSEMBLY_DIMS:
        missing = [d for d in ASSEMBLY_DIMS if d not in assembly.dims]
        remedy = f"add {listed(missing)}" if missing else f"transpose to {ASSEMBLY_DIMS}"
        raise AssemblyError(f"an assembly has dimensions {ASSEMBLY_DIMS}", f"found {assembly.dims}", remedy)
    empty = [str(d) for d, size in assembly.sizes.items() if size == 0]
    if empty:
        raise AssemblyError("no dimension is empty", f"{listed(empty)} has length 0", "check the selection before it")


def _check_coordinates(assembly: xr.DataArray) -> None:
    for name in assembly.indexes:
        if assembly.indexes[name].nlevels > 1:
            raise AssemblyError(
                "coordinates are flat", f"'{name}' is a MultiIndex", f"call assembly.reset_index('{name}') first"
            )
    for dim, names in REQUIRED_COORDS.items():
        for name in names:
            _require(assembly, name, dim)
    if REGION not in assembly.coords and LAYER not in assembly.coords:
        raise AssemblyError(
            "every neuroid has a region (recordings) or a layer (activations)",
            f"found coordinates {listed(sorted(str(c) for c in assembly.coords), 12)}",
            "add 'region' or 'layer' on dimension 'neuroid'",
        )
    for name, dim in ((REGION, NEUROID), (LAYER, NEUROID), (REPETITION, PRESENTATION)):
        if name in assembly.coords:
            _require(assembly, name, dim)


def _require(assembly: xr.DataArray, name: str, dim: str) -> None:
    if name not in assembly.coords:
        raise AssemblyError(
            f"an assembly has the coordinate '{name}' on '{dim}'",
            f"found {listed(sorted(str(c) for c in assembly.coords), 12) or 'no coordinates'}",
            f"assign it: assembly.assign_coords({name}=('{dim}', values))",
        )
    if assembly[name].dims != (dim,):
        raise AssemblyError(
            f"'{name}' lies on dimension '{dim}' alone", f"found it on {assembly[name].dims}", f"assign it on '{dim}'"
        )


def _check_identity(assembly: xr.DataArray) -> None:
    ids = assembly[NEUROID_ID].values
    unique, counts = np.unique(ids.astype(str), return_counts=True)
    if (counts > 1).any():
        raise AssemblyError(
            "neuroid_id is unique", f"repeated: {listed(unique[counts > 1])}", "give every neuroid an id of its own"
        )
    shown = [assembly[STIMULUS_ID].values.astype(str)]
    if REPETITION in assembly.coords:
        repetition = assembly[REPETITION]
        if not np.issubdtype(repetition.dtype, np.integer):
            raise AssemblyError(
                "repetition is an integer ordinal", f"found dtype {repetition.dtype}", "convert it with .astype(int)"
            )
        shown.append(repetition.values.astype(str))
    keys = np.array(["\0".join(k) for k in zip(*shown, strict=True)])
    unique, counts = np.unique(keys, return_counts=True)
    if (counts > 1).any():
        names = [str(k).replace("\0", " repetition ") for k in unique[counts > 1]]
        what = "(stimulus_id, repetition)" if len(shown) > 1 else "stimulus_id"
        raise AssemblyError(
            f"{what} names one presentation",
            f"{len(names)} occur more than once: {listed(names, 3)}",
            "number the repetitions in a 'repetition' coordinate" if len(shown) == 1 else "number them 0, 1, 2, ...",
        )


def _check_time_bins(assembly: xr.DataArray) -> None:
    starts, ends = assembly[TIME_BIN_START], assembly[TIME_BIN_END]
    for coordinate in (starts, ends):
        if not np.issubdtype(coordinate.dtype, np.integer):
            raise AssemblyError(
                "time bins are integer milliseconds",
                f"'{coordinate.name}' has dtype {coordinate.dtype}",
                "round them to integers",
            )
    bad = np.flatnonzero(ends.values <= starts.values)
    if len(bad):
        at = int(bad[0])
        raise AssemblyError(
            "every time bin ends after it starts",
            f"bin {at} is [{int(starts[at])}, {int(ends[at])}) ms",
            "check time_bin_start and time_bin_end",
        )
    later = np.diff(starts.values)
    # bins may lie in one another: a window beside the bins that it is made of
    if ((later < 0) | ((later == 0) & (np.diff(ends.values) <= 0))).any():
        raise AssemblyError(
            "time bins are in ascending order of start, then end",
            f"starts are {listed(starts.values.tolist(), 8)} ms",
            f"sort them: assembly.sortby('{TIME_BIN_START}')",
        )


def _check_values(assembly: xr.DataArray) -> None:
    if not np.issubdtype(assembly.dtype, np.floating):
        raise AssemblyError(
            "responses are floating-point numbers",
            f"found dtype {assembly.dtype}",
            "convert them with .astype('float32')",
        )
    finite = np.isfinite(assembly.values)
    if not finite.all():
        bad = ~finite
        neuroids = assembly[NEUROID_ID].values[bad.any((0, 2))]
        raise AssemblyError(
            "responses are finite",
            f"{int(bad.sum())} values are NaN or infinite, in {bad.any((1, 2)).sum()} presentations of "
            f"{len(neuroids)} neuroids: {listed(neuroids, 3)}",
            "leave out those presentations or neuroids before building the assembly",
        )


def time_bins_of(assembly: xr.DataArray | xr.Dataset) -> list[tuple[int, int]]:
    """Return the (start, end) in ms of every time bin."""
    starts, ends = assembly[TIME_BIN_START].values.tolist(), assembly[TIME_BIN_END].values.tolist()
    return list(zip(starts, ends, strict=True))


def has_repetitions(assembly: xr.DataArray) -> bool:
    """Tell whether any stimulus was shown more than once."""
    return REPETITION in assembly.coords and len(np.unique(assembly[STIMULUS_ID].values)) < assembly.sizes[PRESENTATION]


__all__ = ["check_assembly", "has_repetitions", "time_bins_of"]
