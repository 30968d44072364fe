"""The renderer: geometry against closed forms, and the properties that make the pictures a stimulus set."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from neurofit.data.body_plans import CATEGORIES, OBJECT_NAMES, Solid, build_solid, rotation
from neurofit.data.rendering import POSE, RenderedImages, draw_solid, hvm_like_table, render
from neurofit.errors import ConfigurationError, UnknownNameError

HALF_WIDTH = 1.9


@pytest.fixture(scope="module")
def table():
    return hvm_like_table(n_views=2)


@pytest.fixture
def plain_row(table):
    """A car in its characteristic view, at the centre."""
    row = table[table.object_name == "car_2"].iloc[0].to_dict()
    return row | {"ty": 0.0, "tz": 0.0, "s": 1.0, "rxy": 0.0, "rxz": 0.0, "ryz": 0.0}


def object_mask(row, size_px=64):
    """Pixels that change when the object is shrunk to nothing."""
    empty = render(row | {"s": 1e-6}, size_px).astype(int)
    return np.abs(render(row, size_px).astype(int) - empty).max(-1) > 8


def one_ellipsoid(axes, frame=None, centre=(0, 0, 0), colour=(1, 1, 1)):
    frame = np.eye(3) if frame is None else frame
    return Solid(np.array([centre], float), np.array([axes], float), frame[None], np.array([colour], float))


def test_the_table_is_balanced_and_shaped_as_promised():
    table = hvm_like_table()
    assert list(table.columns) == ["stimulus_id", "category_name", "object_name", "background_id", *POSE]
    assert len(table) == 640
    assert table.stimulus_id.is_unique
    assert table.background_id.is_unique
    assert set(table.category_name.value_counts()) == {80}
    assert set(table.object_name.value_counts()) == {10}
    assert (table.groupby("object_name").category_name.nunique() == 1).all()


def test_poses_span_the_medium_variation(table):
    for name, low, high in (("ty", -0.3, 0.3), ("tz", -0.6, 0.6), ("s", 1 / 1.3, 1.3), ("rxy", -45, 45)):
        values = table[name]
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high >= values.max() > high - 0.1 * (high - low)
    assert np.abs(np.corrcoef(table[list(POSE)].to_numpy().T) - np.eye(6)).max() < 0.3


def test_the_same_seed_draws_the_same_and_another_seed_another(table):
    assert hvm_like_table(2).equals(table)
    other = hvm_like_table(2, random_state=1)
    assert not np.allclose(other.ty, table.ty)
    assert not set(other.stimulus_id) & set(table.stimulus_id)
    row = table.iloc[5].to_dict()
    digests = {hashlib.sha256(render(row).tobytes()).hexdigest() for _ in range(2)}
    assert len(digests) == 1
    assert not np.array_equal(render(row), render(other.iloc[5].to_dict()))


def test_no_views_is_an_error():
    with pytest.raises(ConfigurationError, match="n_views is 0"):
        hvm_like_table(0)


def test_unknown_objects_and_sizes_are_errors(plain_row):
    with pytest.raises(UnknownNameError, match="'car_9' is not known - use 'car_"):
        render(plain_row | {"object_name": "car_9"})
    with pytest.raises(ConfigurationError, match="size_px is 0"):
        render(plain_row, 0)


def test_pictures_by_row(table):
    images = RenderedImages(table, 32)
    assert images[7].shape == (32, 32, 3)
    assert images[7].dtype == np.uint8
    np.testing.assert_array_equal(images[7], render(table.iloc[7].to_dict(), 32))


@pytest.mark.parametrize("size_px", [32, 160])
def test_pictures_that_are_asked_for_again_are_the_same(table, size_px):
    images = RenderedImages(table.iloc[:3], size_px)
    first = images[2]
    kept = first.copy()
    first[:] = 0  # the caller's own
    np.testing.assert_array_equal(images[2], kept)
    np.testing.assert_array_equal(RenderedImages(table.iloc[2:3], size_px)[0], kept)
    assert (images[1] != kept).any()


@pytest.mark.parametrize(
    ("name", "value"), [("ty", 0.3), ("tz", 0.5), ("s", 1.3), ("rxy", 40), ("rxz", 40), ("ryz", 40)]
)
def test_every_pose_parameter_changes_the_picture(plain_row, name, value):
    still, moved = render(plain_row, 64).astype(int), render(plain_row | {name: value}, 64).astype(int)
    changed = np.abs(still - moved).max(-1) > 8
    assert changed.mean() > 0.02
    assert not changed[[0, 0, -1, -1], [0, -1, 0, -1]].any()  # the background stays


def test_position_and_size_move_the_object_as_they_say(plain_row):
    def place(**pose):
        rows, columns = np.nonzero(object_mask(plain_row | pose))
        return columns.mean(), rows.mean(), len(rows)

    x, y, area = place()
    unit = 64 / (2 * HALF_WIDTH)  # pixels of one half-length
    assert place(ty=0.3)[0] - x == pytest.approx(0.3 * unit, abs=1.0)
    assert y - place(tz=0.5)[1] == pytest.approx(0.5 * unit, abs=1.0)
    assert place(s=1.3)[2] / area == pytest.approx(1.3**2, rel=0.08)


def test_backgrounds_do_not_depend_on_the_object(plain_row):
    pictures = [render(plain_row | {"object_name": o[0], "s": 1e-6}, 48) for o in OBJECT_NAMES.values()]
    for other in pictures[1:]:
        np.testing.assert_array_equal(other, pictures[0])
    elsewhere = render(plain_row | {"background_id": "background_000001", "s": 1e-6}, 48)
    assert np.abs(elsewhere.astype(int) - pictures[0]).mean() > 5


def test_backgrounds_have_the_falling_spectrum_of_natural_images(table):
    rows = [r | {"s": 1e-6} for r in table.to_dict("records")[::8]]
    light = np.stack([render(r, 64).mean(-1) for r in rows])
    power = (np.abs(np.fft.fft2(light - light.mean((1, 2), keepdims=True))) ** 2).mean(0)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(64) * 64, np.fft.fftfreq(64) * 64))
    bands = [power[(radius >= low) & (radius < 2 * low)].mean() for low in (2, 4, 8, 16)]
    slopes = np.diff(np.log2(bands))
    assert ((slopes > -4.5) & (slopes < -1.0)).all()  # power falls about as 1/f^2


def test_a_picture_of_another_size_shows_the_same_scene(table):
    row = table.iloc[40].to_dict()
    halved = render(row, 96).reshape(48, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(halved - render(row, 48)).mean() < 4


@pytest.mark.parametrize("axes", [(0.5, 0.5, 0.5), (0.2, 0.9, 0.4)])
def test_the_outline_of_an_ellipsoid_has_its_closed_form_area(axes):
    turn = rotation(yaw=30, pitch=-20, roll=70)
    _, covered = draw_solid(one_ellipsoid(axes, turn), 400)
    spread = turn @ np.diag(np.square(axes)) @ turn.T
    expected = np.pi * np.sqrt(np.linalg.det(spread[1:, 1:])) / (2 * HALF_WIDTH) ** 2
    assert covered.mean() == pytest.approx(expected, rel=0.005)


def test_a_sphere_is_shaded_by_lambert_and_the_nearer_part_hides_the_farther():
    colour, covered = draw_solid(one_ellipsoid((1, 1, 1)), 380)
    light = np.array([0.62, -0.42, 0.66]) / np.linalg.norm([0.62, -0.42, 0.66])
    at = (np.arange(380) + 0.5) / 380 * 3.8 - 1.9
    y, z = np.meshgrid(at, -at)
    normal = np.stack([np.sqrt((1 - y**2 - z**2).clip(0)), y, z], -1)
    expected = (0.38 + 0.62 * (normal @ light).clip(0))[..., None] * covered
    np.testing.assert_allclose(colour, np.broadcast_to(expected, colour.shape), atol=5e-3)

    red, blue = one_ellipsoid((0.5, 0.5, 0.5), colour=(1, 0, 0)), one_ellipsoid((0.3, 0.3, 0.3), colour=(0, 0, 1))
    for depth, nearest in ((0.4, 2), (-0.4, 0)):
        parts = [np.concatenate(p) for p in zip(_fields(red), _fields(blue), strict=True)]
        parts[0] = np.array([[0, 0, 0], [depth, 0, 0]], float)
        centre = draw_solid(Solid(*parts), 41)[0][20, 20]
        assert centre.argmax() == nearest


def _fields(solid):
    return solid.centres, solid.semi_axes, solid.frames, solid.colours


def test_objects_fit_the_picture(table):
    assert sum(object_mask(r, 32)[[0, -1]].any() for r in table.to_dict("records")) <= 0.03 * len(table)
    for name in (n for names in OBJECT_NAMES.values() for n in names):
        solid = build_solid(name)
        reach = np.sqrt(((solid.frames * solid.semi_axes[:, None]) ** 2).sum(-1))
        extent = np.maximum(solid.centres + reach, reach - solid.centres).max(0)
        assert extent[1:].max() == pytest.approx(1)


def test_exemplars_of_a_category_look_alike_but_are_distinct():
    outlines = np.stack([draw_solid(build_solid(n), 48)[1].ravel() for names in OBJECT_NAMES.values() for n in names])
    alike = np.corrcoef(outlines)
    category = np.repeat(np.arange(len(CATEGORIES)), 8)
    same = category[:, None] == category
    others = ~np.eye(64, dtype=bool)
    assert alike[same & others].mean() > alike[~same].mean() + 0.2
    assert alike[others].max() < 0.9999
