"""``neurofit data convert`` and ``neurofit data inspect``: recordings from one format to another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli.examples import examples
from neurofit.cli.output import Output, readable_size
from neurofit.errors import ConfigurationError

if TYPE_CHECKING:
    import xarray as xr

    from neurofit.data.formats import ReadOptions

EXAMPLES = examples(
    ("what an NWB file holds, and which columns could name stimuli", "neurofit data inspect session.nwb"),
    (
        "its spikes in bins of 10 ms, for Brain-Score and for neurofit",
        "neurofit data convert session.nwb session.nc --bins 0:300:10 \\\n  --stimulus-column image_name --region IT",
    ),
    ("sessions of one animal", "neurofit data convert a.nwb b.nwb both.h5 --bins 70:170"),
    ("a folder of MATLAB rasters", "neurofit data convert rasters/ out.nwb --bins -100:400:20"),
    ("a dataset of `neurofit data list`", "neurofit data convert freiwaldtsao2010-am am.nwb"),
)
INSPECT_EXAMPLES = examples(
    ("tables, columns, regions", "neurofit data inspect session.nwb"),
    ("the same for a program", "neurofit data inspect assy.nc --json"),
)
SCORE, THEIR_SCORE = "score", "brainscore-score"
_SHOWN_COLUMNS = 30


def parse_bins(text: str) -> list[tuple[int, int]]:
    """Return the time bins that a text means: START:END for one, START:END:WIDTH, START:END:WIDTH:STRIDE; in ms.

    Raises
    ------
    ConfigurationError
        If it is none of these, or bins do not fill the span.
    """
    from neurofit.assembly.time_bins import make_time_bins

    found = re.fullmatch(r"(-?\d{1,9}):(-?\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?", text.strip())
    if found is None:
        raise ConfigurationError(
            "time bins are START:END, START:END:WIDTH or START:END:WIDTH:STRIDE in whole ms",
            f"'{text}' is none of these",
            "write them as 0:300:10",
        )
    start, end = int(found[1]), int(found[2])
    return make_time_bins(start, end, int(found[3] or end - start), int(found[4]) if found[4] else None)


def convert(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Files, a folder of rasters, or a dataset of `neurofit data list`.", metavar="IN..."),
    ],
    out: Annotated[Path, typer.Argument(help="File to write: .nc, .nwb, .h5 or .npz.", metavar="OUT")],
    from_: Annotated[
        str | None, typer.Option("--from", help="Format of IN; by its content if absent.", metavar="FORMAT")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Format of OUT; by its suffix if absent.", metavar="FORMAT")
    ] = None,
    bins: Annotated[
        str | None, typer.Option(help="Time bins, ms from onset: START:END[:WIDTH[:STRIDE]].", metavar="BINS")
    ] = None,
    stimulus: Annotated[
        list[str] | None,
        typer.Option("--stimulus-column", help="What names the stimulus; several times for rasters: joined by '/'."),
    ] = None,
    table: Annotated[str | None, typer.Option(help="NWB: table of presentations, such as trials.")] = None,
    onset: Annotated[str | None, typer.Option("--onset-column", help="NWB: column of onsets, s.")] = None,
    region_column: Annotated[
        str | None, typer.Option("--region-column", help="NWB: column of units or electrodes.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="NWB: series of binned rates instead of spikes.")] = None,
    region: Annotated[
        str | None, typer.Option(help="The region, where IN does not say it; else the one to keep.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="The animal, where IN does not say it.")] = None,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="Rasters: trials of every stimulus; neurons with fewer are left out.")
    ] = None,
    first_ms: Annotated[
        int | None, typer.Option("--first-ms", help="Rasters: where the first column starts, if they do not say it.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Data folder, for a dataset; the user's by default.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Read a recording in any format, check it, and write it in another; OUT appears whole or not at all.

    Formats: brainscore (.nc), neurofit (.nc), nwb, hdf5 (.h5), npz, and rasters (MATLAB v5 and v7.3, R, CSV), which
    are only read. A score (.nc) of neurofit becomes one of Brain-Score, and one of Brain-Score a score of neurofit.
    """
    from neurofit.data.formats import ReadOptions

    output = Output(as_json)
    options = ReadOptions(
        time_bins=None if bins is None else parse_bins(bins),
        stimulus=tuple(stimulus or ()),
        table=table,
        onset_column=onset,
        region_column=region_column,
        series=series,
        subject=subject,
        region=region,
        n_repetitions=repetitions,
        first_ms=first_ms,
    )
    source = Path(inputs[0])
    if from_ in (SCORE, THEIR_SCORE) or (from_ is None and len(inputs) == 1 and (from_ := _score_format(source))):
        document = _convert_score(source, str(from_), out, options)
    else:
        document = _convert_recording(inputs, from_, out, to, options, folder)
    for label, text in _words(document).items():
        output.say(f"{label + ':':15} {text}")
    output.emit(document)


