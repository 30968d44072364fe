import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.kernel import gram_stream, routes
from neurofit.kernel.routes import Demand, plan_features, plan_layers, size_text

GIB = 2**30
WIDE = Demand(3200, 100_352, 1, "per-bin", 4096)


def test_narrow_layers_stay_as_they_are():
    plan = plan_features(Demand(640, 4096, 26, "per-bin", 4096))
    assert (plan.route, plan.columns, plan.disk_bytes) == ("raw", 4096, 0)
    assert plan.result_bytes == 640 * 4096 * 26 * 4
    assert plan.why == "at most 4,096 units"


def test_fewer_units_than_images_stay_too():
    plan = plan_features(Demand(5760, 5000, 1, "per-bin", 4096))
    assert plan.route == "raw"
    assert plan.why == "fewer units than the 5,760 images"


def test_wide_layers_are_exact_where_the_mapping_allows_it():
    plan = plan_features(WIDE)
    assert (plan.route, plan.columns) == ("dual", 3199)
    assert plan.disk_bytes == 3200 * 100_352 * 4
    assert plan.memory_bytes < GIB
    assert plan.flops == 3200**2 * 100_352
    assert plan.sentence() == (
        f"features: 100,352 units, exact by the Gram matrix (dual): {size_text(plan.memory_bytes)} memory, "
        "1.2 GiB scratch disk; more units than the 4,096 that are kept as they are"
    )
    units = plan_features(Demand(3200, 100_352, 1, "units", 4096))
    assert (units.route, units.columns) == ("projected", 4096)
    assert "not exact because the mapping sees the units themselves" in units.sentence()
    assert "projected at random to 4,096 (approximate)" in units.sentence()


def test_small_streams_need_no_disk():
    assert plan_features(Demand(100, 20_000, 4, "per-bin", 4096)).disk_bytes == 0


def test_one_image_is_a_column_of_zeros():
    assert plan_features(Demand(1, 20_000, 4, "per-bin", 4096)).columns == 1


def test_a_basis_that_there_is_not_is_told():
    with pytest.raises(UnknownNameError, match="basis of features .* 'per_bin' is not known - use 'per-bin'"):
        Demand(100, 20_000, 4, "per_bin", 4096)


def test_what_does_not_fit_is_planned_anew_and_says_why():
    shared = Demand(3200, 100_352, 26, "shared", 4096)
    plan = plan_features(shared)
    assert plan.route == "projected"
    assert plan.why.startswith("not exact because it needs ")
    assert plan.why.endswith(" of 8.0 GiB memory")
    plan = plan_features(WIDE, disk_bytes=GIB)
    assert plan.route == "projected"
    assert plan.why == "not exact because it needs 1.2 GiB of 1.0 GiB scratch disk"
    assert plan_features(Demand(600, 100_352, 10, "shared", 4096)).route == "dual"


def test_what_is_insisted_on_and_does_not_fit_is_refused():
    with pytest.raises(ConfigurationError, match=r"'raw' features of 100,352 units: it needs .* of 8.0 GiB memory"):
        plan_features(Demand(3200, 100_352, 26, "per-bin", 4096), "raw")
    with pytest.raises(ConfigurationError, match="'dual' features of 100,352 units: the mapping sees the units"):
        plan_features(Demand(3200, 100_352, 1, "units", 4096), "dual")
    with pytest.raises(ConfigurationError, match="'projected' features .* of 1 MiB memory - allow more"):
        plan_features(WIDE, memory_bytes=2**20)
    assert plan_features(Demand(10, 50, 1, "units", 100), "projected").route == "raw"
    assert plan_features(Demand(10, 50, 1, "per-bin", 100), "dual").columns == 9


def test_layers_of_one_pass_share_memory_and_disk():
    demands = {
        "wide": WIDE,
        "wider": Demand(3200, 200_704, 1, "per-bin", 4096),
        "narrow": Demand(640, 512, 26, "shared", 4096),
    }
    assert [p.route for p in plan_layers(demands).values()] == ["dual", "dual", "raw"]
    plans = plan_layers(demands, disk_bytes=3 * GIB)
    assert list(plans) == ["wide", "wider", "narrow"]
    assert [p.route for p in plans.values()] == ["dual", "projected", "raw"]
    with pytest.raises(ConfigurationError, match="memory"):
        plan_layers({str(i): WIDE for i in range(30)}, "dual", memory_bytes=GIB)


def test_activations_in_memory_stay_until_all_layers_are_recorded():
    small = Demand(100, 600_000, 1, "per-bin", 4096)  # 229 MiB each, less than what goes to disk
    assert plan_features(small, memory_bytes=GIB).route == "dual"
    plans = plan_layers({str(i): small for i in range(8)}, memory_bytes=GIB)
    assert [p.route for p in plans.values()] == ["dual"] * 3 + ["projected"] * 5


def test_a_stream_of_many_bins_takes_no_more_than_was_planned(monkeypatch, tmp_path):
    for module in (gram_stream, routes):
        monkeypatch.setattr(module, "KEPT_BYTES", 0)
        monkeypatch.setattr(module, "BLOCK_BYTES", 2**20)
    n, p, T = 20, 50_000, 40
    plan = plan_features(Demand(n, p, T, "per-bin", 4096))
    rows = np.random.default_rng(0).standard_normal((n, p), np.float32)
    tracemalloc.start()
    with gram_stream.GramStream(n, p, T, kept_bytes=0, folder=tmp_path) as stream:
        stream.add([rows] * T)
        stream.features(0)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * plan.memory_bytes


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(2, 10_000), p=st.integers(1, 10**6), T=st.integers(1, 40),
    basis=st.sampled_from(["units", "shared", "per-bin"]), memory=st.integers(1, 64), disk=st.integers(0, 64),
)  # fmt: skip
def test_a_plan_keeps_its_limits(n, p, T, basis, memory, disk):
    try:
        plan = plan_features(Demand(n, p, T, basis, 4096), memory_bytes=memory * GIB, disk_bytes=disk * GIB)
    except ConfigurationError as error:
        assert "memory" in str(error)  # a plan or a reason, either will do
        return
    assert plan.result_bytes <= plan.memory_bytes <= memory * GIB
    assert plan.disk_bytes <= disk * GIB
    assert plan.columns <= (p if plan.route == "raw" else max(4096, n * T))
    assert plan.route != "dual" or basis != "units"


def test_sizes_are_written_as_a_person_would():
    assert [size_text(s) for s in (1, 2**20, 35 * 2**20, 1.5 * 2**30)] == ["1 MiB", "1 MiB", "35 MiB", "1.5 GiB"]
