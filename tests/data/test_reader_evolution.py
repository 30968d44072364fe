from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

import neurofit as nf
from neurofit.data.readers.evolution import GENERATORS, evolution_stimuli, read_evolution
from neurofit.errors import ConfigurationError, DataFileError
from neurofit.files.manifest import list_manifests, load_manifest
from neurofit.scoring.benchmark import load_benchmark

SESSION = "Exp001-A"
MANIFESTS = [name for name in list_manifests() if name.startswith("evolution-")]
BENCHMARKS = ["evolution-it-exp030-b", "evolution-v4-exp070-b", "evolution-v1-exp071-b"]


def psth(seed, n=20):
    rates = np.random.default_rng(seed).uniform(0, 50, n).round(2).tolist()
    return {"time_ms": [float(t) for t in range(n)], "mean_rate": rates, "sem": rates, "evoked_rate": 1.0}


def webp(colour):
    content = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(content, "webp", lossless=True)
    return content.getvalue()


def members(n_generations=3, session=SESSION):
    """Content by name: generation g of generator i has the rates of seed 10 g + i, and a colour that says so."""
    meta = {"unit": "Ch5U1", "area": "IT", "animal": "A", "num_generations": n_generations}
    content = {f"{session}/meta.json": json.dumps(meta).encode(), f"{session}/evol_traj.json": b"[]"}
    for g in range(1, n_generations + 1):
        for i, generator in enumerate(GENERATORS):
            content[f"{session}/gen_{g:02d}/{generator}_psth.json"] = json.dumps(psth(10 * g + i)).encode()
            content[f"{session}/gen_{g:02d}/{generator}_img.webp"] = webp((10 * g, 100 * i, 0))
    return content


@pytest.fixture
def archive(tmp_path):
    def write(content, mode="w", name="sessions.tar"):
        path = tmp_path / name
        with tarfile.open(path, mode) as file:
            for member, value in content.items():
                info = tarfile.TarInfo(member)
                info.size = len(value)
                file.addfile(info, io.BytesIO(value))
        return path

    return write


def test_a_presentation_is_a_generation_of_one_generator(archive):
    recording = read_evolution(archive(members(11) | members(2, "Exp002-B")), SESSION)
    assert recording.shape == (22, 1, 20)
    assert recording.stimulus_id.values[[0, 1, -1]].tolist() == [
        f"{SESSION}/gen_01/biggan",
        f"{SESSION}/gen_01/deepsim",
        f"{SESSION}/gen_11/deepsim",
    ]
    assert recording.generation.values.tolist() == np.repeat(np.arange(1, 12), 2).tolist()
    assert recording.generator.values[:2].tolist() == ["biggan", "deepsim"]
    assert recording.neuroid_id.values.tolist() == [f"{SESSION}-Ch5U1"]
    assert (recording.subject.values[0], recording.region.values[0]) == ("A", "IT")
    assert "repetition" not in recording.coords
    assert recording.time_bin_start.values.tolist() == list(range(20))
    assert recording.time_bin_end.values.tolist() == list(range(1, 21))
    for row in (0, 1, 21):
        g, i = divmod(row, 2)
        np.testing.assert_allclose(recording.values[row, 0], psth(10 * (g + 1) + i)["mean_rate"], rtol=1e-6)
    assert read_evolution(archive(members(11) | members(2, "Exp002-B")), "Exp002-B").shape == (4, 1, 20)


def test_images_have_the_ids_of_their_responses(archive):
    path = archive(members(3))
    stimuli = evolution_stimuli(path, SESSION, "toy", size_deg=4.0)
    recording = read_evolution(path, SESSION)
    assert stimuli.ids == recording.stimulus_id.values.tolist() and stimuli.size_deg == 4.0
    assert stimuli.table["generation"].tolist() == recording.generation.values.tolist()
    assert stimuli.table["generator"].tolist() == recording.generator.values.tolist()
    np.testing.assert_array_equal(stimuli.image(3), np.full((8, 8, 3), (20, 100, 0)))
    assert stimuli.subset([stimuli.ids[4]]).image(0)[0, 0].tolist() == [30, 0, 0]


