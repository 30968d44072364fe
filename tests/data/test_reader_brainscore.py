from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.storage import load_assembly, save_assembly
from neurofit.assembly.time_bins import rebin
from neurofit.data.readers import brainscore
from neurofit.data.readers.brainscore import read_brainscore
from neurofit.errors import DataFileError, UnknownNameError

DIMS = ("neuroid", "presentation", "time_bin")  # as MajajHong2015 has them
STARTS = np.arange(-100, 281, 10)  # 39 bins of 20 ms
REGIONS = ["IT", "V4", "IT", "IT", "V4"]

needs_hdf5_2 = pytest.mark.skipif(
    h5py.version.hdf5_version_tuple < (2, 0, 0), reason="older HDF5 libraries end the process on damaged files"
)


def packaged(n_images=4, n_repetitions=2, dims=DIMS, starts=STARTS):
    rng = np.random.default_rng(0)
    images = np.repeat([f"im{i}" for i in range(n_images)], n_repetitions)
    return xr.DataArray(
        rng.standard_normal((5, len(images), len(starts)), dtype=np.float32),
        dims=DIMS,
        coords={
            "neuroid_id": ("neuroid", [f"Chabo_L_M_{i}" for i in range(5)]),
            "animal": ("neuroid", ["Chabo", "Chabo", "Tito", "Tito", "Tito"]),
            "region": ("neuroid", REGIONS),
            "subregion": ("neuroid", ["pIT", "V4", "cIT", "aIT", "V4"]),
            "x": ("neuroid", np.linspace(0, 1, 5)),
            "image_id": ("presentation", images),
            "repetition": ("presentation", np.tile(np.arange(n_repetitions), n_images)),
            "object_name": ("presentation", np.repeat([f"object{i}" for i in range(n_images)], n_repetitions)),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 20),
        },
        attrs={"stimulus_set_identifier": "hvm-public"},
    ).transpose(*dims)


def write_brainscore_like(assembly, path, **encoding):
    """Write flat coordinates as Brain-Score does: one unnamed variable that lists them in its attribute."""
    name = assembly.name or "__xarray_dataarray_variable__"
    assembly.to_netcdf(path, engine="h5netcdf", encoding={name: encoding})
    return path


@pytest.fixture
def write(tmp_path):
    return lambda assembly, **encoding: write_brainscore_like(assembly, tmp_path / "assy.nc", **encoding)


@pytest.mark.parametrize(
    "dims", [DIMS, ("presentation", "neuroid", "time_bin"), ("time_bin", "presentation", "neuroid")]
)
def test_temporal_files_of_any_dimension_order(write, dims):
    given = packaged(dims=dims)
    read = read_brainscore(write(given), attrs={"dataset": "majaj"})
    assert read.dims == ("presentation", "neuroid", "time_bin")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.values, given.transpose(*read.dims).values)
    assert read.time_bin_start.values.tolist() == STARTS.tolist()
    assert read.stimulus_id.values.tolist() == given.image_id.values.tolist()
    assert read.subject.values.tolist() == ["Chabo", "Chabo", "Tito", "Tito", "Tito"]
    assert read.object_name.dims == ("presentation",)
    assert read.x.dims == ("neuroid",)
    assert read.attrs == {"stimulus_set_identifier": "hvm-public", "dataset": "majaj"}


def test_overlapping_bins_can_be_averaged_and_saved(write, tmp_path):
    read = read_brainscore(write(packaged()))
    assert rebin(read, [(70, 170)]).shape == (8, 5, 1)
    xr.testing.assert_identical(load_assembly(save_assembly(read, tmp_path / "saved.nc")), read)


@pytest.mark.parametrize("stored", [np.float64, np.int32, np.longlong])
def test_time_bins_may_be_any_whole_numbers(write, stored):
    given = packaged()
    given = given.assign_coords({n: given[n].astype(stored) for n in ("time_bin_start", "time_bin_end")})
    assert read_brainscore(write(given)).time_bin_start.dtype == np.int64


def test_time_bins_between_milliseconds_are_refused(write):
    given = packaged()
    path = write(given.assign_coords(time_bin_start=given.time_bin_start + 0.5))
    with pytest.raises(DataFileError, match=r"'time_bin_start' are whole numbers.*found -99.5, -89.5"):
        read_brainscore(path)


def test_static_file_with_one_bin(write):
    assert read_brainscore(write(packaged(starts=np.array([70])))).shape == (8, 5, 1)


def test_static_file_with_scalar_times_keeps_one_bin(write):
    read = read_brainscore(write(packaged().isel(time_bin=3)))
    assert read.sizes["time_bin"] == 1
    assert (int(read.time_bin_start[0]), int(read.time_bin_end[0])) == (-70, -50)


