"""``neurofit store``: which features are kept, whether they are whole, and what may go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli.examples import examples
from neurofit.cli.output import Output, size_in_bytes

if TYPE_CHECKING:
    from neurofit.files.store import FeatureStore
    from neurofit.files.store_upkeep import StoredEntry

app = typer.Typer(
    help="List, show, verify and prune the features that `--store` keeps.",
    no_args_is_help=True,
    epilog=examples(
        ("keep features, and look at what is kept",
         "neurofit score --model rgc --region IT --store default\nneurofit store list"),
        ("make room", "neurofit store prune --older-than 30 --yes"),
    ),
)  # fmt: skip

_DAMAGED = 2  # the exit code of every broken promise
_SHORT = 12
"""Digits of a name that are shown."""

Where = Annotated[
    str | None,
    typer.Option("--store", help="Folder of the store; NEUROFIT_STORE or the default by default.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command(
    "list",
    epilog=examples(
        ("all entries, the last used first", "neurofit store list"),
        ("with their keys, for a program", "neurofit store list --store /data/features --json"),
    ),
)
def list_(store: Where = None, as_json: Json = False) -> None:
    """List what is kept: of which model and layer, on which images, how large, when it was used last."""
    from neurofit.files.store_upkeep import list_entries

    output = Output(as_json)
    place = _store(store)
    entries = list_entries(place)
    for entry in entries:
        output.say(_line(entry))
    output.say(f"{len(entries)} entries, {_size(sum(entry.size_bytes for entry in entries))}, in {place.folder}")
    output.emit([entry.as_dict() for entry in entries])


@app.command(
    epilog=examples(
        ("everything that decides an entry, by the first digits of its name", "neurofit store show 3f2a91"),
        ("for a program", "neurofit store show 3f2a91 --json"),
    )
)
def show(
    name: Annotated[str, typer.Argument(help="The beginning of an entry's name in `neurofit store list`.")],
    store: Where = None,
    as_json: Json = False,
) -> None:
    """Show the key of one entry: whatever is different in it has another name."""
    from neurofit.files.json_text import to_json
    from neurofit.files.store_upkeep import entry_named

    output = Output(as_json)
    entry = entry_named(_store(store), name)
    output.say(_line(entry))
    output.say(f"{entry.folder}, {entry.files} files")
    output.say(to_json({"about": entry.about, "key": entry.key}).rstrip())
    output.emit(entry.as_dict())


@app.command(
    epilog=examples(
        ("read everything, and compare it with its digests", "neurofit store verify"),
        ("of another store, for a program", "neurofit store verify --store /data/features --json"),
    )
)
def verify(store: Where = None, as_json: Json = False) -> None:
    """Read every chunk and compare it with its digest. Changes nothing; the exit code is 2 if something is damaged.

    What is damaged is never used: the run that needs it computes it again.
    """
    from neurofit.files.store_upkeep import verify_entries

    output = Output(as_json)
    document, damaged = [], 0
    for entry, problems in verify_entries(_store(store)):
        output.say(_line(entry))
        for problem in problems:
            output.say(f"    {problem}")
        damaged += bool(problems)
        document.append({"name": entry.name, "state": entry.state, "problems": list(problems)})
    output.say(f"{len(document)} entries, {damaged} damaged")
    output.emit({"entries": document, "damaged": damaged, "ok": not damaged})
    if damaged:
        raise typer.Exit(_DAMAGED)


@app.command(
    epilog=examples(
        ("what was not used for 30 days: say what would go, then remove it",
         "neurofit store prune --older-than 30\nneurofit store prune --older-than 30 --yes"),
        ("keep the 20 GB that were used last", "neurofit store prune --to-size 20GB --yes"),
        ("what interrupted runs of one model left",
         "neurofit store prune --model rgc --unfinished --yes"),
    )
)  # fmt: skip
def prune(
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Entries that were not used for so many days.")
    ] = None,
    to_size: Annotated[
        str | None, typer.Option(help="The longest unused entries, until no more than this is left, such as 20GB.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="What interrupted runs left, and what is damaged.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Only entries of this model; all of them if nothing else is said.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; otherwise it is only said what would go.")] = False,
    store: Where = None,
    as_json: Json = False,
) -> None:
    """Remove entries of a store; without --yes only say which. Never one that is being written."""
    from neurofit.files.store_upkeep import Pruning, list_entries, remove_entry

    output = Output(as_json)
    place = _store(store)
    pruning = Pruning(model, older_than, None if to_size is None else size_in_bytes(to_size), unfinished)
    chosen = pruning.chosen(list_entries(place))
    gone = [entry for entry in chosen if not yes or remove_entry(entry)]
    for entry in gone:
        output.say(_line(entry))
    said = "removed" if yes else "would go (add --yes)"
    output.say(f"{len(gone)} entries, {_size(sum(entry.size_bytes for entry in gone))}: {said}")
    document = {"removed": yes, "size_bytes": sum(entry.size_bytes for entry in gone)}
    output.emit({**document, "entries": [entry.as_dict() for entry in gone]})


def _store(chosen: str | None) -> FeatureStore:
    from neurofit.files.store import DEFAULT, FeatureStore, store_folder

    folder = store_folder(chosen) or store_folder(DEFAULT)
    return FeatureStore(Path(str(folder)))


def _line(entry: StoredEntry) -> str:
    about: Any = entry.about
    what = " ".join(str(about.get(name, "?")) for name in ("model", "layer"))
    images = f"{about.get('images', '?')} images of {about.get('stimuli', '?')}"
    route = entry.key.get("reduction", {}).get("route", "?")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
    return f"{entry.name[:_SHORT]}  {entry.state:13}  {_size(entry.size_bytes):>8}  {when}  {what}, {images}, {route}"


def _size(size: int) -> str:
    from neurofit.kernel.routes import size_text

    return size_text(size)