def without(content, part):
    return {name: value for name, value in content.items() if part not in name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: without(c, "gen_02/biggan_img"), r"these are incomplete: 2 \(biggan\) -"),
        (lambda c: without(c, "gen_02/deepsim_psth"), r"these are incomplete: 2 \(deepsim\) -"),
        (lambda c: without(c, "gen_03"), r"incomplete: 3 \(biggan\), 3 \(deepsim\)"),
        (lambda c: without(c, "meta"), rf"an archive has '{SESSION}/meta\.json' - .*its sessions are {SESSION}"),
        (lambda c: c | {f"{SESSION}/meta.json": b"[]"}, "is a JSON table - .*found list"),
        (lambda c: c | {f"{SESSION}/meta.json": b"{}"}, "has 'num_generations'"),
        (lambda c: c | {f"{SESSION}/meta.json": b'{"num_generations": 3}'}, "has 'unit'"),
        (
            lambda c: c | {f"{SESSION}/meta.json": b'{"num_generations": 1e9}'},
            r"of its 1000000000\.0 generations .*: all",
        ),
        (lambda c: c | {f"{SESSION}/meta.json": b" " * 2_000_000}, "a member has at most 1000000 bytes"),
        (lambda c: c | {f"{SESSION}/gen_01/biggan_psth.json": b"{"}, "JSONDecodeError"),
        (lambda c: c | {f"{SESSION}/gen_01/biggan_psth.json": b"{}"}, "has 'time_ms' - .*it has"),
    ],
)
def test_incomplete_sessions_are_refused(archive, change, message):
    with pytest.raises(DataFileError, match=message):
        read_evolution(archive(change(members(3))), SESSION)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (psth(0, 19), "all responses have the same times"),
        (psth(0) | {"mean_rate": [1.0]}, r"has a rate for every ms - .*has \(1,\) for times \(20,\)"),
        (psth(0) | {"time_ms": list(range(0, 40, 2))}, "has a rate for every ms"),
        (psth(0) | {"time_ms": [t + 0.5 for t in range(20)]}, "'time_ms' are whole numbers"),
        (psth(0) | {"mean_rate": [float("nan")] * 20}, "responses are finite"),
        (psth(0) | {"mean_rate": ["fast"] * 20}, "could not convert"),
    ],
)
def test_responses_of_another_layout_are_refused(archive, table, message):
    content = members(2) | {f"{SESSION}/gen_02/biggan_psth.json": json.dumps(table).encode()}
    with pytest.raises(DataFileError, match=message):
        read_evolution(archive(content), SESSION)


def test_members_outside_the_layout_are_not_looked_at(archive, tmp_path):
    content = members(2)
    foreign = ("../escape.json", "/absolute.json", f"{SESSION}/../up.json", f"{SESSION}/gen_01/other_img.webp")
    assert read_evolution(archive(content | dict.fromkeys(foreign, b"x")), SESSION).shape == (4, 1, 20)
    assert {path.name for path in tmp_path.iterdir()} == {"sessions.tar"}


def test_a_last_generation_that_was_broken_off_is_left_out(archive):
    path = archive(members(3) | {f"{SESSION}/gen_04/deepsim_img.webp": webp("red")})
    assert read_evolution(path, SESSION).generation.values.max() == 3
    assert len(evolution_stimuli(path, SESSION, "toy")) == 6


def test_links_are_no_members(archive):
    path = archive(without(members(2), "gen_02/biggan_img"))
    with tarfile.open(path, "a") as file:
        link = tarfile.TarInfo(f"{SESSION}/gen_02/biggan_img.webp")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        file.addfile(link)
    with pytest.raises(DataFileError, match=r"incomplete: 2 \(biggan\)"):
        evolution_stimuli(path, SESSION, "toy")


def test_compressed_archives_and_absent_ones_are_refused(archive, tmp_path):
    with pytest.raises(DataFileError, match="an archive of evolution sessions can be read"):
        read_evolution(archive(members(2), mode="w:gz"), SESSION)
    with pytest.raises(DataFileError, match=r"absent\.tar does not exist"):
        read_evolution(tmp_path / "absent.tar", SESSION)


def test_damaged_images_and_vanished_archives_are_named(archive):
    path = archive(members(2) | {f"{SESSION}/gen_01/deepsim_img.webp": b"no image"})
    stimuli = evolution_stimuli(path, SESSION, "toy")
    with pytest.raises(DataFileError, match=rf"{SESSION}/gen_01/deepsim in .*sessions\.tar"):
        stimuli.image(1)
    path.unlink()
    with pytest.raises(DataFileError, match="No such file"):
        stimuli.image(0)


def test_damaged_archives_give_the_whole_session_or_an_error(archive):
    path = archive(members(3))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    failures = 0
    for trial in range(150):
        damaged = bytearray(content[: rng.integers(len(content))] if trial % 3 == 0 else content)
        for position in rng.integers(len(damaged), size=min(4, len(damaged))):
            damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert read_evolution(path, SESSION).shape == (6, 1, 20)
        except DataFileError:
            failures += 1
    assert failures > 50


# --- by name


