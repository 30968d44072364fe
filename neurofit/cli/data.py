"""`neurofit data`: which datasets there are, what they are, bringing them here and checking them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from neurofit.cli import convert, names
from neurofit.cli.examples import examples
from neurofit.cli.output import Output, readable_size
from neurofit.files.fetch import CheckedFile, check, dataset_folder, fetch
from neurofit.files.manifest import FileEntry, Manifest, list_manifests, load_manifest

app = typer.Typer(
    help="List, describe, fetch and check datasets; convert and inspect recordings.",
    no_args_is_help=True,
    epilog=examples(
        ("what there is, and what is here", "neurofit data list"),
        ("bring one here", "neurofit data fetch cowley2023-v4-201016"),
    ),
)

_EXIT_WRONG = 2  # as for every broken promise

_NAME_HELP = "Name in `neurofit data list`, or a .toml manifest of your own."

Name = Annotated[str, typer.Argument(help=_NAME_HELP, autocompletion=names.datasets)]
NameOrAll = Annotated[
    str | None, typer.Argument(help=f"{_NAME_HELP} All that were fetched if absent.", autocompletion=names.datasets)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Folder = Annotated[
    Path | None,
    typer.Option(help="Data folder; by default NEUROFIT_DATA or the user's cache folder.", show_default=False),
]
From = Annotated[
    Path | None,
    typer.Option("--from", help="Take the files from this folder (or below it) instead of the network."),
]


@app.command(
    "list",
    epilog=examples(
        ("all of them, with licence and state", "neurofit data list"),
        ("for a program, of another data folder", "neurofit data list --json --folder /scratch/neurofit"),
    ),
)
def list_(as_json: Json = False, folder: Folder = None) -> None:
    """List the datasets, with what is fetched of them."""
    output = Output(as_json)
    rows = []
    for manifest in map(load_manifest, list_manifests()):
        keys = ("name", "title", "kind", "regions", "simulated", "repetitions", "licence")
        rows.append({key: getattr(manifest, key) for key in keys} | {"state": _state(manifest, folder)})
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        output.say(f"{row['name']:{width}}  {row['state']:14}  {row['title']} [{row['licence']}]")
    output.emit(rows)


@app.command(
    epilog=examples(
        ("licence, citation and files", "neurofit data info majajhong2015-temporal-public"),
        ("of a manifest of your own", "neurofit data info my-recording.toml"),
    )
)
def info(name: Name, as_json: Json = False, folder: Folder = None) -> None:
    """Describe one dataset: what it holds, its terms, what to cite, its files."""
    output = Output(as_json)
    manifest = load_manifest(name)
    place = dataset_folder(manifest, folder)
    for label, text in _description(manifest).items():
        if text:
            output.say(f"{label + ':':13} {text}")
    output.say(f"{'state:':13} {_state(manifest, folder)}" + (f", in {place}" if manifest.files else ""))
    for entry in manifest.files:
        output.say(f"  {entry.name} ({entry.role}, {_size_of(entry)})")
        for line in _remarks(entry):
            output.say(f"    {line}")
    output.emit(dataclasses.asdict(manifest) | {"state": _state(manifest, folder), "folder": place})


@app.command(
    "fetch",
    epilog=examples(
        ("download, or go on where a download was cut", "neurofit data fetch cowley2023-v4-201016"),
        ("take files that you have", "neurofit data fetch cowley2023-v4-201016 --from ~/Downloads"),
    ),
)
def fetch_(name: Name, from_: From = None, folder: Folder = None, as_json: Json = False) -> None:
    """Bring a dataset's files to this machine and verify them.

    What is there and right is left alone; a download that was cut goes on where it stopped.
    """
    output = Output(as_json)
    manifest = load_manifest(name)
    output.note(f"{manifest.title} - licence: {manifest.licence}" + (f" ({manifest.terms})" if manifest.terms else ""))
    files = fetch(manifest, folder, from_folder=from_, progress=output.progress)
    if not files:
        output.say(f"{manifest.name} is simulated: there is nothing to fetch")
    for file in files:
        output.say(f"{file.status}: {file.path} ({readable_size(file.size)}, {file.digest})")
    output.emit({"name": manifest.name, "files": [dataclasses.asdict(file) for file in files]})


@app.command(
    "check",
    epilog=examples(
        ("one dataset, by its hashes", "neurofit data check cowley2023-v4-201016"),
        ("all that were fetched", "neurofit data check"),
    ),
)
def check_(name: NameOrAll = None, folder: Folder = None, as_json: Json = False) -> None:
    """Compare the files of one dataset, or of all that were fetched, with their sizes and hashes.

    Changes nothing; the exit code is 2 if a file is missing or wrong.
    """
    output = Output(as_json)
    if name is None:
        manifests = [m for m in map(load_manifest, list_manifests()) if dataset_folder(m, folder).is_dir()]
    else:
        manifests = [load_manifest(name)]
    document = []
    for manifest in manifests:
        files = check(manifest, folder)
        for file in files:
            output.say(f"{manifest.name}: {file.name}: {file.status}")
        if not files:
            output.say(f"{manifest.name} is simulated: it has no files")
        document.append({"name": manifest.name, "files": [file._asdict() for file in files], "ok": _is_right(files)})
    if not manifests:
        output.say("no dataset was fetched yet")
    output.emit(document)
    if not all(row["ok"] for row in document):
        raise typer.Exit(_EXIT_WRONG)


app.command("convert", epilog=convert.EXAMPLES)(convert.convert)
app.command("inspect", epilog=convert.INSPECT_EXAMPLES)(convert.inspect)


def _is_right(files: list[CheckedFile]) -> bool:
    """Whether no file is missing or wrong; one without a known hash is not wrong."""
    return all(file.status in ("ok", "not checked") for file in files)


def _state(manifest: Manifest, folder: Path | None) -> str:
    """Say in a word or two what is here, without reading files."""
    if manifest.simulated:
        return "simulated"
    place = dataset_folder(manifest, folder)
    here = sum((place / entry.name).is_file() for entry in manifest.files)
    if here == 0:
        return "not fetched"
    return "fetched" if here == len(manifest.files) else "partly fetched"


def _description(manifest: Manifest) -> dict[str, str]:
    """Turn what a manifest says into lines for people."""
    return {
        "name": manifest.name,
        "title": manifest.title,
        "kind": ("simulated " if manifest.simulated else "") + manifest.kind,
        "regions": ", ".join(manifest.regions),
        "subjects": ", ".join(manifest.subjects),
        "time bins": _time_bins(manifest),
        "repetitions": {True: "yes", False: "no, averages only", None: ""}[manifest.repetitions],
        "image width": "" if manifest.size_deg is None else f"{manifest.size_deg:g} degrees of visual angle",
        "licence": " - ".join(text for text in (manifest.licence, manifest.terms, manifest.licence_url) if text),
        "source": manifest.source,
        "cite": manifest.citation,
        "notes": manifest.notes,
    }


def _time_bins(manifest: Manifest) -> str:
    bins = manifest.time_bins_ms
    if not bins:
        return "as in the file" if manifest.kind == "recording" else ""
    text = f"{len(bins)} from {bins[0][0]} to {bins[-1][1]} ms"
    return text + (f" ({manifest.time_bins_unconfirmed})" if manifest.time_bins_unconfirmed else "")


def _remarks(entry: FileEntry) -> list[str]:
    """Say where a file comes from and how it is known."""
    lines = [entry.url or "no public address: fetch it with --from"]
    if entry.url_unconfirmed:
        lines.append(f"address not confirmed: {entry.url_unconfirmed}")
    lines.append(" ".join(entry.digest) if entry.digest else f"hash unknown: {entry.hash_unknown}")
    return lines


def _size_of(entry: FileEntry) -> str:
    """Say what is known of a file's size."""
    if entry.size is None and entry.size_min is not None and entry.size_max is not None:
        return f"{readable_size(entry.size_min)} to {readable_size(entry.size_max)}"
    return readable_size(entry.size)
