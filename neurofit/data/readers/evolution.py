"""Images evolved for single neurons, and their responses over time (Wang & Ponce 2026), as the authors' browser has it.

A tar archive of sessions, ``SESSION/gen_NN/{deepsim,biggan}_{img.webp,psth.json}`` and ``SESSION/meta.json``. In every
generation each of two generators drew a set of images that a search had bred for one unit. The archive keeps the *best*
image of the set and the *mean* response over the set: the image stands for its siblings, which look alike more and more
as the search converges.
"""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.data.readers.checks import reading, whole_numbers
from neurofit.data.stimuli import MAX_IMAGE_BYTES, StimulusSet, decode_image
from neurofit.errors import AssemblyError, DataFileError, listed
from neurofit.vocabulary import STIMULUS_ID

MAX_JSON_BYTES = 1_000_000  # of one table in the archive; those of the authors have 4,000
MAX_GENERATIONS = 9999
GENERATORS = ("biggan", "deepsim")
_WHAT = "an archive of evolution sessions"
_META, _IMAGE, _PSTH = "meta.json", "img.webp", "psth.json"
_MEMBER = re.compile(rf"gen_(\d{{1,4}})/({'|'.join(GENERATORS)})_({re.escape(_IMAGE)}|{re.escape(_PSTH)})")


class Place(NamedTuple):
    """Where a member's bytes lie in an archive that is not compressed."""

    offset: int
    size: int


class Shown(NamedTuple):
    """One presentation: a generation of one generator."""

    generation: int
    generator: str
    psth: Place
    image: Place


@dataclass(frozen=True)
class TarImages:
    """Images inside an uncompressed tar archive, read in place.

    Parameters
    ----------
    path : Path
    names : sequence of str
        For messages, in row order.
    places : sequence of Place
    """

    path: Path
    names: list[str]
    places: list[Place]

    def __getitem__(self, row: int) -> np.ndarray:
        name = f"{self.names[row]} in {self.path}"
        try:
            content = _content(self.path, self.places[row])
        except OSError as error:
            raise DataFileError("every stimulus is a readable image", f"{name}: {error}", "fetch it anew") from error
        return decode_image(content, name)


def read_evolution(path: str | Path, session: str) -> xr.DataArray:
    """Read one session.

    Parameters
    ----------
    path : path
        The tar archive.
    session : str
        One of its folders: 'Exp168-A'.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Spikes/s of one neuroid in the bins of the file (1 ms); a presentation for every generation and generator, with
        the coordinates generation and generator, and no repetitions.

    Raises
    ------
    DataFileError
        If the archive cannot be read, lacks the session, or a generation lacks its image or its response.
    """
    path = Path(path)
    with reading(path, _WHAT):
        meta, shown = _session(path, session)
        tables = [_table(_content(path, one.psth), f"the response to {_stimulus(session, one)}") for one in shown]
        starts = tables[0][0]
        if any(not np.array_equal(times, starts) for times, _ in tables):
            raise AssemblyError("all responses have the same times", "they differ", "fetch the archive anew")
        unit, area, animal = (str(_entry(meta, key, f"{session}/{_META}")) for key in ("unit", "area", "animal"))
        return make_assembly(
            np.array([rates for _, rates in tables], np.float32)[:, None, :],
            stimulus_id=[_stimulus(session, one) for one in shown],
            neuroid_id=[f"{session}-{unit}"],
            subject=animal,
            region=area,
            time_bins=np.column_stack([starts, starts + 1]),
            presentation_coords={
                "generation": np.array([one.generation for one in shown]),
                "generator": [one.generator for one in shown],
            },
        )


def evolution_stimuli(path: str | Path, session: str, name: str, size_deg: float | None = None) -> StimulusSet:
    """Return the best image of each generation and generator, under the ids of `read_evolution`.

    Parameters
    ----------
    path, session
        As in `read_evolution`.
    name : str
        Of the set.
    size_deg : float, optional

    Raises
    ------
    DataFileError
        As `read_evolution`.
    """
    path = Path(path)
    with reading(path, _WHAT):
        _, shown = _session(path, session)
    ids = [_stimulus(session, one) for one in shown]
    table = pd.DataFrame(
        {
            STIMULUS_ID: ids,
            "generation": [one.generation for one in shown],
            "generator": [one.generator for one in shown],
        }
    )
    return StimulusSet(name, table, TarImages(path, ids, [one.image for one in shown]), size_deg)