def _convert_recording(
    inputs: list[str], from_: str | None, out: Path, to: str | None, options: ReadOptions, folder: Path | None
) -> dict[str, Any]:
    from neurofit.data.contents import summary_of
    from neurofit.data.formats import FORMATS, format_for_writing, read_recording, recognise

    target = format_for_writing(out, to)  # before anything is read
    name, recording = "dataset", _dataset(inputs, from_, options, folder)
    if recording is None:
        name = from_ or recognise(Path(inputs[0]))
        recording = read_recording(inputs, name, options)
    write = FORMATS[target].write
    assert write is not None, "format_for_writing names formats that are written"
    path = write(recording, out)
    head = {"from": name, "inputs": inputs, "to": target, "path": str(path), "bytes": path.stat().st_size}
    return head | {"recording": summary_of(recording)}


def _dataset(inputs: list[str], from_: str | None, options: ReadOptions, folder: Path | None) -> xr.DataArray | None:
    """Return the dataset that is named; None if files are."""
    if len(inputs) > 1 or from_ is not None or Path(inputs[0]).exists():
        return None
    from neurofit.data.datasets import list_datasets, load_dataset
    from neurofit.errors import UnknownNameError

    if Path(inputs[0]).suffix or len(Path(inputs[0]).parts) > 1:
        return None  # a file that is not there
    if inputs[0] not in list_datasets():
        raise UnknownNameError("file or dataset", inputs[0], list_datasets())
    options.refuse_others("dataset", ("time_bins", "region"))
    recording = load_dataset(inputs[0], folder, options.region)
    if options.time_bins is None:
        return recording
    from neurofit.assembly.time_bins import rebin

    return rebin(recording, options.time_bins)


def _score_format(path: Path) -> str | None:
    """Return which kind of score a file holds, None if it holds none."""
    import h5py

    from neurofit.data.readers.checks import reading
    from neurofit.data.readers.linked_hdf5 import opened_linked_hdf5

    if not path.is_file() or not h5py.is_hdf5(path):
        return None
    with reading(path, "an HDF5 file"), opened_linked_hdf5(path) as file:
        if "predictivity" in file:
            return SCORE
        return THEIR_SCORE if "data" in file and "raw" in file and isinstance(file["raw"], h5py.Group) else None


def _convert_score(source: Path, kind: str, out: Path, options: ReadOptions) -> dict[str, Any]:
    from neurofit.scoring.benchmark import AggregationSpec, list_benchmarks, load_benchmark
    from neurofit.scoring.brainscore_score import read_brainscore_score, write_brainscore_score
    from neurofit.scoring.storage import load_score, save_score

    options.refuse_others(kind, ("time_bins",) if kind == THEIR_SCORE else ())
    if kind == SCORE:
        score, target = load_score(source), THEIR_SCORE
        benchmark = str(score.attrs.get("benchmark", "")).partition("+")[0]
        known = benchmark in list_benchmarks()
        spec = load_benchmark(benchmark).aggregation if known else AggregationSpec()
        path = write_brainscore_score(score, out, spec)
    else:
        bins = options.time_bins or []
        score, target = read_brainscore_score(source, bins[0] if len(bins) == 1 else None), SCORE
        path = save_score(score, out)
    sizes = {str(k): int(v) for k, v in score.sizes.items()}
    return {
        "from": kind, "inputs": [str(source)], "to": target, "path": str(path), "bytes": path.stat().st_size,
        "score": {"formula": score.attrs["formula"], "sizes": sizes},
    }  # fmt: skip


