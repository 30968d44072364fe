"""Pictures like those of the HvM set (object, pose, background), drawn with our own renderer.

A picture is an object of ellipsoids (`neurofit.data.body_plans`) under parallel projection: every pixel's ray meets
each ellipsoid in closed form, the nearest meeting point wins, and is shaded by Lambert's law plus ambient light.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import scipy.fft

from neurofit.data.body_plans import CATEGORIES, OBJECT_NAMES, Solid, build_solid, rotation
from neurofit.errors import ConfigurationError
from neurofit.vocabulary import STIMULUS_ID

POSE = ("ty", "tz", "s", "rxy", "rxz", "ryz")
# Half-ranges of HvM's medium variation (level 3): measured as the extremes over its 2,560 images.
_SHIFT_RIGHT, _SHIFT_UP, _SIZE_RATIO, _TURN_DEG = 0.3, 0.6, 1.3, 45.0
_HALF_WIDTH = 1.9  # of the picture, in half-lengths of an object of size 1, which then fills a little over half of it
_SUBPIXELS = 2  # a side, for soft edges

_LIGHT = np.array([0.62, -0.42, 0.66]) / np.linalg.norm([0.62, -0.42, 0.66])  # from the front, upper left
_AMBIENT = 0.38

_BACKGROUND_GRID = 128  # band limit of backgrounds, so that every size_px shows the same one
_KEPT_PICTURES, _KEPT_PX = 1536, 128  # in memory: 75 MB at most, for two sizes of the embedded 640 pictures
_NOISE_SLOPE = (1.1, 1.6)  # amplitude spectra of natural images fall about as 1/f (Field, 1987)


def hvm_like_table(n_views: int = 10, random_state: int = 0) -> pd.DataFrame:
    """Return the stimulus table: 64 objects of 8 categories, each in `n_views` poses on backgrounds of their own.

    Pose follows HvM's medium variation, uniform in every parameter: `ty` (right) within 0.3 and `tz` (up) within 0.6
    half-lengths of the object at size 1, size `s` between 1/1.3 and 1.3, and the rotations `rxy` (about the vertical),
    `rxz` (nodding) and `ryz` (in the picture plane) within 45 degrees of the category's characteristic view.

    Parameters
    ----------
    n_views : int
        Pictures of each object. The default gives 640 rows, as many as HvM has at its lowest variation level.
    random_state : int, not negative
        Of poses and backgrounds; the objects are always the same.

    Returns
    -------
    DataFrame
        Columns stimulus_id, category_name, object_name, background_id, ty, tz, s, rxy, rxz, ryz. The random_state is
        part of the stimulus_id, so that pictures of different draws are never taken for each other.

    Raises
    ------
    ConfigurationError
        If n_views is less than 1.
    """
    if n_views < 1:
        raise ConfigurationError("every object is shown at least once", f"n_views is {n_views}", "ask for 1 or more")
    rng = np.random.default_rng([random_state, 1])
    names = [(c, o) for c in CATEGORIES for o in OBJECT_NAMES[c] for _ in range(n_views)]
    n = len(names)
    backgrounds = rng.choice(16**6, n, replace=False)
    columns: dict[str, Any] = {
        STIMULUS_ID: [f"{o}_view{i % n_views:03d}_{random_state}" for i, (_, o) in enumerate(names)],
        "category_name": [c for c, _ in names],
        "object_name": [o for _, o in names],
        "background_id": [f"background_{number:06x}" for number in backgrounds],
        "ty": rng.uniform(-_SHIFT_RIGHT, _SHIFT_RIGHT, n),
        "tz": rng.uniform(-_SHIFT_UP, _SHIFT_UP, n),
        "s": rng.uniform(1 / _SIZE_RATIO, _SIZE_RATIO, n),
    }
    columns |= {name: rng.uniform(-_TURN_DEG, _TURN_DEG, n) for name in ("rxy", "rxz", "ryz")}
    return pd.DataFrame(columns)


def render(row: Mapping[str, Any], size_px: int = 128) -> np.ndarray:
    """Draw one stimulus.

    Parameters
    ----------
    row : mapping
        object_name, background_id and the pose (ty, tz, s, rxy, rxz, ryz), such as a row of `hvm_like_table`.
    size_px : int
        Side of the picture.

    Returns
    -------
    array (size_px, size_px, 3), uint8
        RGB. Other sizes show the same scene.

    Raises
    ------
    UnknownNameError
        If there is no object of that name.
    ConfigurationError
        If size_px is less than 1.
    """
    if size_px < 1:
        raise ConfigurationError("a picture has pixels", f"size_px is {size_px}", "ask for 1 or more")
    ty, tz, s, rxy, rxz, ryz = (float(row[name]) for name in POSE)
    solid = build_solid(str(row["object_name"]))
    turn = rotation(yaw=rxy, pitch=rxz, roll=ryz)
    placed = Solid(
        solid.centres @ turn.T * s + np.array([0.0, ty, tz]), solid.semi_axes * s, turn @ solid.frames, solid.colours
    )
    colour, covered = draw_solid(placed, size_px * _SUBPIXELS)
    background = _background(str(row["background_id"]), size_px)
    picture = _mean_of_blocks(colour) + (1 - _mean_of_blocks(covered)) * background
    return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class RenderedImages:
    """The pictures of a stimulus table by row, drawn when they are first asked for; each is an array of its own.

    Parameters
    ----------
    table : DataFrame
        Such as `hvm_like_table` returns.
    size_px : int
        Side of the pictures.
    """

    table: pd.DataFrame
    size_px: int = 128

    def __getitem__(self, row: int) -> np.ndarray:
        pictured = self.table.iloc[row]
        what, pose = (pictured["object_name"], pictured["background_id"]), tuple(pictured[name] for name in POSE)
        if self.size_px > _KEPT_PX:
            return _drawn(*what, pose, self.size_px)
        return _drawn_once(*what, pose, self.size_px).copy()


def _drawn(object_name: str, background_id: str, pose: tuple[float, ...], size_px: int) -> np.ndarray:
    row = {"object_name": object_name, "background_id": background_id, **dict(zip(POSE, pose, strict=True))}
    return render(row, size_px)


# 10 ms a picture: a network of the default's size takes less to see it, and each model sees all pictures
_drawn_once = lru_cache(_KEPT_PICTURES)(_drawn)


def draw_solid(solid: Solid, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a solid without a background.

    Parameters
    ----------
    solid : Solid
        In the units of `hvm_like_table`; the picture shows 1.9 of them to each side of its centre.
    side : int
        Pixels; one ray goes through the centre of each.

    Returns
    -------
    colour : array (side, side, 3)
        Zero where nothing was hit.
    covered : array (side, side, 1)
        1 where something was hit, else 0.
    """
    right = (((np.arange(side) + 0.5) / side * 2 - 1) * _HALF_WIDTH).astype(np.float32)
    depth = np.full((side, side), -np.inf, np.float32)
    colour = np.zeros((side, side, 3), np.float32)
    stretched = solid.frames * solid.semi_axes[:, None, :]
    shapes = np.linalg.inv(stretched @ stretched.transpose(0, 2, 1))  # points p of a surface: p' shape p = 1
    reach = np.sqrt((stretched**2).sum(-1))
    for k, centre in enumerate(solid.centres):
        columns = slice(*np.searchsorted(right, [centre[1] - reach[k, 1], centre[1] + reach[k, 1]]))
        rows = slice(*np.searchsorted(right, [-centre[2] - reach[k, 2], -centre[2] + reach[k, 2]]))
        y = right[None, columns] - np.float32(centre[1])
        z = -right[rows, None] - np.float32(centre[2])
        _draw_ellipsoid(
            y, z, float(centre[0]), shapes[k], solid.colours[k], depth[rows, columns], colour[rows, columns]
        )
    return colour, np.isfinite(depth).astype(np.float32)[..., None]