def test_static_file_without_times_needs_them(write):
    path = write(packaged().isel(time_bin=0, drop=True))
    with pytest.raises(DataFileError, match=r"a recording tells its time_bin.*give time_bin=\.\.\."):
        read_brainscore(path)
    assert read_brainscore(path, time_bin=(70, 170)).time_bin_end.values.tolist() == [170]


def test_scalar_region_and_animal_hold_for_all(write):
    given = packaged().isel(neuroid=[0, 2]).drop_vars(["region", "animal", "subregion"])
    read = read_brainscore(write(given.assign_coords(region="IT", animal="Chabo")))
    assert read.region.values.tolist() == ["IT", "IT"]
    assert read.subject.values.tolist() == ["Chabo", "Chabo"]


def test_what_the_file_tells_is_not_told_again(write):
    path = write(packaged())
    for given, remedy in ({"region": "IT"}, r"regions="), ({"time_bin": (0, 20)}, "time_bins="), ({"subject": "m"}, ""):
        with pytest.raises(DataFileError, match=f"is for files that do not tell it.*leave out.*{remedy}"):
            read_brainscore(path, **given)


def test_regions_and_time_bins_are_selected(write):
    given = packaged()
    path = write(given)
    wanted = given.transpose("presentation", "neuroid", "time_bin").values
    it = read_brainscore(path, regions=["IT"], time_bins=[(80, 100), (70, 90)])
    np.testing.assert_array_equal(it.values, wanted[:, [0, 2, 3]][:, :, [17, 18]])
    assert it.time_bin_start.values.tolist() == [70, 80]
    assert it.neuroid_id.values.tolist() == ["Chabo_L_M_0", "Chabo_L_M_2", "Chabo_L_M_3"]
    assert read_brainscore(path, regions=["aIT", "V4"]).subregion.values.tolist() == ["V4", "aIT", "V4"]
    with pytest.raises(UnknownNameError, match=r"'IT2' is not known - use 'IT'"):
        read_brainscore(path, regions=["IT2"])
    with pytest.raises(DataFileError, match=r"\(70, 80\) ms are not among \(-100, -80\)"):
        read_brainscore(path, time_bins=[(70, 80)])
    with pytest.raises(DataFileError, match="neuroid has length 0"):
        read_brainscore(path, regions=[])


@pytest.mark.parametrize("chunks", [None, (2, 3, 5), (5, 8, 39)])
@pytest.mark.parametrize("block_bytes", [1, 500, 10**6])
def test_reading_in_blocks_changes_nothing(write, monkeypatch, chunks, block_bytes):
    monkeypatch.setattr(brainscore, "_BLOCK_BYTES", block_bytes)
    given = packaged()
    read = read_brainscore(
        write(given, chunksizes=chunks), regions=["V4"], time_bins=[(-100, -80), (0, 20), (280, 300)]
    )
    wanted = given.isel(neuroid=[1, 4], time_bin=[0, 10, 38]).transpose("presentation", "neuroid", "time_bin")
    np.testing.assert_array_equal(read.values, wanted.values)


def test_other_regions_are_not_read_from_disk(write, monkeypatch):
    monkeypatch.setattr(brainscore, "_BLOCK_BYTES", 1)  # as if each neuroid were large
    path = write(packaged(), chunksizes=(1, 8, 39), fletcher32=True)
    with h5py.File(path) as file:
        chunk = file["__xarray_dataarray_variable__"].id.get_chunk_info_by_coord((1, 0, 0))  # a V4 neuroid
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset] ^= 0xFF
    path.write_bytes(content)
    assert read_brainscore(path, regions=["IT"]).sizes["neuroid"] == 3
    with pytest.raises(DataFileError, match="can be read"):
        read_brainscore(path, regions=["V4"])


def test_missing_repetitions_are_numbered(write):
    read = read_brainscore(write(packaged(n_repetitions=3).drop_vars("repetition")))
    assert read.repetition.values.tolist() == [0, 1, 2] * 4
    assert read.attrs["repetition_numbered"] == 1
    assert "repetition_in_file" not in read.coords


def test_restarting_repetitions_are_numbered(write):
    given = packaged(n_repetitions=4).assign_coords(repetition=("presentation", [0, 1, 0, 1] * 4))
    read = read_brainscore(write(given))
    assert read.repetition.values.tolist() == [0, 1, 2, 3] * 4
    assert read.repetition_in_file.values.tolist() == [0, 1, 0, 1] * 4
    assert read.attrs["repetition_numbered"] == 1


def test_single_showings_are_not_numbered(write):
    read = read_brainscore(write(packaged(n_repetitions=1).drop_vars("repetition")))
    assert "repetition" not in read.coords
    assert "repetition_numbered" not in read.attrs


