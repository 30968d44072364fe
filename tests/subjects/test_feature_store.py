"""Features from a store are those of the network, and of nothing else that was ever kept."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.data.stimuli import StimulusSet
from neurofit.files.store import FeatureStore, key_name
from neurofit.files.store_upkeep import list_entries
from neurofit.kernel import gram_stream, routes
from neurofit.models.execution import Execution
from neurofit.models.preprocessing import Preprocessing
from neurofit.subjects import feature_key, stored_features
from neurofit.subjects.feature_key import layer_key, pixels_sha256, shared_key
from neurofit.subjects.features import FeatureOptions
from neurofit.subjects.library import load_subject
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.network_identity import NoIdentityError, network_identity
from neurofit.subjects.static import static_subject
from neurofit.subjects.time_course import in_static_mode
from neurofit.subjects.viewing import Viewing

BINS = make_time_bins(0, 60, 10)
SHOWN = {"time_bins": BINS, "viewing": Viewing(on_ms=30, total_ms=60)}
PASSES: list[int] = []


class Images:
    def __getitem__(self, row):
        return np.random.default_rng(row).integers(0, 256, (20, 30, 3), dtype=np.uint8)


class Counted(torch.nn.Module):
    """A leaky sum of colour means; every call is counted, outside of the network."""

    def __init__(self, leak=0.5):
        super().__init__()
        self.leak, self.mix = leak, torch.nn.Linear(3, 40)
        with torch.no_grad():
            self.mix.weight.copy_(torch.linspace(-1, 1, 120).view(40, 3))
            self.mix.bias.fill_(0.1)

    def forward(self, frames, layers):
        PASSES.append(len(frames[0]))
        state, states = torch.zeros(len(frames[0]), 3), []
        for frame in frames:
            state = self.leak * state + frame.mean((2, 3))
            states.append(state)
        course = torch.stack(states, dim=1)
        return {"sum": course, "mixed": torch.relu(self.mix(course))}


@pytest.fixture
def stimuli():
    return StimulusSet("noise", pd.DataFrame({"stimulus_id": [f"s{k:03d}" for k in range(20)]}), Images())


@pytest.fixture(autouse=True)
def forget_passes():
    PASSES.clear()


def counted(store, network=None, **options):
    options = {"batch": 6, "features": FeatureOptions(store=store), **options}
    return ModelSubject(
        network or Counted(), name="mine", layers=["sum", "mixed"], preprocessing=Preprocessing(16), **options
    )


ROUTES = {
    "raw": ({}, "per-bin"),
    "dual": ({"max_features": 50}, "per-bin"),
    "dual, shared": ({"max_features": 50}, "shared"),
    "projected": ({"max_features": 50}, "units"),
    "unit patterns, dual": ({"max_features": 50}, "correlation"),
    "unit patterns, projected": ({"max_features": 50, "features": "projected"}, "correlation"),
}


@pytest.mark.parametrize("route", ROUTES)
def test_hits_are_the_run_without_a_store_to_the_bit_and_no_pass(stimuli, tmp_path, monkeypatch, route):
    options, basis = ROUTES[route]
    choice = {"choice": options.get("features", "auto")}

    def record(**kept):
        chosen = options | {"features": FeatureOptions(**choice, **kept), "batch": 8}
        subject = load_subject("rgc_untrained", **chosen)
        return subject, subject.record_many(stimuli, layers=["conv5", "conv3"], basis=basis, **SHOWN)

    plain = record()[1]
    first = record(store=tmp_path / "store")[1]
    monkeypatch.setattr(ModelSubject, "stream", lambda *a, **k: pytest.fail("the network was run"))
    second = record(store=tmp_path / "store")[1]
    assert list(plain) == list(first) == list(second)
    for layer, expected in plain.items():
        assert first[layer].identical(expected)
        assert second[layer].identical(expected)


def test_hits_have_the_names_of_now(stimuli, tmp_path):
    counted(tmp_path).record(stimuli, layer="mixed", **SHOWN)
    shown = len(PASSES)
    renamed = StimulusSet("others", pd.DataFrame({"stimulus_id": [f"t{k}" for k in range(20)]}), Images())
    subject = ModelSubject(
        Counted(), name="yours", layers=["mixed"], preprocessing=Preprocessing(16), batch=6,
        features=FeatureOptions(store=tmp_path),
    )  # fmt: skip
    found = subject.record(renamed, layer="mixed", **SHOWN)
    assert len(PASSES) == shown
    assert found.stimulus_id.values.tolist() == renamed.ids
    assert set(found.subject.values.tolist()) == {"yours"}


def test_a_run_goes_on_at_the_batch_that_is_missing(stimuli, tmp_path):
    class Failing(Images):
        def __getitem__(self, row):
            if row == 15:
                raise RuntimeError("the power failed")
            return super().__getitem__(row)

    plain = counted(None).record_many(stimuli, layers=["sum", "mixed"], **SHOWN)
    broken = StimulusSet("noise", stimuli.table, Failing())
    key = pixels_sha256(stimuli, FeatureStore(tmp_path))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="the power failed"):
        patch.setattr(feature_key, "pixels_sha256", lambda *_: key)
        counted(tmp_path).record_many(broken, layers=["sum", "mixed"], **SHOWN)
    assert {entry.state for entry in list_entries(FeatureStore(tmp_path))} == {"unfinished"}
    PASSES.clear()
    found = counted(tmp_path).record_many(stimuli, layers=["sum", "mixed"], **SHOWN)
    assert PASSES == [6, 2]  # the third and the last batch; how wide layers are is known
    for layer, expected in plain.items():
        assert found[layer].identical(expected)


def test_another_layer_is_added_to_what_is_there(stimuli, tmp_path):
    counted(tmp_path).record(stimuli, layer="sum", **SHOWN)
    plain = counted(None).record_many(stimuli, layers=["sum", "mixed"], **SHOWN)
    asked = []
    network = Counted()
    subject = counted(tmp_path, network)
    stream = ModelSubject.stream
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ModelSubject, "stream", lambda self, s, layers, *a: asked.append(layers) or stream(self, s, layers, *a)
        )
        found = subject.record_many(stimuli, layers=["sum", "mixed"], **SHOWN)
    assert asked[1:] == [["mixed"]] * 4  # after one grey image
    for layer, expected in plain.items():
        assert found[layer].identical(expected)


@pytest.mark.parametrize("route", ["raw", "dual"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_damaged_chunk_is_computed_again(stimuli, tmp_path, route, harm):
    options = {"max_features": 4 if route == "dual" else 100}

    def record(store):
        return counted(store, **options).record(stimuli, layer="mixed", basis="per-bin", **SHOWN)

    plain = record(None)
    assert plain.attrs["route"] == route
    record(tmp_path)
    path = sorted(tmp_path.rglob("??/*/*.h5"))[-1]
    content = bytearray(path.read_bytes())
    if harm == "flipped":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif harm == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    PASSES.clear()
    assert record(tmp_path).identical(plain)
    expected = [2] if route == "raw" else [6, 6, 6, 2]
    assert expected == PASSES
    PASSES.clear()
    assert record(tmp_path).identical(plain)
    assert not PASSES


def test_a_disk_that_fills_up_stops_nothing(stimuli, tmp_path, monkeypatch):
    plain = counted(None).record(stimuli, layer="mixed", **SHOWN)
    said, write = [], stored_features.Draft.keep

    def full(self, series, number, part):
        if number == 2:
            monkeypatch.setattr("neurofit.files.atomic.os.fsync", _no_space)
        write(self, series, number, part)

    monkeypatch.setattr(stored_features.Draft, "keep", full)
    found = counted(tmp_path, announce=said.append).record(stimuli, layer="mixed", **SHOWN)
    monkeypatch.undo()
    assert found.identical(plain)
    (told,) = [text for text in said if "nothing is kept" in text]
    assert "No space left on device" in told
    PASSES.clear()
    assert counted(tmp_path).record(stimuli, layer="mixed", **SHOWN).identical(plain)
    assert PASSES == [6, 2]


def _no_space(_):
    raise OSError(28, "No space left on device")


def test_a_store_that_is_only_read_gives_what_it_has(stimuli, tmp_path, monkeypatch):
    plain = counted(None).record_many(stimuli, layers=["sum", "mixed"], **SHOWN)
    counted(tmp_path).record(stimuli, layer="sum", **SHOWN)
    said, shown = [], len(PASSES)

    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("neurofit.files.atomic.secrets.token_hex", refused)
    monkeypatch.setattr("neurofit.files.store_lock._opened", refused)
    subject = counted(tmp_path, announce=said.append)
    assert subject.record(stimuli, layer="sum", **SHOWN).identical(plain["sum"])
    assert len(PASSES) == shown
    assert subject.record(stimuli, layer="mixed", **SHOWN).identical(plain["mixed"])
    assert any("nothing is kept of this run" in text and "Read-only file system" in text for text in said)
    with pytest.warns(UserWarning, match="nothing is kept of this run"):
        counted(tmp_path).record(stimuli, layer="mixed", **SHOWN)


def test_where_interrupted_batches_do_not_fit_the_features_are_kept(stimuli, tmp_path, monkeypatch):
    said = []
    usage = stored_features.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(stored_features.shutil, "disk_usage", lambda _: usage._replace(free=10000))
    for module in (gram_stream, routes):
        monkeypatch.setattr(module, "KEPT_BYTES", 2**40)
    plain = counted(None, max_features=4).record(stimuli, layer="mixed", basis="per-bin", **SHOWN)
    subject = counted(tmp_path, max_features=4, announce=said.append)
    assert subject.record(stimuli, layer="mixed", basis="per-bin", **SHOWN).identical(plain)
    assert any("kept when it is finished" in text for text in said)
    assert [entry.state for entry in list_entries(FeatureStore(tmp_path))] == ["finished"]


# -- what decides a key ------------------------------------------------------------------------------------------------


@dataclass
class Situation:
    """A recording of which any part can be another."""

    network: object = None
    preprocessing: Preprocessing = Preprocessing(16)  # noqa: RUF009 - frozen
    images: object = None
    viewing: Viewing = Viewing(30, 60)  # noqa: RUF009 - frozen
    bins: tuple = tuple(BINS)
    delay_ms: int = 0
    step_ms: int = 10
    batch: int = 6
    threads: int = 1
    execution: Execution = Execution()  # noqa: RUF009 - frozen
    layer: str = "mixed"
    route: str = "raw"
    basis: str = "per-bin"
    columns: int = 12
    random_state: int = 0
    size_deg: float | None = 8.0
    mode: str | None = None
    latency_ms: int | None = None

    def name(self, store):
        images = [np.full((4, 4, 3), k, np.uint8) for k in range(3)] if self.images is None else self.images
        table = pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(len(images))]})
        stimuli = StimulusSet("few", table, images, self.size_deg)
        subject = ModelSubject(
            self.network or Counted(), name="mine", layers=["mixed"], preprocessing=self.preprocessing,
            step_ms=self.step_ms, delay_ms=self.delay_ms, batch=self.batch, execution=self.execution,
        )  # fmt: skip
        if self.mode is not None:
            subject = in_static_mode(load_subject("ff_untrained"), self.mode, latency_ms=self.latency_ms)
        shared = shared_key(subject, stimuli, self.viewing, self.bins, store, self.threads)
        plan = routes.FeaturePlan(self.route, "", 12, self.columns, 0, 0, 0, 0.0)
        return key_name(layer_key(shared, self.layer, plan, self.basis, self.random_state))


def other_bias():
    network = Counted()
    with torch.no_grad():
        network.mix.bias[3] += 1e-7
    return network


def hooked():
    network = Counted()
    network.mix.register_forward_hook(lambda module, args, out: out * 2)
    return network


class Derived(Preprocessing):
    def __call__(self, images):
        return super().__call__(images) * 2


CHANGES = {
    "a weight": {"network": other_bias},
    "a setting of the network": {"network": lambda: Counted(0.25)},
    "a hook": {"network": hooked},
    "another class": {"network": lambda: torch.nn.Sequential(Counted())},
    "input size": {"preprocessing": Preprocessing(17)},
    "mean": {"preprocessing": Preprocessing(16, mean=(0.5, 0.456, 0.406))},
    "std": {"preprocessing": Preprocessing(16, std=(0.5, 0.224, 0.225))},
    "blank": {"preprocessing": Preprocessing(16, blank=0.0)},
    "interpolation": {"preprocessing": Preprocessing(16, interpolation="bicubic")},
    "resize": {"preprocessing": Preprocessing(16, resize_px=20)},
    "a preprocessing of one's own": {"preprocessing": Derived(16)},
    "a pixel": {"images": [np.full((4, 4, 3), k, np.uint8) for k in (0, 1, 3)]},
    "the order of images": {"images": [np.full((4, 4, 3), k, np.uint8) for k in (1, 0, 2)]},
    "the number of images": {"images": [np.full((4, 4, 3), k, np.uint8) for k in range(4)]},
    "the shape of an image": {"images": [np.full((2, 8, 3), k, np.uint8) for k in range(3)]},
    "on_ms": {"viewing": Viewing(20, 60)},
    "total_ms": {"viewing": Viewing(30, 70)},
    "field_deg": {"viewing": Viewing(30, 60, 8.0)},
    "field_deg and size": {"viewing": Viewing(30, 60, 8.0), "size_deg": 4.0},
    "step_ms": {"step_ms": 30},
    "delay_ms": {"delay_ms": 10},
    "a bin": {"bins": ((0, 20), *BINS[2:])},
    "fewer bins": {"bins": tuple(BINS[1:])},
    "layer": {"layer": "sum"},
    "route": {"route": "dual"},
    "basis": {"route": "dual", "basis": "shared"},
    "unit patterns": {"route": "dual", "basis": "correlation"},
    "projection": {"route": "projected"},
    "random_state": {"route": "projected", "random_state": 1},
    "unit patterns, projected": {"route": "projected", "basis": "correlation"},
    "columns": {"route": "projected", "columns": 8},
    "precision": {"execution": Execution("bfloat16")},
    "channels_last": {"execution": Execution(channels_last=True)},
    "batch": {"batch": 5},
    "threads": {"threads": 2},
    "static mode": {"mode": "constant"},
    "another static mode": {"mode": "once"},
    "latency": {"mode": "once", "latency_ms": 50},
}


def test_every_part_of_a_key_gives_another_name(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path)
    names = {"as it is": Situation().name(store)}
    for what, change in CHANGES.items():
        made = {name: value() if name == "network" else value for name, value in change.items()}
        names[what] = replace(Situation(), **made).name(store)
    for part, value in (("FEATURES_VERSION", 2), ("version", lambda name: "0.0.1")):
        with monkeypatch.context() as patch:
            patch.setattr(feature_key, part, value)
            names[part] = Situation().name(store)
    with monkeypatch.context() as patch:
        patch.setattr("neurofit.subjects.code_identity.own_code_hash", lambda: "0")
        names["neurofit's code"] = replace(Situation(), mode="constant").name(store)
    for one, other in itertools.combinations(names, 2):
        assert names[one] != names[other], f"'{one}' and '{other}' share an entry"


@pytest.mark.parametrize(
    "change",
    [
        {"size_deg": 4.0},  # nothing is set into a field
        {"random_state": 1},  # nothing is projected
        {"basis": "shared"},  # units are units
        {"basis": "correlation"},
        {"network": Counted},
    ],
)
def test_what_decides_nothing_is_no_part_of_a_key(tmp_path, change):
    made = {name: value() if name == "network" else value for name, value in change.items()}
    assert replace(Situation(), **made).name(FeatureStore(tmp_path)) == Situation().name(FeatureStore(tmp_path))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_bit_of_any_parameter_counts(data):
    network = Counted()
    before = network_identity(network)
    parameters = list(network.parameters())
    values = data.draw(st.sampled_from(parameters)).detach().view(-1).numpy().view(np.uint32)
    values[data.draw(st.integers(0, len(values) - 1))] ^= np.uint32(1 << data.draw(st.integers(0, 31)))
    after = network_identity(network)
    assert before["weights_sha256"] != after["weights_sha256"]
    assert {**before, "weights_sha256": ""} == {**after, "weights_sha256": ""}


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_bit_of_any_pixel_counts(tmp_path_factory, data):
    store = FeatureStore(tmp_path_factory.getbasetemp() / "never")
    images = [np.array(Images()[row]) for row in range(3)]
    of_images = StimulusSet("few", pd.DataFrame({"stimulus_id": list("abc")}), images)
    before = pixels_sha256(of_images, store)
    flat = images[data.draw(st.integers(0, 2))].reshape(-1)
    flat[data.draw(st.integers(0, len(flat) - 1))] ^= np.uint8(1 << data.draw(st.integers(0, 7)))
    assert pixels_sha256(of_images, store) != before


def test_pictures_that_are_rendered_are_hashed_once(tmp_path, monkeypatch):
    store, stimuli = FeatureStore(tmp_path), SimulatedVentralStream(1).stimuli(16)
    few = stimuli.subset(stimuli.ids[:3])
    expected = pixels_sha256(replace(few, images=[few.image(k) for k in range(3)], rows=None), store)
    assert pixels_sha256(few, store) == expected
    other = pixels_sha256(stimuli.subset(stimuli.ids[1:4]), store)
    assert other != expected
    monkeypatch.setattr("neurofit.data.rendering.render", lambda *_: pytest.fail("a picture was drawn"))
    assert pixels_sha256(few, store) == expected
    assert pixels_sha256(replace(few, name="renamed"), store) == expected


# -- what has no identity ----------------------------------------------------------------------------------------------


class Handle(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.source = iter([1])

    def forward(self, x):
        return x


def test_a_network_without_identity_is_recorded_and_not_kept(stimuli, tmp_path):
    class Odd(Counted):
        pass

    network = Odd()
    network.source = iter([1])
    said = []
    found = counted(tmp_path, network, announce=said.append).record(stimuli, layer="mixed", **SHOWN)
    assert found.sizes["presentation"] == 20
    (told,) = [text for text in said if text.startswith("store")]
    assert told.startswith("store: features of mine are not kept: the network has no content hash, .source is a")
    assert not list_entries(FeatureStore(tmp_path))


@pytest.mark.parametrize("how", ["derived", "replaced"])
def test_a_subject_that_shows_something_else_is_not_kept(stimuli, tmp_path, how):
    class Blurred(ModelSubject):
        pass

    subject = counted(tmp_path)
    if how == "derived":
        subject = Blurred(
            Counted(), name="b", layers=["mixed"], preprocessing=Preprocessing(16),
            features=FeatureOptions(store=tmp_path),
        )  # fmt: skip
    else:
        frames = subject.frames
        subject.frames = lambda images, viewing: frames(images[::-1], viewing)
    with pytest.warns(UserWarning, match="are not kept"):
        subject.record(stimuli, layer="mixed", **SHOWN)
    assert not list_entries(FeatureStore(tmp_path))


def test_code_that_was_edited_after_its_import_has_no_identity(tmp_path, monkeypatch):
    source = "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x * {}\n"
    path = tmp_path / "edited_net.py"
    path.write_text(source.format(2))
    monkeypatch.syspath_prepend(tmp_path)
    import edited_net

    try:
        first = network_identity(edited_net.Net())
        path.write_text(source.format(33))
        with pytest.raises(NoIdentityError, match="edited after it was imported"):
            network_identity(edited_net.Net())
        del sys.modules["edited_net"]
        import edited_net as again

        assert network_identity(again.Net())["code"] != first["code"]
    finally:
        sys.modules.pop("edited_net", None)


def test_what_a_users_module_imports_counts(tmp_path, monkeypatch):
    (tmp_path / "helping_net.py").write_text("SCALE = 2\n\n\ndef scaled(x):\n    return x * SCALE\n")
    (tmp_path / "using_net.py").write_text(
        "import torch\nfrom helping_net import scaled\n\n\nclass Net(torch.nn.Module):\n"
        "    def forward(self, x):\n        return scaled(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code = "import using_net, json\nfrom neurofit.subjects.network_identity import network_identity\n"
    code += "print(json.dumps(network_identity(using_net.Net())['code']['files_sha256']))"

    def files():
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    before = files()
    assert "helping_net" in before
    (tmp_path / "helping_net.py").write_text("SCALE = 3\n\n\ndef scaled(x):\n    return x * SCALE\n")
    assert files() != before


def test_networks_of_others_are_told_by_their_release():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU())
    subject = static_subject(network, {"conv": "1"}, name="mine", preprocessing=Preprocessing(32), mode="once")
    before = network_identity(subject.network)
    assert before["code"]["libraries"] == {"torch": torch.__version__}
    subject.network([torch.zeros(1, 3, 32, 32)], ["conv"])
    assert network_identity(subject.network) == before  # what it learns of itself while it runs is not counted
    network[0].stride = (2, 2)
    assert network_identity(subject.network) != before
