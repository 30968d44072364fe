"""The simulated ventral stream as a subject: what drives which area is known, and found."""

import numpy as np
import pytest

from neurofit.assembly.schema import time_bins_of
from neurofit.data.rendering import hvm_like_table
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.data.simulated_populations import TIME_BINS
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import AlignmentError, UnknownNameError
from neurofit.scoring.benchmark import load_benchmark
from neurofit.scoring.run import Target
from neurofit.scoring.selection import commit_layers
from neurofit.subjects.generating import GeneratingSubject
from neurofit.subjects.library import committed_layer, list_subjects, load_subject
from neurofit.subjects.viewing import Viewing

SHOWN = {"viewing": Viewing(), "time_bins": [(0, 40), (70, 170), (100, 110)]}


@pytest.fixture(scope="module")
def stream():
    return SimulatedVentralStream(n_views=2)


@pytest.fixture(scope="module")
def subject(stream):
    return GeneratingSubject(stream)


def default(region):
    return pytest.param(region, 10, marks=pytest.mark.slow, id=f"{region}-embedded-default")


@pytest.mark.parametrize(("region", "n_views"), [("V4", 4), ("IT", 4), default("V4"), default("IT")])
def test_the_stage_that_drives_a_region_is_committed_to_it(region, n_views):
    stream = SimulatedVentralStream(n_views)
    target = Target(stream.record(region), stream.stimuli(), 0.0)
    benchmark = load_benchmark(f"sim-{region.lower()}").varied(n_splits=2)
    commitment = commit_layers(benchmark, GeneratingSubject(stream), target=target, n_inner=1)
    assert commitment.layer == region
    assert commitment.split_layers == (region,) * 2
    assert commitment.simulated
    by_name = {row.layer: row for row in commitment.table}
    assert by_name[region].fraction > 0.9
    assert by_name[region].r > 0.85


@pytest.mark.parametrize("region", ["V4", "IT"])
def test_mean_rates_are_linear_in_the_regions_layer(region):
    stream = SimulatedVentralStream(n_views=1)
    truth = stream.truth(region)
    layer = (
        GeneratingSubject(stream)
        .record(stream.stimuli(), layer=region, **SHOWN | {"time_bins": [(120, 130)]})
        .values[:, :, 0]
    )
    rates = truth.rates()[:, :, TIME_BINS.index((120, 130))]
    design = np.column_stack([np.ones(len(layer)), layer])
    residual = rates - design @ np.linalg.lstsq(design, rates, rcond=None)[0]
    assert np.abs(residual).max() < 1e-3 * rates.std()


def test_layers_come_in_the_asked_bins_and_order(subject, stream):
    stimuli = stream.stimuli().subset([stream.table().stimulus_id[i] for i in (5, 0, 7)])
    recorded = subject.record_many(stimuli, layers=["energies", "V4", "IT"], **SHOWN)
    for layer, assembly in recorded.items():
        assert assembly.stimulus_id.values.tolist() == stimuli.ids
        assert time_bins_of(assembly) == SHOWN["time_bins"]
        assert (assembly.values[:, :, 0] == 0).all(), layer  # nothing has arrived within 40 ms
        assert np.ptp(assembly.values[:, :, 1], axis=0).max() > 0
    assert {layer: a.sizes["neuroid"] for layer, a in recorded.items()} == {"energies": 288, "V4": 32, "IT": 40}


def test_it_is_found_by_name_and_says_that_it_is_simulated():
    subject = load_subject("sim_truth", device="cpu", batch=3)
    assert "sim_truth" in list_subjects()
    assert subject.describe()["simulated"] is True
    assert [committed_layer(subject, region) for region in ("V4", "pIT", "IT")] == ["V4", "IT", "IT"]


def test_what_it_does_not_know_is_told(subject, stream):
    with pytest.raises(UnknownNameError, match="'V1' is not known"):
        subject.record_many(stream.stimuli(), layers=["V1"], **SHOWN)
    table = hvm_like_table(1, 0).head(2).assign(stimulus_id=["mine", "yours"])
    with pytest.raises(AlignmentError, match="recording of sim_truth .* mine, yours"):
        subject.record(StimulusSet("other", table, []), layer="V4", **SHOWN)
