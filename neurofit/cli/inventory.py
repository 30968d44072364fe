"""What `neurofit doctor` finds on disk: data folder, datasets, weights, room, the shell's completion."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from neurofit.cli.output import readable_size
from neurofit.cli.probes import Finding, State

NEEDED_DISK = 10**9
"""Bytes below which a remark is made: features of one wide layer that go to disk are some hundred MB."""

COMPLETIONS = {
    "bash": ".bash_completions/neurofit.sh",
    "zsh": ".zfunc/_neurofit",
    "fish": ".config/fish/completions/neurofit.fish",
}
"""Where `neurofit --install-completion` puts a shell's script, below the home folder (Typer's choice)."""


def folders() -> Iterator[Finding]:
    """Yield whether the data folder can be written, and the room there, here, and for temporary files."""
    from neurofit.files.fetch import DATA_FOLDER_VARIABLE, data_folder

    place = data_folder()
    chosen = DATA_FOLDER_VARIABLE if os.environ.get(DATA_FOLDER_VARIABLE) else "the user's cache folder"
    there = "" if place.is_dir() else ", not made yet"
    facts = {"path": str(place), "exists": place.is_dir(), "chosen_by": chosen}
    reason = _unwritable(place)
    if reason:
        remedy = f"set {DATA_FOLDER_VARIABLE} to a folder that can be written"
        yield Finding("disk", "data folder", "broken", f"{place} ({chosen}): {reason}", remedy, facts)
    else:
        yield Finding("disk", "data folder", "ok", f"{place} ({chosen}{there}), can be written", facts=facts)
    for name, folder in (("data", place), ("results", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        yield _room(name, folder)


def _unwritable(folder: Path) -> str:
    """Say why nothing can be written to a folder, or to the one that it would be made in; nothing if it can."""
    nearest = next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    try:
        if nearest == folder:
            with tempfile.TemporaryFile(dir=folder):
                return ""
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(nearest, os.W_OK) else f"{nearest} cannot be written"


def _room(name: str, folder: Path) -> Finding:
    from neurofit.files.machine import free_disk

    label = f"free for {name}"
    try:
        place, free = free_disk(folder)
    except OSError as error:
        return Finding("disk", label, "unknown", f"{folder}: {error.strerror or error}")
    remedy = "free some space: wide layers may need it" if free < NEEDED_DISK else ""
    return Finding("disk", label, "ok", f"{readable_size(free)} in {place}", remedy, {"path": str(place), "free": free})


def datasets(deep: bool) -> Iterator[Finding]:
    """Yield every dataset with its state; sizes are compared, with `deep` also hashes, which reads all files."""
    from neurofit.files.manifest import list_manifests, load_manifest

    for name in list_manifests():
        manifest = load_manifest(name)
        if manifest.kind != "weights":
            yield _dataset(name, deep)


def _dataset(name: str, deep: bool) -> Finding:
    from neurofit.files.fetch import dataset_folder
    from neurofit.files.manifest import load_manifest
    from neurofit.files.verify import examine, expectation

    manifest = load_manifest(name)
    if manifest.simulated:
        return Finding("data", name, "ok", "SIMULATED, needs no files", facts={"status": "simulated"})
    place = dataset_folder(manifest)
    found = {
        entry.name: examine(place / entry.name, expectation(entry, place), hashing=deep) for entry in manifest.files
    }
    here = [place / file for file, status in found.items() if status != "missing"]
    damaged = [f"{file}: {status}" for file, status in found.items() if status.startswith("wrong")]
    size = sum(path.stat().st_size for path in here)
    again = f"neurofit data fetch {name}"
    state: State = "ok"
    told, remedy, status = f"fetched, {readable_size(size)}{', hashes verified' if deep else ''}", "", "fetched"
    if damaged:
        state, told, remedy, status = "broken", f"damaged ({'; '.join(damaged)})", again, "damaged"
    elif not here:
        state, told, remedy, status = "absent", "not fetched", again, "not fetched"
    elif len(here) < len(found):
        state, told, remedy, status = "absent", f"{len(here)} of {len(found)} files fetched", again, "partly fetched"
    facts = {"status": status, "path": str(place), "bytes": size, "files": found}
    return Finding("data", name, state, told, remedy, facts)


def weights(deep: bool) -> Iterator[Finding]:
    """Yield the bundled weights together, and the released ones by name."""
    from neurofit.models.released_store import list_released

    yield _bundled()
    for name in list_released():
        yield _released(name, deep)


def _bundled() -> Finding:
    """Return whether every network with bundled weights has them, readable and whole."""
    from safetensors import safe_open

    from neurofit.models.zoo import PRETRAINED, ZOO

    names = sorted({entry.weights for entry in ZOO.values() if entry.weights is not None})
    wrong = []
    for name in names:
        try:
            with safe_open(PRETRAINED / name, "pt"):  # reads the header, and compares it with the file's length
                continue
        except Exception as error:
            wrong.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
    facts = {"files": len(names), "wrong": wrong}
    if wrong:
        return Finding("weights", "bundled", "broken", "; ".join(wrong), "install neurofit again", facts)
    return Finding("weights", "bundled", "ok", f"{len(names)} networks", facts=facts)


def _released(name: str, deep: bool) -> Finding:
    """Return what is here of a network whose weights its authors released."""
    from neurofit.errors import DataFileError
    from neurofit.models.released_store import content_path, stored_weights, weights_folder

    fetch = f"neurofit models fetch {name}"
    if not (weights_folder() / f"{name}.json").exists():
        return Finding("weights", name, "absent", "not fetched", fetch, {"status": "not fetched"})
    try:
        stored = stored_weights(name, verify=deep)
    except DataFileError as error:
        return Finding("weights", name, "broken", error.found, fetch, {"status": "damaged"})
    told = f"fetched, {readable_size(stored.size)}{', hash verified' if deep else ''}"
    facts = {"status": "fetched", "bytes": stored.size, "path": str(content_path(stored))}
    return Finding("weights", name, "ok", told, facts=facts)


def completion() -> Iterator[Finding]:
    """Yield whether the shell completes neurofit's words."""
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in COMPLETIONS:
        told = f"{shell} is none of {', '.join(COMPLETIONS)}" if shell else "SHELL is not set"
        yield Finding("shell", "completion", "unknown", told)
        return
    script = Path.home() / COMPLETIONS[shell]
    if script.is_file():
        yield Finding("shell", "completion", "ok", f"{shell}, {script}", facts={"shell": shell})
    else:
        told = f"not installed for {shell}"
        yield Finding("shell", "completion", "absent", told, "neurofit --install-completion", {"shell": shell})
