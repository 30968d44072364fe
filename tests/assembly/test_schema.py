import numpy as np
import pytest

from neurofit.assembly.schema import check_assembly, has_repetitions, time_bins_of
from neurofit.errors import AssemblyError


@pytest.fixture
def recording(make_recording):
    return make_recording()


def test_a_good_assembly_is_returned_as_it_is(recording):
    assert check_assembly(recording) is recording
    assert time_bins_of(recording) == [(70, 80), (80, 90)]
    assert has_repetitions(recording)


BREAKS = {
    "dimensions": (lambda a: a.isel(time_bin=0), r"has dimensions .* - found .* - add time_bin"),
    "order": (lambda a: a.transpose("neuroid", "presentation", "time_bin"), "transpose to"),
    "empty": (lambda a: a.isel(neuroid=slice(0, 0)), "neuroid has length 0"),
    "stimulus_id": (lambda a: a.drop_vars("stimulus_id"), "coordinate 'stimulus_id' on 'presentation'"),
    "subject": (lambda a: a.drop_vars("subject"), "coordinate 'subject'"),
    "bins": (lambda a: a.drop_vars("time_bin_end"), "coordinate 'time_bin_end'"),
    "region": (lambda a: a.drop_vars("region"), "region .* or a layer"),
    "neuroid_id": (
        lambda a: a.assign_coords(neuroid_id=("neuroid", ["n0"] * a.sizes["neuroid"])),
        "neuroid_id is unique - repeated: n0",
    ),
    "presentations": (lambda a: a.drop_vars("repetition"), "stimulus_id names one presentation"),
    "repetition dtype": (
        lambda a: a.assign_coords(repetition=a.repetition.astype(float)),
        "repetition is an integer ordinal - found dtype float64",
    ),
    "bin dtype": (
        lambda a: a.assign_coords(time_bin_start=a.time_bin_start.astype(float)),
        "integer milliseconds - 'time_bin_start'",
    ),
    "bin order": (lambda a: a.isel(time_bin=[1, 0]), "ascending order"),
    "bin length": (
        lambda a: a.assign_coords(time_bin_end=a.time_bin_start),
        r"ends after it starts - bin 0 is \[70, 70\)",
    ),
    "dtype": (lambda a: a.astype(int), "floating-point numbers - found dtype int"),
    "NaN": (lambda a: a.where(a.neuroid_id != "n2"), "finite - .* of 1 neuroids: n2"),
    "wrong dimension": (
        lambda a: a.drop_vars("region").assign_coords(region=("time_bin", ["IT", "IT"])),
        r"'region' lies on dimension 'neuroid' alone - found it on \('time_bin',\)",
    ),
    "MultiIndex": (lambda a: a.set_index(presentation=["stimulus_id", "repetition"]), "'presentation' is a MultiIndex"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_every_broken_promise_is_named(recording, name):
    spoil, message = BREAKS[name]
    with pytest.raises(AssemblyError, match=message):
        check_assembly(spoil(recording))


def test_an_array_is_no_assembly():
    with pytest.raises(AssemblyError, match=r"is an xarray.DataArray - got ndarray"):
        check_assembly(np.zeros((2, 2, 2)))


def test_bins_may_lie_in_one_another_and_come_once(make_recording):
    nested = make_recording(bins=[(70, 80), (70, 90), (80, 90)])
    assert time_bins_of(nested) == [(70, 80), (70, 90), (80, 90)]
    for order in ([1, 0, 2], [0, 0, 2]):
        with pytest.raises(AssemblyError, match="ascending order of start, then end"):
            check_assembly(nested.isel(time_bin=order))