def test_a_manifest_of_ones_own_names_its_session(archive, tmp_path):
    path, place = tmp_path / "toy.toml", tmp_path / "data" / "toy"
    place.mkdir(parents=True)
    archive(members(3)).rename(place / "sessions.tar")
    text = (
        'name = "toy"\ntitle = "t"\nkind = "recording"\nlicence = "l"\ncitation = "c"\nsource = "s"\n'
        'reader = "evolution"\nregions = ["IT"]\nrepetitions = false\nsize_deg = 3.0\n{}\n'
        '[[files]]\nname = "sessions.tar"\nrole = "images"\nhash_unknown = "made by a test"\n'
    )
    path.write_text(text.format(f'session = "{SESSION}"'))
    recording, stimuli = nf.load_dataset(path, tmp_path / "data"), nf.load_stimuli(path, tmp_path / "data")
    assert stimuli.ids == recording.stimulus_id.values.tolist() and stimuli.size_deg == 3.0
    path.write_text(text.format(""))
    with pytest.raises(ConfigurationError, match="reader 'evolution' gives session - 'toy' does not - add them"):
        nf.load_dataset(path, tmp_path / "data")
    path.write_text(text.format("n_repetitions = 2"))
    with pytest.raises(ConfigurationError, match="n_repetitions is given although there are no repetitions"):
        nf.load_dataset(path, tmp_path / "data")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_fit_their_recordings(name):
    benchmark, manifest = load_benchmark(name), load_manifest(name)
    assert benchmark.dataset == name and (benchmark.region,) == manifest.regions
    assert benchmark.correction.formula == "raw" and manifest.repetitions is False
    assert benchmark.time_bins.bins()[-1] == (190, 200) and benchmark.mapping.n_components == 5


# --- the real archive


def test_there_are_twelve_sessions():
    regions = [load_manifest(name).regions[0] for name in MANIFESTS]
    assert sorted(regions) == ["IT"] * 6 + ["V1"] + ["V4"] * 5


@pytest.mark.parametrize("name", MANIFESTS)
def test_facts_of_the_real_sessions_are_those_of_the_files(name, shared):
    path = shared("data", "evolution_psth", "sessions.tar")
    rows = json.loads(shared("data", "evolution_psth", "sessions.json").read_text())
    manifest = load_manifest(name)
    facts = {row["id"]: row for row in rows}[manifest.session]
    assert manifest.files[0].size == path.stat().st_size
    assert [manifest.size_deg] * 2 == facts["image_size_deg"]

    recording = read_evolution(path, manifest.session)
    assert recording.shape == (2 * facts["num_generations"], 1, 200)
    assert set(recording.region.values) == {facts["area"]} == set(manifest.regions)
    assert set(recording.subject.values) == {facts["animal"]} == set(manifest.subjects)
    stimuli = evolution_stimuli(path, manifest.session, name, manifest.size_deg)
    assert stimuli.ids == recording.stimulus_id.values.tolist() and stimuli.image(0).shape == (256, 256, 3)
    # the authors' evoked rate, whose greatest value the list of sessions gives, is the mean of 50-200 ms
    evoked = nf.rebin(recording, [(50, 200)]).values[:, 0, 0]
    for generator in GENERATORS:
        best = evoked[recording.generator.values == generator].max()
        assert best == pytest.approx(facts[f"{generator}_max_rate"], abs=0.06)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("evolution-it-exp030-b", (0.319, 0.749)),
        ("evolution-v4-exp070-b", (0.437, 0.627)),
        ("evolution-v1-exp071-b", (0.307, 0.865)),
    ],
)
def test_what_the_number_of_the_generation_predicts(name, expected, shared):
    """The figures of docs/recordings.md: a line over generations for each generator, on the benchmark's splits."""
    benchmark, path = load_benchmark(name), shared("data", "evolution_psth", "sessions.tar")
    recording = read_evolution(path, load_manifest(name).session)
    ids, generator = recording.stimulus_id.values, recording.generator.values
    is_deepsim, generation = generator == "deepsim", recording.generation.values
    line = np.column_stack([np.ones(len(ids)), generation, is_deepsim, generation * is_deepsim])
    for bins, r in zip((nf.make_time_bins(50, 200, 10), [(50, 200)]), expected, strict=True):
        rates = nf.rebin(recording, bins).values[:, 0].astype(float)
        found = []
        for train, test in benchmark.splits.splitter().split(ids.reshape(-1, 1), generator, ids):
            predicted = line[test] @ np.linalg.lstsq(line[train], rates[train], rcond=None)[0]
            found += [np.corrcoef(predicted[:, t], rates[test, t])[0, 1] for t in range(len(bins))]
        assert np.mean(found) == pytest.approx(r, abs=0.002)
