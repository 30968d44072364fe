"""The layout of a binned recording in NWB: what `write_nwb` writes, and its way back.

==========================================  ===========================================================================
where in the file                           what
==========================================  ===========================================================================
``intervals/presentations``                 a row for every presentation: start_time, stop_time, stimulus_id, repetition
``units``                                   a row for every neuroid, without spike times
``processing/ecephys/time_bins``            a row for every time bin: time_bin_start, time_bin_end in ms from onset
``processing/ecephys/binned_responses``     TimeSeries (presentations, neuroids, time bins), one sample a presentation
==========================================  ===========================================================================

Further coordinates are further columns of their table. The attributes of the assembly are JSON in the comments of the
series, with a note where the times of the presentations are made up because the recording does not know them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurofit.data.readers.checks import label_responses
from neurofit.data.readers.linked_hdf5 import check_dataset
from neurofit.data.readers.nwb_file import START_TIME, STOP_TIME, table_of
from neurofit.errors import AssemblyError
from neurofit.vocabulary import NEUROID, PRESENTATION, TIME_BIN

MODULE, RESPONSES, TIME_BINS, PRESENTATIONS = "ecephys", "binned_responses", "time_bins", "presentations"
ATTRS, MADE_UP = "attrs", "made_up_times"  # keys of the JSON in the comments


def read_own(nwb: Any, path: Path) -> xr.DataArray | None:
    """Return the recording that `write_nwb` put into a file, None if it has none.

    Raises
    ------
    AssemblyError
        If the layout is there but not whole.
    """
    module = nwb.processing.get(MODULE) if MODULE in nwb.processing else None
    if module is None or not {RESPONSES, TIME_BINS} <= set(module.data_interfaces):
        return None
    series, shown = module[RESPONSES], (nwb.intervals or {}).get(PRESENTATIONS)
    if shown is None or nwb.units is None:
        raise AssemblyError(
            "a binned recording has its presentations and units", "one of them is missing", "write the file anew"
        )
    if isinstance(series.data, h5py.Dataset):
        check_dataset(series.data, path)
    note = json.loads(series.comments)
    if not isinstance(note, dict) or not isinstance(note.get(ATTRS), dict):
        raise AssemblyError("a binned recording has its attributes as JSON", "there are none", "write the file anew")
    columns = {}
    for dim, table in ((PRESENTATION, shown), (NEUROID, nwb.units), (TIME_BIN, module[TIME_BINS])):
        plain = table_of(table, dim, path)
        columns[dim] = {name: values for name, values in plain.columns.items() if name != "id"}
        if plain.left_out:
            raise AssemblyError("its columns are flat", f"{plain.left_out} are not", "write the file anew")
    if note.get(MADE_UP):
        for name in (START_TIME, STOP_TIME):
            columns[PRESENTATION].pop(name, None)
    return label_responses(np.asarray(series.data[:]), columns, note[ATTRS])