def _session(path: Path, session: str) -> tuple[dict[str, Any], list[Shown]]:
    """Find the members of one session: its description and its presentations, by generation and generator."""
    meta: Place | None = None
    found: dict[tuple[int, str], dict[str, Place]] = {}
    sessions: set[str] = set()
    with tarfile.open(path, "r:") as archive:  # 'r:' takes no compressed archive, so that nothing can swell
        for member in archive:
            folder, _, inner = member.name.removeprefix("./").partition("/")
            sessions.add(folder)
            if folder != session or not member.isreg() or member.issparse():
                continue
            match, place = _MEMBER.fullmatch(inner), Place(member.offset_data, member.size)
            _check_size(member, MAX_IMAGE_BYTES if inner.endswith(_IMAGE) else MAX_JSON_BYTES)
            if inner == _META:
                meta = place
            elif match:
                found.setdefault((int(match[1]), match[2]), {})[match[3]] = place
    if meta is None:
        raise AssemblyError(
            f"an archive has '{session}/{_META}'",
            f"its sessions are {listed(sorted(sessions), 20)}",
            "name one of these",
        )
    description = _json(_content(path, meta), f"{session}/{_META}")
    n_generations = _entry(description, "num_generations", f"{session}/{_META}")
    return description, _complete(session, found, n_generations)


def _complete(session: str, found: dict[tuple[int, str], dict[str, Place]], n_generations: Any) -> list[Shown]:
    """Return the presentations of all generations, or refuse a session that lacks a part of one.

    A part can be lacking unnoticed: tarfile takes a damaged header for the end of the archive. Of a last generation
    that was broken off, which the authors do not count, there may be an image without a response.
    """
    count = n_generations if isinstance(n_generations, int) and 0 < n_generations <= MAX_GENERATIONS else 0
    wanted = [(number, generator) for number in range(1, count + 1) for generator in GENERATORS]
    lacking = [key for key in wanted if len(found.get(key, {})) < 2]
    if lacking or not wanted:
        raise AssemblyError(
            f"session '{session}' has an image and a response for both generators in each of its generations",
            f"of its {n_generations} generations these are incomplete: "
            f"{listed((f'{number} ({generator})' for number, generator in lacking), 3) or 'all'}",
            "fetch the archive anew",
        )
    return [Shown(*key, found[key][_PSTH], found[key][_IMAGE]) for key in wanted]


def _check_size(member: tarfile.TarInfo, most: int) -> None:
    if member.size > most:
        raise AssemblyError(
            f"a member has at most {most} bytes", f"{member.name} has {member.size}", "check the archive"
        )


def _content(path: Path, place: Place) -> bytes:
    with path.open("rb") as handle:
        handle.seek(place.offset)
        return handle.read(place.size)


def _stimulus(session: str, one: Shown) -> str:
    return f"{session}/gen_{one.generation:02d}/{one.generator}"


def _table(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the times (T,), whole ms, and the rates (T,) in spikes/s of one response."""
    table = _json(content, name)
    times = whole_numbers(np.asarray(_entry(table, "time_ms", name), float), "time_ms")
    rates = np.asarray(_entry(table, "mean_rate", name), float)
    if times.ndim != 1 or rates.shape != times.shape or (np.diff(times) != 1).any():
        raise AssemblyError(
            "a response has a rate for every ms", f"{name} has {rates.shape} for times {times.shape}", "fetch it anew"
        )
    return times, rates


def _json(content: bytes, name: str) -> dict[str, Any]:
    table = json.loads(content)
    if not isinstance(table, dict):
        raise AssemblyError(f"{name} is a JSON table", f"found {type(table).__name__}", "fetch it anew")
    return table


def _entry(table: dict[str, Any], key: str, name: str) -> Any:
    if key not in table:
        raise AssemblyError(f"{name} has '{key}'", f"it has {listed(sorted(table))}", "fetch it anew")
    return table[key]