def test_variables_are_chosen_by_name(write):
    two = xr.Dataset({"rates": packaged(), "counts": packaged() + 1})
    path = write(packaged())
    two.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(DataFileError, match=r"has rates, counts - name one with variable="):
        read_brainscore(path)
    with pytest.raises(UnknownNameError, match="'rate' is not known - use 'rates'"):
        read_brainscore(path, variable="rate")
    np.testing.assert_array_equal(
        read_brainscore(path, variable="counts").values, read_brainscore(path, variable="rates").values + 1
    )


def test_dimensions_without_coordinates_are_refused(write):
    path = write(packaged().drop_vars(["time_bin_start", "time_bin_end"]))
    with pytest.raises(DataFileError, match=r"of which these are presentation, neuroid"):
        read_brainscore(path)


def test_missing_responses_name_neuroids_and_file(write):
    given = packaged()
    given[2, 1, 0] = np.nan
    with pytest.raises(DataFileError, match=r"assy\.nc: 1 values are NaN.*Chabo_L_M_2"):
        read_brainscore(write(given))


def test_bombs_are_refused_before_they_are_read(write):
    path = write(packaged())
    with h5py.File(path, "a") as file:
        file.create_dataset("filled", (10**6, 10**6), "f4", chunks=(1000, 1000))
    with pytest.raises(DataFileError, match=r"contents are at most 512 times.*declares 4\d+"):
        read_brainscore(path)


def test_foreign_and_missing_files(tmp_path):
    path = tmp_path / "assy.nc"
    with pytest.raises(DataFileError, match=r"assy\.nc does not exist - check the path"):
        read_brainscore(path)
    for content in (b"", b"PK\x03\x04 no netCDF", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match="can be read"):
            read_brainscore(path)
    with pytest.raises(DataFileError, match="is a folder"):
        read_brainscore(tmp_path)


@needs_hdf5_2
@pytest.mark.filterwarnings("ignore")  # damaged attributes make the libraries below warn of many things
def test_damaged_files_are_data_file_errors(write, tmp_path):
    content = write(packaged(n_images=2, starts=STARTS[:2])).read_bytes()
    rng = np.random.default_rng(0)
    failures = 0
    for trial in range(60):
        damaged = bytearray(content[: rng.integers(len(content))] if trial % 3 == 0 else content)
        for position in rng.integers(len(damaged), size=trial % 3):
            damaged[position] ^= int(rng.integers(1, 256))
        path = tmp_path / f"damaged{trial}.nc"
        path.write_bytes(damaged)
        try:
            read_brainscore(path)
        except DataFileError:
            failures += 1
    assert failures > 24


def test_damaged_text_heaps_do_not_hang(write):
    path = write(packaged())
    content = bytearray(path.read_bytes())
    size_of_first_object = content.index(b"GCOL") + 16 + 8
    content[size_of_first_object + 1] ^= 6
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="lie in sound heaps"):
        read_brainscore(path)


SAMPLES = ("data", "brainscore_format_samples")


def test_sample_with_restarting_repetitions(shared):
    path = shared(*SAMPLES, "assy_test_TestMe.nc")
    read = read_brainscore(path, subject="Chabo", region="IT", time_bin=(70, 170))
    assert read.dtype == np.float32  # integers in the file
    assert read.values[:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15], [16, 17, 18]]
    assert read.foo.values.tolist() == [1, 2, 5]
    assert read.repetition.values.tolist() == [0, 0, 1, 1, 0, 0]
    assert read.attrs == {"repetition_numbered": 1}


def test_sample_with_image_ids_and_time_bin(shared):
    read = read_brainscore(shared(*SAMPLES, "assy_test_package_assembly.nc"), subject="Chabo", region="IT")
    assert read.shape == (6, 3, 1)
    assert read.stimulus_id.values.tolist() == [f"n{i}" for i in range(6)]
    assert int(read.time_bin_end[0]) == 10
    assert set(read.neuroid_type.values.tolist()) == {"bar"}


def test_sample_of_activations(shared):
    path = shared(*SAMPLES, "identifier=resnet18,stimuli_identifier=objectome-240.nc")
    read = read_brainscore(path, subject="resnet18", time_bin=(70, 170))
    assert read.shape == (2400, 512, 1)
    assert set(read.layer.values.tolist()) == {"avgpool"}
    assert "region" not in read.coords
    assert read.stimulus_id.values[0] == "06aae50586099149cf4034b7966bdb8ca76173e0"
    assert read.neuroid_id.values[-1] == "511"


@pytest.mark.parametrize("name", ["assy_test_package_assembly_extras.nc", "resnet18-probabilities.nc"])
def test_samples_of_other_things_are_refused(shared, name):
    with pytest.raises(DataFileError, match="use the reader of its own format"):
        read_brainscore(shared(*SAMPLES, name))