def _words(document: dict[str, Any]) -> dict[str, str]:
    """Turn the document into lines for people."""
    written = f"{document['path']} ({document['to']}, {readable_size(document['bytes'])})"
    lines = {"read": f"{', '.join(document['inputs'])} ({document['from']})", "written": written}
    if "score" in document:
        sizes = ", ".join(f"{n} {name}s" for name, n in document["score"]["sizes"].items())
        return lines | {"formula": document["score"]["formula"], "values": sizes}
    return lines | recording_words(document["recording"])


def recording_words(recording: dict[str, Any]) -> dict[str, str]:
    """Turn the counts of a recording into lines for people."""
    fewest, most = recording["repetitions"]
    lines = {
        "presentations": f"{recording['presentations']} of {recording['stimuli']} stimuli",
        "repetitions": f"{fewest}" if fewest == most else f"{fewest} to {most}",
        "neuroids": f"{recording['neuroids']} ({', '.join(f'{k} {n}' for k, n in recording['regions'].items())})",
        "subjects": ", ".join(recording["subjects"]),
        "time bins": "{} in [{}, {}) ms".format(recording["time_bins"], *recording["time_span_ms"]),
        "responses": f"{recording['dtype']}, sum {recording['sum']:.10g}, mean {recording['mean']:.4g}",
    }
    return lines | {name.replace("_", " "): str(value) for name, value in recording["attrs"].items()}


def inspect(
    file: Annotated[Path, typer.Argument(help="A recording in any format, or a folder of rasters.", metavar="FILE")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Show what is in a file: tables, columns, regions, and which columns could name the stimuli.

    Nothing is written, and spikes are not read.
    """
    from neurofit.data.contents import contents_of

    output = Output(as_json)
    document = contents_of(file)
    output.say(f"{document['path']}: {document['title']} ({document['format']})")
    simple = ("subject", "session_start", "units", "spike_times", "files", "of_the_first", "time_span_ms", "spikes")
    for name in simple:
        if document.get(name) is not None:
            output.say(f"{name.replace('_', ' ') + ':':15} {document[name]}")
    for name, shape in document.get("series", {}).items():
        output.say(f"{'series:':15} {name} {tuple(shape)}")
    for name, text in document.get("datasets", {}).items():
        output.say(f"{'data set:':15} {name} {text}")
    for label, text in recording_words(document["recording"]).items() if "recording" in document else ():
        output.say(f"{label + ':':15} {text}")
    _say_tables(output, document.get("tables", {}))
    for key, label in (("stimulus_columns", "could name stimuli:"), ("region_columns", "could name regions:")):
        if key in document:
            output.say(f"{label} {', '.join(document[key]) or 'no column'}")
    if "incomplete" in document:
        output.say(f"not complete: {document['incomplete']}")
    output.emit(document)


def _say_tables(output: Output, tables: dict[str, Any]) -> None:
    for name, table in tables.items():
        output.say(f"table {name}: {table['rows']} rows")
        for column, about in list(table["columns"].items())[:_SHOWN_COLUMNS]:
            examples_ = ", ".join(text[:40] for text in about["examples"])
            output.say(f"  {column:24} {about['kind']:12} {about['distinct']:7} distinct: {examples_}")
        others = table["other_columns"] + list(table["columns"])[_SHOWN_COLUMNS:]
        if others:
            output.say(f"  not shown: {', '.join(others)}")