def _draw_ellipsoid(
    y: np.ndarray,
    z: np.ndarray,
    centre_x: float,
    shape: np.ndarray,
    reflectance: np.ndarray,
    depth: np.ndarray,
    colour: np.ndarray,
) -> None:
    """Draw one ellipsoid into the window `depth` (h, w), `colour` (h, w, 3); y (1, w), z (h, 1) from its centre."""
    a, b, c, d, e, f = (float(shape[i, j]) for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    # x along the ray solves a x^2 + 2 m x + rest = 0; its larger root is the side that faces the viewer
    m = b * y + c * z
    inside = m * m - a * (d * y * y + 2 * e * y * z + f * z * z - 1)
    x = (np.sqrt(np.maximum(inside, 0)) - m) / a
    seen = (inside > 0) & (x + centre_x > depth)
    normal = np.stack(np.broadcast_arrays(a * x + m, b * x + d * y + e * z, c * x + e * y + f * z), -1)[seen]
    facing = (normal @ _LIGHT.astype(np.float32)) / np.sqrt(np.einsum("ij,ij->i", normal, normal))
    shade = _AMBIENT + (1 - _AMBIENT) * facing.clip(0)
    depth[seen] = x[seen] + np.float32(centre_x)
    colour[seen] = shade[:, None] * reflectance.astype(np.float32)


def _mean_of_blocks(fine: np.ndarray) -> np.ndarray:
    """Return the mean over every `_SUBPIXELS` x `_SUBPIXELS` block of an array (H, W, channels)."""
    total = np.zeros_like(fine[::_SUBPIXELS, ::_SUBPIXELS])
    for i in range(_SUBPIXELS):
        for j in range(_SUBPIXELS):
            total += fine[i::_SUBPIXELS, j::_SUBPIXELS]
    return total / np.float32(_SUBPIXELS**2)


def _background(background_id: str, size_px: int) -> np.ndarray:
    """Return a natural-like background (size_px, size_px, 3) in [0, 1]: 1/f noise in colour, some with a horizon."""
    rng = np.random.default_rng(list(background_id.encode()))
    light = _smooth_noise(rng, rng.uniform(*_NOISE_SLOPE), size_px, _BACKGROUND_GRID)
    tint = np.stack([_smooth_noise(rng, 1.6, size_px, _BACKGROUND_GRID // 4) for _ in range(2)], -1)
    base, contrast = rng.uniform(0.25, 0.65), rng.uniform(0.10, 0.20)
    cast = rng.normal(0, 0.05, 3)
    chroma = rng.uniform(0.01, 0.05) * tint @ np.array([[1.0, -0.5, -0.5], [0.4, 0.4, -0.9]])
    ground = base + contrast * light[..., None] + chroma + cast
    if rng.random() < 0.5:
        return ground.clip(0, 1).astype(np.float32)
    down = (np.arange(size_px) + 0.5) / size_px
    slant, level = rng.uniform(-0.15, 0.15), rng.uniform(0.25, 0.7)
    above = level + slant * (down[None, :] - 0.5) + 0.03 * tint[..., 0] - down[:, None]
    sky_colour = np.array([0.55, 0.68, 0.82]) * rng.uniform(0.6, 1.15) + rng.normal(0, 0.06, 3)
    sky = sky_colour - 0.25 * above.clip(0)[..., None] + 0.05 * light[..., None]
    share = 1 / (1 + np.exp(-above / rng.uniform(0.004, 0.05)))[..., None]
    return (share * sky + (1 - share) * ground).clip(0, 1).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, slope: float, size_px: int, grid: int) -> np.ndarray:
    """Return noise (size_px, size_px) of unit variance whose amplitude falls as frequency to the -`slope`.

    The cosine transform's coefficients are those of a grid of `grid` pixels: a smaller picture leaves out the highest,
    a larger one has none above them.
    """
    at = np.arange(grid, dtype=np.float32)
    fall = (at[:, None] ** 2 + at**2 + 1) ** np.float32(-slope / 2)
    fall[0, 0] = 0
    coefficients = rng.standard_normal((grid, grid), np.float32) * fall * np.float32(1 / np.sqrt((fall**2).sum()))
    kept = min(grid, size_px)
    spectrum = np.zeros((size_px, size_px), np.float32)
    spectrum[:kept, :kept] = coefficients[:kept, :kept]
    return scipy.fft.idctn(spectrum, norm="ortho") * np.float32(size_px)
